"""Records along training in a run's folder: kept whole, and never of another training."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from latent_core.errors import ArchiveError
from latent_core.runs.archive import pack_runs
from latent_core.runs.own_files import delete_run
from latent_core.runs.snapshots import read_along, write_along
from tests.training.samples import run, shared

RECORDS = pd.DataFrame({"run": "x", "step": [0, 5, 10], "graded": [0.0, 0.25, 1.0]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run(shared(), tmp_path / "runs" / "a", snapshots=5)
    return tmp_path / "runs" / "a"


def test_records_along_training_come_back_as_they_were(folder: Path) -> None:
    assert read_along(folder) is None
    write_along(folder, RECORDS)
    pd.testing.assert_frame_equal(read_along(folder), RECORDS.drop(columns="run"))
    write_along(folder, RECORDS[:1])
    assert len(read_along(folder)) == 1
    assert delete_run(folder) == []


def test_records_of_other_snapshots_are_left_out(folder: Path, tmp_path: Path) -> None:
    write_along(folder, RECORDS)
    run(shared(), tmp_path / "b", snapshots=5, seed=8)
    shutil.copy(tmp_path / "b" / "snapshots.safetensors", folder)
    with pytest.warns(UserWarning, match="of other snapshots than those that are there now"):
        assert read_along(folder) is None


def test_damaged_records_are_left_out(folder: Path) -> None:
    write_along(folder, RECORDS).write_bytes(b"no parquet")
    with pytest.warns(UserWarning, match="is damaged and left out"):
        assert read_along(folder) is None


def test_records_along_training_are_packed_and_an_archive_is_not_written_to(folder: Path) -> None:
    write_along(folder, RECORDS)
    packed = pack_runs(folder.parent)
    assert not packed.left_out
    pd.testing.assert_frame_equal(read_along(packed.path / "a"), RECORDS.drop(columns="run"))
    with pytest.raises(ArchiveError, match="is only read"):
        write_along(packed.path / "a", RECORDS)
