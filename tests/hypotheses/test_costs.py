"""Estimates of tests: within a factor of 1.5 of the time that built-in claims really take."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import latent_core as lc
from latent_core.evaluation import timing
from latent_core.hypotheses import costs, lab
from latent_core.hypotheses.sources import source_of
from latent_core.runs.shipped import SHIPPED

pytestmark = pytest.mark.timed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "part", "examples"),
    [
        ("H1", "dropping them breaks it", 20),  # long answers
        ("H2", "they are looked at", 60),  # long prompts; an intervention that slows attention
        ("computation", "against filler", 40),  # one side is on record
        ("attention", "mass against effect", 20),  # no answers at all
    ],
)
def test_a_built_in_claim_takes_as_long_as_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: str, part: str, examples: int
) -> None:
    """By this process's own time, which no other process changes.

    There are enough examples that the half second of judging, which no plan counts, is small.
    """
    clock = SimpleNamespace(perf_counter=time.process_time, monotonic=time.monotonic)
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(costs, "STOPWATCH", timing.Stopwatch())
    claim = lc.load_study(study).parts[part]
    source = source_of(
        [str(SHIPPED / "tiny" / claim.loaded_task.name)], claim.loaded_task, tmp_path
    )
    plan = lab.plan(claim, 1, examples, target=source)
    started = time.process_time()
    lab.run(claim, source, plan, folder=tmp_path, progress=False)
    assert plan.seconds is not None
    assert 1 / 1.5 < plan.seconds / (time.process_time() - started) < 1.5
