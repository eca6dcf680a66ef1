"""The notation: what it reads, what it gives back, and how it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_core.errors import LayoutError
from latent_core.slots.filling import Hidden
from latent_core.slots.layout import LatentGroup, LatentLayout, PredictFrom
from latent_core.slots.places import After, Before, End, Every, Start, Unsure

PLACES = {
    "Start_3": Start(),
    "End_3": End(),
    "12_3": Every(12),
    "Comma_3": Before((",",)),
    "Newline_3": Before(("\n",)),
    "Equals_3": Before(("=",)),
    "Sentence_3": Before((".", "!", "?")),
    "Before[+]_3": Before(("+",)),
    r"Before[a\|b|\]|\\|[|\t]_3": Before(("a|b", "]", "\\", "[", "\t")),
    "After[;|_2+]_3": After((";", "_2+")),
    "After[is so]_3": After(("is so",)),
    "Unsure[0.5]_3": Unsure(0.5),
}


@pytest.mark.parametrize("text", PLACES)
def test_every_place_is_read(text: str) -> None:
    (group,) = LatentLayout.parse(text).groups
    assert group.place == PLACES[text]
    assert group.count == 3
    assert f"{group.name}_3" == text


def test_a_sum_keeps_its_order_and_gives_each_group_a_table() -> None:
    layout = LatentLayout.parse("Comma_2 + Start_1+After[+|;]_4")
    assert [group.name for group in layout.groups] == ["Comma", "Start", "After[+|;]"]
    assert layout.table_sizes == {"Comma": 2, "Start": 1, "After[+|;]": 4}
    assert layout.first_rows == (0, 2, 3)
    assert layout.num_latents == 7
    assert layout.group("Start") is layout.groups[1]
    with pytest.raises(LayoutError, match=r"no group 'End'.*Comma, Start, After"):
        layout.group("End")


def test_tied_groups_share_one_table_as_long_as_the_longest() -> None:
    layout = LatentLayout.parse("Start_1+Comma_3+End_2; tied")
    assert layout.table_sizes == {"tied": 3}
    assert layout.first_rows == (0, 0, 0)
    assert layout.num_latents == 3


def test_none_has_no_groups() -> None:
    for text in ("none", "none; tied", "none; positions=sequential"):
        layout = LatentLayout.parse(text)
        assert (layout.groups, layout.table_sizes, layout.num_latents) == ((), {}, 0)
    assert LatentLayout.parse("none") == LatentLayout()


def test_a_layout_is_returned_as_it_is() -> None:
    layout = LatentLayout.parse("Start_2; positions=sequential")
    assert LatentLayout.parse(layout) is layout
    assert layout.positions == "sequential"


@pytest.mark.parametrize(
    ("text", "predicts"),
    [
        ("Start_1", "latent"),
        ("End_1", "latent"),
        ("8_1", "latent"),
        ("After[=]_1", "latent"),
        ("Comma_1", "verbal"),
        ("End_1@verbal", "verbal"),
        ("8_1@latent", "latent"),
        ("Comma_1@verbal", "verbal"),
        ("Unsure[0.5]_1@latent", "latent"),
    ],
)
def test_who_predicts_the_token_after_a_group(text: str, predicts: str) -> None:
    assert LatentLayout.parse(text).groups[0].predict_from == predicts


def test_the_slot_before_a_trigger_predicts_it() -> None:
    with pytest.raises(LayoutError, match="'Comma' cannot use '@latent'"):
        LatentLayout.parse("Comma_1@latent")


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("Comma_x", 7, "expected a count of at least 1 at column 7, got 'x'"),
        ("Comma", 6, "expected '_' and a count at column 6, got the end"),
        ("8", 2, "expected '_' and a count at column 2, got the end"),
        ("", 1, r"expected a layout such as Start_1\+Comma_2 at column 1, got the end"),
        ("Start_2+Comma_0", 15, "the count of 'Comma' is '0' .* from 1 to 1,000,000"),
        ("Before[a_b]_0", 13, "the count of .* is '0'"),
        ("Start_-1", 7, "expected a count of at least 1 at column 7, got '-'"),
        ("Start_1+", 9, "expected a place such as Comma at column 9, got the end"),
        ("Start_1,Comma_1", 8, "expected '=', '\\+', '@', ';' or the end at column 8, got ','"),
        ("Start_1 Comma_1", 9, "expected .* got 'Comma_1'"),
        ("Comm_2", 1, "unknown place 'Comm' .* did you mean 'Comma'?"),
        ("0_2", 1, "unknown place '0'"),
        ("-3_2", 1, "expected a layout .* got '-'"),
        ("Before[]_1", 1, r"a trigger text of 'Before\[\]' is empty"),
        ("Before[a|]_1", 1, "is empty"),
        ("Before[a_1", 7, r"expected a closing \] for the \[ at column 7, got the end"),
        ("Before[a]b]_1", 10, "expected '_' and a count"),
        ("Before[]]_1", 9, r"got '\]'; write '\\\]' for a bracket within brackets"),
        ("Middle[a]_1", 1, r"unknown place 'Middle\[a\]'"),
        ("none+Start_1", 5, "expected ';' or the end at column 5, got '\\+'"),
        ("Start_1@last", 9, "unknown '@last' .* write '@latent' or '@verbal'"),
        ("Start_1; bound", 10, r"option 'bound' at column 10; expected tied or positions=\.\.\.\n"),
        ("Start_1; tide", 10, "did you mean 'tied'?"),
        ("Start_1;", 9, "expected tied or positions=sequential at column 9, got the end"),
        ("Start_1; tied; tied", 16, r"option tied appears twice at column 16; expected it once\n"),
        ("Start_1; positions=shared; positions=sequential", 28, "option positions appears twice"),
        ("Start_1; positions=none", 20, "unknown option 'positions=none'"),
        ("Start_1; positions", 10, "unknown option 'positions'"),
        ("Start_1; tied=yes", 15, "unknown option 'tied=yes'"),
        (
            "Start_1+End_2+Start_3",
            15,
            r"'Start' appears twice at column 15; expected each place once \(add the counts up\)",
        ),
        ("Start_1+Comma_1@latent", 17, "'Comma' cannot use '@latent'"),
        ("Unsure[0.5]_1@verbal", 15, "'Unsure.*' cannot use '@verbal' .* its latents stand before"),
        (
            "End_1+Start_1=mix",
            15,
            "'Start' cannot be filled by mix .* it has no slot before it to c",
        ),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text: str, column: int, said: str) -> None:
    with pytest.raises(LayoutError, match=said) as caught:
        LatentLayout.parse(text)
    assert f"at column {column}" in str(caught.value)
    if text:
        _, shown, carets = str(caught.value).splitlines()
        assert shown == f"    {text}"
        assert carets.index("^") == 4 + column - 1


def test_an_unknown_place_is_answered_with_the_places() -> None:
    with pytest.raises(LayoutError, match=r"expected Start, End, Comma, .* or Unsure\[0.5\]"):
        LatentLayout.parse("Middle_2")
    with pytest.raises(LayoutError, match=r"unknown place 'comma'.*did you mean 'Comma'\?\n"):
        LatentLayout.parse("comma_2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Start_" + "9" * 5_000, "expected a whole number from 1 to 1,000,000"),
        ("9" * 5_000 + "_1", "the distance is '9999.*expected a whole number from 1 to 1,000,000"),
        ("Start_1000001", "from 1 to 1,000,000"),
        ("+".join(f"{k}_1" for k in range(1, 3_000)), "at most 10,000 characters"),
        ("Before[" * 1_400, "expected a closing"),
    ],
)
def test_a_layout_out_of_bounds_is_refused_at_once(text: str, said: str) -> None:
    with pytest.raises(LayoutError, match=said) as caught:
        LatentLayout.parse(text)
    assert len(str(caught.value)) < 500


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(
        LayoutError, match=r"expected a layout .* got '82', which is int; put quotes"
    ):
        LatentLayout.parse(82)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "otherwise", "group"),
    [
        ("8", None, "8_2"),
        ("8", "verbal", "8_2@verbal"),
        ("8@latent", "verbal", "8_2"),
        ("Comma", "latent", "Comma_2"),
        (" End @ verbal ", None, "End_2@verbal"),
    ],
)
def test_a_group_at_a_place(place: str, otherwise: PredictFrom | None, group: str) -> None:
    assert str(LatentGroup.at(place, 2, otherwise)) == group


@pytest.mark.parametrize("place", ["Start+End", "Comma_1", "none", "Nowhere", "", "Start@last"])
def test_a_group_at_what_is_not_one_place_is_refused(place: str) -> None:
    with pytest.raises(LayoutError):
        LatentGroup.at(place, 1)


def test_groups_made_in_code_are_checked_too() -> None:
    with pytest.raises(LayoutError, match="has 0 latents"):
        LatentGroup("Start", 0, Start(), "latent")
    with pytest.raises(LayoutError, match="has 1,000,001 latents; expected at most 1,000,000"):
        LatentGroup("Start", 1_000_001, Start(), "latent")
    with pytest.raises(LayoutError, match="'Start' appears twice"):
        LatentLayout((LatentGroup("Start", 1, Start(), "latent"),) * 2)
    with pytest.raises(LayoutError, match="whole number k >= 1"):
        LatentGroup("0", 1, Every(0), "latent")
    with pytest.raises(LayoutError, match="'Start' cannot be filled by hidden; it has no slot"):
        LatentGroup("Start", 1, Start(), "latent", Hidden())
    with pytest.raises(LayoutError, match="'Comma' cannot use '@latent'; the token after it must"):
        LatentGroup("Comma", 1, Before((",",)), "latent")
    with pytest.raises(LayoutError, match="cannot use '@verbal'; its latents stand before a token"):
        LatentGroup("Unsure[0.5]", 1, Unsure(0.5), "verbal")


@pytest.mark.parametrize("text", ["End_3@verbal=hidden(proj=2)", "Comma_1=mix", "8_2=text(a)"])
def test_a_filling_is_written_as_it_is_read(text: str) -> None:
    assert str(LatentLayout.parse(text)) == text


_ESCAPED = {"\n": r"\n", "\t": r"\t", "|": r"\|", "]": r"\]", "\\": r"\\"}
_texts = st.lists(st.text("ab,+;_@[]|\\\n\t 3", min_size=1, max_size=4), min_size=1, max_size=3)
_trigger = st.builds(
    lambda kind, texts: (
        f"{kind}[" + "|".join("".join(_ESCAPED.get(c, c) for c in text) for text in texts) + "]",
        (Before if kind == "Before" else After)(tuple(texts)),
    ),
    st.sampled_from(["Before", "After"]),
    _texts,
)
_place = st.one_of(
    st.sampled_from([("Start", Start()), ("End", End()), ("Comma", Before((",",)))]),
    st.integers(1, 40).map(lambda k: (str(k), Every(k))),
    _trigger,
)


@given(
    places=st.lists(_place, max_size=4, unique_by=lambda place: place[0]),
    counts=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    verbal=st.booleans(),
    tied=st.booleans(),
    positions=st.sampled_from(["shared", "sequential"]),
)
def test_text_and_layout_are_two_forms_of_one_thing(places, counts, verbal, tied, positions):
    groups = [
        f"{name}_{count}{'@verbal' * verbal}"
        for (name, _), count in zip(places, counts, strict=False)
    ]
    text = "; ".join(["+".join(groups) or "none", *["tied"] * tied, f"positions={positions}"])
    layout = LatentLayout.parse(text)
    assert [group.place for group in layout.groups] == [place for _, place in places]
    assert [group.count for group in layout.groups] == counts[: len(places)]
    assert LatentLayout.parse(str(layout)) == layout


def test_what_trains_has_a_table_or_two_maps() -> None:
    layout = LatentLayout.parse(
        "Start_2+End_3=hidden(proj=4)+Comma_1=fused(0.5, proj=2)+8_1=hidden"
    )
    assert layout.weight_shapes(16) == {
        "Start": (2, 16),
        "End.down": (4, 16),
        "End.up": (16, 4),
        "Comma.down": (2, 16),
        "Comma.up": (16, 2),
    }


def test_the_control_of_fillings_has_learned_vectors_in_the_same_places() -> None:
    layout = LatentLayout.parse("Start_2+End_3@verbal=hidden+Comma_1=text(1); positions=sequential")
    assert str(layout.learned()) == "Start_2+End_3@verbal+Comma_1; positions=sequential"


def test_a_group_is_found_by_its_name() -> None:
    layout = LatentLayout.parse("Start_2+Comma_1")
    assert layout.group("Comma") is layout.groups[1]
    with pytest.raises(LayoutError, match=r"has no group 'End'; its groups: Start, Comma$"):
        layout.group("End")
    with pytest.raises(LayoutError, match=r"layout none has no group 'End'; its groups: none$"):
        LatentLayout().group("End")
