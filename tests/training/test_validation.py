"""The validation loss while training: what it is, what it keeps, and how it survives a stop."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from latent_core.errors import SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.training.result import TrainingResult
from latent_core.training.train import train
from tests.families import tiny_backbone
from tests.training.samples import Echo, run, same, shared

#: A rate at which the loss on the few validation examples rises again.
WILD = {"steps": 30, "learning_rate": 0.3, "check_every": 2, "check_examples": 3}


class Unchecked(Echo):
    """Echo without a validation split."""

    splits = ("train", "id", "ood-6")


def by_hand(model: LatentModel, count: int) -> float:
    """Mean cross-entropy per token of the checks' examples, each alone."""
    backbone, total, tokens = model.backbone, 0.0, 0
    for example in Echo().examples("validation", count, 1):
        slots = model.place(
            backbone.encode(example.prompt), backbone.encode_response(example.answer, end=True)
        )
        with torch.no_grad():
            losses = model(**model.batch([slots]).as_dict())["token_losses"]
        total, tokens = total + float(losses.sum()), tokens + len(losses)
    return total / tokens


def checks_of(result: TrainingResult) -> pd.Series:
    return result.log.dropna(subset="validation_loss").set_index("step")["validation_loss"]


def test_the_validation_loss_is_the_mean_over_tokens_of_the_validation_split() -> None:
    model, told = shared(), []
    result = run(model, check_every=4, check_examples=7, on_check=lambda *told_: told.append(told_))
    assert checks_of(result).index.tolist() == [4, 8, 10]  # the last step, too
    assert told == list(checks_of(result).items())
    assert checks_of(result)[10] == pytest.approx(by_hand(model, 7), abs=1e-5)


def test_checks_change_nothing_of_the_training() -> None:
    plain, checked = shared(), shared()
    result = run(plain)
    with_checks = run(checked, check_every=1)
    assert same(plain, checked)
    shown = with_checks.log.drop(columns="validation_loss")
    pd.testing.assert_frame_equal(result.log, shown)
    assert "validation_loss" not in result.log.columns and result.kept is None


def test_a_run_with_patience_ends_early_and_keeps_its_best_vectors(tmp_path: Path) -> None:
    model = shared()
    result = run(model, tmp_path, patience=2, **WILD)
    losses = checks_of(result)
    best = int(losses.idxmin())
    assert result.kept == (best, losses.min(), True)
    assert len(result.log) == best + 2 * WILD["check_every"] < WILD["steps"]
    assert by_hand(model, 3) == pytest.approx(losses.min(), abs=1e-5)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "finished" and record["settings"]["patience"] == 2
    assert record["kept"] == result.kept._asdict()
    assert same(LatentModel.from_pretrained(tmp_path, model.backbone), model)
    # As a run that is ended at that step has them.
    until = shared()
    run(until, on_step=lambda step, loss: step == best, **WILD)
    assert same(until, model)


def test_a_run_whose_loss_keeps_falling_takes_all_its_steps(tmp_path: Path) -> None:
    result = run(shared(), tmp_path, patience=9, check_every=5)
    assert len(result.log) == 10 and not result.kept.early


def test_a_finished_run_is_loaded_with_what_it_kept(tmp_path: Path) -> None:
    first = run(shared(), tmp_path, patience=2, **WILD)
    model = shared()
    again = run(model, tmp_path, patience=2, resume=True, **WILD)
    assert again.loaded and again.kept == first.kept
    pd.testing.assert_frame_equal(again.log, first.log)


@pytest.mark.parametrize("at", [3, 6, 7, 9, 10])
def test_a_run_with_patience_that_died_goes_on_as_if_it_had_not(tmp_path: Path, at: int) -> None:
    wanted = shared()
    result = run(wanted, patience=2, **WILD)
    assert result.kept.step == 6  # so that a checkpoint lies before, at or after it

    class Died(BaseException):
        pass

    def dies(step: int, loss: float) -> None:
        if step == at:
            shutil.copytree(tmp_path / "live", tmp_path / "dead")
            raise Died

    with pytest.raises(Died):
        run(shared(), tmp_path / "live", patience=2, on_step=dies, save_steps=3, **WILD)
    resumed = LatentModel(tiny_backbone("llama"), "Start_2+Comma_1", seed=9)
    settings = {"patience": 2, "save_steps": 3, "resume": True, **WILD}
    again = run(resumed, tmp_path / "dead", **settings)
    assert same(resumed, wanted) and again.kept == result.kept
    pd.testing.assert_frame_equal(again.log, result.log)


def test_a_stopped_run_keeps_the_best_vectors_so_far_and_goes_on_from_its_last(
    tmp_path: Path,
) -> None:
    wanted = shared()
    result = run(wanted, patience=2, **WILD)
    at = result.kept.step + 1
    model = shared()
    stopped = run(model, tmp_path, patience=2, on_step=lambda step, _: step == at, **WILD)
    assert stopped.stopped and stopped.kept == (result.kept.step, result.kept[1], False)
    assert same(model, wanted)  # no later vectors are better
    again = run(model, tmp_path, patience=2, resume=True, **WILD)
    assert same(model, wanted) and len(again.log) == len(result.log)


def test_best_vectors_that_are_lost_are_said_to_be(tmp_path: Path) -> None:
    stop = {"on_step": lambda step, _: step == 7}
    run(shared(), tmp_path, patience=2, **WILD, **stop)
    checkpoint = tmp_path / "checkpoints" / "checkpoint-7"
    (checkpoint / "best.safetensors").write_bytes(b"")
    hashes = checkpoint / "hashes.json"
    body = json.loads(hashes.read_text())
    del body["best.safetensors"]
    hashes.write_text(json.dumps(body))
    with pytest.warns(UserWarning, match="best check, cannot be read"):
        result = run(shared(), tmp_path, patience=2, resume=True, **WILD)
    assert result.kept.step > 7


def test_damage_to_the_best_vectors_is_found(tmp_path: Path) -> None:
    run(shared(), tmp_path, patience=2, save_steps=3, on_step=lambda step, _: step == 7, **WILD)
    path = tmp_path / "checkpoints" / "checkpoint-7" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    wanted = shared()
    run(wanted, patience=2, **WILD)
    model = shared()
    with pytest.warns(UserWarning, match="best.safetensors has another hash"):
        run(model, tmp_path, patience=2, save_steps=3, resume=True, **WILD)
    assert same(model, wanted)


@pytest.mark.parametrize(
    "method", ["lora-r2", "prefix-2", "prompt-tuning-2", "full", "Start_1 & lora-r2"]
)
def test_every_method_keeps_its_best_check(tmp_path: Path, method: str) -> None:
    model = build_model(tiny_backbone("llama"), method)
    rate = 0.3 if method != "full" else 0.05
    settings = {"steps": 12, "batch_size": 2, "learning_rate": rate, "progress": False}
    checks = {"patience": 2, "check_every": 1, "check_examples": 4}
    result = train(model, Echo(), output_dir=tmp_path, **settings, **checks)
    assert by_hand(model, 4) == pytest.approx(result.kept.validation_loss, abs=1e-4)
    assert result.kept.validation_loss == pytest.approx(checks_of(result).min())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"patience": 0}, "patience is 0; expected a whole number of at least 1"),
        ({"patience": True}, "patience is True"),
        ({"check_every": 11}, "check_every is 11, and the run has 10 steps; expected at most 10"),
        ({"check_every": 0}, "check_every is 0"),
        ({"check_examples": 5}, "together with patience or check_every"),
        ({"load_best_model_at_end": True}, "Use patience="),
        ({"eval_strategy": "steps"}, "Use check_every="),
    ],
)
def test_checks_that_contradict_the_run_are_refused(tmp_path: Path, given: dict, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        run(shared(), tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_a_task_without_validation_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no split 'validation'.*train, id, ood-6"):
        train(shared(), Unchecked(), steps=2, patience=1, output_dir=tmp_path / "run")


@pytest.mark.parametrize("there", [{}, {"patience": 3}, {"check_every": 5}])
@pytest.mark.parametrize("here", [{}, {"patience": 3}, {"check_every": 5}])
def test_a_run_resumes_with_its_own_patience_only(tmp_path: Path, there: dict, here: dict) -> None:
    run(shared(), tmp_path, on_step=lambda step, _: step == 5, **there)
    if there == here:
        run(shared(), tmp_path, resume=True, **here)
        return
    with pytest.raises(SettingError, match=r"other settings: .*(patience|check_every)"):
        run(shared(), tmp_path, resume=True, **here)
