"""A sample of the generated bad inputs; `python -m tests.torture inputs` tries 10,000."""

import random
from pathlib import Path

import pytest

from tests.torture import inputs
from tests.torture.inputs import KINDS, SAMPLE, run


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
