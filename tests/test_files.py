"""Files and folders are there whole, or as they were."""

import errno
import json
import os
from pathlib import Path

import pytest

from latent_core import files
from latent_core.errors import AdapterError, LatentError


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    files.write_json(path, {"x": 1})
    files.write_json(path, {"x": 2})
    assert json.loads(path.read_text()) == {"x": 2}
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    """A temporary file of Python's is its owner's alone, which is no use on a shared disk."""
    before = os.umask(0o022)
    try:
        path = files.write_file(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, full_disk, monkeypatch) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(AdapterError, match=r"cannot write the thing: No space left.*expected a"):
        files.write_files(tmp_path, {"a": b"new", "b": b"new"}, "the thing", AdapterError)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"old"}


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with files.new_folder(target) as folder:
        (folder / "x").write_text("1")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["x"]
    with pytest.raises(LatentError, match=r"cannot write .*made"), files.new_folder(target):
        pass
    with pytest.raises(ZeroDivisionError), files.new_folder(tmp_path / "other"):
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize(
    "content", ["{", b"\xff", "[" * 100_000, '{"a": ' * 50_000, "1" * 5_000, '"\ud800', ""]
)
def test_whatever_is_wrong_with_json_is_a_value_error(content: str | bytes) -> None:
    with pytest.raises(ValueError):
        files.parse_json(content)
