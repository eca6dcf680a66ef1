"""What would settle a test: the numbers are those at which the interval is narrow enough."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from scipy import stats

from latent_core.hypotheses import lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.evidence import Evidence
from latent_core.hypotheses.power import Assumptions
from latent_core.hypotheses.settle import more_seeds_or_examples
from latent_core.statistics.inference import Effect

EXAMPLES = 20
ASSUMED = Assumptions(0.3, 0.9, "made up")  # only the spread between seeds may be used


def effect(mean: float, sd_seeds: float, sd_examples: float, seeds: int) -> Effect:
    ends, means = (mean - 0.5, mean + 0.5), (mean,) * seeds
    return Effect(mean, *ends, 0.2, math.nan, 0.5, sd_seeds, sd_examples, seeds, 80, means)


def evidence(
    main: Effect,
    direction: str = "greater",
    contrast: Contrast | None = None,
    examples: int = EXAMPLES,
    assumed: Assumptions = ASSUMED,
) -> Evidence:
    contrast = contrast or Contrast("Start_2", "End_2")
    claim = Hypothesis("a", "repetition", contrast, direction, 0.25, "id")
    plan = replace(lab.plan(claim, 5, examples), assumptions=assumed)
    return Evidence(claim, plan, main, (), {}, pd.DataFrame(), "", (), 1.0)


def narrow(
    seeds: int, examples: int, distance: float, between: float, within: float, alpha: float
) -> bool:
    """Whether half of Student's interval is shorter than the distance, for one split."""
    if seeds == 1:
        return stats.t.ppf(1 - alpha / 2, examples - 1) * within / math.sqrt(examples) < distance
    error = math.sqrt((between**2 + within**2 / examples) / seeds)
    return stats.t.ppf(1 - alpha / 2, seeds - 1) * error < distance


@pytest.mark.parametrize("direction", ["greater", "less"])
@pytest.mark.parametrize(
    ("mean", "sd_seeds", "sd_examples", "seeds", "tests"),
    [
        (0.25, 0.3, 0.2, 3, 1),  # reaches the smallest effect: what would support it
        (0.3, 0.3, 0.2, 3, 4),  # at the level of the first of four tests
        (0.1, 0.2, 0.5, 3, 1),  # falls short by 0.15: what would refute it
        (0.1, 0.2, 0.5, 3, 4),  # refuting is not corrected
        (-0.05, 0.3, 0.9, 2, 1),
    ],
)
def test_the_seeds_are_the_fewest_that_are_enough(
    mean, sd_seeds, sd_examples, seeds, tests, direction
) -> None:
    sign = 1 if direction == "greater" else -1
    main = effect(sign * mean, sd_seeds, sd_examples, seeds)
    said = more_seeds_or_examples(evidence(main, direction), main, tests)
    support = mean >= 0.25
    distance, alpha = (mean, 0.05 / tests) if support else (0.25 - mean, 0.05)
    spreads = distance, sd_seeds, sd_examples, alpha
    fewest = next(n for n in range(seeds, 1000) if narrow(n, EXAMPLES, *spreads))
    sizes = (EXAMPLES * times for times in range(1, 101))
    least = next((n for n in sizes if narrow(seeds, n, *spreads)), None)
    assert said == (
        f"if the estimate stays the same, this would {'support' if support else 'refute'} the "
        f"claim: about {fewest} seeds with 20 examples; or "
        f"{f'about {least}' if least else 'more than 2000'} examples with {seeds} seeds"
    )


def test_one_seed_may_need_only_more_examples() -> None:
    main = effect(0.3, math.nan, 1.0, 1)
    said = more_seeds_or_examples(evidence(main), main)
    enough = (n for n in range(20, 2001, 20) if narrow(1, n, 0.3, 0.3, 1.0, 0.05))
    fewest = next(n for n in range(2, 99) if narrow(n, EXAMPLES, 0.3, 0.3, 1.0, 0.05))
    assert f"about {fewest} seeds with 20 examples" in said, "the spread of seeds is the assumed"
    assert said.endswith(f"about {next(enough)} examples with 1 seed")


def test_two_seeds_may_be_enough_where_one_is_there() -> None:
    main, alike = effect(0.3, math.nan, 0.1, 1), Assumptions(0.0, 0.9, "made up")
    assert narrow(2, EXAMPLES, 0.3, 0.0, 0.1, 0.05) and narrow(1, EXAMPLES, 0.3, 0.0, 0.1, 0.05)
    assert more_seeds_or_examples(evidence(main, assumed=alike), main) == (
        "if the estimate stays the same, this would support the claim: about 2 seeds with 20 "
        "examples; or about 20 examples with 1 seed"
    )


@pytest.mark.parametrize(("ratio", "examples"), [(2.6, 3), (2.0, 6)])
def test_few_examples_have_few_degrees_of_freedom(ratio: float, examples: int) -> None:
    """Half of the interval of three is 2.48 standard deviations, of six 1.05."""
    main = effect(0.3, math.nan, 0.3 / ratio, 1)
    said = more_seeds_or_examples(evidence(main, examples=3), main)
    assert said.endswith(f"or about {examples} examples with 1 seed")


@pytest.mark.parametrize("seeds", [1, 3])
def test_two_splits_add_their_errors(seeds: int) -> None:
    """The difference of two splits has twice the variance of one, and two sets of examples."""
    main = effect(0.3, 0.1, 1.0, seeds)
    found = evidence(main, contrast=Contrast("Start_2", "End_2", "ood-6"))

    def enough(count: int, examples: int) -> bool:
        if count == 1:
            error = math.sqrt(2 / examples)
            return stats.t.ppf(0.975, 2 * (examples - 1)) * error < 0.3
        return narrow(count, examples, 0.3, 0.1, math.sqrt(2), 0.05)

    fewest = next(n for n in range(max(2, seeds), 999) if enough(n, EXAMPLES))
    least = next(n for n in range(20, 2001, 20) if enough(seeds, n))
    said = more_seeds_or_examples(found, main)
    assert f"about {fewest} seeds" in said and f"about {least} examples" in said


def test_no_number_of_seeds_or_examples_is_promised_where_too_many_are_needed() -> None:
    main = effect(0.2499, 0.5, 0.5, 3)
    said = more_seeds_or_examples(evidence(main), main)
    assert "refute the claim: more than 1000 seeds with 20 examples" in said
    assert said.endswith("or more than 2000 examples with 3 seeds")


def test_where_data_are_enough_or_do_not_vary_no_numbers_are_given() -> None:
    enough = effect(0.3, 0.1, 0.1, 5)
    assert more_seeds_or_examples(evidence(enough), enough) == (
        "if the estimate stays the same, a few more seeds would support the claim"
    )
    still = effect(0.3, 0.1, 0.0, 5)
    assert more_seeds_or_examples(evidence(still), still) == (
        "the differences do not vary; more examples make the interval narrower"
    )
