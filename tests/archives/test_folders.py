"""A folder in either form: a packed one is read like one on disk, and never written to."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from latent_core.archives.folders import (
    SHIPPED,
    file_names,
    has_file,
    is_folder,
    modified_ns,
    place_of,
    read_file,
    read_frame,
    real_folder,
    refuse_packed,
    size_of,
)
from latent_core.errors import ArchiveError


def test_a_packed_folder_reads_like_the_folder(archive: Path, folders: dict[str, Path]) -> None:
    for name, folder in folders.items():
        packed = archive / name
        assert not packed.exists() and is_folder(packed) and is_folder(folder)
        assert file_names(packed) == file_names(folder)
        for file in file_names(folder):
            assert has_file(packed, file) and has_file(folder, file)
            assert size_of(packed, file) == size_of(folder, file)
            assert modified_ns(packed, file) == modified_ns(folder, file)
            if file == "records.parquet":
                pd.testing.assert_frame_equal(read_frame(packed), read_frame(folder))
                assert read_frame(packed).attrs == read_frame(folder).attrs
            else:
                assert read_file(packed, file) == read_file(folder, file)


@pytest.mark.parametrize("read", [read_file, size_of, modified_ns])
def test_what_is_missing_is_missing_in_either_form(archive: Path, folders, read) -> None:
    for folder, name in (
        (folders["a"], "nothing"),
        (archive / "a", "nothing"),
        (archive / "deep", "run.json"),
        (archive / "nowhere", "run.json"),
        (archive.parent / "nowhere", "run.json"),
    ):
        assert not has_file(folder, name)
        with pytest.raises(FileNotFoundError, match="No such file or directory"):
            read(folder, name)
    assert is_folder(archive / "deep") and not is_folder(archive / "dee")
    assert place_of(archive.parent) is None and place_of(folders["a"]) is None


def test_places_name_folders_at_and_below_them(archive: Path) -> None:
    below = {"": 3, "deep": 2, "deep/b": 1}
    found = {name: place_of(archive / name) for name in below}
    assert {name: len(place.folders) for name, place in found.items() if place} == below


def test_a_path_is_read_from_where_one_is(archive: Path, monkeypatch) -> None:
    monkeypatch.chdir(archive)
    assert has_file("a", "run.json") and is_folder("deep") and is_folder(".")
    monkeypatch.chdir(archive.parent)
    assert has_file(Path("archive/a"), "run.json") and has_file("archive/deep/../a/", "run.json")


def test_names_stand_for_what_ships(monkeypatch) -> None:
    assert has_file("shipped:tiny/summation/8_2/seed-3", "adapter_config.json")
    assert is_folder("shipped:") and is_folder(Path("shipped:tiny/summation"))
    place = place_of("shipped:tiny/summation/8_2")
    assert place is not None and len(place.folders) == 10
    assert place.archive.path == SHIPPED / "tiny"
    assert not is_folder("shipped:tiny/nothing") and not is_folder("shipped:../assets/nothing")


def test_a_copy_on_disk_lasts_as_long_as_it_is_used(archive: Path, folders) -> None:
    with real_folder(archive / "a") as copy:
        assert {file.name for file in copy.iterdir()} == file_names(folders["a"])
        assert (copy / "run.json").read_bytes() == (folders["a"] / "run.json").read_bytes()
    assert not copy.exists()
    with real_folder(folders["a"]) as same:
        assert same == folders["a"]
    assert same.exists()
    with pytest.raises(FileNotFoundError), real_folder(archive / "deep"):
        pass


@pytest.mark.parametrize("below", ["", "a", "deep/new", "new/folder"])
def test_nothing_is_written_into_an_archive(archive: Path, below: str) -> None:
    with pytest.raises(ArchiveError, match=r"is an archive, which is only read\. Unpack it"):
        refuse_packed(archive / below)
    refuse_packed(archive.parent / "new" / "folder")


def test_a_damaged_archive_is_no_missing_folder(archive: Path) -> None:
    content = (archive / "runs.parquet").read_bytes()
    (archive / "runs.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(ArchiveError, match="is damaged"):
        has_file(archive / "a", "run.json")
    shutil.rmtree(archive)
    assert not has_file(archive / "a", "run.json")
