"""The removal of runs: what is left alone."""

import contextlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.runs import folder as runs
from latent_core.runs import own_files
from latent_core.runs.archive import pack_runs
from latent_core.runs.lock import run_lock
from latent_core.runs.removal import BUSY, holds_results, lies_behind_link, remove_run
from tests.runs.samples import add_run, held_elsewhere, records


def pruned(*paths: Path) -> str:
    command = ["runs", "prune", *map(str, paths), "--yes"]
    return CliRunner().invoke(app, command, env={"COLUMNS": "300"}).stdout


def begun(folder: Path) -> Path:
    runs.open_run(folder, {"task": "echo", "seed": 1}, {})
    return folder


def test_runs_below_a_run_that_is_pruned_stay(tmp_path: Path) -> None:
    """As of an older version that let a run begin above others; a new one is refused."""
    lc.write_records(add_run(tmp_path / "runs" / "a"), records())
    begun(tmp_path / "runs")
    said = pruned(tmp_path / "runs")
    assert "0 deleted" in said and "its folder holds files that are no run's: a" in said
    assert len(lc.load_runs(tmp_path / "runs", records=True)) == 8


def test_nothing_behind_a_link_is_pruned(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "runs"
    begun(outside / "run")
    begun(root / "mine")
    (root / "link").symlink_to(outside / "run")
    (root / "linked").symlink_to(outside)
    assert "1 deleted" in pruned(root)
    assert (outside / "run" / "run.json").is_file()
    assert [path.name for path in root.iterdir()] and not (root / "mine").exists()
    (tmp_path / "elsewhere").symlink_to(root)
    begun(root / "again")
    assert "1 deleted" in pruned(tmp_path / "elsewhere"), "the user named this link"
    assert not (root / "again").exists()


def test_a_path_lies_behind_a_link_or_not(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert not lies_behind_link(tmp_path / "a" / "b", [tmp_path])
    assert lies_behind_link(tmp_path / "link" / "b", [tmp_path])
    assert not lies_behind_link(tmp_path / "link" / "b", [tmp_path / "link"])
    assert not lies_behind_link(tmp_path / "link" / "b", [tmp_path / "other", tmp_path / "link"])
    assert not lies_behind_link(tmp_path / "link", [tmp_path / "link"])
    assert lies_behind_link(tmp_path / "a" / "up" / "a" / "b", [tmp_path / "a"])
    (tmp_path / "a" / "..odd").symlink_to(tmp_path)
    assert lies_behind_link(tmp_path / "a" / "..odd" / "a", [tmp_path / "a"])


def test_a_path_below_no_root_is_behind_a_link_if_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "root")
    assert lies_behind_link(tmp_path / "link", [tmp_path / "root"])
    assert not lies_behind_link(tmp_path, [tmp_path / "root"])


def test_a_finished_or_packed_run_is_kept(tmp_path: Path) -> None:
    add_run(tmp_path / "runs" / "a")
    assert holds_results(tmp_path / "runs" / "a")
    packed = pack_runs(tmp_path / "runs", tmp_path / "packed").path
    assert holds_results(f"{packed}/a")
    assert holds_results(tmp_path / "missing")


@pytest.mark.parametrize("name", ["adapter_config.json", "baseline.json", "records.parquet"])
@pytest.mark.parametrize("status", ["running", "stopped", "failed"])
def test_an_adapter_or_records_are_kept_whatever_the_run_says(tmp_path, name, status) -> None:
    runs.close_run(begun(tmp_path / "run"), status, {}, {})
    assert not holds_results(tmp_path / "run")
    (tmp_path / "run" / name).write_text("{}")
    assert holds_results(tmp_path / "run")
    assert remove_run(tmp_path / "run") == (
        "it is finished, or holds an adapter or records, by now"
    )


def test_a_damaged_run_is_kept(tmp_path: Path) -> None:
    (begun(tmp_path / "run") / "run.json").write_text("{")
    assert holds_results(tmp_path / "run")


def test_a_run_at_work_is_left_alone(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    with held_elsewhere(folder):
        assert remove_run(folder) == "another process is working on it"
    assert remove_run(folder) == "" and not folder.exists()


@pytest.mark.parametrize("held", [False, True])
def test_a_run_that_this_thread_works_on_is_left_alone(tmp_path: Path, held: bool) -> None:
    folder = begun(tmp_path / "run")
    with run_lock(folder) if held else contextlib.nullcontext():
        assert remove_run(folder) == (BUSY if held else "")
    assert folder.exists() == held


@pytest.mark.parametrize(
    ("count", "named"), [(1, "a"), (5, "a, b, c, d, e"), (6, "a, b, c, d, e, ...")]
)
def test_at_most_five_foreign_files_are_named(tmp_path: Path, count: int, named: str) -> None:
    folder = begun(tmp_path / "run")
    for name in "abcdef"[:count]:
        (folder / name).touch()
    assert remove_run(folder) == f"its folder holds files that are no run's: {named}"


def test_a_file_that_cannot_be_deleted_is_named(tmp_path: Path, monkeypatch) -> None:
    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    folder = begun(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(own_files, "delete_checkpoints", refused)
        said = remove_run(folder)
    assert str(folder) in said and "Permission denied" in said
