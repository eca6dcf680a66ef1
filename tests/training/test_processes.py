"""Larger machines: several processes that train as one does, and weights in half precision."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import Trainer, TrainingArguments
from typer.testing import CliRunner

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.cli import app
from latent_core.errors import SettingError
from latent_core.models.build import build_model, load_model
from latent_core.tasks import load_task
from latent_core.training.train import train as train_in_place
from tests.families import character_tokenizer, random_model, tiny_backbone

METHODS = ("Start_1+Comma_1", "lora-r2")


LAUNCHER = (
    # With --cpu, Accelerate starts several processes through MPI only; without it one, silently.
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"),
    *("--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"),
    *("--dynamo_backend", "no", "--main_process_port", "0", "-m", "latent_core"),
)


def asked(folder: Path, method: str, batch_size: int = 4) -> list[str]:
    """What follows `latent`."""
    settings = ["--method", method, "--steps", "4", "--batch-size", str(batch_size)]
    return ["train", "--task", "repetition", "--out", str(folder), *settings]


def launched(*arguments: str) -> str:
    """What two processes say."""
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [*LAUNCHER, *arguments], capture_output=True, text=True, timeout=290, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_loss_curve_of_one(method: str, tmp_path: Path) -> None:
    said = launched(*asked(tmp_path / "two", method))
    assert CliRunner().invoke(app, asked(tmp_path / "one", method)).exit_code == 0
    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("one", "two")]
    assert logs[1]["step"].tolist() == [1, 2, 3, 4]
    assert logs[1]["loss"].tolist() == pytest.approx(logs[0]["loss"].tolist(), abs=1e-5)
    assert logs[1]["grad_norm"].tolist() == pytest.approx(logs[0]["grad_norm"].tolist(), rel=1e-3)
    one, two = (load_model(tmp_path / name).trainable_weights() for name in ("one", "two"))
    assert all(one[name].allclose(two[name], atol=1e-4) for name in one)
    assert said.count(f"{method} on repetition: loss") == 1, "one process speaks"
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert (record["status"], record["settings"]["batch_size"]) == ("finished", 4)
    assert record["processes"] == 2
    assert not (tmp_path / "two" / "checkpoints").exists()


@pytest.mark.slow
def test_two_processes_go_through_the_stages_of_a_curriculum_as_one_does(tmp_path: Path) -> None:
    method = "Start_1+End_2=hidden & lora-r2"
    arguments = ["train", "--task", "hops", "--method", method, "--curriculum", "coconut"]
    arguments += ["--steps", "4", "--batch-size", "4", "--out"]
    launched(*arguments, str(tmp_path / "two"))
    assert CliRunner().invoke(app, [*arguments, str(tmp_path / "one")]).exit_code == 0
    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("one", "two")]
    assert logs[1]["stage"].tolist() == logs[0]["stage"].tolist() == [0, 1, 2, 3]
    assert logs[1]["loss"].tolist() == pytest.approx(logs[0]["loss"].tolist(), abs=1e-4)
    one, two = (load_model(tmp_path / name).trainable_weights() for name in ("one", "two"))
    assert all(one[name].allclose(two[name], atol=1e-3) for name in one)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2


def test_a_batch_that_cannot_be_shared_out_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingArguments, "world_size", 2)
    result = CliRunner().invoke(app, asked(tmp_path / "run", "Start_1", 3))
    assert isinstance(result.exception, SettingError)
    assert "batch_size is 3, which 2 processes cannot share out" in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_that_accelerate_places(dtype: torch.dtype) -> None:
    """`device_map="auto"` puts hooks on modules; on a CPU that is all there is to see of it."""
    backbone = load_backbone("tiny", dtype=dtype, device_map="auto")
    assert backbone.dtype == dtype
    for method in (*METHODS, "prefix-2", "prompt-tuning-2", "full"):
        model = build_model(backbone, method)
        assert {w.dtype for w in model.parameters() if w.requires_grad} == {torch.float32}
        start = model.trainable_weights()
        result = train_in_place(model, load_task("repetition"), 2, 2, progress=False)
        assert result.log["loss"].notna().all()
        moved = model.trainable_weights()
        assert any(not moved[name].equal(start[name]) for name in start)
        assert len(model.generate("Repeat 2 times: 1+2=3\n", 4)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_backbone_on_several_devices_is_left_where_it_is(method: str, tmp_path: Path) -> None:
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    spread = Backbone("llama", random_model("llama"), character_tokenizer())
    spread.model.hf_device_map = {"model": 0, "lm_head": 1}
    assert not Trainer(build_model(spread, method), arguments).place_model_on_device
    assert Trainer(build_model(tiny_backbone("llama"), method), arguments).place_model_on_device
