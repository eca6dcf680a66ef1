"""Many runs as one table: what is read, and what damaged records cost."""

from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core.archives import folders
from latent_core.errors import SettingError
from latent_core.runs.archive import pack_runs
from latent_core.runs.evaluation_file import kept_records
from latent_core.runs.store import RUN_COLUMNS
from tests.runs.samples import add_run, records


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
    monkeypatch.setattr(
        folders,
        "read_records_table",
        lambda path, columns: seen.append(path) or read(path, columns),
    )
    lc.load_runs(root, {"method": "Start_2"}, records=True)
    assert seen == [str(root / "deep" / "b" / "records.parquet")]


def test_damaged_records_are_named_and_left_out(root: Path) -> None:
    (root / "a" / "records.parquet").write_bytes(b"PAR1 and no more")
    for wanted in (False, True):
        with pytest.warns(UserWarning, match=r"a is damaged and left out \(Arrow"):
            found = set(lc.load_runs(root, records=wanted)["run"])
        assert {"deep/b", "deep/c"} <= found and "a" not in found


def test_records_that_lost_a_column_are_damaged(root: Path) -> None:
    path = root / "a" / "records.parquet"
    pd.read_parquet(path).rename(columns={"split": "sp1it"}).to_parquet(path)
    with pytest.warns(UserWarning, match=r"a is damaged and left out \(ValueError: no column"):
        assert "a" not in set(lc.load_runs(root, records=True)["run"])
    with pytest.raises(SettingError, match=r"is damaged \(ValueError: no column 'split'\)"):
        kept_records(root / "a")


def test_records_whose_numbers_are_texts_are_damaged(root: Path) -> None:
    path = root / "a" / "records.parquet"
    frame = pd.read_parquet(path)
    frame.assign(graded=frame["graded"].astype(str)).to_parquet(path)
    for wanted in (False, True):
        with pytest.warns(UserWarning, match=r"a is damaged and left out \(ValueError: column"):
            assert "a" not in set(lc.load_runs(root, records=wanted)["run"])
    with pytest.raises(SettingError, match=r"column 'graded' holds \w*string, expected numbers"):
        kept_records(root / "a")


def test_a_description_nested_too_deep_hides_no_other_run(root: Path) -> None:
    (root / "a" / "adapter_config.json").write_text("[" * 100_000)
    assert {"a", "deep/b"} <= set(lc.load_runs(root)["run"])


def test_the_shipped_adapters_are_runs_too() -> None:
    frame = lc.load_runs(lc.shipped_adapter("Start_2").parents[1])
    assert {"Start_2", "End_2", "Comma_2", "Start_1+Comma_1"} <= set(frame["method"])
    assert set(frame.loc[frame["method"] == "Start_2", "trainable"]) == {1152}
    assert (frame.groupby(["run", "split"])["examples"].sum() >= 50).all()


# ---- the columns ----


def test_the_columns_of_a_summary_are_the_run_s_then_the_results(root: Path) -> None:
    """Costs that no run has are left out; whole numbers stay whole beside a run without records."""
    frame = lc.load_runs(root)
    results = ["split", "level", "examples", "exact", "graded", "latent_slots", "seconds"]
    assert list(frame) == [*RUN_COLUMNS, *results]
    whole = ["level", "examples", "seed", "steps", "trainable"]
    assert {str(frame[name].dtype) for name in whole} == {"Int64"}
    assert frame.index.tolist() == list(range(10))
    last = add_run(root / "e")
    lc.write_records(
        last, records().drop(columns=["latent_slots", "seconds"]).assign(extra_slots=3)
    )
    costs = lc.load_runs(root).groupby("run")[["latent_slots", "extra_slots", "seconds"]].count()
    assert costs.loc["e"].tolist() == [0, 3, 0] and costs.loc["a"].tolist() == [3, 0, 3]


def test_the_columns_of_records_are_the_run_s_then_their_own(root: Path) -> None:
    frame = lc.load_runs(root, records=True)
    first = ["run", "path", "method", "seed", "learning_rate", "steps", "trainable"]
    own = [name for name in records() if name != "seconds"]
    assert list(frame) == [*first, "task_fingerprint", *own, "seconds"]
    assert frame.index.tolist() == list(range(24)) and frame.attrs == {}
    assert frame["trainable"].tolist() == [64] * 24
    assert frame.groupby("run", sort=False)["seed"].first().to_dict() == {
        "a": 0,
        "deep/b": 1,
        "deep/c": 2,
    }


def test_what_records_do_not_say_is_taken_from_their_run(root: Path, tmp_path: Path) -> None:
    """In an archive as in a folder; what they say themselves, such as their layout, stays."""
    bare = records().drop(columns=["task", "backbone", "layout"]).assign(seed=9, steps=1)
    lc.write_records(add_run(root / "e", "End_3", seed=5), bare)
    everything = lc.load_runs(root, records=True)  # tables of two kinds
    assert everything.index.tolist() == list(range(24 + len(bare)))
    packed = pack_runs(root / "e", tmp_path / "packed").path
    for place in (root / "e", packed):
        frame = lc.load_runs(place, records=True)
        names = ["task", "backbone", "layout", "method", "seed", "steps"]
        assert frame[names].drop_duplicates().values.tolist() == [
            ["echo", "tiny", "End_3", "End_3", 5, 10]
        ]
    layouts = lc.load_runs(root / "a", records=True)[["method", "layout"]].drop_duplicates()
    assert layouts.values.tolist() == [["Start_1", "Start_2"]], "as the records have it"


def test_where_there_is_nothing_a_table_is_empty(tmp_path: Path) -> None:
    frame = lc.load_runs(tmp_path, {"split": "id"})
    assert len(frame) == 0 and list(frame)[: len(RUN_COLUMNS)] == list(RUN_COLUMNS)
    frame = lc.load_runs(tmp_path, {"split": "id"}, records=True)
    assert list(frame) == [
        *("run", "path", "method", "seed", "learning_rate", "steps", "trainable"),
        *("split", "level", "exact", "graded"),
    ]
    lc.write_records(add_run(tmp_path / "a"), records())
    with pytest.raises(SettingError, match="no run has 'metod'"):
        lc.load_runs(tmp_path, {"metod": 1, "split": "id"})


def test_rows_of_chosen_splits_are_numbered_anew(root: Path) -> None:
    for wanted, count in ((False, 3), (True, 12)):
        frame = lc.load_runs(root, {"split": ["ood-6"]}, records=wanted)
        assert list(frame) == list(lc.load_runs(root, records=wanted))
        assert frame.index.tolist() == list(range(count)) and set(frame["split"]) == {"ood-6"}


def test_a_split_that_another_task_s_examples_answered_has_that_task(tmp_path: Path) -> None:
    """One row is of the run's own task, which has the name that tells it from its namesake."""
    settings = {"task": "echo", "task_fingerprint": "a" * 16}
    folder = add_run(tmp_path / "run", **settings)
    other = records().assign(task="other", task_fingerprint="b" * 16)
    own = records(splits=("ood-8",)).assign(task="echo", task_fingerprint="a" * 16)
    lc.write_records(folder, pd.concat([other, own], ignore_index=True))
    add_run(tmp_path / "namesake", task="echo", task_fingerprint="c" * 16)
    frame = lc.load_runs(tmp_path, {"run": "run"})
    told = frame[["split", "task", "task_fingerprint"]].drop_duplicates().values.tolist()
    assert told == [
        ["id", "other", "b" * 16],
        ["ood-6", "other", "b" * 16],
        ["ood-8", "echo (aaaaaaaa)", "a" * 16],
    ]
    frame = lc.load_runs(tmp_path, {"run": "run"}, records=True)
    rows = frame[["split", "task", "task_fingerprint"]].drop_duplicates().values.tolist()
    assert rows == told


@pytest.mark.parametrize("stale", ["id", "all"])
def test_packed_records_of_an_adapter_that_is_gone_are_left_out(tmp_path: Path, stale: str) -> None:
    """Beside a run with others, in one archive."""
    model = lc.LatentModel("tiny", "Start_2")
    for name in ("a", "b"):
        folder = add_run(tmp_path / "runs" / name)
        model.save_pretrained(folder)
        lc.write_records(folder, records())
    changed = lc.LatentModel("tiny", "Start_2", seed=1)
    changed.save_pretrained(tmp_path / "runs" / "a")
    if stale == "id":  # the other split is evaluated anew
        lc.write_records(tmp_path / "runs" / "a", records(splits=("ood-6",)))
    packed = pack_runs(tmp_path / "runs", tmp_path / "packed").path
    for place in (tmp_path / "runs", packed):
        with pytest.warns(UserWarning, match="are of another adapter"):
            frame = lc.load_runs(place, records=True)
        counts = frame.groupby(["run", "split"]).size().to_dict()
        assert counts == {("b", "id"): 4, ("b", "ood-6"): 4} | (
            {("a", "ood-6"): 4} if stale == "id" else {}
        )
        with pytest.warns(UserWarning, match="are of another adapter"):
            summaries = lc.load_runs(place, {"run": "a"})
        assert summaries["split"].fillna("none").tolist() == (
            ["ood-6"] if stale == "id" else ["none"]
        )
