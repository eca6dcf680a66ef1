"""Benchmarks are run by hand: here, what they import is still there, and the quick one runs."""

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    assert callable(runpy.run_path(str(path))["main"])


def test_the_benchmark_of_many_runs_makes_and_reads_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = [path for path in BENCHMARKS if path.stem == "run_store"]
    sizes = ["--runs", "14", "--records", "12", "--tries", "1", "--only", "compare", "load"]
    monkeypatch.setattr(sys, "argv", [path.name, *sizes])
    runpy.run_path(str(path), run_name="__main__")
    told = capsys.readouterr().out
    assert "(14 runs, " in told and "latent compare: " in told and "packed runs" in told
