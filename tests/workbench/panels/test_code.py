"""The code that a panel copies runs in a new script, from any folder, with the panel's numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.forked import run_python
from workbench.panels.attention.panel import AttentionPanel
from workbench.panels.base import Panel
from workbench.panels.comparison.panel import ComparisonPanel
from workbench.panels.hypotheses.panel import HypothesesPanel
from workbench.panels.playground.panel import Playground
from workbench.panels.training.panel import TrainingPanel
from workbench.session import Session

pytestmark = pytest.mark.slow


def ended(panel: Panel) -> None:
    """Wait until no job of the session is left; the end of one may start another."""
    for _ in range(4):
        panel.session.jobs.run("wait", lambda: None)
    assert panel.errors == []


def playground(session: Session) -> tuple[Panel, str, list[float]]:
    panel = Playground(session)
    session.intervention = "drop(Comma, after=1)"
    panel.prepare()
    ended(panel)
    scores = [answer.score for answer in panel.answers.values()]
    assert len(scores) == 4 and panel.answers["B", "changed"].intervention == "none"
    return panel, "[score.graded for score in scores.values()]", [s.graded for s in scores if s]


def attention(session: Session) -> tuple[Panel, str, list[float]]:
    panel = AttentionPanel(session)
    panel.prepare()
    values = panel.view().head(panel.chooser.cell).values
    values = values[np.isfinite(values)]
    numbers = [float(values.sum()), float(values.max())]
    return panel, "[float(shown.sum()), float(shown.max())]", numbers


def comparison(session: Session) -> tuple[Panel, str, list[float]]:
    panel = ComparisonPanel(session)
    session.intervention = "scale(Comma, 0)"
    panel.sources.find()
    panel.sources.boxes.children[0].value = False  # what ships takes long to read
    ended(panel)
    panel.evaluating.count.value = 2
    panel.evaluate()
    ended(panel)
    ended(panel)
    table = panel.table().query("view == 'curve'")
    assert table["method"].nunique() == 3, "A with and without, B without"
    return panel, "points['mean'].tolist()", table["mean"].tolist()


def hypotheses(session: Session) -> tuple[Panel, str, list[float]]:
    panel = HypothesesPanel(session)
    panel.claim.study.value, panel.source.source.value = "prediction", "train"
    panel.source.steps.value, panel.source.examples.value = 2, 3
    panel.plan()
    ended(panel)
    panel.run()
    ended(panel)
    assert panel.result is not None
    means = [verdict.effect.mean for verdict in panel.result.parts.values()]
    return panel, "[v.effect.mean for v in verdict.parts.values()]", means


def training(session: Session) -> tuple[Panel, str, list[float]]:
    panel = TrainingPanel(session)
    panel.steps.value, panel.batch_size.value, panel.check_every.value = 3, 2, 0
    panel.begin()
    ended(panel)
    assert panel.run is not None
    return panel, "result.log['loss'].tolist()", [loss for _, loss in panel.run.losses]


@pytest.mark.parametrize("make", [playground, attention, comparison, hypotheses, training])
def test_copied_code_reproduces_the_panel_from_another_folder(
    make: Callable[[Session], tuple[Panel, str, list[float]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.chdir(here)
    session = Session("tiny", ["Comma_2", "Start_6"])
    session.draw("id", level=2)
    panel, expression, wanted = make(session)
    code = f"{panel.code()}\nimport json\nprint('FOUND', json.dumps({expression}))\n"
    lines = run_python(there, code).splitlines()
    (found,) = [line for line in lines if line.startswith("FOUND")]
    assert json.loads(found.removeprefix("FOUND")) == pytest.approx(wanted, abs=1e-6)
