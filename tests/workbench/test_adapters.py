"""One rule for where runs of one's own lie, wherever in a repository a notebook is."""

from pathlib import Path

import pytest

from workbench.adapters import runs_folder


@pytest.mark.parametrize(
    ("folders", "here", "found"),
    [
        ([".git", "runs", "notebooks"], "notebooks", "../runs"),
        ([".git", "notebooks/own"], "notebooks/own", "../../runs"),  # to be made at the root
        ([".git", "runs", "notebooks/runs"], "notebooks", "runs"),  # the nearest
        ([".git", "runs"], ".", "runs"),
        (["runs", "work/.git"], "work", "runs"),  # what lies above the repository is not its
        (["runs", "work"], "work", "runs"),  # no repository
    ],
)
def test_runs_are_the_nearest_in_the_repository(
    folders: list[str], here: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / here)
    assert runs_folder() == Path(found)


def test_a_project_file_marks_a_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert runs_folder() == Path("../runs")
