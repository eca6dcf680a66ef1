"""The run of a grid: trials first, nothing twice, and an exit code for failures."""

from pathlib import Path

from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.grids.run import run_grid
from tests.grids.engine import SEARCH, WORDS, Here, done, grid, snapshot, written
from tests.runs.samples import held_elsewhere


def test_trials_come_first_and_are_no_results(searched) -> None:
    root, _, outcomes = searched
    assert done(outcomes) == [
        ("Start_2", 1000, "finished"),
        ("Start_2", 1000, "finished"),
        ("zero-shot", 0, "finished"),
        ("Start_2", 0, "finished"),
        ("Start_2", 1, "finished"),
    ]
    frame = lc.load_runs(root)
    assert frame["run"].nunique() == 3
    assert set(frame["split"]) == {"id", "ood-6"}
    assert (frame.groupby(["run", "split"])["examples"].sum() == 2).all()
    trials = lc.load_runs(root / ".search")
    assert set(trials["split"]) == {"validation"} and set(trials["steps"]) == {1}


def test_what_is_done_is_not_done_again(finished) -> None:
    root, asked = finished
    before = snapshot(root)
    assert run_grid(asked, root, Here()) == []
    assert snapshot(root) == before


def test_a_run_that_another_process_is_at_is_left_to_it(finished) -> None:
    root, _ = finished
    asked = grid(search=SEARCH | {"examples": 3}, methods=["Start_2"], seeds=[0])
    (spec,) = asked.specs()
    with held_elsewhere(root / spec.trials()[0].folder):
        outcomes = run_grid(asked, root, Here())
    assert [o.status for o in outcomes] == ["busy", "finished", "busy"]
    assert not (root / spec.folder / "run.json").exists()


def test_a_grid_that_cannot_be_written_ends_in_exit_code_1(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("latent_core.grids.engines.LocalEngine", lambda *_: Here())
    (tmp_path / "my runs").write_text("a file")
    path = written(tmp_path, WORDS | {"methods": ["zero-shot"]})
    command = ["grid", str(path), "--out", str(tmp_path / "my runs")]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "500"})
    assert result.exit_code == 1
    assert "1/1 failed" in result.output and "cannot write the run to" in result.output


def test_a_grid_with_failed_runs_says_where_to_look(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("latent_core.grids.engines.LocalEngine", lambda *_: Here())
    path = written(tmp_path, WORDS | {"methods": ["Before[🦉]_1"], "seeds": 1})
    out = str(tmp_path / "my runs")
    result = CliRunner().invoke(app, ["grid", str(path), "--out", out], env={"COLUMNS": "500"})
    assert result.exit_code == 1
    assert f"to see the errors: latent runs list '{out}' --where status=failed" in result.output
    assert "to run them again: --retry-failed" in result.output
    command = ["runs", "list", out, "-w", "status=failed"]
    listed = CliRunner().invoke(app, command, env={"COLUMNS": "80"}).output
    assert " error " in listed and " failed " in listed and "tiny's vocabulary" in listed
