"""The removal of runs: what is left alone."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.runs import folder as runs
from latent_core.runs.removal import holds_results, lies_behind_link, remove_run
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
    assert not lies_behind_link(tmp_path / "link", [tmp_path / "link"])
    assert lies_behind_link(tmp_path / "a" / "up" / "a" / "b", [tmp_path / "a"])


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
