"""Panels in JupyterLab: keys stay in them, nothing leaves the machine, results come and stay."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import PATIENCE, Jupyter, Notebook
from workbench.app import PANELS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
expect.set_options(timeout=PATIENCE)

CELLS = (
    "from workbench import Workbench\nwb = Workbench('tiny', adapters=['Comma_2', 'Start_6'])\n"
    "wb.session.draw('id', level=2);",
    "wb",
    "wb.playground",  # the same panel a second time
)


@pytest.fixture(scope="module")
def opened(browser: Browser, jupyter_lab: Jupyter) -> Iterator[Notebook]:
    tall = {"width": 1440, "height": 900}
    with jupyter_lab.notebook(browser, "conduct", CELLS, viewport=tall) as notebook:
        notebook.run_all()
        yield notebook


@pytest.fixture
def notebook(opened: Notebook) -> Iterator[Notebook]:
    yield opened
    opened.watch.check()
    assert opened.run("print([p.errors for p in wb.tabs.children if p.errors])") == "[]\n"


def open_tab(page: Page, title: str) -> Locator:
    page.get_by_role("tab", name=title, exact=True).click()
    panel = page.locator(".latent-workbench .latent-panel:visible")
    expect(panel).to_have_count(1)
    page.wait_for_function(
        "!document.querySelector('[data-state=running], [data-state=queued], [aria-busy=true]')"
    )
    return panel


RESET = (
    "import latent_core as lc\nwb.session.task = lc.load_task('repetition')\n"
    "wb.session.intervention = 'none'; wb.session.draw('id', level=2);"
    "wb.session.adapter_a, wb.session.adapter_b = 'Comma_2', 'Start_6'\n"
    "study = wb.hypotheses.claim.study; study.value = study.options[0][1]\n"
    "wb.attention.scope.value, wb.attention.controls.side.value = 'one example', 'A'\n"
    "wb.attention.controls.response.value = 'reference answer'"
)


#: Buttons that start long jobs in the kernel, save a file, or hide the charts, a moment later.
LEFT_OUT = (
    "Cancel",
    "Start",
    "Resume",
    "Finish",
    "Run",
    "Plan",
    "Evaluate",
    "Average",
    "Measure",
    "Download",
    "Show none",
)


def cells(page: Page) -> list[tuple[str, str]]:
    return page.evaluate(
        "() => jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells"
        ".map((cell) => [cell.cell_type, [cell.source].flat().join('')])"
    )


def scrolled_to(place: Locator) -> None:
    """Wait until the top of something is in the window, below JupyterLab's bars."""
    inside = "el => el.getBoundingClientRect().top > 40 && el.getBoundingClientRect().top < 820"
    place.page.wait_for_function(inside, arg=place.element_handle())


# --- keys -----------------------------------------------------------------------------------------


def test_keys_typed_in_a_panel_are_no_commands_of_the_notebook(notebook: Notebook) -> None:
    page = notebook.page
    before = cells(page)
    for kind in PANELS.values():
        panel = open_tab(page, kind.title)
        places = [page.get_by_role("tab", name=kind.title, exact=True)]
        for selector in ("button:enabled", "select", "[role=listbox]", "[role=application]"):
            found = panel.locator(f"{selector}:visible")
            places += [found.first] if found.count() else []
        assert len(places) > 2, kind.title
        for place in places:
            place.focus()
            presses = place.evaluate("el => el.matches('button, select')")  # Enter presses them
            for key in ("b", "r", "x", "d", "d", "m", *([] if presses else ["Shift+Enter"])):
                page.keyboard.press(key)
                if page.evaluate("document.activeElement.matches('select')"):
                    page.keyboard.press("Escape")
            assert cells(page) == before, (kind.title, place)
    expect(page.locator(".latent-workbench")).to_be_visible()
    notebook.run(RESET)  # letters choose from lists


# --- the network ----------------------------------------------------------------------------------


def test_no_control_of_any_panel_reaches_a_host(notebook: Notebook) -> None:
    """The page refuses every request to elsewhere, and the fixture fails if there was one."""
    page = notebook.page
    for kind in PANELS.values():
        panel = open_tab(page, kind.title)
        clicked = panel.evaluate(
            """(panel, left) => [...panel.querySelectorAll("button:enabled")]
                .filter((b) => b.checkVisibility())
                .filter((b) => !left.some((name) => b.textContent.startsWith(name)))
                .map((button) => (button.click(), button.textContent))""",
            list(LEFT_OUT),
        )
        assert clicked, kind.title
        notebook.run("pass")  # the kernel has heard of every click
        page.wait_for_function(
            "!document.querySelector('[data-state=running], [data-state=queued]')"
        )
        charts = panel.locator(".latent-plotly[data-drawn]:visible").all()
        assert charts or kind.title != "Comparison"
        for chart in charts:
            chart.hover()
            titles = chart.locator(".modebar-btn").evaluate_all(
                "all => all.map((one) => one.dataset.title ?? '')"
            )
            assert titles and not any(re.search("share|cloud|edit", t, re.I) for t in titles)
            for item in chart.locator(".modebar-btn").all():
                item.click(force=True)
        links = panel.locator("a[href]").evaluate_all("all => all.map((a) => a.protocol)")
        assert set(links) <= {"data:", "blob:"}
        notebook.run(RESET)
    notebook.run("for panel in wb.tabs.children: panel.errors.clear()")


def test_the_same_panel_twice_has_no_id_twice(notebook: Notebook) -> None:
    page = notebook.page
    open_tab(page, "Playground")
    expect(page.locator(".latent-panel:not(.latent-workbench *)").first).to_be_attached()
    twice = page.evaluate(
        "() => { const ids = [...document.querySelectorAll('.latent-panel [id]')].map((e) => e.id);"
        " return ids.filter((id, at) => ids.indexOf(id) !== at); }"
    )
    assert twice == []


# --- choosing and seeing --------------------------------------------------------------------------


def test_a_field_with_suggestions_shows_all_of_them(notebook: Notebook) -> None:
    page = notebook.page
    panel = open_tab(page, "Hypotheses")
    field = panel.get_by_label("Layout", exact=True)
    field.click()
    options = panel.get_by_role("option").filter(visible=True)
    many = notebook.run("print(len(wb.hypotheses.claim.about.options))")
    expect(options).to_have_count(int(many))
    assert int(many) > 2 and field.input_value(), "though the field is filled in"
    last = options.last.inner_text()
    field.fill(last[:-1])
    expect(options.first).to_be_visible()
    assert options.count() < int(many)
    field.press("ArrowUp")
    field.press("Enter")
    assert field.input_value().startswith(last[:-1])
    expect(options).to_have_count(0)


def test_a_point_shows_its_examples_and_one_opens_the_playground(notebook: Notebook) -> None:
    page = notebook.page
    panel = open_tab(page, "Comparison")
    panel.get_by_role("button", name="Show all").click()  # an earlier test pressed every button
    figure = panel.get_by_role("application").filter(visible=True).first
    figure.focus()
    figure.press("Home")
    figure.press("Enter")
    listed = panel.locator(".latent-examples")
    expect(listed).to_contain_text("Open in playground")
    scrolled_to(listed)
    assert listed.evaluate("el => el === document.activeElement")
    listed.get_by_role("button", name="Open in playground").first.click()
    expect(page.get_by_role("tab", name="Playground", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )


def test_the_answer_under_an_intervention_is_scrolled_into_view(notebook: Notebook) -> None:
    notebook.run(RESET)
    panel = open_tab(notebook.page, "Playground")
    panel.evaluate("el => el.closest('.jp-WindowedPanel-outer').scrollTo(0, 0)")
    panel.get_by_label("Operation").select_option("drop after n occurrences")
    panel.get_by_role("button", name="Add intervention", exact=True).click()
    changed = panel.get_by_role("listbox", name="A: prompt and response under the intervention")
    expect(changed).to_be_visible()
    scrolled_to(changed)
    notebook.page.wait_for_function(
        "el => el.getBoundingClientRect().bottom < 880 && document.activeElement.contains(el)",
        arg=changed.element_handle(),
    )
    notebook.run(RESET)


def test_the_effect_is_scrolled_into_view(notebook: Notebook) -> None:
    page = notebook.page
    notebook.run(RESET)
    panel = open_tab(page, "Attention")
    panel.get_by_role("button", name="Measure causal effect").click()
    effect = panel.locator(".latent-grid", has=page.locator("text=Causal effect:"))
    expect(effect).to_be_visible()
    scrolled_to(effect)


def test_the_legend_and_the_checkboxes_agree(notebook: Notebook) -> None:
    page = notebook.page
    panel = open_tab(page, "Comparison")
    panel.get_by_role("button", name="Show all").click()
    chart = panel.locator(".latent-plotly[data-drawn]:visible").first
    expect(chart).to_be_visible()
    names = chart.locator(".legendtext")
    assert names.count() <= 7, "six curves and a line for the grey ones"
    before = chart.locator(".scatterlayer .trace").count()
    names.first.click(force=True)
    page.wait_for_timeout(400)
    assert chart.locator(".scatterlayer .trace").count() == before, "a legend hides nothing"
    panel.get_by_role("button", name="Show none").click()
    expect(panel.get_by_text("Tick a method")).to_be_visible()
    panel.get_by_role("button", name="Show all").click()
    expect(chart.locator(".scatterlayer .trace")).to_have_count(before)


expect.set_options(timeout=PATIENCE)


def test_from_claim_to_verdict(browser: Browser, jupyter_lab: Jupyter, tmp_path: Path) -> None:
    cells = ["from workbench import Workbench", "wb = Workbench('tiny')\nwb.hypotheses"]
    with jupyter_lab.notebook(browser, "hypotheses", cells) as notebook:
        notebook.run_all()
        page = notebook.page
        panel = page.locator(".latent-panel:visible")
        run = panel.get_by_role("button", name="Run test", exact=True)
        expect(run).to_be_disabled()
        panel.get_by_label("Claim").select_option(
            "prediction: Does the last latent have to predict?"
        )
        notebook.run(
            "wb.hypotheses.source.source.value = 'train'\n"
            "wb.hypotheses.source.steps.value, wb.hypotheses.source.examples.value = 2, 3\n"
            f"wb.hypotheses.source.folder.value = {str(tmp_path)!r}"
        )
        panel.get_by_role("button", name="Plan test", exact=True).click()
        plan = panel.get_by_role("table", name="plan")
        expect(plan).to_contain_text("End_2 - End_2@verbal")
        expect(run).to_be_enabled()
        assert not list(tmp_path.iterdir())
        run.click()
        verdict = panel.get_by_role("table", name="verdict")
        expect(verdict).to_contain_text("the verdict is about this adapter only")
        expect(panel.locator(".latent-effects svg").first).to_be_in_viewport()
        page.set_viewport_size({"width": 1300, "height": 900})
        for table in (plan, verdict):  # no column of text is squeezed by those of numbers
            widths = (
                table.locator("tbody tr")
                .first.locator("td:not(.n)")
                .evaluate_all("cells => cells.map((cell) => cell.clientWidth)")
            )
            assert widths and min(widths) > 100, widths
            assert table.evaluate("el => el.offsetWidth <= el.parentElement.clientWidth + 2")
        expect(panel.get_by_text("1 test in")).to_be_visible()
        with page.expect_download() as download:
            panel.get_by_role("link", name="download it").click()
        assert "<svg" in Path(download.value.path()).read_text()
        notebook.theme("Dark")
        ink = verdict.evaluate("table => getComputedStyle(table).color")
        assert sum(map(int, re.findall(r"\d+", ink)[:3])) > 450  # light on dark
        assert notebook.run("print(wb.hypotheses.errors)") == "[]\n"
