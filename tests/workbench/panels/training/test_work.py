"""A training without a widget: what a plan refuses, where its run lies, and how it is watched."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.errors import LatentError, LayoutError, SettingError
from latent_core.progress import Progress, listening
from latent_core.tasks.table import load_task
from workbench.panels.training.plan import Outlook, TrainingPlan
from workbench.panels.training.view import ending_words, plan_words
from workbench.panels.training.work import WatchedRun


@pytest.fixture(scope="module")
def backbone() -> lc.Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture
def plan(tmp_path: Path) -> TrainingPlan:
    return TrainingPlan(load_task("repetition"), "Start_2", 2, 2, 0.05, 0, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": 0}, "at least 1 step"),
        ({"batch_size": 0}, "1 example per step"),
        ({"learning_rate": 0.0}, "learning rate is 0.0; expected more than 0"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_make_no_run_are_refused(plan: TrainingPlan, change: dict, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        replace(plan, **change)


@pytest.mark.parametrize(
    ("method", "error", "says"),
    [
        ("zero-shot", SettingError, "nothing to train"),
        ("lora-r4", SettingError, "this panel trains latents.*latent train --method lora-r4"),
        ("Strat_2", LayoutError, "Strat"),
    ],
)
def test_a_method_without_latents_is_refused(
    plan: TrainingPlan, backbone: lc.Backbone, method: str, error: type[LatentError], says: str
) -> None:
    with pytest.raises(error, match=says):
        replace(plan, method=method).parsed(backbone)


def test_a_folder_decides_between_start_and_load_and_refuses_another_run(
    plan: TrainingPlan, backbone: lc.Backbone
) -> None:
    assert plan.outlook(backbone) == Outlook("start")
    WatchedRun(plan).run(backbone)
    assert plan.outlook(backbone) == Outlook("load", 2)
    with pytest.raises(SettingError, match="seed 0 there, 1 here"):
        replace(plan, seed=1).outlook(backbone)


def test_without_a_folder_the_first_free_one_is_taken(
    plan: TrainingPlan, backbone: lc.Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = replace(plan, folder=None, method="Before[=]_1")
    first = named.where(backbone)
    assert first == Path("runs/workbench/repetition-Before_=__1-0")
    first.mkdir(parents=True)
    assert named.where(backbone) == first.with_name(f"{first.name}-2")


def test_what_a_plan_does_is_said_with_its_numbers(plan: TrainingPlan) -> None:
    said = plan_words(plan, Outlook("resume", 40), Path("runs/mine"), (2, 64), (20, 8))
    assert "128 trainable parameters: 2 latents of 64." in said[0]
    assert (
        said[1] == "runs/mine holds this run, unfinished: 'Resume training' continues from step 40."
    )
    assert said[2] == "Accuracy is measured on 8 validation examples every 20 steps."
    again = plan_words(plan, Outlook("resume"), Path("runs/mine"), (1, 64), (0, 8))
    assert "1 latent of 64" in again[0] and "starts again" in again[1] and len(again) == 2


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
