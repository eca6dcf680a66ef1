"""What holds of any layout, any verbal ids and any batch, drawn at random.

That a layout and its text are two forms of one thing is in `test_layout`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from latent_core.slots.batch import collate
from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import IGNORE, SlotStream
from tests.slots.test_placement import COMMA, EQUALS, place

quick = settings(deadline=None, max_examples=60)


@st.composite
def _group(draw: st.DrawFn) -> str:
    """One group in the notation."""
    kind = draw(st.sampled_from(["Start", "End", "Comma", "Equals", "k", "Before", "After"]))
    if kind == "k":
        kind = str(draw(st.integers(1, 9)))
    elif kind in ("Before", "After"):
        texts = draw(st.lists(st.sampled_from([",", "="]), min_size=1, unique=True))
        kind = f"{kind}[{'|'.join(texts)}]"
    who = ["", "@verbal"]
    if kind[0] not in "BC" and kind != "Equals":
        who.append("@latent")
    return f"{kind}_{draw(st.integers(1, 4))}{draw(st.sampled_from(who))}"


_layouts = st.builds(
    lambda groups, tied, sequential: (
        ("+".join(groups) or "none") + "; tied" * tied + "; positions=sequential" * sequential
    ),
    st.lists(_group(), max_size=5, unique_by=lambda group: group.rpartition("_")[0]),
    st.booleans(),
    st.booleans(),
)
# Verbal ids start at 1, so that they are told from padding; 440 is another comma.
_ids = st.sampled_from([COMMA, 440, EQUALS, 5, 6, 7, 1])
_prompts = st.lists(_ids, min_size=1, max_size=12)
_responses = st.lists(_ids, max_size=12)


@quick
@given(layout=_layouts, prompt=_prompts, response=_responses)
def test_what_holds_of_every_example(layout, prompt, response) -> None:
    placement = place(layout)
    slots = placement.insert(prompt, response)
    verbal = [t for t, slot in enumerate(slots.slots) if not slot.is_latent]

    # Left without latents, the example is as it was.
    assert slots.verbal_ids == prompt + response
    assert slots.num_latents == len(slots.slots) - len(verbal)
    assert [slots.slots[t].verbal_index for t in verbal] == list(range(len(verbal)))

    # Positions: a latent has that of the verbal token after it; sequential ones count every slot.
    positions = [slot.position_id for slot in slots.slots]
    if "sequential" in layout:
        assert positions == list(range(len(positions)))
    else:
        assert positions == [slot.verbal_index for slot in slots.slots]
        for t, slot in enumerate(slots.slots[:-1]):
            if slot.is_latent:
                assert positions[t] == positions[t + 1]

    # Every response token has one slot that predicts it, in order, within the gap before it: the
    # slot of the token before, or a latent that may predict.
    predictors = [t for t, label in enumerate(slots.labels) if label != IGNORE]
    assert [slots.labels[t] for t in predictors] == response
    for number, t in enumerate(predictors, start=len(prompt)):
        slot, gap = slots.slots[t], range(verbal[number - 1], verbal[number])
        assert t in gap
        inner = {i: placement.layout.groups[slots.slots[i].group] for i in gap[1:]}
        able = [i for i, group in inner.items() if group.predict_from == "latent"]
        assert t == (able[-1] if able else gap.start)
        assert not slot.is_latent or placement.layout.groups[slot.group].known_ahead

    # Each latent's row lies in its group's table.
    for slot in slots.slots:
        if slot.is_latent:
            start = placement.layout.first_rows[slot.group]
            assert slot.row == start + slot.member < placement.layout.num_latents


@quick
@given(layout=_layouts, prompt=_prompts, response=_responses)
def test_token_by_token_gives_the_same_slots_as_all_at_once(layout, prompt, response) -> None:
    """Decoding pushes what it sampled and looks ahead before it samples again."""
    placement = place(layout)
    stream = SlotStream(placement, len(prompt))
    fed = stream.look_ahead()
    for token_id in prompt:
        fed += stream.push(token_id) + stream.look_ahead()
    assert tuple(fed) == placement.insert(prompt).slots
    labels = {}
    for token_id in response:
        labels[stream.predictor] = token_id
        fed += stream.push(token_id) + stream.look_ahead()
    whole = placement.insert(prompt, response)
    assert tuple(fed[: len(whole.slots)]) == whole.slots
    assert {t: label for t, label in enumerate(whole.labels) if label != IGNORE} == labels
    assert stream.num_slots == len(fed)
    assert all(slot.is_latent for slot in fed[len(whole.slots) :])


@quick
@given(
    layout=_layouts,
    rows=st.lists(st.tuples(_prompts, _responses), min_size=1, max_size=4),
    side=st.sampled_from(["left", "right"]),
    spare=st.integers(0, 3),
)
def test_a_batch_gives_its_examples_back(layout, rows, side, spare) -> None:
    """Whatever their lengths: ids, positions and labels stand at slots, and nothing at padding."""
    placement = place(layout)
    examples = [placement.insert(*row) for row in rows]
    length = max(len(example.slots) for example in examples) + spare
    batch = collate(examples, side, length)
    assert batch.input_ids.shape == (len(rows), length)
    real = batch.attention_mask.bool()
    for number, (example, (prompt, response)) in enumerate(zip(examples, rows, strict=True)):
        here = real[number]
        assert int(here.sum()) == len(example.slots)
        assert here.tolist() == sorted(here.tolist(), reverse=side == "right")
        latents, ids = batch.latent_rows[number], batch.input_ids[number]
        verbal = here & (latents < 0)
        assert ids[verbal].tolist() == prompt + response
        assert not ids[~verbal].any() and bool((latents[~here] == -1).all())
        assert latents[here & ~verbal].tolist() == [s.row for s in example.slots if s.is_latent]
        assert batch.position_ids[number, here].tolist() == [s.position_id for s in example.slots]
        labels = batch.labels[number]
        assert labels[labels != IGNORE].tolist() == response
        assert bool((labels[~here] == IGNORE).all())


@quick
@given(layout=_layouts, prompt=_prompts, response=_responses)
def test_a_layout_read_again_places_alike(layout, prompt, response) -> None:
    again = str(LatentLayout.parse(layout))
    assert LatentLayout.parse(again) == LatentLayout.parse(layout)
    assert place(again).insert(prompt, response) == place(layout).insert(prompt, response)
