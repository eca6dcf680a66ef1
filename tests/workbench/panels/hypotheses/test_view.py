"""What the hypotheses panel shows: a study's word, effects, and the examples of a verdict.

The effects are the drawing of the report, painted. The examples are those with the largest
differences, as the task draws them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.colors import to_hex

import latent_core as lc
from latent_core.hypotheses.report.drawing import PALETTES
from latent_core.hypotheses.report.figures import EffectRow, effects
from latent_core.hypotheses.studies.carrier import DONOR, DROPPED, NOISE
from latent_core.hypotheses.studies.table import load_study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.verdict import judge
from tests.hypotheses.made_up import effect, evidence
from workbench.panels.hypotheses.examples import examples_of
from workbench.panels.hypotheses.panel import HypothesesPanel
from workbench.panels.hypotheses.view import outcome_html, painted, verdict_html
from workbench.panels.hypotheses.work import Result
from workbench.session import Session

ROWS = [
    EffectRow("a gain", 0.3, 0.2, 0.4, 0.1, "supported", "supported"),
    EffectRow("a guess", 0.1, -0.1, 0.3, 0.1, "inconclusive", "inconclusive"),
    EffectRow("with random latents", 0.0, -0.05, 0.05),
]


def test_every_shape_of_the_drawing_is_painted_at_its_place() -> None:
    drawing = effects(ROWS, "difference in graded score")
    figure = painted(drawing, "a title")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [label.text for label in drawing.labels]
    assert len(axes.lines) == len(drawing.lines) + len(drawing.marks)
    marks = axes.lines[len(drawing.lines) :]
    for mark, shape in zip(marks, drawing.marks, strict=True):
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (shape.x, shape.y)
        assert to_hex(mark.get_color()) == PALETTES["light"][shape.style]
    assert marks[1].get_markerfacecolor() == PALETTES["light"]["paper"]  # hollow
    assert len(axes.collections) == len(drawing.boxes)
    low, high = axes.get_ylim()
    assert low > high  # y grows downward
    assert figure.get_suptitle() == "a title"


def test_a_study_shows_its_word_and_no_rule_of_other_studies() -> None:
    harm = judge(evidence(effect(0.3, 0.4, 0.5)), 0.01)
    none = judge(replace(evidence(effect(-0.1, 0.0, 0.1)), p_short=0.001), 1.0)
    assert (harm.outcome, none.outcome) == ("supported", "refuted")
    parts = {DROPPED: harm, NOISE: harm, DONOR: none}
    verdict = StudyVerdict(load_study("carry"), parts, {})
    planned = SimpleNamespace(asked=SimpleNamespace(title="What do latents carry?", name=""))
    result = Result(planned, verdict, Path())  # type: ignore[arg-type]
    shown = outcome_html(result)
    assert "MARK" in shown and "REFUTED" not in shown
    table = verdict_html(result)
    assert "The word follows from the verdicts of the parts by a fixed rule." in table
    assert "the model needs them, and states of another example do as well" in table
    assert "A study is supported if every part" not in table


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HypothesesPanel:
    """A panel that has tested an intervention on an untrained model, on another task."""
    monkeypatch.chdir(tmp_path)
    session = Session(lc.load_backbone("tiny"))
    panel = HypothesesPanel(session)
    model = lc.LatentModel(session.backbone, "Start_1+Comma_1")
    change = lc.Contrast("drop(Comma, after=1)")
    claim = lc.Hypothesis("it matters", "summation", change, "less", 0.1, "id", controls=())
    verdict = lc.lab.run(claim, model, lc.lab.plan(claim, 1, 6), tmp_path / "lab", progress=False)
    panel.examples.show({"it matters": verdict})
    return panel


def test_the_largest_differences_come_first_with_their_examples(panel: HypothesesPanel) -> None:
    verdict = panel.examples._parts["it matters"]
    found = examples_of(verdict, most=4)
    sizes = [abs(one.record["difference"]) for one in found]
    assert len(found) == 4 and sizes == sorted(sizes, reverse=True)
    drawn = lc.load_task("summation").examples("id", 6, seed=1000)
    for one in found:
        assert one.example == drawn[one.record["example"]]
        assert f"{one.record['difference']:+.2f}" in one.row()["about"]
        assert one.row()["opens"]
    assert panel.examples.layout.display == "" and len(panel.examples.view.rows) == 6


def test_an_example_opens_under_the_intervention_of_its_part(panel: HypothesesPanel) -> None:
    session = panel.session
    assert session.task.name != "summation"
    panel.examples.view.opened = {"index": 2, "presses": 1}
    assert panel.errors == []
    assert session.task.name == "summation"
    assert session.example == panel.examples.found[2].example
    assert str(session.intervention) == "drop(Comma, after=1)" and session.panel == "playground"
    panel.examples.look.click()
    assert session.panel == "attention"


def test_without_a_verdict_nothing_is_listed(panel: HypothesesPanel) -> None:
    panel.examples.show({})
    assert panel.examples.layout.display == "none" and panel.examples.view.rows == []
