"""Plans: their numbers, the lines in which they are said, and the time that tests really take."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.evaluation import timing
from latent_core.hypotheses import costs, lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.plan import Plan, Plans, make_plan, power_table
from latent_core.hypotheses.power import Assumptions, powers
from latent_core.hypotheses.sources import source_of
from latent_core.runs.shipped import SHIPPED
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
