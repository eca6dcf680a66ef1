"""The workbench as its users meet it: in JupyterLab, in a browser that reaches no other machine.

Every test ends with a look at what went wrong in the page: no error, no request to anywhere else.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pandas as pd
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import latent_core as lc
from latent_core.runs.shipped import SHIPPED
from tests.browser import PATIENCE, Jupyter, Notebook, jupyter, watched
from tests.made_backbones import PROMPT, RESPONSE, TOKENS, hostile_backbone, save_hostile
from workbench.app import PANELS
from workbench.session import NO_LATENTS
from workbench.widgets.bertviz_bridge import bertviz_view

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
expect.set_options(timeout=PATIENCE)

LAYOUTS = ("Start_1+Comma_2", "Start_2")
CONTRAST = 3.0
"""Of any text to what is behind it: WCAG's least for large text and for parts of controls."""


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Untrained, which is all that clicking through panels needs."""
    backbone, folder = lc.load_backbone("tiny"), tmp_path_factory.mktemp("adapters")
    for seed, layout in enumerate(LAYOUTS):
        lc.LatentModel(backbone, layout, seed=seed).save_pretrained(folder / layout)
    return [str(folder / layout) for layout in LAYOUTS]


@pytest.fixture(scope="module")
def opened(browser: Browser, jupyter_lab: Jupyter, adapters: list[str]) -> Iterator[Notebook]:
    cells = [
        "import latent_core as lc\nfrom workbench import Workbench",
        f"wb = Workbench('tiny', adapters={adapters})",
        "wb",
        "wb.bertviz('model', layers=[1, 3], response='1,2')",
    ]
    with jupyter_lab.notebook(browser, "panels", cells) as notebook:
        notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        notebook.run_all()
        yield notebook


@pytest.fixture
def notebook(opened: Notebook) -> Iterator[Notebook]:
    """The one notebook of most tests, with what each of them left behind."""
    yield opened
    opened.watch.check()
    assert opened.errors() == ""
    assert opened.run("print([p.errors for p in wb.tabs.children if p.errors])") == "[]\n"


def open_tab(page: Page, title: str) -> Locator:
    """The panel, once its tab is open."""
    page.get_by_role("tab", name=title, exact=True).click()
    panel = page.locator(".latent-panel:visible")
    expect(panel).to_have_count(1)
    return panel


@contextmanager
def resized(page: Page, **size: int) -> Iterator[None]:
    """The page with another width or height, for a while."""
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size(before | size)
    try:
        yield
    finally:
        page.set_viewport_size(before)


def drawn(panel: Locator, title: str) -> Locator:
    """The one heat map with this in its title, once it is drawn."""
    grid = panel.locator(
        ".latent-grid", has=panel.page.locator(f".latent-grid-title:text('{title}')")
    )
    expect(grid.locator(".latent-grid-body[data-draws]")).to_be_visible()
    expect(grid).to_have_attribute("aria-busy", "false")
    return grid


def weight(tip: Locator) -> float:
    """The number that a heat map's tip says."""
    found = re.search(r"weight ([\d.e+-]+)", tip.inner_text().replace("\u2212", "-"))
    assert found is not None, tip.inner_text()
    return float(found.group(1))


def test_all_panels_are_there_and_say_what_they_are_for(notebook: Notebook) -> None:
    page = notebook.page
    expect(page.get_by_role("tab", name="Attention")).to_be_visible()
    tabs = page.locator(".latent-workbench [role=tab]")
    assert tabs.all_inner_texts() == [panel.title for panel in PANELS.values()]
    for kind in PANELS.values():
        panel = open_tab(page, kind.title)
        assert len(panel.inner_text()) > 40
        expect(panel.locator("[data-state=failed]")).to_have_count(0)


# --- playground -----------------------------------------------------------------------------------


def test_both_sides_answer_and_a_chip_tells_of_its_latent(notebook: Notebook) -> None:
    panel = open_tab(notebook.page, "Playground")
    notebook.run("wb.session.draw('id', 0, level=2)")
    panel.get_by_role("button", name="Generate responses", exact=True).click()
    expect(panel.get_by_text(re.compile(r"exact · graded \d\.\d\d"))).to_have_count(2)
    for side, layout in zip("AB", LAYOUTS, strict=True):
        strip = panel.get_by_role("listbox", name=f"{side}: prompt and response", exact=True)
        chips = strip.locator(".latent-chip")
        shown = notebook.run(
            f"a = wb.playground.answers['{side}', 'clean'].generation\n"
            "print(*[slot.label for slot in a.slots if slot.group is not None])"
        ).split()
        assert [re.split(r"\n| #", text)[0] for text in chips.all_inner_texts()] == shown, layout
    chip = panel.locator(".latent-chip", has_text="Start.0").first
    chip.click()
    card = panel.get_by_role("region", name="selected slot")
    expect(card).to_contain_text("Nearest tokens")
    word = notebook.run("print(lc.nearest_tokens(wb.session.model_a).iloc[0]['token'])")
    expect(card.locator("tr").first).to_contain_text(word.rstrip("\n"))
    first = panel.get_by_role("listbox", name="A: prompt and response", exact=True)
    first.press("ArrowRight")
    first.press("Enter")
    expect(card.locator(".latent-card-chip")).to_have_count(0)
    expect(card).to_contain_text("token")


def test_on_a_narrow_page_a_groups_row_stays_one_and_the_prompt_shows_its_end(
    notebook: Notebook,
) -> None:
    page, panel = notebook.page, open_tab(notebook.page, "Playground")
    with resized(page, width=1000):
        notebook.run("wb.session.task = lc.load_task('summation')\nwb.session.draw('ood-20')")
        prompt = panel.get_by_label("Prompt", exact=True)
        expect(prompt).to_have_attribute("rows", "4")
        assert prompt.evaluate("el => el.scrollHeight <= el.clientHeight + 2")
        count, place = (
            panel.get_by_label(name, exact=True).first.bounding_box() for name in ("Count", "Place")
        )
    notebook.run("wb.session.task = lc.load_task('repetition')\nwb.session.draw('id', 0, level=2)")
    assert count is not None and place is not None
    assert abs(count["y"] - place["y"]) < count["height"] / 2


def test_a_switch_and_the_chooser_change_what_is_written(notebook: Notebook) -> None:
    panel = open_tab(notebook.page, "Playground")
    field = panel.get_by_role("textbox", name="Intervention")
    panel.get_by_label("Comma", exact=True).uncheck()
    expect(field).to_have_value("drop(Comma)")
    changed = panel.get_by_role("listbox", name="A: prompt and response under the intervention")
    expect(changed.locator(".latent-chip")).to_have_count(1)  # Start alone
    panel.get_by_role("button", name="Remove intervention", exact=True).click()
    expect(changed).to_be_hidden()
    panel.get_by_label("Operation").select_option("scale vectors")
    panel.get_by_role("button", name="Add intervention", exact=True).click()
    expect(field).to_have_value("scale(Start, 0.5)")
    expect(panel.get_by_text("with scale(Start, 0.5)")).to_have_count(2)
    field.fill("drop(")
    field.press("Enter")
    expect(panel.get_by_text("drop(").first).to_be_visible()
    assert notebook.run("print(wb.session.intervention)") == "scale(Start, 0.5)\n"
    panel.get_by_role("button", name="Remove intervention", exact=True).click()


# --- attention ------------------------------------------------------------------------------------


def test_attention_shows_the_numbers_and_opens_what_is_clicked(notebook: Notebook) -> None:
    panel = open_tab(notebook.page, "Attention")
    overview = drawn(panel, "A (Start_1+Comma_2): text")
    expect(overview.locator(".latent-grid-title")).to_contain_text("text → latent")
    body = overview.locator(".latent-grid-body")
    body.focus()
    body.press("Control+Home")
    for _ in range(2):
        body.press("ArrowRight")
    body.press("ArrowDown")
    tip = overview.locator(".latent-grid-tip")
    expect(tip).to_contain_text("head 1")
    expect(tip).to_contain_text("layer 2")
    mass = float(
        notebook.run(
            "m = wb.attention.view().record.mass()\n"
            "m = m.set_index(['source', 'target', 'layer', 'head'])\n"
            "print(m.mass['text', 'latent', 2, 1])"
        )
    )
    assert weight(tip) == pytest.approx(mass, rel=0.01, abs=1e-4)
    body.press("Enter")
    drawn(panel, "A (Start_1+Comma_2): layer 2, head 1, text → latent")
    assert notebook.run("print(*wb.attention.chooser.cell)") == "2 1\n"
    strip = panel.get_by_role("listbox").or_(panel.locator(".latent-strip")).first
    expect(strip).to_contain_text("Start.0")
    expect(strip).to_contain_text("Comma.1")


def test_the_map_that_a_cell_opens_is_scrolled_into_view_and_the_focus_stays(
    notebook: Notebook,
) -> None:
    page, panel = notebook.page, open_tab(notebook.page, "Attention")
    with resized(page, width=1024, height=640):
        overview = drawn(panel, "A (Start_1+Comma_2): text")
        body = overview.locator(".latent-grid-body")
        body.press("Control+Home")
        body.evaluate("el => el.scrollIntoView({ block: 'end' })")
        body.press("Enter")
        heat = drawn(panel, "A (Start_1+Comma_2): layer 0, head 0, text")
        expect(heat.locator("canvas").first).to_be_in_viewport(ratio=0.9)
        expect(body).to_be_focused()


def test_attention_of_b_their_difference_and_the_effect_of_cutting(notebook: Notebook) -> None:
    panel = open_tab(notebook.page, "Attention")
    panel.get_by_role("button", name="B", exact=True).click()
    drawn(panel, "B (Start_2): text")
    panel.get_by_role("button", name="Measure causal effect").click()
    effects = drawn(panel, "Causal effect")
    expect(effects.locator(".latent-grid-note")).to_contain_text("Rank correlation")
    cut = notebook.run(
        "e = wb.attention.effects.shown; print(e.rows.labels, e.columns.labels, e.signed)"
    )
    assert cut == "['Start'] ['0', '1', '2', '3'] True\n"
    panel.get_by_role("button", name="A - B").click()
    expect(panel.locator(".latent-grid-note").first).not_to_be_empty()
    panel.get_by_role("button", name="A", exact=True).click()
    drawn(panel, "A (Start_1+Comma_2): text")


def test_attention_over_a_split_leads_to_the_examples_behind_a_cell(notebook: Notebook) -> None:
    page, panel = notebook.page, open_tab(notebook.page, "Attention")
    notebook.run(f"wb.session.adapter_a, wb.session.adapter_b = {LAYOUTS}")
    panel.get_by_role("button", name="over a split", exact=True).click()
    count = panel.get_by_role("spinbutton", name="Examples per split")
    count.fill("2")
    count.press("Enter")
    panel.get_by_role("button", name="Average over examples", exact=True).click()
    near = drawn(panel, "Start_1+Comma_2, id: text → latent, Comma")
    drawn(panel, "Start_1+Comma_2, ood-6 - id: text → latent, Comma")
    body = near.locator(".latent-grid-body")
    box = body.bounding_box()
    assert box is not None
    body.click(position={"x": box["width"] - 5, "y": box["height"] - 5})
    expect(panel.get_by_text("Layer 3, head 3: open one of the strongest")).to_be_visible()
    mean = notebook.run(
        "cells = wb.attention.table().query(\"view == 'id' and layer == 3 and head == 3\")\n"
        "print(float(cells['mean'].iloc[0]))"
    )
    assert weight(near.locator(".latent-grid-tip")) == pytest.approx(float(mean), rel=0.01)
    examples = panel.get_by_role("button", name=re.compile(r"^\d\.\d{3} · (id|ood-6) · "))
    best, number = notebook.run(
        "best = wb.attention.over_split.view().strongest(3, 3)\n"
        "print(repr(best[0][1].prompt), len(best), sep='\\n')"
    ).splitlines()
    expect(examples).to_have_count(int(number))
    expect(examples.first).to_be_in_viewport()
    examples.first.click()
    playground = page.get_by_role("tab", name="Playground", exact=True)
    expect(playground).to_have_attribute("aria-selected", "true")
    assert notebook.run("print(repr(wb.session.prompt))").strip() == best
    open_tab(page, "Attention").get_by_role("button", name="one example", exact=True).click()


def test_a_change_of_the_session_from_code_reaches_the_open_panel(notebook: Notebook) -> None:
    panel = open_tab(notebook.page, "Attention")
    notebook.run(f"wb.session.adapter_a = {NO_LATENTS!r}")
    expect(panel.get_by_text("places no latents").first).to_be_visible()
    notebook.run("wb.session.adapter_a = 'Start_1+Comma_2'\nwb.session.draw('id', 0, level=2)")
    drawn(panel, "A (Start_1+Comma_2): text")
    expect(panel).to_contain_text("Comma.0")


# --- exports --------------------------------------------------------------------------------------


def download(panel: Locator, kind: str) -> Path:
    with panel.page.expect_download() as waiting:
        panel.get_by_role("button", name=f"Download {kind}", exact=True).click()
    return Path(waiting.value.path())


def test_every_format_downloads_and_the_code_reproduces_the_view(
    notebook: Notebook, browser: Browser, tmp_path: Path
) -> None:
    panel = open_tab(notebook.page, "Attention")
    drawn(panel, "A (Start_1+Comma_2): text")
    table = pd.read_csv(download(panel, "CSV"))
    rows, total = notebook.run(
        "t = wb.attention.table(); print(len(t), float(t['value'].sum()))"
    ).split()
    assert (len(table), table["value"].sum()) == (int(rows), pytest.approx(float(total)))
    assert download(panel, "PNG").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    svg = ElementTree.parse(download(panel, "SVG")).getroot()
    assert "Comma.1 #1" in {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    saved = tmp_path / "page.html"
    saved.write_bytes(download(panel, "HTML").read_bytes())
    with watched(browser) as page:
        page.page.goto(saved.as_uri())
        expect(page.page.locator("svg")).to_be_visible()
        expect(page.page.locator("td", has_text="Comma.1 #1").first).to_be_attached()

    panel.get_by_role("button", name="Copy code").click()
    expect(panel.get_by_text("Copied")).to_be_visible()
    code = notebook.page.evaluate("navigator.clipboard.readText()")
    reproduced = notebook.run(
        f"import numpy as np\nfound = {{}}\nexec({code!r}, found)\n"
        "v = wb.attention.view().head(wb.attention.chooser.cell)\n"
        "values, shown = np.nan_to_num(v.values), found['shown'].numpy()\n"
        "shown = shown if shown.shape == values.shape else shown.T\n"
        "print(np.abs(shown - values).max() < 1e-5 < values.max())"
    )
    assert reproduced == "True\n"


def assert_exports(panel: Locator, browser: Browser, tmp_path: Path) -> None:
    """Every format holds something of its kind, and the page stands alone."""
    assert len(pd.read_csv(download(panel, "CSV"))) > 0
    assert download(panel, "PNG").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert ElementTree.parse(download(panel, "SVG")).getroot().tag.endswith("svg")
    saved = tmp_path / "page.html"
    saved.write_bytes(download(panel, "HTML").read_bytes())
    with watched(browser) as alone:
        alone.page.goto(saved.as_uri())
        expect(alone.page.locator("svg")).to_be_visible()
        assert alone.page.locator("tbody tr").count() > 0
        expect(alone.page.locator("pre")).to_contain_text("import")
    panel.get_by_role("button", name="Copy code").click()
    expect(panel.get_by_text("Copied")).to_be_visible()
    compile(panel.page.evaluate("navigator.clipboard.readText()"), "copied", "exec")


def test_the_playground_exports(notebook: Notebook, browser: Browser, tmp_path: Path) -> None:
    panel = open_tab(notebook.page, "Playground")
    panel.get_by_role("button", name="Generate responses", exact=True).click()
    verdicts = panel.get_by_text(re.compile(r"exact · graded \d\.\d\d"))
    expect(verdicts.filter(visible=True)).to_have_count(2)
    assert_exports(panel, browser, tmp_path)


# --- comparison -----------------------------------------------------------------------------------


def test_a_and_b_are_evaluated_and_a_point_leads_to_its_examples(
    notebook: Notebook, browser: Browser, tmp_path: Path
) -> None:
    panel = open_tab(notebook.page, "Comparison")
    notebook.run(f"wb.session.adapter_a, wb.session.adapter_b = {LAYOUTS}")
    count = panel.get_by_role("spinbutton", name="Examples per split")
    count.fill("1")
    count.press("Enter")
    panel.get_by_role("button", name="Evaluate A and B").click()
    settle = "wb.session.jobs.settle(wb.comparison.{}())"  # the button's job, then its chart
    notebook.run("\n".join(settle.format(job) for job in ("evaluate", "refresh")))
    chart = panel.locator(".latent-plotly[data-drawn]")
    expect(chart).to_be_visible()
    table = panel.locator(".latent-methods table")
    for layout in LAYOUTS:
        expect(table).to_contain_text(f"{layout} (now)")
    expect(table).to_contain_text("OOD")
    figure = chart.get_by_role("application")
    figure.focus()
    figure.press("Home")
    figure.press("Enter")
    listed = panel.locator(".latent-examples")
    listed.get_by_role("button", name="Open in playground").first.click()
    playground = notebook.page.get_by_role("tab", name="Playground", exact=True)
    expect(playground).to_have_attribute("aria-selected", "true")
    panel = open_tab(notebook.page, "Comparison")
    expect(panel.get_by_text("Opened in the playground")).to_be_visible()
    assert notebook.run("print(wb.session.example is not None)") == "True\n"
    assert_exports(panel, browser, tmp_path)


# --- training -------------------------------------------------------------------------------------


def test_on_a_narrow_page_the_fields_of_a_run_stand_in_columns(notebook: Notebook) -> None:
    page, panel = notebook.page, open_tab(notebook.page, "Training")
    columns = (
        ("Steps", "Batch size", "Learning rate", "Seed"),
        ("Steps per check", "Examples per check", "Patience (checks)", "Steps per snapshot"),
    )
    with resized(page, width=1024):
        for column in columns:
            boxes = [panel.get_by_label(name, exact=True).bounding_box() for name in column]
            assert len({box["x"] for box in boxes if box is not None}) == 1, column
            assert len({box["y"] for box in boxes if box is not None}) == 4, column


def set_number(panel: Locator, label: str, value: int) -> None:
    field = panel.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def test_training_is_cancelled_within_a_step_and_the_kernel_answers_meanwhile(
    notebook: Notebook, tmp_path: Path
) -> None:
    panel = open_tab(notebook.page, "Training")
    set_number(panel, "Steps", 500)
    set_number(panel, "Batch size", 2)
    panel.get_by_label("Run folder").fill(str(tmp_path / "cancelled"))
    panel.get_by_label("Run folder").press("Enter")
    start = panel.get_by_role("button", name="Start training", exact=True)
    start.dblclick()
    status = panel.locator(".latent-status-line")
    expect(status).to_contain_text(re.compile(r"train: [1-9]\d* of 500 steps"))
    expect(start).to_be_disabled()
    assert notebook.run("print(6 * 7, len(wb.session.jobs.active))") == "42 1\n"
    at = int(re.search(r"train: (\d+) of", status.inner_text()).group(1))
    status.get_by_role("button", name="Cancel job").click()
    expect(status).to_contain_text("Cancelled")
    expect(panel).to_contain_text("Cancelled at step")
    ended = int(re.search(r"Cancelled at step (\d+) of 500", panel.inner_text()).group(1))
    assert at <= ended < 500
    for _ in range(100):  # the panel measures anew what a run would take
        if (active := notebook.run("print(wb.session.jobs.active)")) == "[]\n":
            break
        notebook.page.wait_for_timeout(200)
    assert active == "[]\n"


def test_what_is_trained_becomes_adapter_a_everywhere(
    notebook: Notebook, browser: Browser, tmp_path: Path
) -> None:
    panel = open_tab(notebook.page, "Training")
    set_number(panel, "Steps", 3)
    set_number(panel, "Steps per check", 0)
    panel.get_by_label("Run folder").fill(str(tmp_path / "mine"))
    panel.get_by_label("Run folder").press("Enter")
    panel.get_by_role("button", name="Start training", exact=True).click()
    expect(panel).to_contain_text("is trained")
    expect(panel.locator(".latent-plotly[data-drawn]")).to_be_visible()
    name = notebook.run("print(wb.session.adapter_a)").strip()
    assert name.startswith("Start_1+Comma_1 (repetition, seed 0)")
    assert_exports(panel, browser, tmp_path)
    drawn(open_tab(notebook.page, "Attention"), f"A ({name}): text")
    notebook.run("wb.session.adapter_a = 'Start_1+Comma_2'")


def test_an_error_is_shown_where_the_user_looks(notebook: Notebook) -> None:
    panel = open_tab(notebook.page, "Comparison")
    panel.get_by_label("Runs folder").fill("/nowhere/at all")
    panel.get_by_label("Runs folder").press("Enter")
    panel.get_by_role("button", name="Add runs", exact=True).click()
    alert = panel.get_by_role("alert")
    expect(alert).to_contain_text("/nowhere/at all")
    panel.get_by_text("Show details").click()
    expect(panel.locator(".latent-status pre")).to_contain_text("Traceback")
    notebook.run("wb.comparison.errors.clear(); wb.comparison.status.say('')")


# --- themes, size, closing ------------------------------------------------------------------------

FAINT = """(least) => {
  const parse = (c) => (c.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (el) => {
    for (; el; el = el.parentElement) {
      const c = parse(getComputedStyle(el).backgroundColor);
      if (c.length === 3 || c[3] > 0.5) return c;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const el of document.querySelectorAll(".latent-panel *")) {
    const own = [...el.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !el.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (el.closest(":disabled, [aria-disabled=true], svg, option")) continue;
    if (!el.getClientRects().length) continue;
    const [a, b] = [light(parse(getComputedStyle(el).color)), light(behind(el))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const said = `${contrast.toFixed(1)}: ${el.textContent.trim().slice(0, 60)}`;
    if (contrast < least) found.add(said);
  }
  return [...found];
}"""


@pytest.mark.parametrize("mode", ["Dark", "Light"])
def test_text_is_legible_in_both_themes(notebook: Notebook, mode: Any) -> None:
    notebook.theme(mode)
    for kind in PANELS.values():
        panel = open_tab(notebook.page, kind.title)
        expect(panel).to_be_visible()
        assert notebook.page.evaluate(FAINT, CONTRAST) == [], kind.title
        inner = panel.evaluate(
            "el => [...el.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 2 &&"
            " getComputedStyle(e).overflowX === 'auto' && e.clientWidth > 0).map(e => e.className)"
        )
        assert inner == [], f"scroll bars inside {kind.title}"
    frame = notebook.page.frame_locator("iframe[title^='BertViz']")
    notebook.page.locator("iframe[title^='BertViz']").scroll_into_view_if_needed()
    expect(frame.locator("html")).to_have_attribute("data-mode", mode.lower())


NAMELESS = """() => {
  const text = (el) => (el?.textContent ?? "").trim();
  const controls = "button, input, select, textarea, [tabindex='0'], [role=listbox], [role=tab]";
  return [...document.querySelectorAll(".latent-workbench :is(" + controls + ")")]
    .filter((el) => el.checkVisibility() && !(el.ariaLabel || el.title || text(el) ||
      [...(el.labels ?? [])].some(text) ||
      text(document.getElementById(el.getAttribute("aria-labelledby")))))
    .map((el) => el.outerHTML.slice(0, 200));
}"""


def test_every_control_has_a_name_and_the_keyboard_reaches_it(notebook: Notebook) -> None:
    page = notebook.page
    for kind in PANELS.values():
        panel = open_tab(page, kind.title)
        assert page.evaluate(NAMELESS) == [], kind.title
        unreached = panel.evaluate(
            "el => [...el.querySelectorAll('button, input, select, textarea')]"
            ".filter(e => e.checkVisibility() && e.tabIndex < 0).map(e => e.outerHTML)"
        )
        assert unreached == [], kind.title
    page.get_by_role("tab", name="Playground", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Attention", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Recapture attention")).to_be_visible()


def size_with_widgets(notebook: Notebook) -> int:
    """Bytes of the saved notebook and of its widgets' state, whether or not that is in it."""
    notebook.save()
    saved = json.loads(notebook.path.read_text())
    outputs = [o for cell in saved["cells"] for o in cell.get("outputs", [])]
    assert any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in outputs)
    state = notebook.run(
        "import json\nfrom ipywidgets import Widget\n"
        "print(len(json.dumps(Widget.get_manager_state(), default=str)))"
    )
    return notebook.path.stat().st_size + int(state)


def test_the_saved_notebook_is_small_also_with_its_widgets(notebook: Notebook) -> None:
    assert size_with_widgets(notebook) < 2_500_000  # with the last picture of every panel


def test_a_snapshot_is_seen_again_without_a_kernel(
    browser: Browser, jupyter_lab: Jupyter, adapters: list[str]
) -> None:
    cells = [
        f"from workbench import Workbench\nwb = Workbench('tiny', {adapters})\nwb.attention",
        "wb.snapshot('playground', 'attention')",
    ]
    with jupyter_lab.notebook(browser, "snapshot", cells) as notebook:
        notebook.run_all()
        notebook.save()
    tall = {"width": 1400, "height": 2400}  # JupyterLab draws only the cells in view
    with jupyter_lab.notebook(browser, "reopened", notebook.path, viewport=tall) as reopened:
        reopened.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        pictures = reopened.page.locator(".jp-RenderedImage img")
        expect(pictures).to_have_count(2)
        for picture in pictures.all():
            assert picture.evaluate("el => el.decode().then(() => el.naturalWidth)") > 600
        # What is left of the live panel is Jupyter's to say, and it says it on the console.
        reopened.watch.seen.clear()


def test_closing_the_output_stops_the_job(notebook: Notebook, tmp_path: Path) -> None:
    """The last of those that share the notebook: it clears the workbench away."""
    panel = open_tab(notebook.page, "Training")
    set_number(panel, "Steps", 5000)
    panel.get_by_label("Run folder").fill(str(tmp_path / "closed"))
    panel.get_by_label("Run folder").press("Enter")
    panel.get_by_role("button", name="Start training", exact=True).click()
    expect(panel.locator(".latent-status-line")).to_contain_text(re.compile("train: [1-9]"))
    notebook.command("notebook:clear-all-cell-outputs")
    waited = "import asyncio\nfor _ in range(600):\n    await asyncio.sleep(0.1)\n"
    waited += "    if wb.training.status.state not in ('queued', 'running'):\n        break\n"
    waited += "print(wb.training.status.state)"
    assert notebook.run(waited) == "cancelled\n"


# --- token text is data ---------------------------------------------------------------------------


def assert_nothing_ran(page: Page) -> None:
    for frame in page.frames:
        assert frame.evaluate("typeof pwned") == "undefined", frame.url
        assert frame.locator("img[src=x], svg[onload], [onmouseover], [onerror]").count() == 0


def shown(token: str) -> str:
    return token.replace(" ", "␣")


@pytest.mark.parametrize("kind", ["head", "model", "neuron"])
def test_bertviz_shows_hostile_tokens_follows_the_theme_and_asks_for_nothing(
    kind: Any, browser: Browser
) -> None:
    model = lc.LatentModel(hostile_backbone(), "Start_1+Before[</script>]_1", seed=0)
    view = bertviz_view(model, PROMPT, RESPONSE, kind)
    with watched(browser, color_scheme="light") as watch:
        page, asked = watch.page, []
        page.on("request", lambda request: asked.append(request.url))
        page.set_content(
            f'<body data-jp-theme-light="true">{view._repr_html_()}<p>below</p></body>'
        )
        frame = page.frame_locator("iframe")
        if kind == "model":
            frame.locator("svg rect").nth(3).click(force=True)  # opens a cell, with its tokens
        texts = frame.locator("svg text")
        expect(texts.filter(has_text="Start.0").first).to_be_attached()
        found = texts.all_text_contents()
        found = [re.sub(r" #\d+$", "", text) for text in found]
        for token in (*TOKENS, "Before[</script>].0"):
            assert found.count(shown(token)) >= 4, token  # twice on either side
        latent = texts.filter(has_text="Start.0").first
        expect(latent).to_have_css("stroke", "rgb(0, 114, 178)")
        expect(frame.locator("html")).to_have_attribute("data-mode", "light")
        if kind == "head":
            frame.locator("#layer").select_option("1")
        page.evaluate("document.body.dataset.jpThemeLight = 'false'")
        expect(frame.locator("html")).to_have_attribute("data-mode", "dark")
        if kind == "head":
            expect(frame.locator("#layer")).to_have_value("1")
        high = frame.locator("html").evaluate("el => el.scrollHeight")
        expect(page.locator("iframe")).to_have_css("height", f"{high}px")
        page.mouse.move(300, 300)
        assert_nothing_ran(page)
        assert [url for url in asked if not url.startswith(("about:", "data:", "blob:"))] == []


def test_a_saved_bertviz_page_works_alone(browser: Browser, tmp_path: Path) -> None:
    model = lc.LatentModel(hostile_backbone(), "Comma_2", seed=0)
    path = bertviz_view(model, "ab,", "c,d", layers=[1]).save(tmp_path / "view.html")
    with watched(browser, color_scheme="dark") as watch:
        watch.page.goto(path.as_uri())
        expect(watch.page.locator("#left text", has_text="Comma.0")).to_have_count(2)
        expect(watch.page.locator("html")).to_have_attribute("data-mode", "dark")
        lines = watch.page.locator("#attention line")
        assert lines.count() == 4 * 11**2  # heads, slots
        strongest = max(
            float(o)
            for o in lines.evaluate_all("a => a.map(l => l.getAttribute('stroke-opacity'))")
        )
        weights = lc.capture_attention(model, "ab,", "c,d", of="all", layers=[1]).weights
        assert strongest == pytest.approx(float(weights.max()) / 4, abs=1e-3)


def test_no_panel_takes_a_token_for_more_than_text(
    browser: Browser, jupyter_lab: Jupyter, tmp_path: Path
) -> None:
    backbone = save_hostile(tmp_path / "backbone")
    example = {"prompt": PROMPT, "answer": RESPONSE, "split": "id"}
    (tmp_path / "hostile.jsonl").write_text(json.dumps(example))
    cells = [
        "import latent_core as lc\nfrom workbench import Workbench",
        f"backbone = lc.load_backbone({str(backbone)!r})\n"
        "a = lc.LatentModel(backbone, 'Start_1+Before[</script>]_1', seed=0)\n"
        "b = lc.LatentModel(backbone, 'Comma_2', seed=1)\n"
        "models = {'<img src=x onerror=top.pwned=6>': a, 'B': b}\n"
        f"wb = Workbench(backbone, models, {str(tmp_path / 'hostile.jsonl')!r})",
        "wb",
    ]
    with jupyter_lab.notebook(browser, "hostile", cells) as notebook:
        page = notebook.page
        notebook.run_all()
        for kind in PANELS.values():
            panel = open_tab(page, kind.title)
            for button in ("Generate responses", "Evaluate A and B", "Measure causal effect"):
                found = panel.get_by_role("button", name=button, exact=True)
                if found.count() and found.is_visible():
                    found.click()
            if kind.title == "Attention":
                drawn(panel, "onerror=top.pwned=6>): text")
        notebook.run("wb.session.intervention = 'scale(Before[</script>], 0.5)'")
        page.wait_for_function(
            "!document.querySelector('[data-state=running], [data-state=queued]')"
        )
        strip = open_tab(page, "Attention").locator(".latent-strip")
        text = strip.inner_text()
        for token in TOKENS:
            assert shown(token).strip("\u2028\u2029") in text, token
        assert_nothing_ran(page)
        assert notebook.errors() == ""
        notebook.run(
            "wb.session.intervention = 'none'\n"
            "for name in ('playground', 'attention', 'comparison'):\n"
            "    panel = getattr(wb, name)\n"
            "    panel.prepare()\n"
            f"    panel.export({str(tmp_path)!r} + f'/{{name}}.html')\n"
        )
    for path in sorted(tmp_path.glob("*.html")):
        with watched(browser) as watch:
            watch.page.goto(path.as_uri())
            expect(watch.page.locator("svg").first).to_be_visible()
            assert_nothing_ran(watch.page)
            if path.stem != "comparison":  # which has no tokens
                assert TOKENS[0] in (watch.page.locator("body").text_content() or "")


# --- the three questions, on a language model -----------------------------------------------------


@pytest.fixture(scope="module")
def questions(
    browser: Browser, jupyter_lab: Jupyter, repository: Path, smollm2_dir: Path
) -> Iterator[Notebook]:
    """The third notebook's panels, without what it computes for its readers."""
    made = nbformat.read(repository / "notebooks" / "03_workbench.ipynb", as_version=4)
    left_out = ("snapshot(", "lc.evaluate_intervention(")
    cells = [
        cell.source
        for cell in made.cells
        if cell.cell_type == "code" and not any(part in cell.source for part in left_out)
    ]
    tall = {"width": 1300, "height": 3200}  # JupyterLab draws only the cells in view
    with jupyter_lab.notebook(browser, "questions", cells, viewport=tall) as notebook:
        notebook.run_all()
        yield notebook


def alone(notebook: Notebook, control: str) -> Locator:
    """The panel with this button that stands in a cell by itself."""
    button = notebook.page.get_by_role("button", name=control, exact=True)
    panels = notebook.page.locator(".latent-panel:not(.latent-workbench *)")
    return panels.filter(has=button).first


def test_which_layers_look_at_the_latents(questions: Notebook) -> None:
    panel = alone(questions, "Recapture attention")
    drawn(panel, "A (Start_1+Comma_1): text → latent")
    panel.get_by_label("Latent group", exact=True).first.select_option("Comma")
    drawn(panel, "A (Start_1+Comma_1): text → Comma")
    panel.get_by_role("button", name="Open strongest head").click()
    best, layer, head, value = (
        questions.run(
            "import latent_core as lc\nexample = wb.session.example\n"
            "record = lc.capture_attention(wb.session.model_a, example.prompt, example.answer)\n"
            "mass = record.by_group().query(\"group == 'Comma'\")\n"
            "one, layers = mass.loc[mass['mass'].idxmax()], mass.groupby('layer')['mass'].mean()\n"
            "print(layers.idxmax(), one['layer'], one['head'], layers.max())"
        )
        .splitlines()[-1]
        .split()
    )  # a capture that waits for the panel's says so above
    drawn(panel, f"layer {layer}, head {head}, text → Comma")
    groups = drawn(panel, "Attention: raw weight")
    body = groups.locator(".latent-grid-body")
    body.focus()
    body.press("Control+Home")
    for _ in range(int(best)):
        body.press("ArrowRight")
    tip = groups.locator(".latent-grid-tip")
    expect(tip).to_contain_text("Comma")
    expect(tip).to_contain_text(f"layer {best}")
    assert weight(tip) == pytest.approx(float(value), rel=0.01)
    panel.get_by_role("button", name="Measure causal effect").click()
    effects = drawn(panel, "Causal effect")
    expect(effects.locator(".latent-grid-note")).to_contain_text("Rank correlation")


def test_does_removing_them_after_the_third_variable_break_the_answer(questions: Notebook) -> None:
    panel = alone(questions, "Generate responses")
    panel.get_by_label("Operation").select_option("drop after n occurrences")
    panel.get_by_label("n", exact=True).fill("3")  # which only the chosen kind has
    panel.get_by_label("n", exact=True).press("Enter")
    panel.get_by_label("Latents", exact=True).fill("Comma")
    panel.get_by_role("button", name="Add intervention", exact=True).click()
    field = panel.get_by_role("textbox", name="Intervention")
    expect(field).to_have_value("drop(Comma, after=3)")
    told = panel.get_by_text("with drop(Comma, after=3)").first
    expect(told).to_contain_text(re.compile("differs from token|the same response|shorter|longer"))
    changed = panel.get_by_role("listbox", name="A: prompt and response under the intervention")
    expect(changed.locator(".latent-chip", has_text="Comma")).to_have_count(3)
    graded = questions.run(
        "a = wb.playground.answers\n"
        "was, now = (a['A', kind].score.graded for kind in ('clean', 'changed'))\n"
        "print(f'graded {was:.2f} → {now:.2f}')"
    )
    expect(told).to_contain_text(graded.strip())
    expect(panel.get_by_text("is left out here: layout Start_2 has no group")).to_be_visible()


def test_where_accuracy_falls_and_by_how_much_less(questions: Notebook) -> None:
    panel = alone(questions, "Evaluate A and B")
    expect(panel.locator(".latent-plotly[data-drawn]")).to_be_visible()
    for what in (panel, panel.locator(".latent-methods").first):  # with all that ships
        assert what.evaluate("el => el.scrollWidth <= el.clientWidth + 2"), "columns are cut"
    for box in panel.get_by_role("checkbox").all():
        if box.evaluate("el => el.closest('label').textContent.trim()") not in (
            "shipped runs",
            "Start_1+Comma_1",
            "Start_2",
        ):
            box.uncheck()
    rows = panel.locator(".latent-methods tbody tr")
    expect(rows).to_have_count(2)
    here = {"backbone": "smollm2-135m", "task": "lookup"}
    records = lc.load_runs(SHIPPED, where=here, records=True)
    for row in rows.all():
        method, *cells = row.locator("th, td").all_inner_texts()
        mine = records[records["method"] == method.split("\n")[0]]
        means = mine.groupby("split")["graded"].mean()
        gap = means["id"] - means.drop("id").mean()
        assert [float(cell.split()[0]) for cell in cells[:6]] == pytest.approx(
            [*(means[s] for s in ("id", "ood-12", "ood-20", "ood-30", "ood-50")), gap], abs=0.006
        )
    panel.get_by_label("Reference method").select_option("Start_2")
    minus = panel.get_by_role("region", name="minus Start_2").locator("tbody tr")
    expect(minus).to_have_count(1)
    _, ood, *_, gap = minus.locator("td").all_inner_texts()
    twelve = records[records["split"] == "ood-12"]
    found = lc.paired_difference(twelve, "Start_1+Comma_1", "Start_2")
    assert ood.split() == [f"{found.mean:+.2f}", f"[{found.low:+.2f},", f"{found.high:+.2f}]"]
    gaps = questions.run(
        "t = wb.comparison.method_table().set_index('method')['gap']\n"
        "print(f\"{t['Start_1+Comma_1'] - t['Start_2']:+.2f}\")"
    )
    assert gap.split()[0] == gaps.strip()


def test_the_notebook_with_the_whole_workbench_open_is_small(questions: Notebook) -> None:
    assert size_with_widgets(questions) < 2_500_000


def test_notebook_7_shows_it_too(
    browser: Browser, repository: Path, adapters: list[str], tmp_path: Path
) -> None:
    cells = ["from workbench import Workbench", f"wb = Workbench('tiny', {adapters})", "wb"]
    with (
        jupyter(tmp_path / "server", repository, "notebook") as server,
        server.notebook(browser, "seven", cells) as notebook,
    ):
        notebook.run_all()
        drawn(open_tab(notebook.page, "Attention"), "A (Start_1+Comma_2): text")
        panel = open_tab(notebook.page, "Playground")
        panel.get_by_role("button", name="Generate responses", exact=True).click()
        expect(panel.get_by_text(re.compile(r"graded \d"))).to_have_count(2)
        assert notebook.run("print([p.errors for p in wb.tabs.children if p.errors])") == "[]\n"
        picture = notebook.page.locator("[class^=latent-still] img[alt^=Playground]")
        expect(picture).to_be_attached()
        expect(picture).to_be_hidden()
        restart = "jupyterapp.shell.currentWidget.sessionContext.restartKernel()"
        notebook.page.evaluate(restart)
        expect(picture).to_be_visible()
        notebook.watch.seen.clear()  # Jupyter says on the console that the models are gone
