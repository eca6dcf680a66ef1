"""Drawings as SVG: every shape is there, text stays text, colours are the page's."""

from __future__ import annotations

import re
from xml.etree import ElementTree

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
