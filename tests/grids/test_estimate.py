"""The cost of a grid: counted, timed, and corrected while it runs."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.evaluation import timing
from latent_core.grids import estimate
from latent_core.grids.estimate import TimeLeft, estimate_grid
from latent_core.grids.run import plan_grid
from latent_core.runs.evaluation_file import write_records
from tests.grids.engine import SEARCH, WORDS, grid


def test_costs_are_counted_and_timed(finished) -> None:
    root, asked = finished
    plan = plan_grid(asked, root)
    assert plan.todo(False) == ([], [])
    ready = [spec for spec, state in plan.runs if state == "finished"]
    longer = grid(search=SEARCH, methods=["Start_2"], training={"steps": 20, "batch_size": 2})
    end = grid(methods=["End_1"], seeds=1)
    estimates = estimate_grid([*longer.specs(), *end.specs()], ready, root)
    assert estimates[0].cost.train_slots == pytest.approx(
        10 * estimate_grid(ready[1:2], ready, root)[0].cost.train_slots, rel=0.01
    )
    assert estimates[0].basis == "2 finished runs of this method"
    assert estimates[-1].basis == "3 finished runs of this task"
    records = pd.read_parquet(root / ready[1].folder / "records.parquet")
    other = records[records["split"] == "id"].assign(split="validation", seconds=1e6)
    write_records(root / ready[1].folder, other)  # which the grid did not ask
    again = estimate_grid(longer.specs(), ready, root)
    assert again[0].seconds == pytest.approx(estimates[0].seconds)
    (fresh,) = estimate_grid(end.specs(), [], root)
    assert fresh.basis == "a sample of repetition on this machine" and 0 < fresh.seconds < 600
    task = lc.load_task("repetition")
    sample = task.examples("train", 16, 0)
    slots = sum(len(e.prompt) + len(e.answer) + 1 + 1 for e in sample) / 16  # end token, End.0
    assert fresh.cost.train_slots == round(4 * slots)


def test_a_trial_promises_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = grid(search=SEARCH, methods=["Start_2"], seeds=1).specs()  # 4 trained on, 4 answered
    first, second = run.trials()  # 2 and 2 of each
    clock = iter((100.0, 106.0, 112.0, 130.0))
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    left = TimeLeft([first, second, run])
    found = [left.after(spec) for spec in (first, second, run)]
    assert found == pytest.approx([18.0, 12.0, 0.0])


def test_a_dry_run_shows_every_method_and_what_is_to_do(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({**WORDS, "search": SEARCH}))
    command = ["grid", str(tmp_path / "grid.yaml"), "--dry-run", "--out", str(tmp_path / "runs")]
    said = CliRunner().invoke(app, command, env={"COLUMNS": "80"}).output
    rows = {line.split()[0]: line.split()[1:6] for line in said.splitlines() if line.strip()}
    assert rows["zero-shot"] == ["1", "0", "0", "1", "0"]
    assert rows["Start_2"] == rows["End_1"] == ["2", "0", "0", "2", "2"]
    assert "5 runs and 4 trials to do" in said
    assert not (tmp_path / "runs").exists()


def test_passes_of_computed_latents_and_of_unsure_ones_are_counted(
    finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "FEW", 1)
    root, known = finished
    ready = [spec for spec, _ in plan_grid(known, root).runs]  # so that nothing is timed
    methods = ["Start_2", "Start_2+End_3=hidden", "Start_2+Unsure[1]_1"]  # which is never sure
    asked = grid(methods=methods, seeds=1, evaluation={"splits": ["id"], "examples": 2}).specs()
    plain, computed, unsure = (found.cost for found in estimate_grid(asked, ready, root))
    assert computed.decode_steps == plain.decode_steps + 3
    (example,) = lc.load_task("repetition").examples("id", 1, 0)
    tokens = len(example.answer) + 1  # its end
    assert unsure.decode_steps == 2 * tokens
    assert unsure.eval_slots == 2 * (2 + len(example.prompt) + 2 * tokens)
    (example,) = lc.load_task("repetition").examples("train", 1, 0)
    tokens = len(example.answer) + 1
    slots = 2 + len(example.prompt) + 2 * tokens
    assert unsure.train_slots == round(4 * slots * (1 + (tokens + 1) / 3))  # a pass to find each
