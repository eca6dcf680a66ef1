"""A small grid and an engine in this process, for the tests of grids."""

from pathlib import Path

import yaml

from latent_core.grids.grid import Grid
from latent_core.grids.work import RunOutcome, do_run

WORDS = {
    "backbones": ["tiny"],
    "tasks": ["repetition"],
    "methods": ["zero-shot", "Start_2", "End_1"],
    "seeds": 2,
    "training": {"steps": 2, "batch_size": 2},
    "evaluation": {"splits": ["id", "ood-6"], "examples": 2},
}
FEWER = {"evaluation": {"splits": ["id"], "examples": 1}}
SEARCH = {"learning_rates": [0.01, 0.1], "share": 0.5, "examples": 2}


class Here:
    """An engine in this process."""

    def __init__(self, retry_failed: bool = False) -> None:
        self.retry_failed = retry_failed

    def outcomes(self, specs, root):
        for spec in specs:
            yield do_run(spec, root, self.retry_failed)


def grid(**changes) -> Grid:
    return Grid(**{**WORDS, **changes})


def done(outcomes: list[RunOutcome]) -> list[tuple[str, int, str]]:
    return [(o.spec.method, o.spec.seed, o.status) for o in outcomes]


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def written(tmp_path: Path, body: object) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(body if isinstance(body, str) else yaml.safe_dump(body))
    return path
