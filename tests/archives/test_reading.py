"""Reading an archive: what was packed or an error, whatever has befallen its files."""

import json
import os
import random
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latent_core.archives import reading
from latent_core.archives.folders import write_folder
from latent_core.archives.format import ARCHIVE_FILES
from latent_core.archives.reading import KEY, Archive, is_archive, open_archive
from latent_core.archives.tables import frame_of
from latent_core.archives.writing import write_archive
from latent_core.errors import ArchiveError


def everything(path: Path) -> dict[str, bytes]:
    """The content of each file; of records, their rows and attributes."""
    archive, found = Archive(path), {}
    for folder, packed in archive.folders.items():
        for name in packed.files:
            if name == "records.parquet":
                frame = frame_of(archive.records(folder))
                text = f"{frame.to_dict()} {frame.dtypes} {frame.attrs}"
                found[f"{folder}/{name}"] = text.encode()
            else:
                found[f"{folder}/{name}"] = archive.read(folder, name)
    return found


def rewritten(path: Path, change) -> None:
    """Change the rows of `runs.parquet`, and keep what it says beside them."""
    table = pq.read_table(path / "runs.parquet")
    frame = change(table.to_pandas())
    made = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(made.replace_schema_metadata(table.schema.metadata), path / "runs.parquet")


def test_all_files_are_as_they_were(archive: Path, folders: dict[str, Path]) -> None:
    opened = open_archive(archive)
    assert sorted(opened.folders) == sorted(folders)
    for name, folder in folders.items():
        assert set(opened.folders[name].files) == {file.name for file in folder.iterdir()}
        for file in folder.iterdir():
            if file.name == "records.parquet":
                wanted = pd.read_parquet(file)
                found = frame_of(opened.records(name))
                pd.testing.assert_frame_equal(found, wanted)
                assert found.attrs == wanted.attrs and list(found) == list(wanted)
            else:
                assert opened.read(name, file.name) == file.read_bytes()


def test_there_are_three_files(archive: Path) -> None:
    assert {file.name for file in archive.iterdir()} == set(ARCHIVE_FILES)


def test_what_is_not_there_is_missing(archive: Path) -> None:
    for folder, name in (("a", "nothing"), ("deep", "run.json"), ("../a", "run.json")):
        with pytest.raises(FileNotFoundError, match=name):
            open_archive(archive).read(folder, name)


@pytest.mark.parametrize("name", ARCHIVE_FILES)
def test_damage_is_an_error_and_never_other_content(archive: Path, name: str) -> None:
    wanted, whole = everything(archive), (archive / name).read_bytes()
    draw = random.Random(name)
    cuts = [whole[:keep] for keep in (0, 7, len(whole) // 2, len(whole) - 1)]
    flips = [bytearray(whole) for _ in range(80)]
    for flipped in flips:
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
    refused = 0
    for content in [*cuts, *flips, whole + b"x"]:
        (archive / name).write_bytes(content)
        try:
            assert everything(archive) == wanted
        except ArchiveError as error:
            assert f"the archive {archive} " in str(error)
            refused += 1
    assert refused > 10  # half of a small file is said twice, or not used


@pytest.mark.parametrize("name", ARCHIVE_FILES)
def test_files_of_two_archives_are_not_read_together(
    archive: Path, folders: dict[str, Path], tmp_path: Path, name: str
) -> None:
    (folders["a"] / "run.json").write_text("{}")
    frame = pd.read_parquet(folders["a"] / "records.parquet")
    frame.assign(graded=7.0).to_parquet(folders["a"] / "records.parquet", index=False)
    shutil.copy(folders["a"] / "tokenizer.model", folders["a"] / "adapter_model.safetensors")
    other = write_archive(tmp_path / "other", folders)
    shutil.copy(other / name, archive / name)
    with pytest.raises(ArchiveError, match="is damaged"):
        everything(archive)


@pytest.mark.parametrize("name", ARCHIVE_FILES)
def test_a_missing_file_is_named(archive: Path, name: str) -> None:
    (archive / name).unlink()
    with pytest.raises((ArchiveError, FileNotFoundError), match=name):
        everything(archive)


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", "a"])
def test_a_hostile_name_is_refused_before_anything_is_written(
    archive: Path, tmp_path: Path, name: str
) -> None:
    rewritten(archive, lambda frame: frame.assign(run=["a", name, "deep/c"]))
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match=r"a folder is named|stands in the archive twice"):
        opened = Archive(archive)
        for folder in opened.folders:
            write_folder(opened, folder, tmp_path / "written" / folder)
    assert set(tmp_path.rglob("*")) == before


def test_a_hostile_file_name_is_refused(archive: Path) -> None:
    rewritten(
        archive,
        lambda frame: frame.assign(files=frame["files"].str.replace("run.json", "../x.json")),
    )
    with pytest.raises(ArchiveError, match=r"a file is named '\.\./x\.json'"):
        Archive(archive)


def test_a_newer_version_says_so(archive: Path) -> None:
    table = pq.read_table(archive / "runs.parquet")
    said = json.loads(table.schema.metadata[KEY]) | {"version": 2}
    table = table.replace_schema_metadata({KEY: json.dumps(said)})
    pq.write_table(table, archive / "runs.parquet")
    with pytest.raises(ArchiveError, match=r"version 2; expected 1\. Read it with the version"):
        Archive(archive)


@pytest.mark.parametrize("limit", ["MOST_FOLDERS", "MOST_ROWS", "MOST_BYTES"])
def test_sizes_beyond_the_limits_are_refused(archive: Path, monkeypatch, limit: str) -> None:
    """A few bytes of Parquet may stand for more rows and text than there is memory."""
    monkeypatch.setattr(reading, limit, 2)
    with pytest.raises(ArchiveError, match="expected at most 2"):
        everything(archive)


def test_an_archive_that_was_replaced_is_read_anew(archive: Path, folders, tmp_path: Path) -> None:
    assert json.loads(open_archive(archive).read("a", "run.json"))["seed"] == 0
    assert open_archive(archive) is open_archive(archive)
    (folders["a"] / "run.json").write_text('{"seed": 9}')
    other = write_archive(tmp_path / "other", {"a": folders["a"]})
    os.replace(archive, tmp_path / "before")
    os.replace(other, archive)
    assert json.loads(open_archive(archive).read("a", "run.json"))["seed"] == 9
    assert list(open_archive(archive).folders) == ["a"]


def test_a_table_of_runs_that_a_user_exported_is_no_archive(tmp_path: Path) -> None:
    pd.DataFrame({"run": ["a"]}).to_parquet(tmp_path / "runs.parquet")
    assert not is_archive(tmp_path)
    (tmp_path / "runs.parquet").write_bytes(b"PAR1 and no more")
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "nowhere")


def test_one_column_keeps_the_type_that_it_has_in_each_folder(archive: Path) -> None:
    opened = open_archive(archive)
    kinds = [str(frame_of(opened.records(name))["level"].dtype) for name in ("a", "deep/b")]
    assert kinds == ["int64", "float64"]
    assert "shots" not in frame_of(opened.records("a"))


def test_records_are_found_across_groups_of_rows(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("latent_core.archives.writing._GROUP_ROWS", 5)
    made = {}
    for number, rows in enumerate((3, 0, 9, 1, 5, 7)):
        folder = tmp_path / "folders" / str(number)
        folder.mkdir(parents=True)
        frame = pd.DataFrame({"run": [number] * rows, "row": range(rows)})
        frame.to_parquet(folder / "records.parquet", index=False)
        made[str(number)] = folder
    opened = open_archive(write_archive(tmp_path / "archive", made))
    for name, folder in reversed(made.items()):
        found, wanted = frame_of(opened.records(name)), pd.read_parquet(folder / "records.parquet")
        pd.testing.assert_frame_equal(found, wanted)
    sizes = [one.table.num_rows for one in opened.all_records(list(made))]
    assert sizes == [3, 0, 9, 1, 5, 7]
