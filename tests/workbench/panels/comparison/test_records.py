"""The records across methods: one row per example, its scores averaged over seeds."""

from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from tests.workbench.panels.comparison.made_runs import METHODS, make_runs, records
from workbench.panels.comparison.panel import ComparisonPanel
from workbench.panels.comparison.records import record_rows
from workbench.session import Session


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
