"""The choice of learning rate and steps: the rule, the account of it, and its limits."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from latent_core.grids.run import run_grid
from latent_core.grids.search import settled
from latent_core.runs import folder as runs
from latent_core.runs.evaluation_file import write_records
from tests.grids.engine import SEARCH, Here, done, grid


def test_rule_and_choice_are_in_the_run_and_its_records(searched) -> None:
    root, asked, _ = searched
    spec = asked.specs()[1]
    run = runs.read_run(root / spec.folder)
    search = run["notes"]["search"]
    assert "validation" in search["rule"] and len(search["trials"]) == 2
    best = min(
        search["trials"], key=lambda t: (-t["graded"], t["loss"], t["steps"], t["learning_rate"])
    )
    assert search["chosen"] == {"learning_rate": best["learning_rate"], "steps": 2}
    assert run["settings"]["learning_rate"] == best["learning_rate"]
    attrs = pd.read_parquet(root / spec.folder / "records.parquet").attrs
    assert attrs["run"]["notes"]["search"] == search
    for split in ("id", "ood-6"):
        asked = attrs["evaluation"]["splits"][split]
        assert (asked["examples"], asked["seed"]) == (2, 1)


@pytest.mark.parametrize(
    ("results", "chosen"),
    [
        ({0.01: (0.5, 1.0), 0.1: (0.4, 0.1)}, 0.01),
        ({0.01: (0.5, 1.0), 0.1: (0.5, 0.9)}, 0.1),
        ({0.01: (0.5, 1.0), 0.1: (0.5, 1.0)}, 0.01),
        ({0.01: "diverged", 0.1: (0.0, 9.0)}, 0.1),
    ],
)
def test_the_best_on_validation_is_chosen(finished, results, chosen) -> None:
    from latent_core.grids.search import choose

    root, asked = finished
    spec = asked.specs()[1]
    for trial in spec.trials():
        folder, result = root / trial.folder, results[trial.training.learning_rate]
        run = runs.read_run(folder)
        if isinstance(result, str):
            run |= {"status": "failed", "error": result}
        else:
            run["loss"] = result[1]
            frame = pd.read_parquet(folder / "records.parquet").assign(graded=result[0])
            write_records(folder, frame)
        (folder / "run.json").write_text(json.dumps(run))
    training, account = choose(spec, root)
    assert training.learning_rate == chosen and training.steps == 2
    assert [("error" in t) for t in account["trials"]] == [isinstance(results[0.01], str), False]


def test_seeds_of_a_method_keep_to_one_choice(finished) -> None:
    """Also where a trial that is tried again would now win."""
    root, asked = finished
    first, second = asked.specs()[1:]
    kept = runs.read_run(root / first.folder)["notes"]["search"]
    for trial in first.trials():
        if trial.training.learning_rate != kept["chosen"]["learning_rate"]:
            frame = pd.read_parquet(root / trial.folder / "records.parquet").assign(graded=2.0)
            write_records(root / trial.folder, frame)
    shutil.rmtree(root / second.folder)
    other = grid(search=SEARCH, methods=["Start_2"], training={"steps": 2, "batch_size": 3})
    assert done(run_grid(asked, root, Here())) == [("Start_2", 1, "finished")]
    found = runs.read_run(root / second.folder)
    assert found["notes"]["search"] == kept
    assert found["settings"]["learning_rate"] == kept["chosen"]["learning_rate"]
    assert settled(other.specs()[0], root) is None, "with other settings it is another run"
    training, account = settled(replace(first, seed=7), root)
    assert training.learning_rate == kept["chosen"]["learning_rate"] and account == kept
    (root / first.folder / "run.json").write_text("{")
    shutil.rmtree(root / second.folder)
    assert settled(first, root) is None


def test_where_every_trial_fails_so_do_the_runs_and_say_why(tmp_path: Path) -> None:
    asked = grid(search=SEARCH, methods=["Start_2"], seeds=1, training={"arguments": {"foo": 1}})
    outcomes = run_grid(asked, tmp_path, Here())
    assert [o.status for o in outcomes] == ["failed"] * 3
    assert "every trial of the search for Start_2 on repetition failed" in outcomes[-1].error
    assert "foo" in outcomes[-1].error
