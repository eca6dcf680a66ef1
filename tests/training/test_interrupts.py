"""A run that is interrupted keeps its last step: the adapter, and a checkpoint to go on from."""

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import latent_core as lc
from latent_core import progress
from latent_core.cli import app
from latent_core.models.build import build_model, load_model
from latent_core.models.latent import LatentModel
from latent_core.progress import Progress, listening
from latent_core.runs.checkpoints import last_checkpoint
from latent_core.training.interrupts import interrupts_after_steps
from tests.families import tiny_backbone
from tests.training.test_train import run, same, shared


class Cancelled(Exception):
    """As a panel raises it."""


def status(folder: Path) -> str:
    return json.loads((folder / "run.json").read_text())["status"]


def check_kept(folder: Path, step: int, model: LatentModel) -> None:
    """The folder holds what the model was at a step, and the run goes on from there."""
    assert status(folder) == "stopped"
    assert Path(last_checkpoint(folder)).name == f"checkpoint-{step}"
    kept = LatentModel.from_pretrained(folder, model.backbone)
    assert same(kept, model)
    assert lc.load_runs(folder)["status"].tolist() == ["stopped"]
    steps = []
    resumed, whole = shared(), shared()
    run(resumed, folder, resume=True, on_step=lambda step, loss: steps.append(step))
    run(whole)
    assert steps[0] == step + 1 and same(resumed, whole)
    assert status(folder) == "finished"


@pytest.mark.parametrize("error", [Cancelled, KeyboardInterrupt, ZeroDivisionError])
def test_an_exception_of_on_step_is_raised_when_its_step_is_kept(tmp_path: Path, error) -> None:
    def stop(step: int, loss: float) -> None:
        if step == 5:
            raise error

    model = shared()
    with pytest.raises(error):
        run(model, tmp_path, on_step=stop)
    check_kept(tmp_path, 5, model)


def test_a_listener_that_cancels_is_obeyed_when_the_step_is_kept(tmp_path: Path) -> None:
    def listen(progress: Progress | None) -> None:
        if progress is not None and progress.done == 3:
            raise Cancelled

    model = shared()
    with pytest.raises(Cancelled), listening(listen):
        run(model, tmp_path)
    check_kept(tmp_path, 3, model)


def test_ctrl_c_ends_the_run_after_its_step(tmp_path: Path, capsys) -> None:
    model, passes = shared(), []
    embed, before = model.slot_embeddings, signal.getsignal(signal.SIGINT)

    def interrupted(batch):
        passes.append(batch)
        if len(passes) == 5:
            signal.raise_signal(signal.SIGINT)  # in the middle of step 5
        return embed(batch)

    model.slot_embeddings = interrupted
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    assert "the run ends after this step and keeps it" in capsys.readouterr().err
    check_kept(tmp_path, 5, model)


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    heard: list[BaseException] = []
    with pytest.raises(KeyboardInterrupt), interrupts_after_steps(heard.append):
        signal.raise_signal(signal.SIGINT)
        assert len(heard) == 1
        signal.raise_signal(signal.SIGINT)
    assert len(heard) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_handler_is_set_where_it_would_not_be_heard() -> None:
    def handler() -> object:
        with interrupts_after_steps(lambda error: None):
            return signal.getsignal(signal.SIGINT)

    assert handler() is not signal.default_int_handler
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handler).result() is signal.default_int_handler
    with interrupts_after_steps(lambda error: None, here=False):
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert threading.current_thread() is threading.main_thread()


def test_an_interruption_after_the_last_step_finds_the_run_finished(tmp_path: Path) -> None:
    def stop(step: int, loss: float) -> None:
        if step == 10:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(shared(), tmp_path, on_step=stop)
    assert status(tmp_path) == "finished"


def test_without_a_folder_the_model_keeps_its_step() -> None:
    def stop(step: int, loss: float) -> None:
        if step == 2:
            raise Cancelled

    model, two = shared(), shared()
    with pytest.raises(Cancelled):
        run(model, on_step=stop)
    run(two, on_step=lambda step, loss: step == 2)
    assert same(model, two)


def test_ctrl_c_on_the_command_line_says_what_is_kept_and_how_it_goes_on(
    tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "run"
    command = ["train", "--task", "repetition", "--method", "Start_1", "--out", str(out)]
    command += ["--steps", "4", "--batch-size", "1"]
    update, steps = progress._Bar.update, []

    def interrupt(self, n=1):
        steps.append(n)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return update(self, n)

    with monkeypatch.context() as patch:
        patch.setattr("latent_core.progress._Bar.update", interrupt)
        ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 130
    assert f"interrupted; {out} keeps the adapter and a checkpoint of step 3." in ended.stderr
    assert load_model(out).method == "Start_1"
    assert CliRunner().invoke(app, [*command, "--resume"]).exit_code == 0
    assert "already finished" in CliRunner().invoke(app, [*command, "--resume"]).stdout


@pytest.mark.parametrize("method", ["lora-r1", "prefix-1", "prompt-tuning-1", "full", "Start_1"])
def test_a_finished_run_of_every_method_is_loaded_when_it_is_resumed(tmp_path, method) -> None:
    def model() -> lc.SteeredModel:
        return build_model(tiny_backbone("llama"), method, seed=3)

    first, again = model(), model()
    run(first, tmp_path, steps=2)
    result = run(again, tmp_path, steps=2, resume=True)
    assert result.loaded and len(result.log) == 2
    kept = first.trainable_weights()
    assert all(torch.equal(kept[name], w) for name, w in again.trainable_weights().items())
