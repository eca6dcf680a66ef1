"""A folder of runs."""

from pathlib import Path

import pytest

import latent_core as lc
from latent_core.runs import folder as runs
from tests.runs.samples import add_run, records


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs with records, at two depths, and one that is under way."""
    for number, name in enumerate(("a", "deep/b", "deep/c")):
        folder = add_run(tmp_path / name, f"Start_{number + 1}", seed=number)
        lc.write_records(folder, records(graded=number / 10))
    runs.open_run(tmp_path / "d", {"task": "other", "seed": 7}, {"method": "End_2"})
    add_run(tmp_path / ".search" / "hidden")
    return tmp_path
