"""The format of an archive: what leads out of a folder is refused, and tensors keep their bytes."""

import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from latent_core.archives.format import (
    PackedFile,
    PackedFolder,
    TensorStore,
    check_names,
    put_together,
    taken_apart,
)
from latent_core.errors import ArchiveError


@pytest.mark.parametrize(
    "name",
    [
        *("..", "../a", "a/../b", "a/..", "/a", "//a", "a//b", "a/", "./a", ".", "", " ", "a/ /b"),
        *("a\0b", "a\nb", "a\x1b[2J", "\u202ea", "\ud800", "a" * 201),
    ],
)
def test_a_folder_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ArchiveError, match=r"a folder is named .*expected a relative path"):
        check_names([name], [])


@pytest.mark.parametrize("name", ["..", "a/b", "/a", ".lock", "", "run", "files", "a\nb"])
def test_a_file_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ArchiveError, match=r"a file is named .*expected a relative path"):
        check_names(["a"], [name])


def test_names_of_runs_are_accepted() -> None:
    check_names(
        [".search/tiny/Start_1+Comma_1; tied/seed-0", "After[a|=]_1", "filler(End_2)", "..a/b"],
        ["run.json", "records.parquet", "README.md"],
    )


@pytest.mark.parametrize(
    ("folders", "reason"),
    [(["a", "a"], "stands in the archive twice"), (["a", "a/b"], "'a/b' lies in folder 'a'")],
)
def test_folders_stand_beside_each_other(folders: list[str], reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        check_names(folders, [])


@pytest.mark.parametrize(
    "changes",
    [
        *({"size": -1}, {"size": 1.5}, {"size": True}, {"rows": "3"}, {"modified": None}),
        *({"sha256": 3}, {"header": 3}, {"columns": {"a": 1}}, {"metadata": {"a": None}}),
        {"other": 1},
    ],
)
def test_a_damaged_description_is_no_file(changes: dict) -> None:
    text = json.dumps({"run.json": {"size": 1, "modified": 2} | changes})
    with pytest.raises(TypeError):
        PackedFolder.parse(0, 0, text)


def test_a_description_is_read_as_it_was_written() -> None:
    files = {
        "records.parquet": PackedFile(9, 8, rows=3, columns={"a": "a 2"}, typed=True),
        "run.json": PackedFile(1, 2, sha256="ab"),
    }
    text = json.dumps({name: file.body() for name, file in files.items()})
    assert PackedFolder.parse(4, 7, text) == PackedFolder(4, 7, files)
    assert PackedFolder.parse(4, 7, text).rows == 3


TENSORS = {
    "Start": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "none": torch.zeros(0, 4),
}


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
@pytest.mark.parametrize("tensors", [TENSORS, {}])
def test_a_file_is_made_again_from_another_that_holds_its_tensors(
    tmp_path, tensors, metadata
) -> None:
    content = save(tensors, metadata)
    apart = taken_apart(content)
    assert apart is not None and set(apart.tensors) == set(tensors)
    others = {"z/" + name: one for name, one in apart.tensors.items()}
    more = taken_apart(save({"other": torch.ones(7)}))
    assert more is not None
    (tmp_path / "all").write_bytes(put_together(others | more.tensors))
    assert TensorStore(tmp_path / "all").file(apart.header, "z/") == content


def test_what_is_put_together_is_a_file_of_tensors() -> None:
    apart = taken_apart(save(TENSORS))
    assert apart is not None
    found = load(put_together(apart.tensors))
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_damage_is_not_taken_apart() -> None:
    content = save(TENSORS)
    assert taken_apart(content[:-1]) is None
    assert taken_apart(content + b"\0") is None
    assert taken_apart(b"") is None and taken_apart(b"no tensors at all") is None
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}).encode()
    assert taken_apart(len(header).to_bytes(8, "little") + header + b"ab") is None, "a hole"


def test_a_damaged_file_is_refused(tmp_path) -> None:
    (tmp_path / "all").write_bytes(save(TENSORS)[:-1])
    with pytest.raises(SafetensorError):
        TensorStore(tmp_path / "all")
