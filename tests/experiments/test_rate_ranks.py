"""How long a trial of a learning rate has to be."""

import json
from pathlib import Path

import pytest

from experiments.rate_ranks import EXAMPLES, METHODS, RATES, RESULTS, STEPS, key, table


def test_the_page_has_the_table_of_what_was_measured() -> None:
    found = json.loads(RESULTS.read_text())
    assert len(found) == len(METHODS) * len(RATES) * len(STEPS)
    page = Path(__file__).parents[2] / "docs" / "methods.md"
    assert table(found) in page.read_text()


def test_a_trial_that_ranks_the_rates_the_other_way_round_costs_something() -> None:
    whole = {rate: 0.1 * (1 + place) for place, rate in enumerate(RATES)}
    worst = dict(zip(RATES, reversed(whole.values()), strict=True))
    found = {
        key(method, rate, steps): [(worst if steps == STEPS[0] else whole)[rate]] * len(EXAMPLES)
        for method in METHODS
        for rate in RATES
        for steps in STEPS
    }
    first, second = table(found).splitlines()[2:4]
    regret = max(whole.values()) - min(whole.values())
    assert f"-1.00 (least -1.00); {regret:.3f}" in first
    assert "1.00 (least 1.00); 0.000" in second and "-1.00" not in second


@pytest.mark.slow
def test_a_training_is_judged_on_validation_examples() -> None:
    import latent_core as lc
    from experiments.rate_ranks import losses_of

    losses = losses_of("Start_2", 0.03, 2, lc.load_task("summation"))
    assert len(losses) == len(EXAMPLES) and all(0 < loss < 5 for loss in losses)
