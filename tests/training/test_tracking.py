"""What a tracker is told is what the log says."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from latent_core.cli import app


def test_tensorboard_gets_the_loss_of_every_step(tmp_path: Path) -> None:
    """Through the command line, with checkpoints that are deleted at the end."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tmp_path / "run"
    asked = "train --task repetition --method Start_2 --steps 6 --batch-size 2"
    found = CliRunner().invoke(
        app, [*asked.split(), "--report-to", "tensorboard", "--out", str(run)]
    )
    assert found.exit_code == 0, found.output
    (file,) = run.rglob("events.out.tfevents*")
    told = events.EventAccumulator(str(file)).Reload()
    log = pd.read_csv(run / "log.csv")
    losses = [(one.step, one.value) for one in told.Scalars("train/loss")]
    assert [step for step, _ in losses] == log["step"].tolist()
    assert [value for _, value in losses] == pytest.approx(log["loss"].tolist(), rel=1e-3)


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_written(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    asked = "train --task repetition --method Start_2 --steps 2 --out"
    found = CliRunner().invoke(app, [*asked.split(), str(run), "--report-to", "trackio-of-none"])
    assert found.exit_code != 0 and "trackio-of-none" in f"{found.output}{found.exception}"
    assert not run.exists()
