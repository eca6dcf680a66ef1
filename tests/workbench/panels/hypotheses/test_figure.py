"""The panel's picture of effects: the drawing of the report, painted."""

from __future__ import annotations

from matplotlib.colors import to_hex

from latent_core.hypotheses.report.drawing import PALETTES
from latent_core.hypotheses.report.figures import EffectRow, effects
from workbench.panels.hypotheses.figure import painted

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
