"""Responses without a widget: their slots, verdicts, and where two of them differ."""

import pytest

import latent_core as lc
from latent_core.evaluation.evaluate import response_limit
from latent_core.generation.generate import Generation
from latent_core.slots.views import SlotView
from latent_core.tasks.base import Mark
from workbench.pictures.slots import slot_cells
from workbench.responses import first_difference, fitting, respond, slot_marks


def verbal(text: str, token_id: int = 0) -> SlotView:
    return SlotView(text, None, None, 0, token_id)


def test_marks_of_characters_become_marks_of_tokens() -> None:
    words = {1: "12,", 2: "3", 3: "4,5", 4: ""}
    latent = SlotView("Comma.0", "Comma", 0, 0, None)
    slots = [verbal("?", 9), latent, *(verbal(words[i], i) for i in (1, 2, 3)), verbal("<eos>", 4)]
    generation = Generation("?", "12,34,5", (9,), (1, 2, 3, 4), tuple(slots), True, 4)
    marks = [Mark(0, 2, True), Mark(3, 5, True), Mark(6, 7, False)]
    found = slot_marks(generation, marks, lambda ids: "".join(words[i] for i in ids))
    assert found == ("", "", "right", "right", "wrong", "")


def test_tokens_that_share_a_character_share_its_mark() -> None:
    ids = (1, 2, 3)
    decode = {(1,): "\ufffd", (1, 2): "é", (1, 2, 3): "éa", (2,): "\ufffd", (3,): "a"}
    slots = (verbal("?", 9), *(verbal("\ufffd", i) for i in ids))
    generation = Generation("?", "éa", (9,), ids, slots, True, 3)
    found = slot_marks(generation, [Mark(0, 1, True)], lambda ids: decode[tuple(ids)])
    assert found == ("", "right", "right", "")


def test_the_first_difference_of_a_response_that_ends_sooner_is_its_last_token() -> None:
    slots = tuple(verbal(text, n) for n, text in enumerate("?ab"))
    longer = Generation("?", "ab", (0,), (1, 2), slots, True, 2)
    shorter = Generation("?", "a", (0,), (1,), slots[:2], True, 1)
    assert first_difference(longer, shorter) == 1
    assert first_difference(shorter, longer) == 2
    assert first_difference(longer, longer) is None


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    return lc.LatentModel(lc.load_backbone("tiny"), "Start_2+Comma_1")


def test_slots_come_one_token_at_a_time_and_in_the_end_are_those_of_the_response(
    model: lc.LatentModel,
) -> None:
    task = lc.load_task("repetition")
    example = task.examples("id", 1, seed=1)[0]
    steps: list[list[SlotView]] = []
    found = respond(model, example.prompt, 9, judge=(task, example), on_slots=steps.append)
    assert tuple(slot for step in steps for slot in step) == found.generation.slots
    assert len(steps) == 1 + len(found.generation.response_ids)
    assert found.score == task.score(example, found.generation.text)
    assert len(found.marks) == len(found.generation.slots)
    assert (found.intervention, found.left_out, found.note) == ("none", (), "")


def test_parts_that_do_not_fit_are_left_out_with_the_reason(model: lc.LatentModel) -> None:
    fits, left_out = fitting(model, lc.parse_intervention("drop(Comma) & drop(End)"))
    assert str(fits) == "drop(Comma)"
    (why,) = left_out
    assert why.startswith("drop(End) is left out here: ") and "'End'" in why
    found = respond(model, "1+1=", 3, lc.parse_intervention("drop(Comma) & drop(End)"))
    assert found.intervention == "drop(Comma)" and found.left_out == left_out
    assert found.score is None and set(found.marks) == {""}
    assert "changed nothing" in found.note, "no comma stands in this text"


def test_each_response_token_has_its_chance_and_the_likely_tokens() -> None:
    model = lc.LatentModel("tiny", "Start_1+Comma_1", seed=5)
    response = respond(model, "a=1,b=2,", 5)
    slots = response.generation.slots
    assert len(response.chances) == len(slots)
    verbal = [place for place, slot in enumerate(slots) if slot.group is None]
    answered = verbal[len(response.generation.prompt_ids) :]
    assert [p for p, chance in enumerate(response.chances) if chance is not None] == answered
    first = response.chances[answered[0]]
    assert first is not None and first.alternatives[0][0] == slots[answered[0]].label
    assert "most likely: " in first.words
    cells = slot_cells(slots, response.marks, response.chances)
    assert cells[answered[0]].chance and cells[0].chance == ""
    assert first.words in cells[answered[0]].words


def test_a_computed_latent_holds_the_likeliest_word_before_it() -> None:
    model = lc.LatentModel("tiny", "Start_1+End_2=mix", seed=3)
    found = respond(model, "a=7\na?\n", 2)
    wanted = lc.latent_contents(model, "a=7\na?\n", found.generation.response_ids, count=3)
    wanted = wanted[wanted["measure"] == "probability"]
    cells = slot_cells(found.generation.slots, chances=found.chances)
    for member in (0, 1):
        rows = wanted[wanted["member"] == member]
        (cell,) = [cell for cell in cells if cell.text == f"End.{member}"]
        assert cell.chance == rows["token"].iloc[0].replace("\n", "⏎")
        assert f"holds {rows['token'].iloc[0]!r} {rows['value'].iloc[0]:.1%}" in cell.words
    (learned,) = [cell for cell in cells if cell.group == "Start"]
    assert learned.chance == "" and "holds" not in learned.words


@pytest.mark.parametrize("by", ["example", "mean"])
def test_a_prompt_that_is_an_example_has_other_examples(by: str) -> None:
    """The response is the one that an evaluation records."""
    model = lc.LatentModel("tiny", "Start_2+End_2", seed=1)
    task, change = lc.load_task("repetition"), f"patch(End, by={by})"
    (example,) = task.examples("id", 1, seed=1)
    limit = response_limit(model, task, example)
    found = respond(model, example.prompt, limit, lc.parse_intervention(change), (task, example))
    assert found.intervention == change and found.left_out == ()
    frame = lc.evaluate_intervention(model, task, change, "id", 1, progress=False)
    assert found.generation.text == frame["response"].tolist()[1]
    typed = respond(model, "1+1=", 3, lc.parse_intervention(f"scale(Start, 2) & {change}"))
    assert typed.intervention == "scale(Start, 2)"
    (why,) = typed.left_out
    assert why == (
        f"{change} is left out here: the prompt is no example of the task, so it has no other "
        "example; draw an example"
    )
