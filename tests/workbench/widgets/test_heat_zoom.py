"""Zoom of a long heat map, by keys, buttons and a rectangle, in a browser without a kernel."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.workbench.widgets.test_token_strip import MODEL
from workbench.pictures.heat_map import Axis, HeatMap
from workbench.widgets.heat_grid import SCRIPTS, STATIC, HeatGrid
from workbench.widgets.scripts import EXPORT, joined

pytestmark = pytest.mark.slow
ROWS, COLUMNS = 40, 300
STRONGEST = (31, 222)


def long_map() -> HeatMap:
    values = np.zeros((ROWS, COLUMNS), np.float32)
    values[STRONGEST] = 1.0
    rows, columns = (
        Axis(name, [f"{name}{n}" for n in range(count)])
        for name, count in (("key", ROWS), ("query", COLUMNS))
    )
    return HeatMap(values, rows, columns, "long", "weight")


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Any]:
    from tests.browser import chromium_browser

    script = joined(*SCRIPTS).replace(EXPORT, "window.render = render;")
    with chromium_browser(chromium) as browser:
        page = browser.new_page(viewport={"width": 900, "height": 800})
        page.set_content("<div id=here style='width:800px'></div>")
        page.add_style_tag(content=(STATIC / "heat_grid.css").read_text())
        page.add_script_tag(content=MODEL)
        page.add_script_tag(content=script, type="module")
        page.wait_for_function("window.render !== undefined")
        yield page


@pytest.fixture
def grid(page: Any) -> Any:
    """A long map, drawn; gives the element with its keys."""
    made = HeatGrid(picks=True)
    made.show(long_map())
    state = {name: getattr(made, name) for name in made.keys if not name.startswith("_")}
    values = list(state["map"].pop("values"))
    page.evaluate(
        """([state, values]) => {
          const here = document.getElementById("here");
          here.replaceChildren();
          state.map.values = new DataView(Uint8Array.from(values).buffer);
          window.model = makeModel(state);
          render({ model, el: here });
        }""",
        [json.loads(json.dumps(state, default=str)), values],
    )
    body = page.locator(".latent-grid-body[data-draws]")
    expect(body).to_be_visible()
    return body


def said(page: Any) -> str:
    text: str = page.locator(".latent-grid-said").inner_text()
    return text


def test_zooming_in_shows_the_strongest_cell_with_its_label(grid: Any, page: Any) -> None:
    button = page.get_by_role("button", name="Zoom in")
    expect(button).to_be_visible()
    expect(page.get_by_role("button", name="Zoom out")).to_be_disabled()
    for _ in range(5):
        button.click()
    low, high, first, last = (int(n) for n in said(page).replace(",", "").split() if n.isdigit())
    assert low <= STRONGEST[0] + 1 <= high and first <= STRONGEST[1] + 1 <= last
    assert last - first < 15 and high - low < 15
    page.get_by_role("button", name="Show whole map").click()
    assert said(page) == f"rows 1 to {ROWS}, columns 1 to {COLUMNS}"


def test_keys_zoom_at_the_cursor_and_move_the_part_in_view(grid: Any, page: Any) -> None:
    grid.focus()
    grid.press("Control+Home")
    for _ in range(5):
        grid.press("+")
    for _ in range(40):
        grid.press("ArrowRight")
    assert page.evaluate("model.get('hovered')") == [0, 40]
    assert "query 40: query40" in page.locator(".latent-grid-tip").inner_text()
    grid.press("Enter")
    assert page.evaluate("model.get('selected')") == [0, 40]
    grid.press("0")
    assert page.evaluate("model.get('hovered')") == [0, 40], "the cursor stays on its cell"


def test_a_rectangle_is_enlarged_and_a_click_chooses_in_it(grid: Any, page: Any) -> None:
    box = page.locator(".latent-grid-body canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 60, box["y"] + box["height"] - 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] - 50, steps=4)
    page.mouse.up()
    assert page.evaluate("model.get('selected')") == [-1, -1], "a rectangle chooses no cell"
    expect(page.get_by_role("button", name="Zoom out")).to_be_enabled()
    body = page.locator(".latent-grid-body canvas").first.bounding_box()
    page.mouse.click(body["x"] + body["width"] - 5, body["y"] + body["height"] - 5)
    row, column = page.evaluate("model.get('selected')")
    assert row > 20 and column > 260


def test_a_short_map_offers_no_zoom(page: Any, grid: Any) -> None:
    page.evaluate(
        """() => {
          const values = new DataView(new Float32Array([1, 2]).buffer);
          const map = { ...model.get("map"), values };
          map.row_labels = ["a"]; map.row_numbers = [0];
          map.column_labels = ["b", "c"]; map.column_numbers = [0, 1];
          model.set("map", map);
        }"""
    )
    expect(page.locator(".latent-grid-body")).to_have_attribute("aria-label", re.compile("1 key"))
    expect(page.get_by_role("button", name="Zoom in")).to_be_hidden()


@pytest.mark.parametrize(
    ("cell", "number", "letters"),
    [(30, -0.25, {10}), (21, -0.25, {8, 9}), (21, 0.25, {10}), (10, 0.25, set())],
)
def test_numbers_in_cells_shrink_until_they_fit_or_are_left_out(
    page: Any, grid: Any, cell: int, number: float, letters: set[int]
) -> None:
    shown = page.evaluate(
        """([cell, number]) => new Promise((done) => {
          const drawn = [];
          const draw = CanvasRenderingContext2D.prototype.fillText;
          CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
            const wide = this.measureText(text).width;
            if (text.includes(".")) drawn.push([parseFloat(this.font), wide]);
            draw.call(this, text, x, y);
          };
          const values = new DataView(new Float32Array(20).fill(number).buffer);
          const map = { ...model.get("map"), values, low: -1, high: 1 };
          map.row_labels = ["a"]; map.row_numbers = [0];
          map.column_numbers = [...Array(20).keys()];
          map.column_labels = map.column_numbers.map(String);
          model.set("cell_width", cell);
          model.set("map", map);
          setTimeout(() => {
            CanvasRenderingContext2D.prototype.fillText = draw;
            done(drawn);
          }, 300);
        })""",
        [cell, number],
    )
    assert bool(shown) == bool(letters) and {px for px, _ in shown} <= letters
    assert all(wide < cell - 2 for _, wide in shown)
