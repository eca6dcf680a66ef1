"""A watched run without a widget."""

from pathlib import Path

import pytest
import torch

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.progress import Progress, listening
from workbench.panels.training.plan import TrainingPlan
from workbench.panels.training.view import ending_words
from workbench.panels.training.work import WatchedRun


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return lc.load_backbone("tiny")


def test_watching_changes_nothing_of_what_is_learned(tiny: Backbone, tmp_path: Path) -> None:
    task = lc.load_task("repetition")
    plan = TrainingPlan(task, "Start_1+Comma_1", 3, 2, 0.05, 4, tmp_path / "watched")
    watched = WatchedRun(plan, check_every=1, examples=3)
    heard: list[Progress | None] = []
    with listening(heard.append):
        seen = watched.run(tiny)
    told = [progress for progress in heard if progress is not None]
    assert {progress.description for progress in told} == {"train"}  # not of its own checks
    assert len(heard) > len(told)  # which can be stopped all the same
    alone = lc.build_model(tiny, "Start_1+Comma_1", seed=4)
    result = lc.train(alone, task, 3, 2, 4, learning_rate=0.05, progress=False)
    torch.testing.assert_close(seen.tables.rows(), alone.tables.rows(), rtol=0, atol=0)
    assert [loss for _, loss in watched.losses] == result.log["loss"].tolist()
    assert [step for step, *_ in watched.checks] == [0, 1, 2, 3]


def test_a_run_that_is_stopped_keeps_what_it_learned_and_its_end_is_said(
    tiny: Backbone, tmp_path: Path
) -> None:
    plan = TrainingPlan(lc.load_task("repetition"), "Start_2", 9, 2, 0.05, 0, tmp_path / "run")
    watched = WatchedRun(plan)
    watched.stop = True
    watched.run(tiny)
    assert [step for step, _ in watched.losses] == [1]
    (said,) = ending_words(watched, "done", "mine", is_a=True)
    assert said.startswith(f"Start_2 is trained: loss {watched.losses[0][1]:.3f} after 1 step.")
    assert "as mine, which is now adapter A" in said
    assert ending_words(watched, "cancelled", "", False) == [
        f"Cancelled at step 1 of 9. {watched.plan.folder} keeps the adapter of this step."
    ]
    assert ending_words(watched, "failed", "", False) == []
