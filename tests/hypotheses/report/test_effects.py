"""The layout of effects: what lies where, and what is said of it."""

from __future__ import annotations

import pytest

from latent_core.hypotheses.report.figures import EffectRow, effects

ROWS = [
    EffectRow("a gain", 0.3, 0.2, 0.4, 0.1, "supported", "strongly supported", "5 seeds"),
    EffectRow("a loss whose name is too long for one line of the figure", 0.1, -0.1, 0.3, -0.2,
              "refuted", "refuted"),
    EffectRow("with random latents", 0.0, -0.05, 0.05),
]  # fmt: skip


def test_marks_lie_in_the_order_of_their_values_and_tell_outcomes_apart() -> None:
    marks = effects(ROWS, "difference").marks
    assert marks[2].x < marks[1].x < marks[0].x
    assert marks[0].y < marks[1].y < marks[2].y
    assert len({(mark.symbol, mark.hollow) for mark in marks}) == 3


def test_the_region_that_a_claim_has_to_reach_ends_at_the_edge_of_the_axis() -> None:
    drawing = effects(ROWS, "difference")
    (zero,) = [line.x1 for line in drawing.lines if line.style == "ink"]
    up, down = drawing.boxes  # the control has none
    assert up.x > zero > down.x + down.width
    (right,) = {up.x + up.width}
    assert right == pytest.approx(max(line.x1 for line in drawing.lines if line.style == "grid"))
    assert down.x == pytest.approx(min(line.x1 for line in drawing.lines if line.style == "grid"))


def test_a_long_name_takes_two_lines_and_nothing_leaves_the_drawing() -> None:
    drawing = effects(ROWS, "difference")
    texts = [label.text for label in drawing.labels]
    assert "a loss whose name is too long for" in texts and "one line of the figure" in texts
    for mark in drawing.marks:
        assert 0 < mark.x < drawing.width and 0 < mark.y < drawing.height


def test_each_row_says_its_numbers_its_verdict_and_what_it_rests_on() -> None:
    first, _, control = (tip.text for tip in effects(ROWS, "difference").tips)
    assert first == "a gain: +0.300 [+0.200, +0.400]; strongly supported; 5 seeds"
    assert control == "with random latents: +0.000 [-0.050, +0.050]"


@pytest.mark.parametrize(("count", "shown"), [(1, True), (2, False)])
def test_the_smallest_effect_is_named_where_there_is_but_one(count: int, shown: bool) -> None:
    texts = [label.text for label in effects(ROWS[:count], "difference").labels]
    assert ("smallest effect +0.1" in texts) is shown
