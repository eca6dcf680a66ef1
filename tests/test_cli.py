"""The command line, as a newcomer types it."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest


def latent(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "latent_core", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_help_names_every_command_and_where_to_start() -> None:
    text = latent("--help").stdout
    for command in ("backbones", "tasks", "methods", "train", "evaluate", "generate", "fetch"):
        assert command in text
    assert "Start here" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "Comma_x"), "'Comma_x' is no method"),
        (("--method", "Start_0"), "Start_0"),
        (("--method", "Before[🦉]_1"), "no token of tiny's vocabulary contains '🦉'"),
        (("--method", "Start_1", "--steps", "0"), "steps is 0; expected at least 1"),
        (("--method", "Start_1", "--batch-size", "0"), "batch_size is 0"),
        (("--method", "Start_1", "--seed", "-1"), "seed is -1"),
        (("--method", "Start_1", "--backbone", "nowhere"), "cannot load backbone 'nowhere'"),
        (("--method", "Start_1", "--task", "nothing"), "unknown task 'nothing'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = latent("train", "--task", "repetition", "--out", str(out), *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not out.exists()


def test_broken_jsonl_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a=", "answer": "1"}\n{"prompt": "b=", \n')
    result = latent(
        "train", "--task", str(path), "--method", "Start_1", "--out", str(tmp_path / "r")
    )
    assert result.returncode == 2
    assert "line 2" in result.stderr


def test_evaluating_what_is_no_run(tmp_path: Path) -> None:
    result = latent("evaluate", str(tmp_path))
    assert result.returncode == 2
    assert "no adapter in" in result.stderr


def test_train_evaluate_generate(tmp_path: Path) -> None:
    """One user's path: their own task, a layout and a baseline, one table, one answer."""
    task = tmp_path / "mine.jsonl"
    lines = [f'{{"prompt": "{a}+1=", "answer": "{a + 1}"}}' for a in range(10, 60)]
    task.write_text("\n".join(lines) + "\n")
    layout, baseline = tmp_path / "layout", tmp_path / "baseline"
    common = ("train", "--task", str(task), "--steps", "2", "--batch-size", "2")
    trained = latent(*common, "--method", "Start_1+Equals_1", "--out", str(layout))
    assert trained.returncode == 0, trained.stderr
    assert latent(*common, "--method", "few-shot-2", "--out", str(baseline)).returncode == 0

    result = latent("evaluate", str(layout), str(baseline), "--splits", "id", "--examples", "3")
    assert result.returncode == 0, result.stderr
    assert "Start_1+Equals_1" in result.stdout and "few-shot-2" in result.stdout
    records = pd.read_parquet(baseline / "records.parquet")
    assert len(records) == 3
    assert records["prompt"].nunique() == 3
    assert set(records["shots"]) == {2}

    answer = latent("generate", str(layout), "--prompt", "10+1=", "--max-new-tokens", "2")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("[Start.0]10+1[Equals.0]=")

    again = latent(*common, "--method", "Start_1+Equals_1", "--out", str(layout))
    assert again.returncode == 2
    assert "already holds a run" in again.stderr
