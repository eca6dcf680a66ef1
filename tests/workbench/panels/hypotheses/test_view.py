"""What the hypotheses panel shows: the drawing of the report, painted, and a study's word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from matplotlib.colors import to_hex

from latent_core.hypotheses.report.drawing import PALETTES
from latent_core.hypotheses.report.figures import EffectRow, effects
from latent_core.hypotheses.studies.carrier import DONOR, DROPPED, NOISE
from latent_core.hypotheses.studies.table import load_study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.verdict import judge
from tests.hypotheses.made_up import effect, evidence
from workbench.panels.hypotheses.view import outcome_html, painted, verdict_html
from workbench.panels.hypotheses.work import Result

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
