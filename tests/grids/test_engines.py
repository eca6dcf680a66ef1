"""Engines: how many workers, what a death is laid to, and what a node is told."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from latent_core.errors import LatentError
from latent_core.grids.engines import LocalEngine, RayEngine, death, default_workers
from latent_core.grids.grid import read_grid
from latent_core.grids.work import RunOutcome
from tests.grids.engine import WORDS, grid, written


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
