"""The live Plotly figure: what travels, and what a browser makes of it."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from workbench.pictures.theme import visible
from workbench.widgets.plotly_view import STATIC, PlotlyView

HOSTILE = "<img src=x onerror=window.ran=1><b>&lt;"


def figure() -> go.Figure:
    """Two curves of different lengths, the second with NaN, and a hostile name."""
    made = go.Figure()
    made.add_scatter(x=np.array([1, 2, 3]), y=np.array([0.5, 0.25, 0.75]), name=visible(HOSTILE))
    made.add_scatter(
        x=np.array([3.0, 1.0]),
        y=np.array([0.9, np.nan]),
        customdata=np.array([[1, 2], [3, 4]]),
        name="second",
    )
    return made.update_layout(height=300)


def test_numbers_travel_as_bytes_without_the_template() -> None:
    made = figure()
    view = PlotlyView(made)
    wire = view.figure["data"][1]
    x = np.frombuffer(wire["x"]["bdata"], wire["x"]["dtype"])
    assert x.tolist() == [3.0, 1.0]
    assert wire["customdata"]["shape"] == "2, 2"
    assert "template" not in view.figure["layout"]
    assert made.layout.template.layout.colorway  # the caller's figure keeps its own
    state, _, buffers = _split(view)
    assert len(buffers) == 5
    assert len(json.dumps(state["figure"])) < 2000


def test_a_widgets_state_is_small_and_has_no_library() -> None:
    state, _, buffers = _split(PlotlyView(figure()))
    assert len(json.dumps(state, default=str)) + sum(map(len, buffers)) < 30_000


def _split(view: PlotlyView) -> tuple[dict, list, list]:
    from ipywidgets.widgets.widget import _remove_buffers

    return _remove_buffers(view.get_state())


@pytest.mark.parametrize("packed", [True, False])
def test_the_library_comes_when_asked_for(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    view, sent = PlotlyView(), []
    monkeypatch.setattr(view, "send", lambda content, buffers: sent.append((content, buffers)))
    view._handle_custom_msg({"kind": "library", "gzip": packed}, [])
    ((content, (library,)),) = sent
    assert content == {"kind": "library", "gzip": packed}
    assert (gzip.decompress(library) if packed else library).decode() == get_plotlyjs()
    assert len(library) < 2e6 or not packed


# --- in a browser -----------------------------------------------------------------------------

MODEL = """
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const revive = (value) => {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  if ("base64" in value) return new DataView(bytes(value.base64).buffer);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revive(item)]));
};
window.models = [];
window.makeView = (state, width) => {
  const hooks = {};
  state = revive(state);
  const model = {
    sent: [],
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; },
    save_changes: () => {},
    send: (content) => model.sent.push(content),
    on: (name, hook) => (hooks[name] ??= []).push(hook),
    off: (name, hook) => { hooks[name] = hooks[name].filter((other) => other !== hook); },
    fire: (name, ...args) => (hooks[name] ?? []).forEach((hook) => hook(...args)),
  };
  const el = document.createElement("div");
  el.style.width = `${width}px`;
  document.body.append(el);
  models.push(model);
  model.el = el;
  model.close = render({ model, el });
};
window.deliver = (number, text) => {
  const message = { kind: "library", gzip: true };
  models[number].fire("msg:custom", message, [new DataView(bytes(text).buffer)]);
};
"""


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """Two views in a page that reaches no network; the library was delivered to the first."""
    from tests.browser import watched

    script = (STATIC / "plotly_view.js").read_text()
    script = script.replace("export default { render };", "window.render = render;")
    style = "body { color: rgb(1, 2, 3) } body[data-jp-theme-light=false] { color: rgb(9, 8, 7) }"
    state = json.dumps(_wire(PlotlyView(figure(), "two curves")))
    library = base64.b64encode(gzip.compress(get_plotlyjs().encode(), 1)).decode()
    with watched(browser) as watch:
        page = watch.page
        page.set_content("")
        page.add_style_tag(content=style + (STATIC / "plotly_view.css").read_text())
        page.add_script_tag(content=MODEL)
        page.add_script_tag(content=script, type="module")
        page.wait_for_function("window.render !== undefined")
        page.evaluate(f"for (const width of [600, 400]) makeView({state}, width)")
        page.evaluate("window.asked = models.map((model) => model.sent)")
        page.evaluate("(text) => deliver(0, text)", library)
        page.wait_for_function("models.every((model) => model.el.dataset.drawn)")
        yield page


def _wire(view: PlotlyView) -> dict[str, Any]:
    def text(value: Any) -> Any:
        return {"base64": base64.b64encode(value).decode()}

    state = {name: getattr(view, name) for name in ("figure", "label", "version")}
    state |= {"clicked": {}, "hovered": {}}
    return json.loads(json.dumps(state, default=text))


@pytest.mark.slow
class TestInABrowser:
    def test_all_views_of_a_page_share_one_library(self, page: Any) -> None:
        assert page.evaluate("asked.map((sent) => sent.length)") == [1, 0]
        assert page.evaluate("asked[0][0]") == {"kind": "library", "gzip": True}
        assert page.evaluate("typeof globalThis.Plotly") == "undefined"  # the page's own name space

    def test_every_number_is_a_point_and_names_are_data(self, page: Any) -> None:
        first = page.locator(".latent-plotly").first
        assert first.locator(".scatterlayer .point").count() == 3 + 1  # the NaN is none
        legend = first.locator(".legendtext").first.text_content()
        assert legend == HOSTILE.replace(" ", "␣")
        assert page.evaluate("window.ran") is None

    def test_a_click_tells_which_point_it_was_each_time(self, page: Any) -> None:
        point = page.locator(".latent-plotly").first.locator(".scatterlayer .trace").nth(1)
        box = point.locator(".point").first.bounding_box()
        for clicks in (1, 2):
            page.mouse.move(5, 5)
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.wait_for_function(f"models[0].get('clicked').clicks === {clicks}")
        clicked = page.evaluate("models[0].get('clicked')")
        wanted = {"curve": 1, "index": 0, "x": 3, "y": 0.9, "customdata": [1, 2], "clicks": 2}
        assert clicked == wanted
        assert page.evaluate("models[0].get('hovered').curve") == 1
        page.mouse.move(1, 1)
        page.wait_for_function("Object.keys(models[0].get('hovered')).length === 0")

    def test_keys_reach_every_point_and_say_where_they_are(self, page: Any) -> None:
        view = page.locator(".latent-plotly").nth(1)
        chart = view.locator(".latent-plotly-figure")
        assert chart.get_attribute("aria-label").startswith("two curves.")
        chart.focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        page.wait_for_function(
            "models[1].el.querySelector('.latent-plotly-said').textContent.includes('0.9')"
        )
        page.keyboard.press("Enter")
        clicked = page.evaluate("models[1].get('clicked')")
        assert (clicked["curve"], clicked["index"], clicked["customdata"]) == (1, 0, [1, 2])
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        clicked = page.evaluate("models[1].get('clicked')")
        assert (clicked["curve"], clicked["x"], clicked["clicks"]) == (0, 1, 2)
        page.keyboard.press("Escape")

    def test_text_has_the_pages_colour_in_every_theme(self, page: Any) -> None:
        tick = page.locator(".xtick text").first
        assert "rgb(1, 2, 3)" in tick.get_attribute("style")
        page.evaluate("document.body.dataset.jpThemeLight = 'false'")
        page.wait_for_function(
            "document.querySelector('.xtick text').style.fill === 'rgb(9, 8, 7)'"
        )

    def test_it_is_as_wide_as_its_place_and_waits_while_that_is_hidden(self, page: Any) -> None:
        width = "document.querySelector('.main-svg').getAttribute('width')"
        assert page.evaluate(width) == "600"
        page.evaluate("models[0].el.style.width = '450px'")
        page.wait_for_function(f"{width} === '450'")
        page.evaluate("models[0].el.style.display = 'none'")
        page.evaluate("models[0].el.style.width = '500px'")
        page.evaluate("models[0].el.style.display = ''")
        page.wait_for_function(f"{width} === '500'")

    def test_another_figure_takes_its_place(self, page: Any) -> None:
        other = go.Figure(go.Scatter(x=np.arange(5), y=np.arange(5.0), mode="markers"))
        state = json.dumps(_wire(PlotlyView(other)))
        page.evaluate(f"models[0].set('figure', revive({state}).figure)")
        page.evaluate("models[0].fire('change:figure')")
        page.wait_for_function("models[0].el.querySelectorAll('.point').length === 5")

    def test_a_closed_view_listens_no_more(self, page: Any) -> None:
        page.evaluate("models[1].close()")
        before = page.evaluate("models[1].el.dataset.drawn")
        page.evaluate("models[1].fire('change:figure')")
        page.evaluate("document.body.dataset.jpThemeLight = 'true'")
        page.wait_for_timeout(200)
        assert page.evaluate("models[1].el.dataset.drawn") == before
