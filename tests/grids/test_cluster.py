"""The Ray engine: what a node is told."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

from latent_core.grids.cluster import RayEngine
from latent_core.grids.grid import read_grid
from latent_core.grids.work import RunOutcome
from tests.grids.engine import WORDS, grid, written


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
