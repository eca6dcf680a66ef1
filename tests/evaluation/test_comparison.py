"""Runs side by side: means by hand, old records, and methods that answered other examples."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from latent_core.cli import app
from latent_core.cli.comparing import show_comparison, show_summary
from latent_core.errors import SettingError
from latent_core.evaluation.comparison import compare, read_records
from latent_core.runs.archive import pack_runs
from latent_core.runs.evaluation_file import write_records
from latent_core.statistics import means, task_names
from latent_core.statistics.means import mean_interval, summarise
from latent_core.statistics.task_names import tell_tasks_apart
from tests.runs.samples import add_run

#: What the table of means is made by.
BY = ("backbone", "task", "method", "split")


def records(method: str, seed: int, graded: list[float], **columns: object) -> pd.DataFrame:
    """Two examples of `id`, then one each of `ood-6` and `ood-9`."""
    return pd.DataFrame(
        {
            "task": "echo",
            "backbone": "tiny",
            "method": method,
            "layout": method,
            "split": ["id", "id", "ood-6", "ood-9"],
            "key": ["a", "b", "a", "b"],
            "graded": graded,
            "exact": [value == 1 for value in graded],
            "latent_slots": [1, 2, 3, 6],
            "extra_slots": [2, 3, 4, 7],
            "decode_steps": [5, 5, 6, 8],
            "trainable": 64,
            "seconds": [0.1, 0.1, 0.2, 0.4],
            "seed": seed,
        }
        | columns
    )


def write(folder: Path, frame: pd.DataFrame, seconds: float | None = None) -> Path:
    folder.mkdir(parents=True)
    frame.to_parquet(folder / "records.parquet", index=False)
    if seconds is not None:
        run = {"status": "finished", "settings": {}, "seconds": seconds, "trainable": 99}
        (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_means_and_costs_are_those_of_the_records(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / "a", records("lora-r4", 0, [1, 0, 0.5, 0]), 10),
        write(tmp_path / "b", records("lora-r4", 1, [1, 1, 1, 0.5]), 20),
        write(tmp_path / "c", records("zero-shot", 0, [0, 0, 0, 0], trainable=0)),
    ]
    frame = compare(folders).set_index("method")
    lora = frame.loc["lora-r4"]
    assert (lora["seeds"], lora["id"], lora["ood"]) == (2, 0.75, 0.5)
    assert lora["id_low"] < 0.75 < lora["id_high"] and lora["ood_low"] < 0.5 < lora["ood_high"]
    assert lora[["trainable", "extra_slots", "decode_steps"]].tolist() == [64, 4, 6]
    assert lora["seconds"] == pytest.approx(0.2) and lora["training_seconds"] == 15
    assert frame.loc["zero-shot", "trainable"] == 0
    assert pd.isna(frame.loc["zero-shot", "training_seconds"])
    assert frame["same_examples"].all()
    exact = compare(folders, "exact").set_index("method")
    assert exact.loc["lora-r4", ["id", "ood"]].tolist() == [0.75, 0.25]


def test_records_that_do_not_say_their_seed_have_that_of_the_run(tmp_path: Path) -> None:
    """As those of `lc.evaluate`, which knows a model and no training."""
    for seed in range(3):
        folder = write(
            tmp_path / f"{seed}", records("lora-r4", 0, [1, 0, 0, 1]).drop(columns="seed")
        )
        run = {"status": "finished", "settings": {"seed": seed}, "id": f"{seed}"}
        (folder / "run.json").write_text(json.dumps(run))
    assert compare([tmp_path])["seeds"].tolist() == [3]


def test_packed_runs_beside_folders_are_one_table(tmp_path: Path) -> None:
    for seed in range(4):
        folder = tmp_path / ("a" if seed < 2 else "b") / f"{seed}"
        write(folder, records("lora-r4", seed, [1, 0, 0.5, seed / 4]))
    wanted = compare([tmp_path / "a", tmp_path / "b"])
    pack_runs(tmp_path / "a", tmp_path / "packed")
    pd.testing.assert_frame_equal(compare([tmp_path / "packed", tmp_path / "b"]), wanted)
    assert wanted["seeds"].tolist() == [4]


def test_other_examples_are_said_to_be_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    one = records("lora-r4", 0, [1, 0, 0, 0]).assign(run="a", training_seconds=1.0)
    other = records("full", 0, [1, 0, 0, 0], key=list("cdcd")).assign(run="b", training_seconds=2.0)
    frame = compare(pd.concat([one, other]))
    assert not frame["same_examples"].any()
    show_comparison(frame, "graded")
    said = capsys.readouterr().out
    assert "did not answer the same examples" in said
    same = compare(pd.concat([one, other.assign(key=one["key"])]))
    show_comparison(same, "graded")
    said = capsys.readouterr().out
    assert "did not answer" not in said
    assert all(word in said for word in ("ID", "OOD", "trainable", "lora-r4", "full", "0.50"))


def test_records_of_before_have_what_can_be_known(tmp_path: Path) -> None:
    old = records("Start_1", 0, [1, 0, 0, 0]).drop(
        columns=["backbone", "method", "seed", "extra_slots", "trainable", "decode_steps"]
    )
    (row,) = compare([write(tmp_path / "old", old, 3.5)]).to_dict("records")
    assert (row["method"], row["trainable"], row["training_seconds"]) == ("Start_1", 99, 3.5)
    assert row["extra_slots"] == 3 and pd.isna(row["decode_steps"])
    assert row["backbone"] == ""
    run = json.loads((tmp_path / "old" / "run.json").read_text())
    run["settings"]["backbone"] = "smollm2-135m"
    (tmp_path / "old" / "run.json").write_text(json.dumps(run))
    (row,) = compare([tmp_path / "old"]).to_dict("records")
    assert row["backbone"] == "smollm2-135m"


def test_backbones_are_not_averaged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is compared on its own, also where it answered other examples than the next."""
    monkeypatch.setenv("COLUMNS", "200")
    one = records("lora-r4", 0, [1, 1, 1, 1]).assign(run="a", training_seconds=1.0)
    other = records("lora-r4", 0, [0, 0, 0, 0], backbone="big", key=list("cdcd"))
    both = pd.concat([one, other.assign(run="b", training_seconds=2.0)])
    frame = compare(both)
    assert frame[["backbone", "task", "id"]].values.tolist() == [
        ["tiny", "echo", 1.0],
        ["big", "echo", 0.0],
    ]
    assert frame["same_examples"].all()
    show_comparison(frame, "graded")
    show_summary(summarise(both, BY, "graded"), "graded")
    said = capsys.readouterr().out
    assert said.count("echo on tiny: graded") == said.count("echo on big: graded") == 2
    partly = compare(pd.concat([one.drop(columns="backbone"), both[both["backbone"] == "big"]]))
    assert partly["backbone"].tolist() == ["", "big"]
    without = compare(both.drop(columns="backbone"))
    assert without["backbone"].tolist() == [""]
    show_comparison(without, "graded")
    assert "echo: graded accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
def test_a_method_and_an_interval_are_not_torn(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    methods = ("prompt-tuning-2", "Start_1+Comma_1", "lora-1152p")
    frames = [records(m, 0, [1, 0, 0, 0]).assign(trainable=1_234_567) for m in methods]
    show_comparison(compare(pd.concat(frames).assign(run="a", training_seconds=1234.0)), "graded")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if "0.50" in line]
    assert [row.split()[0] for row in rows] == list(methods)
    assert all("1,234,567" in row and "1234" in row for row in rows)
    assert sum(line.count("[0.00, 1.00]") for line in lines) == 3  # of the ID examples


@pytest.mark.parametrize(("width", "torn"), [(80, False), (105, False), (120, False), (40, True)])
def test_means_by_split_are_in_one_piece_where_there_is_room(
    width: int, torn: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    methods, levels = ("Start_1+Comma_1", "filler(Comma_2)"), ("id", "ood-6", "ood-8", "ood-10")
    frames = [
        records(m, 0, [1, 0, 0, 0]).assign(split=list(levels)) for m in methods for _ in range(2)
    ]
    frames.append(records("full", 0, [1] * 4).assign(split="ood-15"))
    show_summary(summarise(pd.concat(frames), BY, "graded"), "graded")
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= width
    for method in methods:
        assert (method in said) is not torn
    assert (said.count("[0.00, 0.84]") == 6) is not torn
    (row,) = (line for line in said.splitlines() if line.startswith("full"))
    assert row.split()[1:5] == ["-"] * 4, "it did not answer these"
    assert "training seeds per method: 1\n" in said


def test_a_split_that_is_missing_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    only = records("lora-r4", 0, [1, 0, 0, 0]).assign(run="a", training_seconds=1.0)
    frame = compare(only[only["split"] == "id"])
    assert pd.isna(frame["ood"]).all()
    show_comparison(frame, "graded")
    assert "-" in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="run `latent evaluate"):
        read_records([add_run(tmp_path / "trained")])
    write(tmp_path / "evaluated", records("lora-r4", 0, [1, 0, 0.5, 0]))
    with pytest.warns(UserWarning, match="trained is left out: it has not been evaluated"):
        assert set(compare([tmp_path])["method"]) == {"lora-r4"}
    said = CliRunner().invoke(app, ["compare", str(tmp_path)])
    assert said.exit_code == 0 and "lora-r4" in said.stdout
    assert said.stderr == f"latent: {tmp_path / 'trained'} is left out: it has not been evaluated\n"
    with pytest.raises(SettingError, match="no runs to compare"):
        compare([])
    with pytest.raises(SettingError, match="unknown metric 'loss'"):
        compare([tmp_path], "loss")


def test_runs_of_one_method_with_other_settings_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "no run").mkdir()
    given = [(0, 0, 10), (1, 1, 10), (0.5, 0, 20)]  # accuracy, seed, steps
    for number, (graded, seed, steps) in enumerate(given):
        folder = add_run(tmp_path / f"deep/{number}", seed=seed, steps=steps)
        write_records(folder, records("Start_2", seed, [graded] * 4, level=1))
    frame = compare([tmp_path]).set_index("method")
    assert frame["id"].to_dict() == {"Start_2 (steps=10)": 0.5, "Start_2 (steps=20)": 0.5}
    assert frame["seeds"].tolist() == [2, 1]


def plainly_compared(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """What `compare` has to give, made group by group, with all columns of each."""
    records = tell_tasks_apart(records).reset_index(drop=True)
    how = {"sort": False, "dropna": False, "observed": True}
    records["example"] = records.groupby(["split", "key"], **how).ngroup()
    rows = []
    for (backbone, task), whole in records.groupby(["backbone", "task"], **how):
        asked = whole.drop_duplicates(["method", "example"]).groupby("example").size()
        same = bool((asked == whole["method"].nunique()).all())
        for method, group in whole.groupby("method", **how):
            row = {"backbone": backbone, "task": task, "method": method}
            row["seeds"] = group["seed"].nunique()
            split = group["split"].astype(str)
            for name, part in (
                ("id", group[split == "id"]),
                ("ood", group[split.str[:3] == "ood"]),
            ):
                found = mean_interval(part[metric], part["seed"], part["example"], 0.95, (0.0, 1.0))
                row |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
            for name in ("trainable", "extra_slots", "decode_steps", "seconds"):
                row[name] = group[name].mean()
            row["training_seconds"] = group.drop_duplicates("run")["training_seconds"].mean()
            rows.append(row | {"same_examples": same})
    return pd.DataFrame(rows)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Runs of two tasks of one name, on two backbones; a copy, a repeated row, stale answers."""
    rng = np.random.default_rng(0)
    for number in range(12):
        method, task = ("Start_2", "8_2", "End_1")[number % 3], "ab"[number // 6]
        backbone = ("tiny", "big")[number == 4]
        frame = records(method, number, list(rng.random(4)), backbone=backbone, level=1)
        frame = pd.concat([frame, frame.iloc[: number % 2]], ignore_index=True)
        frame["seconds"] = rng.random(len(frame))
        if number == 7:
            frame["key"] = ["b", "a", "c", "d", "b"]
        folder = add_run(
            tmp_path / "runs" / f"{number:02}", method, number, task="echo", backbone=backbone
        )
        (folder / "adapter_config.json").write_text(f'{{"weights_sha256": "{number}"}}')
        if number > 2:  # the first are of an older version
            frame["task_fingerprint"] = task * 16
        write_records(folder, frame)
    (folder / "adapter_config.json").write_text('{"weights_sha256": "another"}')
    shutil.copytree(tmp_path / "runs" / "01", tmp_path / "runs" / "copy")
    return tmp_path / "runs"


@pytest.mark.parametrize("metric", ["graded", "exact"])
@pytest.mark.filterwarnings("ignore:.*left out")
def test_the_rows_are_those_of_groups_made_plainly_to_the_last_bit(
    many: Path, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in (100_000, 7):  # many rows are looked at in parts
        monkeypatch.setattr(means, "_AT_ONCE", rows)
        monkeypatch.setattr(task_names, "_AT_ONCE", rows)
        found = compare([many], metric)
        wanted = plainly_compared(read_records([many], metric), metric)
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    assert len(found) == 9 and found["seeds"].sum() == 11
    assert set(found["task"]) == {"echo", "echo (aaaaaaaa)", "echo (bbbbbbbb)"}
    assert found["same_examples"].tolist().count(False) == 3


def test_the_rows_of_runs_that_ship_are_those_of_groups_made_plainly() -> None:
    records = read_records(["shipped:tiny/repetition", "shipped:tiny/hops"])
    wanted = plainly_compared(records, "graded")
    pd.testing.assert_frame_equal(compare(records), wanted, check_exact=True)
    assert len(wanted) > 10


def test_no_records_are_no_rows() -> None:
    assert compare(records("Start_2", 0, [1, 0, 0, 0]).iloc[:0]).empty
