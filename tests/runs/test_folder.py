"""One run's folder: what it was made with, and how a run fails and is tried again."""

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

import latent_core as lc
from latent_core.runs import folder as runs
from latent_core.runs.checkpoints import keep_hashes
from latent_core.runs.circumstances import circumstances, revision_of


def test_a_failed_run_says_why_and_can_be_tried_again(tmp_path: Path) -> None:
    folder, settings = tmp_path / "run", {"task": "echo", "seed": 1}
    runs.fail_run(folder, settings, {"method": "End_2"}, "LayoutError: no comma")
    row = lc.load_runs(tmp_path).iloc[0]
    assert (row["status"], row["error"]) == ("failed", "LayoutError: no comma")
    runs.reopen_run(folder)
    assert runs.read_run(folder)["status"] == "running"
    assert not runs.holds_finished_run(folder, settings | {"steps": 9}, resume=True)
    runs.open_run(folder, settings | {"steps": 3}, {})
    (folder / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-2" / "trainer_state.json").write_text("{}")
    keep_hashes(folder / "checkpoints" / "checkpoint-2")
    runs.fail_run(folder, settings, {}, "LatentError: full")
    assert runs.read_run(folder)["settings"] == settings | {"steps": 3}
    runs.reopen_run(folder)
    assert runs.read_run(folder)["status"] == "running"
    assert "error" not in runs.read_run(folder)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, which ignores a virtual environment; the working folder."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "project"
    (folder / ".venv" / "package").mkdir(parents=True)
    (folder / ".venv" / "package" / "module.py").write_text("")
    (folder / ".gitignore").write_text(".venv\n")
    (folder / "study.py").write_text("one = 1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A study")
    monkeypatch.chdir(folder)
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    asked = ["git", *who, *arguments]
    return subprocess.run(asked, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_run_says_revision_changes_machine_and_versions(project: Path, tmp_path: Path) -> None:
    head = git(project, "rev-parse", "HEAD").strip()
    runs.open_run(tmp_path / "run", {"task": "echo"}, {})
    said = json.loads((tmp_path / "run" / "run.json").read_text())
    assert said["git"]["working_folder"] == {"revision": head, "changed": False}
    assert said["machine"]["cores"] == os.cpu_count()
    assert said["machine"]["python"] == platform.python_version()
    assert said["machine"]["memory"] > 10**8 and said["machine"]["processor"]
    assert {"torch", "transformers", "latent-workbench"} == set(said["versions"])
    assert str(project) not in json.dumps(said)  # runs are shared
    names = {"system", "python", "processor", "cores", "memory", "devices"}
    assert set(said["machine"]) == names


def test_changes_of_tracked_files_are_said_and_new_files_are_not(project: Path) -> None:
    (project / "new.py").write_text("")
    assert revision_of(project) == {
        "revision": git(project, "rev-parse", "HEAD").strip(),
        "changed": False,
    }
    (project / "study.py").write_text("one = 2\n")
    assert revision_of(project)["changed"]


def test_a_package_that_is_installed_in_a_project_is_no_part_of_its_repository(
    project: Path, tmp_path: Path
) -> None:
    assert revision_of(project / ".venv" / "package") is None
    assert revision_of(tmp_path) is None


def test_a_repository_without_a_commit_or_a_machine_without_git_leaves_the_revision_out(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    git(new, "init", "--quiet")
    (new / "a.py").write_text("")
    git(new, "add", "a.py")
    assert revision_of(new) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert circumstances()["git"] == {}


def test_a_run_keeps_the_revision_that_it_began_with_until_it_is_resumed(
    project: Path, tmp_path: Path
) -> None:
    folder, settings = tmp_path / "run", {"task": "echo"}
    runs.open_run(folder, settings, {})
    began = git(project, "rev-parse", "HEAD").strip()
    (project / "study.py").write_text("one = 2\n")
    git(project, "commit", "--all", "--quiet", "--message", "Two")
    runs.close_run(folder, "stopped", settings, {})
    assert runs.read_run(folder)["git"]["working_folder"]["revision"] == began
    runs.open_run(folder, settings, {})
    resumed = runs.read_run(folder)["git"]["working_folder"]["revision"]
    assert resumed == git(project, "rev-parse", "HEAD").strip() != began


def test_a_repository_cannot_have_a_program_run(project: Path, tmp_path: Path) -> None:
    """Git would ask this program which files have changed."""
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path / 'was-run'}\n")
    spy.chmod(0o755)
    git(project, "config", "core.fsmonitor", str(spy))
    assert revision_of(project) is not None
    assert not (tmp_path / "was-run").exists()
