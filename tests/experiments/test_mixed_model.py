"""Gains of latents by an independent method."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.mixed_model import GAINS, differences, mixed, ours, table


@pytest.mark.parametrize("gain", GAINS, ids=" ".join)
def test_a_mixed_model_leads_to_the_same_conclusion(gain: tuple[str, ...]) -> None:
    frame = differences(*gain)  # type: ignore[arg-type]
    assert len(frame) >= 250 and frame["seed"].nunique() >= 5
    theirs, own = mixed(frame), ours(frame)
    assert own.mean == pytest.approx(theirs.mean, abs=0.005)
    assert own.says == theirs.says
    assert own.high - own.low > theirs.high - theirs.low, "with few seeds, normal is too narrow"


def test_the_mixed_model_sees_what_seeds_and_examples_share() -> None:
    rng = np.random.default_rng(0)
    seeds, examples = np.repeat(np.arange(6), 40), np.tile(np.arange(40), 6)
    noise, shift = rng.normal(size=240), rng.normal(size=6)[seeds]
    frame = pd.DataFrame({"seed": seeds, "example": examples})
    alone, apart = (
        mixed(frame.assign(difference=one)) for one in (0.5 + noise, 0.5 + noise + shift)
    )
    assert apart.high - apart.low > 2 * (alone.high - alone.low)
    spread = np.std([(noise + shift)[seeds == one].mean() for one in range(6)], ddof=1)
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * spread / 6**0.5, rel=0.1)


def test_the_page_has_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "hypotheses-lab.md"
    assert table() in page.read_text()
