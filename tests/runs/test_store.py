"""Many runs as one table: what is read, and what damaged records cost."""

from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core.archives import folders
from latent_core.errors import SettingError
from latent_core.runs.evaluation_file import kept_records
from tests.runs.samples import records


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
    monkeypatch.setattr(folders, "read_records_table", lambda path: seen.append(path) or read(path))
    lc.load_runs(root, {"method": "Start_2"}, records=True)
    assert seen == [str(root / "deep" / "b" / "records.parquet")]


def test_damaged_records_are_named_and_left_out(root: Path) -> None:
    (root / "a" / "records.parquet").write_bytes(b"PAR1 and no more")
    for wanted in (False, True):
        with pytest.warns(UserWarning, match=r"a is damaged and left out \(Arrow"):
            assert "a" not in set(lc.load_runs(root, records=wanted)["run"])


def test_records_that_lost_a_column_are_damaged(root: Path) -> None:
    path = root / "a" / "records.parquet"
    pd.read_parquet(path).rename(columns={"split": "sp1it"}).to_parquet(path)
    with pytest.warns(UserWarning, match=r"a is damaged and left out \(ValueError: no column"):
        assert "a" not in set(lc.load_runs(root, records=True)["run"])
    with pytest.raises(SettingError, match=r"is damaged \(ValueError: no column 'split'\)"):
        kept_records(root / "a")


def test_a_description_nested_too_deep_hides_no_other_run(root: Path) -> None:
    (root / "a" / "adapter_config.json").write_text("[" * 100_000)
    assert {"a", "deep/b"} <= set(lc.load_runs(root)["run"])


def test_the_shipped_adapters_are_runs_too() -> None:
    frame = lc.load_runs(lc.shipped_adapter("Start_2").parents[1])
    assert {"Start_2", "End_2", "Comma_2", "Start_1+Comma_1"} <= set(frame["method"])
    assert set(frame.loc[frame["method"] == "Start_2", "trainable"]) == {1152}
    assert (frame.groupby(["run", "split"])["examples"].sum() >= 50).all()
