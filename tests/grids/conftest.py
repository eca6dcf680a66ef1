"""A grid that was done once, for each test to copy."""

import shutil
from pathlib import Path

import pytest

from latent_core.grids.grid import Grid
from latent_core.grids.run import run_grid
from latent_core.grids.work import RunOutcome
from tests.grids.engine import SEARCH, Here, grid


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Grid, list[RunOutcome]]:
    """A grid with a search, done once; tests copy it."""
    root = tmp_path_factory.mktemp("grid")
    asked = grid(search=SEARCH, methods=["zero-shot", "Start_2"])
    return root, asked, run_grid(asked, root, Here())


@pytest.fixture
def finished(searched, tmp_path: Path) -> tuple[Path, Grid]:
    shutil.copytree(searched[0], tmp_path / "runs")
    return tmp_path / "runs", searched[1]
