"""The run of a grid and its engines: trials first, nothing twice, an exit code for failures.

Of engines: how many workers there are, what a death is laid to, and what a node is told.
"""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.errors import LatentError
from latent_core.grids.engines import LocalEngine, RayEngine, death, default_workers
from latent_core.grids.grid import read_grid
from latent_core.grids.run import run_grid
from latent_core.grids.work import RunOutcome
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


@pytest.mark.parametrize(("code", "memory"), [(-9, True), (137, True), (1, False), (-11, False)])
def test_a_death_is_laid_to_memory_only_where_it_looks_so(code: int, memory: bool) -> None:
    said = death(code)
    assert f"died 2 times (exit code {code})" in said
    assert ("memory" in said) is memory


def test_small_backbones_get_a_process_per_core_and_others_one() -> None:
    assert default_workers(grid().specs()) >= 1
    big = grid(backbones=["tiny", "smollm2-135m"]).specs()
    assert default_workers(big) == 1
    with pytest.raises(LatentError, match="workers is 0"):
        LocalEngine(0)


def test_what_a_node_is_told_holds_in_any_folder(tmp_path: Path, monkeypatch) -> None:
    """Processes of a Ray cluster do not start where the driver did."""
    lines = [f'{{"prompt": "{a}+1=", "answer": "{a + 1}"}}\n' for a in range(10, 60)]
    (tmp_path / "data.jsonl").write_text("".join(lines))
    (tmp_path / "mine.jsonl").symlink_to("data.jsonl")
    body = WORDS | {"tasks": ["mine.jsonl"], "evaluation": {"splits": ["id"]}}
    written(tmp_path, body)
    monkeypatch.chdir(tmp_path)
    asked = read_grid("grid.yaml")
    assert asked.tasks == ["mine.jsonl"]
    assert asked.specs() == grid(**body).specs() == read_grid(tmp_path / "grid.yaml").specs()
    spec = asked.specs()[0]
    relative = replace(spec, task="mine.jsonl")
    assert (spec.identity, spec.folder) == (relative.identity, relative.folder)
    told = []

    class FakeRay(ModuleType):
        is_initialized = staticmethod(lambda: True)
        cluster_resources = staticmethod(dict)
        wait = staticmethod(lambda waiting, num_returns: (waiting[:1], waiting[1:]))
        get = staticmethod(lambda number: RunOutcome(told[number - 1][0], "finished"))

        @staticmethod
        def remote(**_: object):
            return lambda _: SimpleNamespace(remote=lambda *of: told.append(of) or len(told))

    monkeypatch.setitem(sys.modules, "ray", FakeRay("ray"))
    (outcome,) = RayEngine().outcomes([spec], Path("runs/mine"))
    assert outcome.status == "finished"
    ((sent, here, root, *_),) = told
    assert (sent.task, here) == (str(tmp_path / "mine.jsonl"), tmp_path)
    assert root == tmp_path / "runs" / "mine"
