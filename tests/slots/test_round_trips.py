"""Every value of the five languages is written as a text that is read back as this value."""

from hypothesis import given, settings
from hypothesis import strategies as st

from latent_core.hypotheses.conditions import ADAPTER, CHANCE, Condition
from latent_core.interventions.base import Combined, Intervention
from latent_core.interventions.flow import KnockOut
from latent_core.interventions.held import Freeze
from latent_core.interventions.kinds import VERBS, Patch, parse_intervention
from latent_core.interventions.places import Drop, Move, Positions, Recount
from latent_core.interventions.vectors import Replace, Scale, Shuffle, Swap
from latent_core.slots.layout import LatentGroup, LatentLayout
from latent_core.slots.methods import Method
from latent_core.slots.places import ALIASES
from latent_core.slots.selection import Selection

quick = settings(deadline=None, max_examples=80)

_ESCAPED = {"\n": r"\n", "\t": r"\t", "|": r"\|", "]": r"\]", "\\": r"\\"}
_words = st.text(st.characters(codec="utf-8"), max_size=12) | st.text(
    'ab ,;=+@_()[]"\\|&\n<->', max_size=12
)
_trigger_texts = st.lists(
    st.text('ab ,;=+@_()[]"\\|&\n\té->', min_size=1, max_size=4), min_size=1, max_size=3
)
places = (
    st.sampled_from(["Start", "End", *ALIASES])
    | st.integers(1, 99).map(str)
    | st.builds(
        lambda kind, texts: (
            f"{kind}[{'|'.join(''.join(_ESCAPED.get(c, c) for c in text) for text in texts)}]"
        ),
        st.sampled_from(["Before", "After"]),
        _trigger_texts,
    )
)
groups = st.builds(
    LatentGroup.at, places, st.integers(1, 1_000_000), st.sampled_from(["latent", "verbal", None])
)
layouts = st.builds(
    LatentLayout,
    st.lists(groups, max_size=4, unique_by=lambda group: group.name).map(tuple),
    st.booleans(),
    st.sampled_from(["shared", "sequential"]),
)
methods = st.builds(
    Method.parse,
    layouts.map(str)
    | layouts.map(lambda layout: f"filler({layout})")
    | st.sampled_from(["zero-shot", "few-shot", "filler", "pause", "lora", "full"])
    | st.builds(
        "{}{}{}".format,
        st.sampled_from(["few-shot-", "pause-", "prompt-tuning-", "prefix-", "lora-r"]),
        st.integers(1, 1_000_000),
        st.just(""),
    )
    | st.integers(1, 10**9).map("lora-{}p".format)
    | st.builds(
        "{} & {}".format,
        layouts.filter(lambda layout: layout.groups),
        st.sampled_from(["lora-r8", "lora-90p", "prefix-4"]),
    ),
)
_terms = st.sampled_from(["latents", "verbal", "prompt", "response", "all"]) | st.builds(
    "{}{}{}".format,
    places,
    st.just("") | st.integers(0, 20).map(".{}".format),
    st.just("") | st.integers(0, 20).map("@{}".format),
)
selections = st.lists(_terms, min_size=1, max_size=3).map("+".join)
_steps = st.integers(0, 10**18)
_some = st.none() | _steps
_indices = st.none() | st.sets(st.integers(0, 9_999), min_size=1, max_size=5).map(tuple)
_moved = st.builds("{}{}".format, places, st.sampled_from(["", "@verbal"]))
_finite = st.floats(allow_nan=False)

singles: st.SearchStrategy[Intervention] = (
    st.builds(Drop, selections, _some, _some, _steps)
    | st.builds(Replace, selections, _words, _steps, _some, _steps)
    | st.builds(Shuffle, selections, st.sampled_from(["members", "occurrences"]), _steps, _steps)
    | st.builds(Swap, places, places, _steps)
    | st.builds(Scale, selections, _finite, _some, _steps)
    | st.builds(Recount, places, _steps, _steps)
    | st.builds(Move, places, _moved, _steps)
    | st.builds(Positions, st.sampled_from(["shared", "sequential"]), _steps)
    | st.builds(Freeze, places, _steps, _steps)
    | st.builds(KnockOut, selections, selections, _indices, _indices, st.booleans(), _steps)
)
patches = st.builds(Patch, selections, _indices, singles.map(str), _words, _steps)
combined = st.lists(singles | patches, max_size=3).map(
    lambda parts: parts[0] if len(parts) == 1 else Combined(tuple(parts))
)
_changes = combined.map(str)
_sides = (
    st.just("")
    | methods.map(str)
    | _words.filter(lambda folder: folder.strip()).map((ADAPTER + "{}").format)
    | st.builds(
        "matched({}, {}, {})".format,
        layouts,
        st.sampled_from(["parameters", "compute"]),
        st.sampled_from(["start", "end", "prompt-tuning", "prefix", "lora", "filler"]),
    )
)


@quick
@given(layouts)
def test_a_layout(layout: LatentLayout) -> None:
    assert LatentLayout.parse(str(layout)) == layout


@quick
@given(methods)
def test_a_method(method: Method) -> None:
    assert Method.parse(str(method)) == method
    assert Method.parse(f" {method}\t") == method


@quick
@given(st.data(), layouts.filter(lambda layout: layout.groups))
def test_a_selection(data: st.DataObject, layout: LatentLayout) -> None:
    group = st.sampled_from(layout.groups)
    term = group.flatmap(
        lambda group: st.builds(
            "{}{}{}".format,
            st.just(group.name),
            st.just("") | st.integers(0, group.count - 1).map(".{}".format),
            st.just("") | st.integers(0, 10**18).map("@{}".format),
        )
    )
    words = st.sampled_from(["latents", "verbal", "prompt", "response", "all"])
    text = "+".join(data.draw(st.lists(term | words, min_size=1, max_size=4)))
    selection = Selection.parse(text, layout)
    assert str(selection) == text
    assert Selection.parse(str(selection), layout) == selection


@quick
@given(combined)
def test_an_intervention(intervention: Intervention) -> None:
    assert parse_intervention(str(intervention)) == intervention


def test_every_verb_is_drawn() -> None:
    drawn = (Drop, Replace, Shuffle, Swap, Scale, Recount, Move, Positions, KnockOut, Patch, Freeze)
    assert set(VERBS.values()) == set(drawn)


@quick
@given(_sides, _changes, _changes)
def test_a_condition(method: str, intervention: str, within: str) -> None:
    # A change around nothing is no change around it: only an intervention has an outer one.
    condition = Condition(method, intervention, within if intervention != "none" else "none")
    assert Condition.parse(str(condition)) == condition


def test_chance_is_a_condition() -> None:
    assert str(Condition.parse(CHANCE)) == CHANCE
