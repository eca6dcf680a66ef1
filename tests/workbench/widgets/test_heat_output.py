"""Heat maps as outputs of cells: numbers of a frame or a record, in a page without a kernel."""

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import latent_core as lc
from latent_core.errors import SettingError
from workbench import attention_heatmap, cell_heatmap

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
