"""Two claims: one that is true of the copying model, and one about made-up records."""

import pytest

from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from tests.evaluation.test_interventions import Letters
from tests.hypotheses.made_up import CUT, MIXED


@pytest.fixture
def commas() -> Hypothesis:
    """True of the copying model: without its comma latent it says one letter of four."""
    return Hypothesis(
        claim="the comma latent holds the letter",
        task=Letters(),
        split="ood",
        contrast=Contrast(CUT),
        direction="less",
        smallest_effect=0.2,
        controls=("random", "filler"),
    )


@pytest.fixture
def gain() -> Hypothesis:
    return Hypothesis(
        claim="latents at commas help",
        task="repetition",
        contrast=Contrast(MIXED, "Start_2"),
        direction="greater",
        smallest_effect=0.1,
    )
