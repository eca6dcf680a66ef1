"""Scripts that are run by hand: what benchmarks import is there, and what two experiments count."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import mixed_model, rate_ranks
from experiments.mixed_model import GAINS, differences, mixed, ours
from experiments.rate_ranks import EXAMPLES, METHODS, RATES, RESULTS, STEPS, key

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    assert callable(runpy.run_path(str(path))["main"])


def test_the_benchmark_of_many_runs_makes_and_reads_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = [path for path in BENCHMARKS if path.stem == "run_store"]
    sizes = ["--runs", "14", "--records", "12", "--tries", "1", "--only", "compare", "load"]
    monkeypatch.setattr(sys, "argv", [path.name, *sizes])
    runpy.run_path(str(path), run_name="__main__")
    told = capsys.readouterr().out
    assert "(14 runs, " in told and "latent compare: " in told and "packed runs" in told


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
    assert mixed_model.table() in page.read_text()


def test_the_page_has_the_table_of_what_was_measured() -> None:
    found = json.loads(RESULTS.read_text())
    assert len(found) == len(METHODS) * len(RATES) * len(STEPS)
    page = Path(__file__).parents[2] / "docs" / "methods.md"
    assert rate_ranks.table(found) in page.read_text()


def test_a_trial_that_ranks_the_rates_the_other_way_round_costs_something() -> None:
    whole = {rate: 0.1 * (1 + place) for place, rate in enumerate(RATES)}
    worst = dict(zip(RATES, reversed(whole.values()), strict=True))
    found = {
        key(method, rate, steps): [(worst if steps == STEPS[0] else whole)[rate]] * len(EXAMPLES)
        for method in METHODS
        for rate in RATES
        for steps in STEPS
    }
    first, second = rate_ranks.table(found).splitlines()[2:4]
    regret = max(whole.values()) - min(whole.values())
    assert f"-1.00 (least -1.00); {regret:.3f}" in first
    assert "1.00 (least 1.00); 0.000" in second and "-1.00" not in second


@pytest.mark.slow
def test_a_training_is_judged_on_validation_examples() -> None:
    import latent_core as lc
    from experiments.rate_ranks import losses_of

    losses = losses_of("Start_2", 0.03, 2, lc.load_task("summation"))
    assert len(losses) == len(EXAMPLES) and all(0 < loss < 5 for loss in losses)
