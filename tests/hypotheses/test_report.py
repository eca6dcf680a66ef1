"""The report: every shape is drawn in its place, text stays text, colours are the page's."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pandas as pd
import pytest

from latent_core.hypotheses import lab
from latent_core.hypotheses.report.drawing import (
    PALETTES,
    STYLE,
    Box,
    Drawing,
    Label,
    Line,
    Mark,
    Tip,
    svg,
)
from latent_core.hypotheses.report.figures import EffectRow, effects, ticks
from tests.hypotheses.made_up import MIXED, records, verdict_of

SPACE = "{http://www.w3.org/2000/svg}"
DRAWING = Drawing(
    200,
    100,
    'a "caption" <b>',
    [Box(1, 2, 30, 40)],
    [Line(0, 0, 10.06, 20, "edge")],
    [Mark(5, 6, 4, "refuted", "cross"), Mark(7, 8, 4, "inconclusive", "diamond", hollow=True)],
    [Label(1, 2, "<script>alert(1)</script>…", "soft", "end", full="<script>all of it")],
    [Tip(0, 0, 200, 44, "a & b")],
)


def parsed() -> ElementTree.Element:
    return ElementTree.fromstring(
        str(svg(DRAWING)).replace("<svg ", f'<svg xmlns="{SPACE[1:-1]}" ')
    )


def test_every_shape_of_a_drawing_is_in_its_svg() -> None:
    root = parsed()
    assert root.get("viewBox") == "0 0 200 100" and root.get("role") == "img"
    (line,) = root.iter(f"{SPACE}line")
    assert (line.get("class"), line.get("x2"), line.get("y2")) == ("edge", "10.1", "20")
    marks = [group.get("class") for group in root.iter(f"{SPACE}g")]
    assert marks == ["mark refuted", "mark inconclusive hollow"]
    assert [rect.get("class") for rect in root.iter(f"{SPACE}rect")] == ["reach", "tip"]


def test_text_in_a_drawing_stays_text() -> None:
    root = parsed()
    assert root.get("aria-label") == DRAWING.caption
    (text,) = root.iter(f"{SPACE}text")
    assert "".join(text.itertext()) == "<script>all of it<script>alert(1)</script>…"
    assert not list(root.iter(f"{SPACE}script"))


def test_what_the_pointer_shows_is_read_out_too() -> None:
    root = parsed()
    assert "a & b" in (root.findtext(f"{SPACE}desc") or "")
    titles = [title.text for title in root.iter(f"{SPACE}title")]
    assert "a & b" in titles


def test_the_style_sheet_uses_colours_that_every_palette_has() -> None:
    used = set(re.findall(r"var\(--([a-z]+)\)", STYLE)) - {"mark"}
    for name, palette in PALETTES.items():
        assert used <= set(palette), name


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


def test_axis_ticks_are_round_and_span() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-0.03, 0.21) == [-0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25]
    assert ticks(0.0, 0.0)[-1] > 0


def test_a_report_shows_text_as_text(gain, tmp_path) -> None:
    hostile = replace(gain, claim="</style><script>alert(1)</script>")
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    page = lab.report(verdict_of(hostile, table, tmp_path), tmp_path / "r.html").read_text()
    assert "<script" not in page and page.count("</style>") == 1
