"""The notation: what it reads, what it gives back, and how it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_core.errors import LayoutError
from latent_core.slots.layout import After, Before, End, Every, LatentGroup, LatentLayout, Start

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
    ],
)
def test_who_predicts_the_token_after_a_group(text: str, predicts: str) -> None:
    assert LatentLayout.parse(text).groups[0].predict_from == predicts


def test_the_slot_before_a_trigger_predicts_it() -> None:
    with pytest.raises(LayoutError, match="'Comma' cannot use '@latent'"):
        LatentLayout.parse("Comma_1@latent")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Comma_x", "'Comma_x'"),
        ("Comma", "'Comma'"),
        ("", "''"),
        ("Start_0", "'Start_0'"),
        ("Start_-1", "'Start_-1'"),
        ("Start_1+", "''"),
        ("Comm_2", "'Comm'"),
        ("0_2", "'0'"),
        ("-3_2", "'-3'"),
        ("Before[]_1", r"'Before\[\]'"),
        ("Before[a|]_1", r"'Before\[a\|\]'"),
        ("Middle[a]_1", r"'Middle\[a\]'"),
        ("none+Start_1", "'none'"),
        ("Start_1@last", "'@last'"),
        ("Start_1; bound", "'bound'"),
        ("Start_1; positions=none", "'positions=none'"),
        ("Start_1+End_2+Start_3", "'Start' appears twice"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, names: str) -> None:
    with pytest.raises(LayoutError, match=names):
        LatentLayout.parse(text)


def test_an_unknown_place_is_answered_with_the_grammar() -> None:
    with pytest.raises(LayoutError, match=r"Start, End, Comma.*for example 'Start_1\+Comma_2'"):
        LatentLayout.parse("Middle_2")
    with pytest.raises(LayoutError, match=r"unknown place 'comma'.*did you mean 'Comma'\?$"):
        LatentLayout.parse("comma_2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Comma_x", "group 'Comma_x' has the count 'x'"),
        ("Start_2+Start_0", "group 'Start_0' has the count '0'"),
        ("8", "group '8' has no count"),
        ("Before[a_b]_0", r"group 'Before\[a_b\]_0' has the count '0'"),
    ],
)
def test_a_known_place_without_a_count_is_answered_with_one(text: str, said: str) -> None:
    with pytest.raises(LayoutError, match=said + r"; expected .* at least 1 .*, as in '.*_2'$"):
        LatentLayout.parse(text)


def test_groups_made_in_code_are_checked_too() -> None:
    with pytest.raises(LayoutError, match="has 0 latents"):
        LatentGroup("Start", 0, Start(), "latent")
    with pytest.raises(LayoutError, match="whole number k >= 1"):
        LatentGroup("0", 1, Every(0), "latent")


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
