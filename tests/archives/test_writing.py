"""Writing an archive: whole or not at all, and the same folders give the same bytes."""

import os
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from latent_core.archives import writing
from latent_core.archives.format import ARCHIVE_FILES
from latent_core.archives.reading import Archive
from latent_core.archives.writing import write_archive
from latent_core.errors import ArchiveError


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ARCHIVE_FILES}


def test_an_archive_of_packed_folders_is_the_same(archive: Path, folders, tmp_path: Path) -> None:
    again = write_archive(tmp_path / "again", {name: archive / name for name in folders})
    assert contents(again) == contents(archive)


def test_only_wanted_files_are_packed(folders, tmp_path: Path) -> None:
    archive = Archive(write_archive(tmp_path / "some", folders, {"run.json"}.__contains__))
    assert [set(folder.files) for folder in archive.folders.values()] == [{"run.json"}] * 3


def test_hidden_files_folders_and_links_are_none_of_a_folders_files(folders, tmp_path) -> None:
    (folders["a"] / "below").mkdir()
    (folders["a"] / ".lock").touch()
    (folders["a"] / "link.json").symlink_to(folders["deep/b"] / "run.json")
    archive = Archive(write_archive(tmp_path / "archive", folders))
    assert {"below", ".lock", "link.json"}.isdisjoint(archive.folders["a"].files)


def test_no_folders_make_an_archive_without_any(tmp_path: Path) -> None:
    assert Archive(write_archive(tmp_path / "none", {})).folders == {}


def test_progress_is_told_to_the_end(folders, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_archive(tmp_path / "archive", folders, told=lambda *step: told.append(step))
    assert told == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize("broken", ["write", "move"])
def test_a_write_that_fails_leaves_nothing(folders, tmp_path: Path, monkeypatch, broken) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if broken == "write":
        monkeypatch.setattr(pq, "write_table", full)
    else:
        monkeypatch.setattr(os, "replace", full)
    before = set(tmp_path.iterdir())
    with pytest.raises(ArchiveError, match=r"cannot write the archive to .*No space left"):
        write_archive(tmp_path / "archive", folders)
    assert set(tmp_path.iterdir()) == before


def test_an_archive_that_reads_otherwise_never_takes_its_place(
    folders, tmp_path: Path, monkeypatch
) -> None:
    """All of it is read again before it stands where it was asked for."""
    monkeypatch.setattr(writing, "digest", lambda content: "0" * 64)
    with pytest.raises(ArchiveError, match="another hash"):
        write_archive(tmp_path / "archive", folders)
    assert not (tmp_path / "archive").exists()


def test_nothing_is_written_over(folders, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "notes.txt").write_text("mine")
    with pytest.raises(ArchiveError, match=r"cannot write the archive to .*is not an empty folder"):
        write_archive(tmp_path / "archive", folders)
    assert [path.name for path in (tmp_path / "archive").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("limit", ["MOST_FOLDERS", "MOST_ROWS", "MOST_BYTES"])
def test_what_could_not_be_read_is_not_written(folders, tmp_path: Path, monkeypatch, limit) -> None:
    monkeypatch.setattr(writing, limit, 2)
    with pytest.raises(ArchiveError, match="an archive holds 2"):
        write_archive(tmp_path / "archive", folders)


def test_two_columns_of_a_name_that_an_archive_would_make_up_stay_apart(tmp_path: Path) -> None:
    """`level` of another type is kept as `level 2`, which may be a user's own name."""
    frames = [
        pd.DataFrame({"level": [1], "level 2": ["x"]}),
        pd.DataFrame({"level": ["one"], "level 2": [2.5]}),
    ]
    folders = {}
    for number, frame in enumerate(frames):
        folder = folders[str(number)] = tmp_path / str(number)
        folder.mkdir()
        frame.to_parquet(folder / "records.parquet", index=False)
    archive = Archive(write_archive(tmp_path / "archive", folders))
    for number, frame in enumerate(frames):
        pd.testing.assert_frame_equal(archive.records(str(number)).table.to_pandas(), frame)
