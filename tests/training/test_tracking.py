"""What a tracker is told is what the log says.

Weights & Biases and MLflow are tested where they are installed. They are too large for the set-up:
`pip install wandb mlflow-skinny` in an environment of their own.
"""

import importlib.util
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from latent_core.cli import app
from latent_core.errors import SettingError
from latent_core.runs.folder import read_run
from tests.training.samples import fresh, run

#: Steps and losses of every run that a tracker knows, and the settings that it was told.
Told = list[tuple[list[tuple[int, float]], dict[str, Any]]]


def tensorboard_told(folder: Path) -> Told:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told: Told = []
    for file in sorted(folder.rglob("events.out.tfevents*")):
        events = EventAccumulator(str(file)).Reload()
        losses = [(one.step, one.value) for one in events.Scalars("train/loss")]
        (text,) = events.Tensors("model_config/text_summary")
        told.append((losses, json.loads(text.tensor_proto.string_val[0])))
    return told


def mlflow_told(folder: Path) -> Told:
    from mlflow.tracking import MlflowClient

    client, told = MlflowClient(f"file:{folder / 'mlruns'}"), []
    for found in reversed(client.search_runs(["0"])):
        assert found.info.status == "FINISHED"
        history = client.get_metric_history(found.info.run_id, "loss")
        losses = sorted((one.step, one.value) for one in history)
        told.append((losses, found.data.params | {"run_name": found.info.run_name}))
    return told


def wandb_records(file: Path) -> Iterator[bytes]:
    """The records of an offline run: a log in LevelDB's format, after a header of 7 bytes."""
    content, at, record = file.read_bytes(), 7, b""
    while at < len(content):
        if 32768 - at % 32768 < 7:  # a block of 32 KiB ends with zeros
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def wandb_told(folder: Path) -> Told:
    from wandb.proto.wandb_internal_pb2 import Record

    def named(items: Any) -> dict[str, Any]:
        return {one.key or "/".join(one.nested_key): json.loads(one.value_json) for one in items}

    told: Told = []
    for file in sorted(folder.rglob("*.wandb"), key=lambda file: file.stat().st_mtime_ns):
        losses, settings = [], {}
        for data in wandb_records(file):
            record = Record.FromString(data)
            settings |= named([*record.run.config.update, *record.config.update])
            row = named(record.history.item)
            if "train/loss" in row:
                losses.append((row["train/global_step"], row["train/loss"]))
        told.append((losses, settings))
    return told


READERS: dict[str, Callable[[Path], Told]] = {
    "tensorboard": tensorboard_told,
    "mlflow": mlflow_told,
    "wandb": wandb_told,
}
INSTALLED = [name for name in READERS if importlib.util.find_spec(name) is not None]


@pytest.fixture
def kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which trackers keep their files, and from which they send nothing."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'mlruns'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return tmp_path


def losses_of(log: pd.DataFrame) -> list[tuple[int, float]]:
    return [
        (step, pytest.approx(loss, rel=1e-3))
        for step, loss in zip(log["step"], log["loss"], strict=True)
    ]


@pytest.mark.parametrize("tracker", INSTALLED)
def test_a_tracker_gets_the_loss_of_every_step_and_the_settings_of_each_run(
    kept_here: Path, tracker: str
) -> None:
    """Two runs of one process are two runs to the tracker too; reporting changes no loss."""
    model = fresh()
    first = run(model, kept_here / "first", steps=6, report_to=tracker)
    second = run(model, kept_here / "second", steps=4, report_to=tracker)
    told = READERS[tracker](kept_here)
    assert [losses for losses, _ in told] == [losses_of(first.log), losses_of(second.log)]
    for (_, settings), folder in zip(told, ("first", "second"), strict=True):
        asked = read_run(kept_here / folder)["settings"]
        for name in ("task", "method", "backbone_fingerprint"):
            assert settings[name] == asked[name]
    assert first.log["loss"].tolist() == run(fresh(), steps=6).log["loss"].tolist()


def test_a_run_is_named_by_its_folder_and_reported_from_the_command_line(kept_here: Path) -> None:
    folder = kept_here / "a-run"
    asked = "train --task repetition --method Start_2 --steps 6 --batch-size 2"
    found = CliRunner().invoke(
        app, [*asked.split(), "--report-to", "tensorboard", "--out", str(folder)]
    )
    assert found.exit_code == 0, found.output
    ((losses, settings),) = tensorboard_told(folder)
    assert losses == losses_of(pd.read_csv(folder / "log.csv"))
    assert settings["method"] == "Start_2"


def test_a_tracker_that_cannot_begin_is_named_and_leaves_nothing(
    kept_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept_here / "a-file").write_text("")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(kept_here / "a-file"))
    with pytest.raises(SettingError, match=r"cannot report to tensorboard: .*without report_to"):
        run(fresh(), kept_here / "run", report_to="tensorboard")
    assert not (kept_here / "run").exists()


def test_a_tracker_that_cannot_begin_leaves_the_checkpoint_of_a_resumed_run(
    kept_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: int, loss: float) -> bool:
        return step == 4

    folder = kept_here / "run"
    asked = {"report_to": "tensorboard", "resume": True}
    assert run(fresh(), folder, **asked, on_step=stop).stopped
    (kept_here / "a-file").write_text("")
    with monkeypatch.context() as broken:
        broken.setenv("TENSORBOARD_LOGGING_DIR", str(kept_here / "a-file"))
        with pytest.raises(SettingError, match="cannot report to tensorboard"):
            run(fresh(), folder, **asked)
    whole = run(fresh(), kept_here / "whole")
    assert run(fresh(), folder, **asked).log["loss"].tolist() == whole.log["loss"].tolist()


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_written(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    asked = "train --task repetition --method Start_2 --steps 2 --out"
    found = CliRunner().invoke(app, [*asked.split(), str(folder), "--report-to", "trackio-of-none"])
    assert found.exit_code != 0 and "trackio-of-none" in f"{found.output}{found.exception}"
    assert not folder.exists()
