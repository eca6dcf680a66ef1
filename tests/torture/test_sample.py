"""A sample of the torture; `python -m tests.torture` runs all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.__main__ import PARTS


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_sample_of_the_torture_finds_nothing(part: str, repository: Path) -> None:
    """In a process of its own, which forks: in this one there are threads."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)}
    command = [sys.executable, "-m", "tests.torture", part, "--sample"]
    done = subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{part}: " in done.stdout and "0 failures" in done.stdout
