"""Plans: their numbers and lines, the time that tests really take, and the power they promise.

The power is that of drawn studies and of textbook formulas.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.evaluation import timing
from latent_core.hypotheses import costs, lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.plan import (
    ASSUMED,
    Assumptions,
    Plan,
    Plans,
    make_plan,
    power,
    power_table,
    powers,
)
from latent_core.hypotheses.sources import source_of
from latent_core.runs.shipped import SHIPPED
from latent_core.statistics.inference import paired_effect
from latent_core.wording import counted

SPREADS = Assumptions(0.123, 0.456, "made up")
CLAIM = Hypothesis(
    "starts help", "repetition", Contrast("Start_2", "End_2"), "greater", 0.1, "id", controls=()
)


def test_a_plan_says_its_numbers_line_by_line() -> None:
    plan = Plan(CLAIM, 1, 20, 0.2, SPREADS, 3, 0.8, 0.756, ("one", "two"), 40.0)
    assert plan.summary().splitlines() == [
        "claim       starts help",
        "contrast    Start_2 - End_2",
        "measured    graded on repetition, id; expected greater, by at least 0.1",
        "size        1 training seed x 20 examples per split",
        "power       80% to support a true effect of 0.2; 76% to refute if there is no effect",
        "assuming    sd 0.12 between seeds, 0.46 between examples (made up)",
        "family      starts help: 3 tests, including this one",
        "time here   about 25-60 s",
        "one seed    the verdict will hold for this adapter only",
        "run         one",
        "run         two",
    ]
    many = replace(plan, seeds=2, seconds=None, steps=()).summary()
    assert many.endswith("time here   unknown; give target=... to measure it")
    assert plan._repr_html_().startswith("<pre") and "claim       starts" in plan._repr_html_()


def test_the_journal_keeps_what_the_power_rests_on() -> None:
    plan = Plan(CLAIM, 4, 20, 0.2, SPREADS, 3, 0.80004, 0.75666, created="2026-01-01")
    assert plan.to_dict() == {
        "seeds": 4,
        "examples": 20,
        "effect": 0.2,
        "sd_seeds": 0.123,
        "sd_examples": 0.456,
        "power": 0.8,
        "power_refute": 0.7567,
        "created": "2026-01-01",
    }
    now = make_plan(CLAIM, 4, 20, SPREADS).created
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{3}\+00:00", now)


def test_plans_of_a_study_say_what_they_share() -> None:
    plan = Plan(CLAIM, 1, 20, 0.2, SPREADS, 2, 0.8, 0.7)
    other = replace(plan, hypothesis=replace(CLAIM, contrast=Contrast("Start_2", "Start_1")))
    plans = Plans(
        "H9",
        {"one": plan, "two": other},
        {"three": "it has no latents"},
        {"one": 10.0, "two": 30.0},
        ("Start_2", "End_2"),
        {"steps": 300, "batch": 8},
    )
    assert plans.summary().splitlines() == [
        "size        1 training seed x 20 examples per split, under 3 conditions",
        "train       Start_2, End_2, unless already trained (steps 300, batch 8)",
        "assuming    sd 0.12 between seeds, 0.46 between examples (made up)",
        "family      H9: Holm's correction counts 2 tests",
        "time here   about 25-60 s",
        "one seed    the verdicts will hold for these adapters only",
        "not tested  three: it has no latents",
    ]
    assert plans._repr_html_().startswith("<pre") and "family      H9" in plans._repr_html_()
    assert (list(plans), len(plans), plans["two"]) == (["one", "two"], 2, other)
    unknown = Plans("H9", {"one": plan, "two": other}, added_seconds={"one": 10.0, "two": None})
    assert unknown.seconds is None and "train " not in unknown.summary()
    assert "one seed" not in Plans("H9", {"one": replace(plan, seeds=2)}).summary()


def test_a_plan_aims_at_twice_the_smallest_effect() -> None:
    plan = make_plan(CLAIM, 1, 2, SPREADS)
    assert (plan.hypothesis, plan.seeds, plan.examples) == (CLAIM, 1, 2)
    assert (plan.effect, plan.tests, plan.steps, plan.seconds) == (0.2, 1, (), None)
    assert (plan.power, plan.power_refute) == powers(CLAIM, 1, 2, 0.2, SPREADS)
    other = make_plan(CLAIM, 3, 30, SPREADS, effect=0.1, tests=4, steps=("a",), seconds=2.0)
    assert other.effect == 0.1 and other.tests == 4
    assert (other.steps, other.seconds) == (("a",), 2.0)
    assert (other.power, other.power_refute) == powers(CLAIM, 3, 30, 0.1, SPREADS, 4)


@pytest.mark.parametrize(
    ("seeds", "examples", "effect", "says"),
    [
        (0, 2, None, "0 seeds of 2 examples; expected at least 1 seed and 2 examples"),
        (1, 1, None, "1 seed of 1 example; "),
        (1, 2, 0.0999, "the effect to find is 0.0999, which is below the smallest effect"),
    ],
)
def test_a_plan_that_cannot_show_anything_is_refused(seeds, examples, effect, says) -> None:
    with pytest.raises(SettingError, match=re.escape(says)):
        make_plan(CLAIM, seeds, examples, SPREADS, effect=effect)


def test_the_table_of_power_has_a_row_for_each_number_of_seeds_and_effect() -> None:
    plan = make_plan(CLAIM, 5, 20, SPREADS, effect=0.12346, tests=2)
    table = power_table(plan)
    assert table["seeds"].tolist() == [3] * 5 + [5] * 5 + [10] * 5 + [20] * 5
    assert table["effect"].tolist() == [0.0617, 0.1235, 0.1852, 0.2469, 0.3704] * 4
    wanted = powers(CLAIM, 10, 20, 1.5 * 0.12346, SPREADS, 2)[0]
    assert table.loc[12, "power"] == pytest.approx(wanted)
    assert list(power_table(plan, (2,))["seeds"]) == [2] * 5


def test_the_page_states_the_power_of_the_usual_plans() -> None:
    claim = Hypothesis("a", "repetition", Contrast("Start_2", "End_2"), "greater", 0.1, "id")
    page = (Path(__file__).parents[2] / "docs" / "hypotheses-lab.md").read_text()
    quick, full = lab.QUICK_TEST, lab.FULL_TEST
    for seeds, examples in (
        (quick["seeds"], quick["examples"]),
        (full["seeds"], full["examples"]),
        (10, 100),
    ):
        alone, among = (lab.plan(claim, seeds, examples, tests=tests) for tests in (1, 7))
        found = (alone.power, among.power, alone.power_refute)
        row = f"{counted(seeds, 'seed')}, {examples} examples"
        cells = " | ".join(f"{power:.0%}" for power in found)
        assert f"{row}) | {cells}" in page or f"{row} | {cells}" in page


@pytest.mark.timed
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


@pytest.mark.parametrize(("effect", "alpha"), [(0.2, 0.05), (0.3, 0.01)])
def test_one_seed_has_the_power_of_the_t_test_on_its_examples(effect: float, alpha: float) -> None:
    """The noncentral t distribution; no spread between seeds counts."""
    wanted = stats.nct.sf(stats.t.isf(alpha / 2, 15), 15, effect / 0.1)
    assert power(effect, 0.7, 0.1, 1, 0.0, alpha, 15) == pytest.approx(wanted, abs=2e-3)


def test_many_seeds_with_endless_examples_have_the_power_of_the_t_test_on_seeds() -> None:
    wanted = stats.nct.sf(stats.t.isf(0.025, 3), 3, 0.3 / (0.2 / math.sqrt(4)))
    assert power(0.3, 0.2, 0.0, 4, 0.0, 0.05, 99) == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize(
    ("sd_seeds", "error", "seeds"), [(0.0, 0.2, 3), (0.1, 0.2, 2), (0.3, 0.1, 3)]
)
def test_the_power_is_the_share_of_drawn_studies_that_find_it(sd_seeds, error, seeds) -> None:
    """Both ends count: Student's t, and the bootstrap, which is wider where seeds agree by luck."""
    rng = np.random.default_rng(0)
    means = 0.3 + rng.normal(size=(200_000, seeds)) * math.hypot(sd_seeds, error)
    by_t = stats.t.isf(0.1, seeds - 1) * means.std(axis=1, ddof=1) / math.sqrt(seeds)
    by_draws = stats.norm.isf(0.1) * np.sqrt((means.var(axis=1) + error**2) / seeds)
    found = means.mean(axis=1) >= np.maximum(0.15, np.maximum(by_t, by_draws))
    promised = power(0.3, sd_seeds, error, seeds, 0.15, 0.2, 99)
    assert promised == pytest.approx(found.mean(), abs=4e-3)


def test_without_any_spread_an_effect_is_found_and_none_is_not() -> None:
    assert power(0.1, 0.0, 0.0, 3, 0.0, 0.05, 9) == 1.0
    assert power(0.0, 0.0, 0.0, 3, 0.0, 0.05, 9) == 0.0
    assert power(0.1, 0.2, 0.0, 1, 0.0, 0.05, 9) == 1.0


@pytest.mark.parametrize(
    ("contrast", "split", "terms", "freedom"),
    [
        (Contrast("Start_2", "End_2"), "id", 1.0, 15),
        (Contrast("Start_2", "End_2"), "ood", 1 / 4, 4 * 15),  # four levels of weight 1 / 4
        (Contrast("Start_2", "End_2", "id"), "ood", 1 + 1 / 4, 25 / 16 / (1 + 4 / 4**4) * 15),
    ],
)
@pytest.mark.parametrize("seeds", [1, 4])
def test_the_splits_of_a_claim_are_weighted(contrast, split, terms, freedom, seeds) -> None:
    """Sixteen examples of each; the degrees of freedom are those of Welch and Satterthwaite."""
    claim = Hypothesis("a", "repetition", contrast, "greater", 0.2, split)
    assert len(claim.terms) == {"id": 1, "ood": 4}[split] + (contrast.minus_split is not None)
    spreads = Assumptions(0.1, 0.6, "made up")
    error = 0.6 * math.sqrt(terms / 16)
    support, refute = powers(claim, seeds, 16, 0.3, spreads, tests=3)
    assert support == pytest.approx(power(0.3, 0.1, error, seeds, 0.2, 0.05 / 3, freedom))
    assert refute == pytest.approx(power(0.2, 0.1, error, seeds, 0.0, 0.05, freedom))
    assert powers(claim, seeds, 16, 0.3, spreads)[0] > support


@pytest.mark.parametrize("spreads", [(-0.1, 0.5), (0.1, -0.5), (math.nan, 0.5), (0.1, math.nan)])
def test_a_spread_is_a_number_of_zero_or_more(spreads: tuple[float, float]) -> None:
    with pytest.raises(SettingError, match=f"standard deviations of {spreads[0]} and {spreads[1]}"):
        Assumptions(*spreads, "made up")
    assert Assumptions(0.0, 0.0, "made up").sd_examples == 0.0


def test_a_pilot_of_one_seed_leaves_the_spread_between_seeds_assumed() -> None:
    values = [0.1, 0.5, 0.3, 0.9, 0.8, 0.4]
    two = paired_effect(values, [0] * 3 + [1] * 3, range(6))
    assert Assumptions.of_pilot(two) == Assumptions(
        two.sd_seeds, two.sd_examples, "a pilot of 2 seeds"
    )
    one = paired_effect(values, [0] * 6, range(6))
    assert Assumptions.of_pilot(one) == Assumptions(
        ASSUMED.sd_seeds,
        np.std(values, ddof=1),
        "a pilot of 1 seed; the spread between seeds is assumed, because one seed cannot show it",
    )
