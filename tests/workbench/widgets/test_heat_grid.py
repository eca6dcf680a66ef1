"""Heat maps in the browser: what is told and zoomed, live and in a page without a kernel."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from comm import DummyComm
from matplotlib.colors import to_rgba
from playwright.sync_api import expect

import latent_core as lc
from latent_core.errors import SettingError
from tests.workbench.widgets.test_token_strip import MODEL
from workbench import attention_heatmap, cell_heatmap
from workbench.pictures.heat_map import Axis, HeatMap, largest_of
from workbench.pictures.still import heat_figure
from workbench.templates import EXPORT, joined
from workbench.widgets.heat_grid import SCRIPTS, STATIC, HeatGrid

VALUES = np.array([[0.5, np.nan, -2.0], [1.0, 0.25, 0.0]], np.float32)
ROWS = Axis("query", ["a", "</script>"], ["", "Comma"], [4, 7])
COLUMNS = Axis("key", ["x", "y", "z"])


def test_numbers_travel_as_bytes_and_come_back_the_same() -> None:
    grid = HeatGrid()
    grid.show(HeatMap(VALUES.T.copy().T, ROWS, COLUMNS, "title", "weight"))  # not contiguous
    assert len(grid.map["values"]) == 4 * 6
    np.testing.assert_array_equal(np.frombuffer(grid.map["values"], "<f4"), VALUES.ravel())
    state = grid.get_state()["map"]
    assert state["row_labels"] == ["a", "</script>"]
    assert state["row_groups"] == ["", "Comma"]
    assert state["row_numbers"] == [4, 7]
    assert state["column_numbers"] == [0, 1, 2]


@pytest.mark.parametrize(("signed", "low"), [(False, 0.0), (True, -2.0)])
def test_only_signed_colours_go_below_zero(signed: bool, low: float) -> None:
    grid = HeatGrid()
    grid.show(HeatMap(VALUES, ROWS, COLUMNS, "", "weight", signed, largest_of(VALUES)))
    assert (grid.map["low"], grid.map["high"]) == (low, 2.0)


def test_another_map_takes_the_place_of_the_last_with_its_marks() -> None:
    grid = HeatGrid(picks=True)
    picked: list[tuple[int, int]] = []
    grid.on_pick(lambda row, column: picked.append((row, column)))
    grid.show(HeatMap(VALUES, ROWS, COLUMNS, "first", "weight", chosen=(1, 2)))
    grid.hovered = [0, 1]
    assert picked == [(1, 2)]
    grid.busy = True
    grid.show_nothing("choose an adapter")
    assert (grid.map["values"], grid.map["title"]) == (b"", "")
    assert grid.note == "choose an adapter"
    assert grid.selected == grid.hovered == [-1, -1]
    assert not grid.busy
    assert picked == [(1, 2)], "nothing is no cell"


def test_one_message_per_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were labels and numbers to come one after the other, the browser would draw nonsense."""
    grid = HeatGrid()
    grid.comm = DummyComm(
        target_name="jupyter.widget"
    )  # a kernel's own, without one, takes nothing
    sent: list[set[str]] = []

    def send(message: dict, buffers: object = None) -> None:
        sent.append({*message["state"], *(path[0] for path in message["buffer_paths"])})

    monkeypatch.setattr(grid, "_send", send)
    grid.show(HeatMap(VALUES, ROWS, COLUMNS, "first", "weight"))
    assert sent == [{"map"}]
    sent.clear()
    grid.busy = True
    sent.clear()
    grid.show(HeatMap(VALUES * 2, ROWS, COLUMNS, "second", "weight"), "a note")
    assert sent == [{"map", "note", "busy"}]


def test_a_map_that_does_not_fit_its_sides_is_refused() -> None:
    with pytest.raises(SettingError, match=r"shape \(3, 2\); expected \(2, 3\): 2 of 'query'"):
        HeatMap(VALUES.T, ROWS, COLUMNS, "", "weight")
    with pytest.raises(SettingError, match="query: 1 groups for 2 labels"):
        Axis("query", ["a", "b"], ["x"])


def test_the_end_of_the_scale_is_the_largest_size_of_all() -> None:
    assert largest_of(VALUES, np.array([1.5])) == 2.0
    assert largest_of(np.zeros(2)) == 1.0
    assert largest_of(np.full(2, np.nan)) == 1.0


@pytest.mark.parametrize("signed", [False, True])
def test_print_has_the_colours_and_the_scale_of_the_canvas(signed: bool) -> None:
    heat_map = HeatMap(VALUES, ROWS, COLUMNS, "first", "weight", signed, largest_of(VALUES))
    traits = heat_map.traits()
    image = heat_figure("", [heat_map]).axes[0].images[0]
    assert image.get_clim() == (traits["low"], traits["high"])
    shown = [image.cmap(share) for share in np.linspace(0, 1, len(traits["light"]))]
    wanted = [to_rgba(colour) for colour in traits["light"]]
    np.testing.assert_allclose(shown, wanted, atol=3 / 255)
    assert len(traits["light"]) == len(traits["dark"])


def test_print_says_the_numbers_and_what_hatches_mean() -> None:
    uncertain = np.array([[True, False, False], [False] * 3])
    heat_map = HeatMap(
        VALUES, ROWS, COLUMNS, "", "weight", True, largest_of(VALUES), uncertain=uncertain
    )
    figure = heat_figure("whole", [heat_map], "A note.")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [".50", "\u22122.0", "1.0", ".25", "0"]
    assert "A note. Hatched: the 95 % interval over examples holds zero." in {
        text.get_text() for text in figure.texts
    }
    plain = heat_figure("", [HeatMap(VALUES, ROWS, COLUMNS, "", "weight")], "A note.")
    assert "A note." in {text.get_text() for text in plain.texts}
    wide = np.ones((1, 300), np.float32)
    long = HeatMap(wide, Axis("a", ["x"]), Axis("b", ["y"] * 300), "", "weight")
    assert not heat_figure("", [long]).axes[0].texts, "cells are too small"


LONG_ROWS, LONG_COLUMNS = 40, 300
STRONGEST = (31, 222)


def long_map() -> HeatMap:
    values = np.zeros((LONG_ROWS, LONG_COLUMNS), np.float32)
    values[STRONGEST] = 1.0
    rows, columns = (
        Axis(name, [f"{name}{n}" for n in range(count)])
        for name, count in (("key", LONG_ROWS), ("query", LONG_COLUMNS))
    )
    return HeatMap(values, rows, columns, "long", "weight")


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    script = joined(*SCRIPTS).replace(EXPORT, "window.render = render;")
    page = browser.new_page(viewport={"width": 900, "height": 800})
    page.set_content("<div id=here style='width:800px'></div>")
    page.add_style_tag(content=(STATIC / "heat_grid.css").read_text())
    page.add_script_tag(content=MODEL)
    page.add_script_tag(content=script, type="module")
    page.wait_for_function("window.render !== undefined")
    return page


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


@pytest.mark.slow
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
    assert said(page) == f"rows 1 to {LONG_ROWS}, columns 1 to {LONG_COLUMNS}"


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


FRAME = pd.DataFrame(
    {
        "layer": [0, 0, 1, 1, 1],
        "group": ["Start", "Comma", "Start", "Comma", "Comma"],
        "effect": [-1.0, 0.5, 0.0, 2.0, 4.0],
    }
)


def test_cells_stand_where_the_frame_says_and_repeats_are_averaged() -> None:
    heat_map = cell_heatmap(FRAME, "layer", "group", "effect", "title", signed=True).heat_map
    assert list(heat_map.columns.labels) == ["0", "1"]
    assert list(heat_map.rows.labels) == ["Comma", "Start"]
    np.testing.assert_array_equal(heat_map.values, [[0.5, 3.0], [-1.0, 0.0]])
    assert (heat_map.low, heat_map.largest) == (-3.0, 3.0)
    with pytest.raises(SettingError, match="no column head; it has layer, group, effect"):
        cell_heatmap(FRAME, "head", "group", "effect", "title")


def test_one_head_of_a_record_has_its_weights_and_no_key_after_its_query() -> None:
    model = lc.LatentModel(lc.load_backbone("tiny"), "Start_1+Comma_1")
    record = lc.capture_attention(model, "Repeat 2 times: 1+1=2\n", "1+1=2,1+1=2")
    heat_map = attention_heatmap(record, 2, 1).heat_map
    weights = record.weights[2, 1].numpy()
    shown = ~np.isnan(heat_map.values)
    np.testing.assert_array_equal(heat_map.values[shown], weights.T[shown])
    assert [slot for slot in heat_map.rows.places] == list(record.keys)
    assert heat_map.rows.labels[:2] == ["Start.0 #1", "Comma.0 #1"]
    assert heat_map.columns.labels[1:4] == ["R", "e", "p"]
    key, query = np.nonzero(~shown)
    assert (np.array(record.keys)[key] > query).all() and len(key)


def test_an_output_holds_its_numbers_and_no_label_acts() -> None:
    hostile = "</script><img src=x onerror=window.ran=1>"
    frame = FRAME.assign(group=FRAME["group"].replace("Start", hostile))
    output = cell_heatmap(frame, "layer", "group", "effect", hostile, signed=True)
    html = output._repr_html_()
    assert html.count("<script") == html.count("</script>") == 1
    assert len(re.findall(r"<img", html)) == 1
    (packed,) = re.findall(r'\}, "([A-Za-z0-9+/=]+)"', html)
    numbers = np.frombuffer(base64.b64decode(packed), "<f4")
    np.testing.assert_array_equal(numbers, output.heat_map.values.ravel())
    assert len(html) < 150_000


def test_a_picture_has_the_names_of_the_output() -> None:
    axes = cell_heatmap(FRAME, "layer", "group", "effect", "title").picture().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Comma", "Start"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("layer", "group")


@pytest.mark.slow
def test_a_saved_output_is_drawn_and_read_by_keyboard(browser: Any, tmp_path: Path) -> None:
    from tests.browser import watched

    html = cell_heatmap(FRAME, "layer", "group", "effect", "By <group>", signed=True)._repr_html_()
    page = tmp_path / "output.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{html}</body>")
    with watched(browser) as watch:
        watch.page.goto(page.as_uri())
        body = watch.page.locator(".latent-grid-body[data-draws]")
        body.wait_for()
        assert watch.page.locator(".latent-grid-title").text_content() == "By <group>"
        assert watch.page.locator("img").count() == 0, "the canvas takes its place"
        body.focus()
        for key in ("Home", "ArrowRight"):
            watch.page.keyboard.press(key)
        tip = watch.page.locator(".latent-grid-tip").inner_text()
        assert tip.split("\n") == ["group 0: Comma", "layer 1", "effect 3"]
