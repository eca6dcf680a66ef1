"""A sample of the torture and of its bad inputs; `python -m tests.torture` runs all of it."""

import random
import sys
from pathlib import Path

import pytest

from tests.forked import forked
from tests.torture import inputs
from tests.torture.__main__ import PARTS, main
from tests.torture.inputs import KINDS, SAMPLE, run


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_sample_of_the_torture_finds_nothing(part: str, tmp_path: Path) -> None:
    """In a process of its own, which forks: in this one there are threads."""

    def program() -> None:
        sys.argv = ["torture", part, "--sample"]
        sys.exit(main())

    done = forked(program, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{part}: " in done.stdout and "0 failures" in done.stdout


def test_a_sample_of_bad_inputs_raises_only_our_errors_and_writes_nothing() -> None:
    report = run(SAMPLE, seed=1)
    assert report.failures == []
    assert set(report.counts) == {f"bad {kind}" for kind in KINDS} | {"refused"}
    assert report.counts["refused"] > SAMPLE / 2, "most of what is generated is bad"


def test_another_exception_a_long_message_and_a_file_are_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bare(rng: random.Random, folder: Path) -> None:
        raise KeyError("bare")

    def wordy(rng: random.Random, folder: Path) -> None:
        raise inputs.LatentError("x" * 5000)

    def littering(rng: random.Random, folder: Path) -> None:
        (folder / "left").write_text("")

    kinds = {"bare": (bare, 1), "wordy": (wordy, 1), "littering": (littering, 1)}
    monkeypatch.setattr(inputs, "KINDS", kinds)
    first, second, third = run(3).failures
    assert first == "bare 0: KeyError: 'bare'"
    assert second == "wordy 1: a message of 5000 characters"
    assert third == "littering 2: wrote left"
