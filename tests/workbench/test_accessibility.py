"""Every panel for people who use a keyboard or a screen reader: axe-core and keys check it."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import PATIENCE, Jupyter, Notebook
from workbench.app import PANELS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
expect.set_options(timeout=PATIENCE)

CELLS = (
    "from workbench import Workbench\nwb = Workbench('tiny', adapters=['Comma_2', 'Start_6'])\n"
    "wb.session.draw('id', level=2);\nwb.session.intervention = 'drop(Comma, after=1)'",
    "wb",
)
#: What each panel shows beyond what it opens with.
SHOWN = (
    "wb.attention.prepare(); wb.session.jobs.settle(wb.attention.start_trace())\n"
    "wb.comparison.prepare(); wb.hypotheses.prepare(); wb.playground.prepare()\n"
    "wb.playground.views['A'].strips['clean'].selected = 3"
)


@pytest.fixture(scope="module")
def notebook(browser: Browser, jupyter_lab: Jupyter) -> Iterator[Notebook]:
    with jupyter_lab.notebook(browser, "accessible", CELLS) as opened:
        opened.run_all()
        for kind in PANELS.values():
            open_tab(opened.page, kind.title)
        opened.run(SHOWN)
        yield opened
        assert opened.run("print([p.errors for p in wb.tabs.children if p.errors])") == "[]\n"


def open_tab(page: Page, title: str) -> None:
    page.get_by_role("tab", name=title, exact=True).click()
    expect(page.locator(".latent-panel:visible")).to_have_count(1)
    page.wait_for_function(
        "!document.querySelector('[data-state=running], [data-state=queued], [aria-busy=true]')"
    )


@pytest.mark.parametrize("mode", ["Dark", "Light"])
@pytest.mark.parametrize("panel", PANELS)
def test_axe_finds_nothing_serious(notebook: Notebook, panel: str, mode: Any) -> None:
    notebook.theme(mode)
    open_tab(notebook.page, PANELS[panel].title)
    response = Axe().run(notebook.page, context=".latent-workbench").response
    assert len(response["passes"]) > 15, "the rules met something to look at"
    said = [
        f"{one['impact']} {one['id']}: {one['help']}\n  "
        + "\n  ".join(
            f"{node['html'][:300]} | {node['failureSummary'][:300]}" for node in one["nodes"]
        )
        for one in response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert not said, "\n".join(said)


CONTROLS = """(panel) => {
  const found = [...panel.querySelectorAll(
      "button, input, select, textarea, summary, a[href], [tabindex='0']")]
    .filter((el) => el.checkVisibility() && !el.disabled && el.getClientRects().length);
  found.forEach((el) => el.removeAttribute("data-reached"));
  return found.length;
}"""
REACHED = """() => {
  const el = document.activeElement;
  if (!el.closest(".latent-panel")) return false;
  el.dataset.reached = "true";
  return true;
}"""
UNREACHED = """(panel) => [...panel.querySelectorAll(
    "button, input, select, textarea, summary, a[href], [tabindex='0']")]
  .filter((el) => el.checkVisibility() && !el.disabled && el.getClientRects().length)
  .filter((el) => !el.dataset.reached).map((el) => el.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("panel", PANELS)
def test_the_tab_key_reaches_every_control_of_a_panel(notebook: Notebook, panel: str) -> None:
    page = notebook.page
    open_tab(page, PANELS[panel].title)
    shown = page.locator(".latent-panel:visible")
    count = shown.evaluate(CONTROLS)
    assert count > 5
    page.get_by_role("tab", name=PANELS[panel].title, exact=True).focus()
    for _ in range(count + 5):
        page.keyboard.press("Tab")
        if not page.evaluate(REACHED):
            break
    assert shown.evaluate(UNREACHED) == []
