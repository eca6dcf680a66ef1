"""In the widget renderer of VS Code's Jupyter extension, the panels are drawn and reach Python.

Here the renderer stands in a page of its own, in Chromium; this is not VS Code. It comes from npm,
which a run of all tests does not ask, so this file is left out unless a folder is named:

    npm install --prefix FOLDER @vscode/jupyter-ipywidgets8@1.0.9 requirejs esbuild
    LATENT_VSCODE_RENDERER=FOLDER pytest tests/workbench/test_vscode.py
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import PATIENCE, TOKEN, Jupyter, watched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
expect.set_options(timeout=PATIENCE)

ADAPTERS = ["Start_1+Comma_1", "Start_2"]
SERVICES = "export { KernelManager, ServerConnection } from '@jupyterlab/services';"
#: The number of texts on the page, and of those that have VS Code's own colour of text.
COLOURS = """() => {
    const outside = getComputedStyle(document.body).color;
    const isText = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
    const hasText = (el) => [...el.childNodes].some(isText);
    const texts = [...document.querySelectorAll(".latent-panel *")].filter(hasText);
    return [texts.length, texts.filter((el) => getComputedStyle(el).color === outside).length];
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, jupyter_lab: Jupyter) -> Iterator[Page]:
    """A page with a kernel that has a workbench, and that shows what cells display."""
    modules = Path(os.environ["LATENT_VSCODE_RENDERER"]).resolve() / "node_modules"
    esbuild = [modules / ".bin" / "esbuild", "--bundle", "--format=esm"]
    services = subprocess.run(
        esbuild, input=SERVICES, cwd=modules.parent, capture_output=True, text=True, check=True
    ).stdout
    nbextensions = Path(sys.prefix) / "share" / "jupyter" / "nbextensions"
    files = {
        "": Path(__file__).with_name("vscode_page.html"),
        "require.js": modules / "requirejs" / "require.js",
        "ipywidgets.js": modules / "@vscode" / "jupyter-ipywidgets8" / "dist" / "ipywidgets.js",
        "nbextensions/anywidget/index.js": nbextensions / "anywidget" / "index.js",
    }
    texts = {name: path.read_text() for name, path in files.items()} | {"services.js": services}
    home = f"http://127.0.0.1:{jupyter_lab.port}/vscode/"

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix(home)
        kind = "text/javascript" if name else "text/html"
        route.fulfill(body=texts[name], content_type=kind)

    with watched(browser) as watch:
        # Chromium does not know that this page, which no server sent, is of this machine.
        watch.page.context.grant_permissions(["local-network-access"])
        watch.page.route(f"{home}**", answer)
        watch.page.goto(home)
        watch.page.evaluate("token => start(token)", TOKEN)
        run(watch.page, "from workbench import Workbench")
        run(watch.page, f"wb = Workbench('tiny', adapters={ADAPTERS}, task='summation')")
        yield watch.page
        assert run(watch.page, "print([p.errors for p in wb.tabs.children if p.errors])") == "[]\n"
        watch.page.evaluate("stop()")


def run(page: Page, source: str) -> str:
    """Run code in the page's kernel; returns what it prints. Fails if the code raises."""
    printed, error = page.evaluate("source => run(source)", source)
    assert not error, error
    return str(printed)


def show(page: Page, source: str) -> None:
    """Run a cell; its outputs take the place of those before."""
    page.evaluate("document.querySelectorAll('.output').forEach((box) => box.remove())")
    run(page, source)


def test_the_playground_goes_to_another_example_and_answers_it(page: Page) -> None:
    show(page, "wb.playground")
    first = run(page, "print(wb.session.prompt)")
    page.get_by_role("button", name="Next example", exact=True).click()
    prompt = page.get_by_label("Prompt", exact=True)
    expect(prompt).not_to_have_value(first.removesuffix("\n"))
    assert run(page, "print(wb.session.prompt, end='')") == prompt.input_value()
    page.get_by_label("Comma", exact=True).uncheck()
    expect(page.get_by_text("with drop(Comma)")).to_have_count(2)
    assert run(page, "print(wb.session.intervention)") == "drop(Comma)\n"
    page.get_by_role("button", name="Remove intervention", exact=True).click()
    expect(page.get_by_text(re.compile(r"^exact · graded \d\.\d\d"))).to_have_count(2)
    page.locator(".latent-chip", has_text="Start.0").first.click()
    expect(page.get_by_role("region", name="selected slot")).to_contain_text("Nearest tokens")
    still = page.locator("[class^=latent-still]")
    expect(still).to_be_attached()
    expect(still).to_be_hidden()


def test_a_cell_of_the_attention_panel_opens_its_head(page: Page) -> None:
    show(page, "wb.attention")
    body = page.locator(".latent-grid-body[data-draws]").first
    for key in ("Control+Home", "ArrowRight", "ArrowDown", "Enter"):
        body.press(key)
    title = "A (Start_1+Comma_1): layer 1, head 1, text → latent"
    expect(page.locator(f".latent-grid-title:text('{title}')")).to_be_visible()
    assert run(page, "print(*wb.attention.chooser.cell)") == "1 1\n"


def test_in_a_dark_theme_no_text_takes_vs_codes_colour_on_its_white(page: Page) -> None:
    page.evaluate("document.body.className = 'vscode-dark'")
    show(page, "wb.playground")
    expect(page.locator(".latent-chip").first).to_be_visible()
    texts, pale = page.evaluate(COLOURS)
    assert (texts > 100, pale) == (True, 0)
