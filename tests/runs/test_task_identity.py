"""Two files of one name are two tasks: in runs, tables, curves and on resuming."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core.cli import main
from latent_core.errors import SettingError, TaskError
from latent_core.hypotheses.sources import Given
from latent_core.runs.folder import read_run
from latent_core.tasks.base import Task
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.comparison.work import compare_methods

SHORT = {"steps": 1, "batch_size": 2, "progress": False}


def task_file(path: Path, answer: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"prompt": f"{number}+1=", "answer": answer, "split": split}
        for split, numbers in (("train", range(4)), ("id", range(4, 7)))
        for number in numbers
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one method and seed on `a/data.jsonl` and `b/data.jsonl`."""
    root = tmp_path_factory.mktemp("place")
    for name, answer in (("a", "1"), ("b", "2")):
        path = task_file(root / name / "data.jsonl", answer)
        task = lc.load_task(path)
        folder = root / "runs" / name
        model = lc.LatentModel("tiny", "Start_1")
        lc.train(model, task, output_dir=folder, notes={"task_source": str(path)}, **SHORT)
        frame = lc.evaluate(model, task, "id", examples=3, progress=False)
        right = float(name == "b")
        lc.write_records(folder, frame.assign(graded=right, exact=bool(right), seed=0))
    return root


def shown_name(place: Path, name: str) -> str:
    return f"data ({lc.load_task(place / name / 'data.jsonl').fingerprint[:8]})"


def test_the_hash_is_in_run_adapter_and_records(place: Path) -> None:
    task = lc.load_task(place / "a" / "data.jsonl")
    folder = place / "runs" / "a"
    assert read_run(folder)["settings"]["task_fingerprint"] == task.fingerprint
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["notes"]["task_fingerprint"] == task.fingerprint
    assert set(pd.read_parquet(folder / "records.parquet")["task_fingerprint"]) == {
        task.fingerprint
    }


def test_tables_have_a_row_for_each_file(place: Path) -> None:
    wanted = {shown_name(place, "a"): 0.0, shown_name(place, "b"): 1.0}
    compared = lc.compare([place / "runs"])
    assert dict(zip(compared["task"], compared["id"], strict=True)) == wanted
    assert set(compared["seeds"]) == {1}
    for records in (False, True):
        frame = lc.load_runs(place / "runs", records=records)
        means = lc.summarise(frame, ("task", "method")) if records else frame
        column = "mean" if records else "graded"
        assert dict(zip(means["task"], means[column], strict=True)) == wanted
    assert len(lc.load_runs(place / "runs", {"task": "data"})) == 2
    only = lc.load_runs(place / "runs", {"task": shown_name(place, "b")})
    assert only["graded"].tolist() == [1.0]
    parts = [pd.read_parquet(place / "runs" / n / "records.parquet") for n in ("a", "b")]
    assert (
        dict(
            lc.compare(pd.concat(parts).assign(run="r", training_seconds=0.0))[
                ["task", "id"]
            ].values.tolist()
        )
        == wanted
    )


def test_the_comparison_panel_has_a_curve_for_each_file(place: Path) -> None:
    collection = RunCollection()
    collection.add(place / "runs")
    for name, mean in (("a", 0.0), ("b", 1.0)):
        task, own = shown_name(place, name), lc.load_task(place / name / "data.jsonl")
        shown, tasks = compare_methods(collection, task, own, "tiny", "graded", None)
        assert set(tasks) == {shown_name(place, "a"), shown_name(place, "b")}
        assert shown is not None and shown.task.name == task
        assert shown.points["mean"].tolist() == [mean] and shown.runs == 1
        assert collection.names_of(own) == {task}


def test_another_file_does_not_resume_a_run(place: Path, tmp_path: Path) -> None:
    model = lc.LatentModel("tiny", "Start_1")
    own = task_file(tmp_path / "moved" / "data.jsonl", "1")
    settings = {"output_dir": place / "runs" / "a", "resume": True, **SHORT}
    assert lc.train(model, own, **settings).loaded, "the same lines at another place"
    with pytest.raises(SettingError, match=r"holds a run with other settings: task_fingerprint"):
        lc.train(model, place / "b" / "data.jsonl", **settings)


def test_runs_of_before_the_hash_stay_readable(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    record = read_run(place / "runs" / "a")
    del record["settings"]["task_fingerprint"], record["id"]
    (folder / "run.json").write_text(json.dumps(record))
    frame = pd.read_parquet(place / "runs" / "a" / "records.parquet")
    frame.drop(columns="task_fingerprint").to_parquet(folder / "records.parquet")
    assert lc.load_runs(folder)["task"].tolist() == ["data"]
    assert set(lc.load_runs(folder, records=True)["task"]) == {"data"}
    assert lc.compare([folder])["id"].tolist() == [0.0]


def test_a_test_takes_the_runs_of_its_own_file(place: Path) -> None:
    for name in ("a", "b"):
        found = Given.runs([place / "runs"], lc.load_task(place / name / "data.jsonl"))
        assert found.adapter("Start_1", 0).folder == place / "runs" / name

    class Other(type(lc.load_task("repetition"))):
        name = "data"

    other: Task = Other()
    with pytest.raises(SettingError, match=r"no finished run on data .*there are 2 runs, on data"):
        Given.runs([place / "runs"], other)


def test_claims_about_two_files_are_two_claims(place: Path) -> None:
    digests = {
        lc.Hypothesis(
            claim="it helps",
            task=str(place / name / "data.jsonl"),
            split="id",
            contrast=lc.Contrast("Start_1", "zero-shot"),
            direction="greater",
            smallest_effect=0.1,
        ).digest
        for name in ("a", "b")
    }
    assert len(digests) == 2


def test_evaluate_names_a_moved_or_changed_file_and_takes_its_place(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = task_file(tmp_path / "data.jsonl", "7")
    folder = tmp_path / "run"
    lc.train(
        lc.LatentModel("tiny", "Start_1"),
        source,
        output_dir=folder,
        notes={"task_source": str(source), "method": "Start_1"},
        **SHORT,
    )

    def evaluate(*options: str) -> tuple[int | str | None, str]:
        arguments = ["latent", "evaluate", str(folder), "--splits", "id", "--examples", "3"]
        monkeypatch.setattr(sys, "argv", [*arguments, *options])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capfd.readouterr().err

    moved = source.rename(tmp_path / "elsewhere.jsonl")
    code, said = evaluate()
    assert code == 2 and "there is no such file now; give its new place with --task-file" in said
    moved.rename(tmp_path / "new.jsonl")
    assert evaluate("--task-file", str(tmp_path / "new.jsonl"))[0] == 0
    task_file(source, "8")
    code, said = evaluate()
    assert code == 2 and "was trained on another task (fingerprint" in said
    assert "or this one to evaluate on it, with --task-file" in said
    code, said = evaluate("--task-file", str(source), "--replace")
    assert code == 0 and "was trained on another task (fingerprint" in said
    assert lc.load_runs(folder)["task_fingerprint"].tolist() == [lc.load_task(source).fingerprint]


def test_a_task_that_is_no_file_has_no_place(place: Path) -> None:
    from latent_core.cli.evaluating import task_of_run

    with pytest.raises(SettingError, match="was trained on the task lookup, which is no file"):
        task_of_run(Path("run"), {"task": "lookup"}, Path("data.jsonl"))
    with pytest.raises(TaskError, match="there is no such file now"):
        task_of_run(Path("run"), {"task": "data", "task_source": "/nowhere/data.jsonl"}, None)
