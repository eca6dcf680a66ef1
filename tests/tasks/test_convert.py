"""Frames, tables and datasets become one task file, or nothing is written."""

from pathlib import Path

import datasets
import pandas as pd
import pytest
from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.errors import TaskError

FRAME = pd.DataFrame(
    {
        "question": ["2+3=", "4+4=", "1+1="],
        "answer": ["5", "8", "2"],
        "split": ["train", "test", "ood-2"],
        "level": [1, None, 2],
        "source": ["web", "web", "book"],
    }
)
COLUMNS = {"prompt": "question"}


def content(task: lc.tasks.Task) -> list[tuple]:
    return [
        (example.prompt, example.answer, split, example.level)
        for split in task.splits
        for example in task.examples(split, 9, seed=0)[:1]
    ]


WANTED = [("2+3=", "5", "train", 1), ("4+4=", "8", "id", 1), ("1+1=", "2", "ood-2", 2)]


def test_a_frame_becomes_a_file_that_runs_can_find_again(tmp_path: Path) -> None:
    task = lc.tasks.convert(FRAME, tmp_path / "sums.jsonl", COLUMNS)
    assert content(task) == WANTED
    assert lc.load_task(tmp_path / "sums.jsonl").fingerprint == task.fingerprint


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "rows", "dataset", "saved", "dict"])
def test_every_source_gives_the_same_task(tmp_path: Path, kind: str) -> None:
    source = {
        "parquet": lambda: FRAME.to_parquet(tmp_path / "in.parquet"),
        "csv": lambda: FRAME.to_csv(tmp_path / "in.csv"),
        "jsonl": lambda: FRAME.to_json(tmp_path / "in.jsonl", lines=True, orient="records"),
        "saved": lambda: datasets.Dataset.from_pandas(FRAME).save_to_disk(tmp_path / "in.saved"),
        "rows": lambda: iter(FRAME.to_dict("records")),
        "dataset": lambda: datasets.Dataset.from_pandas(FRAME),
        "dict": lambda: datasets.DatasetDict(
            {
                split: datasets.Dataset.from_pandas(rows.drop(columns="split"))
                for split, rows in FRAME[FRAME["split"] != "ood-2"].groupby("split")
            }
        ),
    }[kind]()
    given = source if source is not None else tmp_path / f"in.{kind}"
    task = lc.tasks.convert(given, tmp_path / "out.jsonl", COLUMNS)
    wanted = WANTED[:2] if kind == "dict" else WANTED
    assert sorted(content(task)) == sorted(wanted)


def test_steps_and_metric_come_along(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "answer": "#### 7", "steps": ("a=7",), "split": "dev"}]
    task = lc.tasks.convert(
        rows, tmp_path / "out.jsonl", metric="numeric", demand="retrieval", splits={"dev": "id"}
    )
    (example,) = task.examples("id", 1, seed=0)
    assert example.steps == ("a=7",) and task.demand == "retrieval"
    assert task.score(example, "a=7\n7").exact


@pytest.mark.parametrize(
    ("data", "columns", "said"),
    [
        (FRAME, None, "row 0 has no column 'prompt'.*it has 'question', 'answer'"),
        (FRAME, {"prompt": "frage"}, "no column 'frage'"),
        (FRAME, {"promt": "question"}, "unknown field 'promt'"),
        (FRAME.assign(answer=""), COLUMNS, "line 1: 'answer' must be text"),
        (FRAME.assign(answer=[5.25, 8, 2]), COLUMNS, "line 1: 'answer' must be text"),
        (FRAME.assign(split="holdout"), COLUMNS, "split must be train, validation, id"),
        (["2+3="], None, "row 0 is str; expected a mapping"),
        (7, None, "cannot read examples from int"),
        ("no/such.parquet", None, "no/such.parquet is no file"),
    ],
)
def test_what_is_not_valid_is_named_and_nothing_is_written(tmp_path, data, columns, said) -> None:
    with pytest.raises(TaskError, match=said):
        lc.tasks.convert(data, tmp_path / "out.jsonl", columns)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("mine")
    with pytest.raises(TaskError, match="is there already"):
        lc.tasks.convert(FRAME, path, COLUMNS)
    assert path.read_text() == "mine"
    assert lc.tasks.convert(FRAME, path, COLUMNS, replace=True).splits == ("train", "id", "ood-2")


def test_text_and_whole_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    rows = "prompt,answer,level\na,007,\nb,5.0,3\nc,NA,\n"
    (tmp_path / "in.csv").write_text(rows)
    task = lc.tasks.convert(tmp_path / "in.csv", tmp_path / "out.jsonl")
    found = {e.prompt: (e.answer, e.level) for s in task.splits for e in task.examples(s, 3, 0)}
    assert found == {"a": ("007", 1), "b": ("5.0", 3), "c": ("NA", 1)}
    numbers = pd.DataFrame({"prompt": ["a"], "answer": [5], "split": ["id"]})
    (example,) = lc.tasks.convert(numbers, tmp_path / "n.jsonl").examples("id", 1, 0)
    assert example.answer == "5"


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "in.parquet")
    out = tmp_path / "out.jsonl"
    options = ["--column", "prompt=question", "--split", "test=ood-9", "--metric", "numeric"]
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "in.parquet"), str(out), *options])
    assert done.output.split(": ")[1] == "train 1, ood-2 1, ood-9 1\n"
    assert lc.load_task(out).metric.name == "numeric"
    done = CliRunner().invoke(app, ["convert", "in.csv", "out.jsonl", "--column", "prompt"])
    assert "--column 'prompt': expected two names" in str(done.exception)
