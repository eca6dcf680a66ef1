"""Answers of one adapter under one condition, and what they are scored against."""

from pathlib import Path

import pytest

import latent_core as lc
from latent_core.hypotheses.answers import SeedAdapter, answers
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.tasks.donors import donor_of


@pytest.mark.parametrize("seed", [1, 2])
def test_responses_are_held_against_the_donors_that_the_patch_draws(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the seed is another than the usual one, and also on the control's side."""
    draws: list[int] = []

    def spy(task: lc.Task, example: lc.Example, draw: int = 1) -> lc.Example:
        draws.append(draw)
        return donor_of(task, example, draw)

    monkeypatch.setattr("latent_core.hypotheses.answers.donor_of", spy)
    model = lc.LatentModel("tiny", "End_1")
    adapter = SeedAdapter("End_1", 0, lambda: model)
    change = f"End_1 under patch(End, by=example{'' if seed == 1 else f', seed={seed}'})"
    claim = Hypothesis(
        claim="it gives the other answer",
        task="summation",
        contrast=Contrast(change, "End_1"),
        direction="greater",
        smallest_effect=0.1,
        split="id",
        metric="donor",
        controls=(),
    )
    for condition in claim.contrast.conditions:
        found = answers(adapter, condition, claim, 3, 1, tmp_path)
        assert found["donor"].between(0, 1).all() and len(found) == 3
    assert draws == [seed] * 6


def test_records_of_other_donors_are_not_taken_for_these(tmp_path: Path) -> None:
    model = lc.LatentModel("tiny", "End_1")
    adapter = SeedAdapter("End_1", 0, lambda: model)
    for seed in (1, 2):
        contrast = Contrast(f"End_1 under patch(End, by=example, seed={seed})", "End_1")
        claim = Hypothesis("a", "summation", contrast, "greater", 0.1, "id", "donor", "", ())
        answers(adapter, contrast.conditions[1], claim, 2, 1, tmp_path)
    assert len(list((tmp_path / "records").glob("*.parquet"))) == 2
