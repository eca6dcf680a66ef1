"""Many runs as one table: what is read, what is chosen, and what a damaged folder costs."""

import errno
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core import files
from latent_core.adapters import adapter
from latent_core.archives import folders
from latent_core.archives.folders import real_folder
from latent_core.errors import LatentError, SettingError
from latent_core.runs import folder as runs
from latent_core.runs import store


def records(graded: float = 0.5, splits=("id", "ood-6"), examples: int = 4) -> pd.DataFrame:
    rows = []
    for split in splits:
        for number in range(examples):
            level = 6 if split == "ood-6" else 1 + number % 2
            rows.append(
                {
                    **{"task": "echo", "backbone": "tiny", "layout": "Start_2", "split": split},
                    **{"level": level, "example": number, "key": f"k{number}", "exact": False},
                    **{"graded": graded + number / 100, "latent_slots": level, "seconds": 0.25},
                }
            )
    return pd.DataFrame(rows)


def add_run(folder: Path, method: str = "Start_2", seed: int = 0, **changes) -> Path:
    settings = {"task": "echo", "backbone": "tiny", "layout": method, "seed": seed, "steps": 10}
    notes = {"method": method, "size": 3}
    runs.open_run(folder, settings | changes, notes)
    runs.close_run(folder, "finished", settings | changes, notes, trainable=64, seconds=2.5)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs with records, at two depths, and one that is under way."""
    for number, name in enumerate(("a", "deep/b", "deep/c")):
        folder = add_run(tmp_path / name, f"Start_{number + 1}", seed=number)
        lc.write_records(folder, records(graded=number / 10))
    runs.open_run(tmp_path / "d", {"task": "other", "seed": 7}, {"method": "End_2"})
    add_run(tmp_path / ".search" / "hidden")
    return tmp_path


def test_one_row_a_run_split_and_level(root: Path) -> None:
    frame = lc.load_runs(root)
    assert list(dict.fromkeys(frame["run"])) == ["a", "d", "deep/b", "deep/c"]
    first = frame[frame["run"] == "deep/b"]
    assert first[["split", "level", "examples"]].values.tolist() == [
        ["id", 1, 2],
        ["id", 2, 2],
        ["ood-6", 6, 4],
    ]
    assert first["graded"].tolist() == pytest.approx([0.11, 0.12, 0.115])
    assert first["latent_slots"].tolist() == [1, 2, 6]
    assert first["seconds"].tolist() == [0.5, 0.5, 1.0]
    about = first.iloc[0]
    assert (about["method"], about["seed"], about["trainable"]) == ("Start_2", 1, 64)
    assert about["train_seconds"] == 2.5
    assert about["path"] == str(root / "deep" / "b")


def test_a_run_without_records_has_one_row(root: Path) -> None:
    frame = lc.load_runs(root, where={"status": "running"})
    assert frame[["run", "task", "seed"]].values.tolist() == [["d", "other", 7]]
    assert frame[["split", "level", "graded"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"method": "Start_2"}, ["deep/b"]),
        ({"method": ["Start_1", "Start_3"], "size": 3}, ["a", "deep/c"]),
        ({"seed": range(1, 9), "task": "echo"}, ["deep/b", "deep/c"]),
        (lambda about: about["seed"] > 1, ["d", "deep/c"]),
        ({"method": "Comma_2"}, []),
    ],
)
def test_runs_are_chosen_by_what_they_say_of_themselves(root, where, expected) -> None:
    assert list(dict.fromkeys(lc.load_runs(root, where)["run"])) == expected
    with_records = [name for name in expected if name != "d"]
    assert list(dict.fromkeys(lc.load_runs(root, where, records=True)["run"])) == with_records


def test_rows_are_chosen_by_split_and_level(root: Path) -> None:
    frame = lc.load_runs(root, {"split": "ood-6", "method": "Start_3"})
    assert frame[["run", "split"]].values.tolist() == [["deep/c", "ood-6"]]
    assert set(lc.load_runs(root, {"level": [2]}, records=True)["level"]) == {2}


def test_a_misspelt_column_is_refused(root: Path) -> None:
    with pytest.raises(SettingError, match=r"no run has 'metod'; expected some of .*method.*size"):
        lc.load_runs(root, {"metod": "Start_2"})
    with pytest.raises(SettingError, match=r"no folder .*nowhere"):
        lc.load_runs(root / "nowhere")


def test_records_of_chosen_runs(root: Path) -> None:
    frame = lc.load_runs(root, {"method": "Start_2"}, records=True)
    written = records(graded=0.1)
    pd.testing.assert_frame_equal(frame[list(written.columns)], written)
    assert set(frame["seed"]) == {1} and set(frame["method"]) == {"Start_2"}


def test_a_summary_reads_no_records(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "read_records_table", None)
    assert len(lc.load_runs(root)) == 10


def test_only_records_of_chosen_runs_are_read(root: Path, monkeypatch) -> None:
    seen, read = [], folders.read_records_table
    monkeypatch.setattr(folders, "read_records_table", lambda path: seen.append(path) or read(path))
    lc.load_runs(root, {"method": "Start_2"}, records=True)
    assert seen == [str(root / "deep" / "b" / "records.parquet")]


@pytest.mark.parametrize("summary", [None, "{", "[]", "stale"])
def test_without_a_summary_of_its_own_a_run_is_read_from_its_records(root, summary) -> None:
    wanted = lc.load_runs(root)
    path = root / "a" / "summary.json"
    if summary == "stale":
        body = json.loads(path.read_text())
        path.write_text(json.dumps(body | {"records_bytes": 7, "graded": [9, 9, 9]}))
    elif summary is None:
        path.unlink()
    else:
        path.write_text(summary)
    pd.testing.assert_frame_equal(lc.load_runs(root), wanted)


@pytest.mark.parametrize("content", ["", '{"status": "fin', "[]", '{"status": "finished"}'])
def test_a_damaged_run_is_named_and_left_out(root: Path, content: str) -> None:
    (root / "a" / "run.json").write_text(content)
    with pytest.warns(UserWarning, match=rf"the run in {root / 'a'} is damaged and left out"):
        frame = lc.load_runs(root)
    assert set(frame["run"]) == {"d", "deep/b", "deep/c"}


def test_damaged_records_are_named_and_left_out(root: Path) -> None:
    (root / "a" / "records.parquet").write_bytes(b"PAR1 and no more")
    for wanted in (False, True):
        with pytest.warns(UserWarning, match=r"a is damaged and left out \(Arrow"):
            assert "a" not in set(lc.load_runs(root, records=wanted)["run"])


def test_several_folders_and_one_run(root: Path) -> None:
    both = lc.load_runs([root / "a", root / "deep"])
    assert set(both["run"]) == {"a", "deep/b", "deep/c"}
    assert set(lc.load_runs(root / "deep" / "b")["run"]) == {"b"}


def test_records_and_summary_agree_or_the_summary_is_gone(root: Path, monkeypatch) -> None:
    """A kill between the two files leaves no summary of other records."""
    write = files._write_through

    def full(path: Path, content: bytes) -> None:
        if "summary" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(files, "_write_through", full)
    with pytest.raises(LatentError, match=r"cannot write .*No space left on device"):
        lc.write_records(root / "a", records(graded=0.9))
    frame = lc.load_runs(root / "a")
    assert frame["graded"].tolist() == pytest.approx([0.91, 0.92, 0.915])


def asked(splits: dict[str, int], graded: float = 0.5, seed: int = 1) -> pd.DataFrame:
    """Records as `evaluate` makes them: they say what was asked, and what drew the examples."""
    frame = pd.concat([records(graded, (name,), count) for name, count in splits.items()])
    frame = frame.assign(eval_seed=seed)
    each = {name: {"examples": count, "seed": seed} for name, count in splits.items()}
    frame.attrs["evaluation"] = {"splits": each}
    return frame


def test_records_of_other_splits_stay(tmp_path: Path) -> None:
    lc.write_records(tmp_path, asked({"ood-15": 4, "ood-6": 4}).assign(old=1))
    lc.write_records(tmp_path, asked({"id": 2, "ood-6": 6}, 0.1, seed=1))
    frame = pd.read_parquet(tmp_path / "records.parquet")
    assert frame["split"].tolist() == ["id"] * 2 + ["ood-6"] * 6 + ["ood-15"] * 4
    assert frame["old"].notna().sum() == 4 and frame["graded"].iloc[0] == 0.1
    assert runs.read_evaluation(tmp_path) == frame.attrs["evaluation"]
    counts = {name: one["examples"] for name, one in frame.attrs["evaluation"]["splits"].items()}
    assert counts == {"id": 2, "ood-6": 6, "ood-15": 4}
    assert list(dict.fromkeys(runs.read_summary(tmp_path)["split"])) == list(counts)
    assert sum(runs.read_summary(tmp_path)["examples"]) == 12


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (
            {"splits": {"ood-6": 3}},
            r"4 examples \(seed 1\) of split 'ood-6'.* lost to 3 \(seed 1\)",
        ),
        ({"splits": {"ood-6": 9}, "seed": 2}, r"4 examples \(seed 1\).* lost to 9 \(seed 2\)"),
    ],
)
def test_what_would_lose_records_is_refused(tmp_path: Path, new, reason: str) -> None:
    lc.write_records(tmp_path, asked({"id": 4, "ood-6": 4}))
    before = (tmp_path / "records.parquet").read_bytes()
    with pytest.raises(SettingError, match=reason + ".*--replace, replace=True"):
        lc.write_records(tmp_path, asked(**new))
    assert (tmp_path / "records.parquet").read_bytes() == before
    lc.write_records(tmp_path, asked(**new), replace=True)
    counts = lc.load_runs(tmp_path, records=True).groupby("split").size().to_dict()
    assert counts == {"id": 4, **new["splits"]}


def test_what_an_older_version_was_asked_is_still_known(tmp_path: Path) -> None:
    frame = asked({"id": 4, "ood-6": 4})
    frame.attrs["evaluation"] = {"splits": ["id", "ood-6"], "examples": 4, "seed": 1}
    lc.write_records(tmp_path, frame)
    each = {"examples": 4, "seed": 1}
    assert runs.read_evaluation(tmp_path) == {"splits": {"id": each, "ood-6": each}}
    lc.write_records(tmp_path, asked({"id": 5}))
    assert runs.read_evaluation(tmp_path) == {
        "splits": {"id": {"examples": 5, "seed": 1}, "ood-6": each}
    }


def test_records_that_do_not_say_what_they_were_asked_leave_the_others_their_word(
    tmp_path: Path,
) -> None:
    """Else a grid would ask them all again, each time it is called."""
    lc.write_records(tmp_path, asked({"id": 4, "ood-6": 4}).pipe(_without_attrs))
    assert runs.read_evaluation(tmp_path) is None
    for split in ("id", "ood-6"):
        lc.write_records(tmp_path, asked({split: 4}))
    each = {"examples": 4, "seed": 1}
    assert runs.read_evaluation(tmp_path) == {"splits": {"id": each, "ood-6": each}}


def _without_attrs(frame: pd.DataFrame) -> pd.DataFrame:
    frame.attrs = {}
    return frame


def test_a_full_disk_keeps_the_records_of_before(root: Path, monkeypatch) -> None:
    before = lc.load_runs(root / "a", records=True)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(LatentError, match=r"cannot write .*No space left on device"):
        lc.write_records(root / "a", records(graded=0.9))
    pd.testing.assert_frame_equal(lc.load_runs(root / "a", records=True), before)


def test_the_shipped_adapters_are_runs_too() -> None:
    frame = lc.load_runs(lc.shipped_adapter("Start_2").parents[1])
    assert {"Start_2", "End_2", "Comma_2", "Start_1+Comma_1"} <= set(frame["method"])
    assert set(frame.loc[frame["method"] == "Start_2", "trainable"]) == {1152}
    assert (frame.groupby(["run", "split"])["examples"].sum() >= 50).all()


def test_an_adapter_alone_is_a_run(root: Path, tmp_path: Path) -> None:
    """As of a method without training, saved by an older version."""
    folder = tmp_path / "old" / "zero"
    with real_folder(lc.shipped_adapter("Start_2")) as packed:
        shutil.copytree(packed, folder)
    for name in ("run.json", "records.parquet", "summary.json"):
        (folder / name).unlink(missing_ok=True)
    frame = lc.load_runs(tmp_path / "old")
    assert frame[["run", "status", "task", "backbone", "seed"]].values.tolist() == [
        ["zero", "finished", "repetition", "smollm2-135m", 0]
    ]
    assert adapter.CONFIG_NAME == store.ADAPTER_FILE


def test_a_failed_run_says_why_and_can_be_tried_again(tmp_path: Path) -> None:
    folder, settings = tmp_path / "run", {"task": "echo", "seed": 1}
    runs.fail_run(folder, settings, {"method": "End_2"}, "LayoutError: no comma")
    row = lc.load_runs(tmp_path).iloc[0]
    assert (row["status"], row["error"]) == ("failed", "LayoutError: no comma")
    runs.reopen_run(folder)
    assert not (folder / "run.json").exists()
    runs.open_run(folder, settings | {"steps": 3}, {})
    (folder / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-2" / "trainer_state.json").write_text("{}")
    runs.fail_run(folder, settings, {}, "LatentError: full")
    assert runs.read_run(folder)["settings"] == settings | {"steps": 3}
    runs.reopen_run(folder)
    assert runs.read_run(folder)["status"] == "running"
    assert "error" not in runs.read_run(folder)


def test_methods_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    add_run(tmp_path / "a", seed=0, learning_rate=0.1)
    add_run(tmp_path / "b", seed=1, learning_rate=0.03)
    add_run(tmp_path / "c", seed=2)  # does not say its rate
    add_run(tmp_path / "d", "End_2", seed=0, learning_rate=0.1)
    assert lc.load_runs(tmp_path)["method"].tolist() == ["Start_2"] * 3 + ["End_2"]
    apart = lc.load_runs(tmp_path, apart=True)["method"]
    names = ["Start_2 (learning_rate=0.1)", "Start_2 (learning_rate=0.03)", "Start_2", "End_2"]
    assert apart.tolist() == names
    chosen = lc.load_runs(tmp_path, {"method": names[1]}, apart=True)
    assert chosen["run"].tolist() == ["b"]
