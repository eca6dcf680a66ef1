"""Examples and records of a comparison: one row per example, with scores averaged over seeds."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core.tasks.base import Example
from latent_core.tasks.table import load_task
from tests.workbench.panels.comparison.made_runs import METHODS, make_runs, records
from workbench.panels.comparison.examples import record_rows, recorded_example
from workbench.panels.comparison.panel import ComparisonPanel
from workbench.session import Session


def test_a_record_whose_task_draws_another_example_is_not_opened() -> None:
    task = load_task("repetition")
    example = task.examples("id", 4, 1)[3]
    record = pd.Series(
        {"split": "id", "level": example.level, "example": 3, "key": example.key}
        | {"response": "", "exact": False, "graded": 0.0, "seed": 0}
    )
    assert recorded_example(record, task).example == example
    other = recorded_example(pd.Series(record.to_dict() | {"key": "1+1=2"}), task)
    assert other.example is None
    assert not other.row()["opens"]
    typed = Example("p", "a", "id", 1, "k")
    kept = pd.Series(record.to_dict() | dataclasses.asdict(typed))
    assert recorded_example(kept, None).example == typed


def test_an_example_has_the_mean_score_of_each_method_and_none_where_it_is_missing() -> None:
    one = records("tiny", "repetition", (1.0, 0.5)).assign(method="one", seed=0)
    again = records("tiny", "repetition", (0.0, 0.5)).assign(method="one", seed=1)
    other = records("tiny", "repetition", (0.5, 0.5)).assign(method="other", seed=0)
    frame = pd.concat([one, again, other.query("split == 'id'")])
    first, scores = record_rows(frame, ["other", "one"], "graded")
    assert len(first) == len(scores) == 36
    table = first[["split", "example"]].assign(
        other=[s[0] for s in scores], one=[s[1] for s in scores]
    )
    assert set(table.query("split == 'id'")["one"]) == {0.5}, "over two seeds"
    assert (
        table.query("split == 'id'").sort_values("example")["other"].tolist()
        == [1.0] * 6 + [0.0] * 6
    )
    assert table.query("split == 'ood-6'")["other"].isna().all()


def test_records_are_listed_and_a_row_opens_in_the_playground(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_runs(tmp_path))
    panel = ComparisonPanel(Session("tiny"))
    panel.sources.find()
    panel.sources.boxes.children[0].value = False
    wait = lambda: [panel.session.jobs.run("wait", lambda: None) for _ in range(3)]  # noqa: E731
    wait()
    panel.list_button.click()
    wait()
    assert panel.errors == []
    rows, methods = panel.records.view.rows, panel.records.view.methods
    assert set(methods) == set(METHODS) and len(rows) == 36
    start, slow = methods.index("Start_2"), methods.index("8_1")
    better = [row for row in rows if row["scores"][start] == 1.0 and row["scores"][slow] == 0.0]
    assert len(better) == 6 + 2 * 6, "half of ID, and half of each OOD split"
    number = rows.index(better[-1])
    panel.records.view.opened = {"index": number, "presses": 1}
    example = panel.session.example
    assert example is not None and " ".join(example.prompt.split()) == better[-1]["about"][2]
    assert panel.session.panel == "playground"
    assert lc.load_task("repetition").score(example, example.answer).exact
