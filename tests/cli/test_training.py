"""`latent train`: checks, snapshots, and runs that start from others."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from latent_core.cli import main
from latent_core.runs.snapshots import load_snapshots, read_along

SHORT = ("--steps", "4", "--batch-size", "2", "--check-examples", "3")


@pytest.fixture
def latent(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Calls the command in this process: its exit code, and what it says and warns of."""

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["latent", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "300")
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capfd.readouterr()

    return called


def test_train_keeps_the_best_check_and_snapshots_and_says_so(tmp_path: Path, latent) -> None:
    command = ("train", "--task", "repetition", "--method", "Start_2", *SHORT, "--out")
    options = ("--patience", "1", "--check-every", "1", "--learning-rate", "9", "--snapshots", "1")
    code, said, _ = latent(*command, tmp_path / "a", *options)
    assert code == 0
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    kept = record["kept"]
    assert f"kept: step {kept['step']}, with the lowest validation loss" in said
    assert kept["early"] and "the run ended early" in said
    taken = kept["step"] + 1
    assert f"after {taken} steps" in said
    assert list(load_snapshots(tmp_path / "a")) == list(range(taken + 1))


def test_train_by_a_curriculum_of_a_name_or_a_file(tmp_path: Path, latent) -> None:
    command = ("train", "--task", "hops", "--batch-size", "2", "--method")
    method = "End_1=hidden & lora-r2"
    code, said, _ = latent(
        *command, method, "--curriculum", "coconut", "--steps", "5", "--out", tmp_path / "a"
    )
    assert code == 0 and "after 5 steps" in said
    log = (tmp_path / "a" / "log.csv").read_text().splitlines()
    assert log[0].endswith(",stage") and [row[-1] for row in log[1:]] == list("01222")
    file = tmp_path / "two.yaml"
    file.write_text("stages: [{steps: 1, layout: none}, {steps: 2, replaced: all}]")
    code, said, _ = latent(*command, method, "--curriculum", file, "--out", tmp_path / "b")
    assert code == 0 and "after 3 steps" in said
    code, _, error = latent(*command, "End_1", "--curriculum", "coco", "--out", tmp_path / "c")
    assert code == 2 and "did you mean 'coconut'" in error


def test_train_from_a_run_takes_over_its_task_method_and_backbone(tmp_path: Path, latent) -> None:
    short = ("--steps", "2", "--batch-size", "2")
    first = ("train", "--task", "repetition", "--method", "Start_1+Comma_1", *short)
    assert latent(*first, "--out", tmp_path / "a")[0] == 0
    code, said, _ = latent("train", "--from", tmp_path / "a", *short, "--out", tmp_path / "b")
    assert code == 0 and "Start_1+Comma_1 on repetition" in said
    a, b = (json.loads((tmp_path / name / "run.json").read_text()) for name in "ab")
    assert b["settings"]["start_from"]["run"] == a["id"]
    # On another task, too; but not with another method.
    third = ("train", "--from", tmp_path / "b", "--task", "summation", *short)
    assert latent(*third, "--out", tmp_path / "c")[0] == 0
    code, _, error = latent(*third, "--method", "End_2", "--out", tmp_path / "d")
    assert code == 2 and "expected a run of the same method" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected --task, or --from RUN"),
        (("--task", "repetition"), "expected --method, or --from RUN"),
        (("--from", "no/such/run/x"), "no adapter in no/such/run/x"),
        (
            ("--task", "repetition", "--method", "zero-shot", "--patience", "2"),
            "zero-shot has nothing to train; expected it without --patience",
        ),
        (("--task", "repetition", "--method", "Start_2", "--snapshots", "900"), "at most 200"),
    ],
)
def test_train_refuses_what_contradicts(tmp_path: Path, latent, arguments, said: str) -> None:
    code, _, error = latent("train", *arguments, "--out", tmp_path / "run")
    assert code == 2 and said in error
    assert not (tmp_path / "run").exists()


def test_evaluate_along_answers_at_every_snapshot(tmp_path: Path, latent) -> None:
    command = ("train", "--task", "repetition", "--method", "Start_2", "--steps", "4")
    options = ("--batch-size", "2", "--snapshots", "2")
    for seed in (0, 1):
        assert latent(*command, *options, "--seed", seed, "--out", tmp_path / str(seed))[0] == 0
    asked = ("evaluate", tmp_path, "--along", "--splits", "id,ood-6", "--examples", "2")
    code, said, _ = latent(*asked)
    assert code == 0 and "along training" in said
    rows = [line.split()[0] for line in said.splitlines() if line.strip()[:1].isdecimal()]
    assert rows == ["0", "2", "4"]
    records = read_along(tmp_path / "1")
    assert records.groupby("step").size().to_dict() == {0: 4, 2: 4, 4: 4}
    assert not (tmp_path / "1" / "records.parquet").exists()


def test_evaluate_along_needs_snapshots(tmp_path: Path, latent) -> None:
    command = ("train", "--task", "repetition", "--method", "Start_2", "--steps", "1")
    assert latent(*command, "--batch-size", "2", "--out", tmp_path / "a")[0] == 0
    code, _, error = latent("evaluate", tmp_path / "a", "--along")
    assert code == 2 and "has no snapshots" in error


@pytest.mark.parametrize(
    ("method", "init", "name"),
    [
        ("Start_2", "mean", "Start_2; init=mean"),
        ("Start_2 & lora-r1", "task", "Start_2; init=task & lora-r1"),
        ("prefix-2", "task", "prefix-2; init=task"),
        ("Start_2", "text:so", "Start_2"),
        ("Start_2", "vocab", "Start_2"),
    ],
)
def test_a_start_is_kept_with_the_run_and_tells_methods_apart(
    tmp_path: Path, latent, method: str, init: str, name: str
) -> None:
    """Else runs of two starts are averaged as if they were seeds of one method."""
    given = ("--task", "repetition", "--method", method, "--init", init)
    code, _, warned = latent("train", *given, "--steps", "1", "--out", tmp_path / "a")
    assert code == 0, warned
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["settings"]["method"] == record["notes"]["method"] == name
    assert record["notes"]["init"] == init
