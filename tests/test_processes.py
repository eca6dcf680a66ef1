"""Several processes, started by Accelerate, train as one does; one of them writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from latent_core.methods import load_model

METHODS = ("Start_1+Comma_1", "lora-r2")


def train(folder: Path, method: str, *launcher: str, batch_size: str = "4") -> str:
    command = [*launcher, "-m", "latent_core", "train", "--task", "repetition", "--out"]
    command += [str(folder), "--method", method, "--steps", "4", "--batch-size", batch_size]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == (0 if batch_size == "4" else 1), done.stderr
    return done.stdout + done.stderr


def launcher(tmp_path: Path) -> list[str]:
    """`accelerate launch` on two CPU processes, with a configuration that is nobody's own."""
    (tmp_path / "accelerate.yaml").write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nuse_cpu: true\n"
    )
    return [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(tmp_path / "accelerate.yaml")),
        *("--num_processes", "2", "--num_machines", "1", "--cpu", "--mixed_precision", "no"),
        *("--num_cpu_threads_per_process", "1", "--main_process_port", "0"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_loss_curve_of_one(method: str, tmp_path: Path) -> None:
    said = train(tmp_path / "two", method, *launcher(tmp_path))
    train(tmp_path / "one", method, sys.executable)
    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("one", "two")]
    assert logs[1]["step"].tolist() == [1, 2, 3, 4]
    assert logs[1]["loss"].tolist() == pytest.approx(logs[0]["loss"].tolist(), abs=1e-5)
    assert logs[1]["grad_norm"].tolist() == pytest.approx(logs[0]["grad_norm"].tolist(), rel=1e-3)
    one, two = (load_model(tmp_path / name).trainable_weights() for name in ("one", "two"))
    assert all(one[name].allclose(two[name], atol=1e-4) for name in one)
    assert said.count(f"{method} on repetition: loss") == 1, "one process speaks"
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert (record["status"], record["settings"]["batch_size"]) == ("finished", 4)
    assert not (tmp_path / "two" / "checkpoints").exists()


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path: Path) -> None:
    said = train(tmp_path / "run", "Start_1", *launcher(tmp_path), batch_size="3")
    assert "batch_size is 3, which 2 processes cannot share out evenly" in said
    assert not (tmp_path / "run").exists()
