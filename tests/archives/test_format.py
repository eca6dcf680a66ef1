"""Names and descriptions in an archive: what could lead out of a folder is refused."""

import json

import pytest

from latent_core.archives.format import PackedFile, PackedFolder, check_names
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
