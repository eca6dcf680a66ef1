"""Whether answers follow an edit: counted by hand on models whose answers are known."""

import pytest

from latent_core.errors import SettingError, TaskError
from latent_core.evaluation.edits import follow_edits
from latent_core.generation.generate import Generation
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.tasks import load_task


def solver(knows_edits: bool, eval_seed: int = 1) -> LatentModel:
    """A model that writes the right answer, or that of the prompt before its edit."""
    model, task = LatentModel("tiny", "End_2"), load_task("hops")
    answers = {}
    for example in task.examples("id", 8, eval_seed):
        edited = task.edited(example)
        right = example.level != 4  # which it cannot do
        answers[example.prompt] = example.answer if right else "x."
        answers[edited.prompt] = edited.answer if knows_edits else example.answer

    def generate(prompts, limits, *, on_response, **settings) -> list[Generation]:
        found = LatentModel.generate(model, prompts, 1, return_details=True)
        for number, (row, prompt) in enumerate(zip(found, prompts, strict=True)):
            object.__setattr__(row, "text", answers[prompt])
            on_response(number, row)
        return found

    model.generate = generate
    return model


@pytest.mark.parametrize(("knows", "follows", "stays"), [(True, 6, 0), (False, 0, 8)])
def test_an_answer_follows_if_both_are_right(knows: bool, follows: int, stays: int) -> None:
    frame = follow_edits(solver(knows), load_task("hops"), examples=8, progress=False)
    assert len(frame) == 8 and set(frame["level"]) == {1, 2, 3, 4}
    assert frame["follows"].sum() == follows and frame["stays"].sum() == stays
    assert frame["exact"].sum() == 6 and frame["edited_exact"].sum() == (8 if knows else 0)
    assert (frame["prompt"] != frame["edited_prompt"]).all()
    assert (frame["answer"] != frame["edited_answer"]).all()


def test_an_intervention_holds_for_both_prompts() -> None:
    model, task = LatentModel("tiny", "End_2", seed=4), load_task("reach")
    changed = follow_edits(
        model, task, examples=4, intervention="replace(End, zero)", progress=False
    )
    with_zeros = LatentModel("tiny", "End_2", seed=4)
    with_zeros.tables.assign({"End": 0 * with_zeros.tables.named()["End"]})
    wanted = follow_edits(with_zeros, task, examples=4, progress=False)
    own = follow_edits(model, task, examples=4, progress=False)
    for column in ("response", "edited_response"):
        assert changed[column].tolist() == wanted[column].tolist() != own[column].tolist()


def test_what_has_no_edits_or_no_latents_is_refused() -> None:
    with pytest.raises(TaskError, match="'lookup' has no edits that change an answer"):
        follow_edits(LatentModel("tiny", "End_1"), load_task("lookup"), examples=2, progress=False)
    with pytest.raises(SettingError, match="lora-r4 has no latents to intervene on"):
        follow_edits(build_model("tiny", "lora"), load_task("hops"), intervention="drop(End)")
