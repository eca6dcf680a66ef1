"""A run begins with the longest files, and its summary says what was not tested, and why."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import LONGEST


def test_a_run_ends_with_what_was_not_tested(tmp_path: Path, repository: Path) -> None:
    test = tmp_path / "test_some.py"
    test.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_one(n, require): require(False, 'no chromium is installed')\n"
    )
    (tmp_path / "conftest.py").write_text((repository / "tests" / "conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(test)]
    options = ["-c", str(repository / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, cwd=tmp_path, env=_plain_environment()
    )
    assert "SKIPPED [2]" in done.stdout, done.stdout + done.stderr
    assert "2 tests: no chromium is installed" in done.stdout.split("not tested")[1]


def test_the_files_that_begin_first_are_there(repository: Path) -> None:
    assert all((repository / "tests" / name).is_file() for name in LONGEST)


def _plain_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "LATENT_REQUIRE_ALL"}
