"""What a notebook shows of live views without a kernel: after a restart, reopened, as a page."""

from collections.abc import Iterator

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, expect

from tests.browser import PATIENCE, Jupyter, Notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
expect.set_options(timeout=PATIENCE)

CELLS = (
    "from workbench import Workbench\nwb = Workbench('tiny', adapters=['Comma_2', 'Start_6'])\n"
    "wb.session.draw('id', level=2);",
    "wb",
)
STILL = "[class^=latent-still] img"


@pytest.fixture(scope="module")
def notebook(browser: Browser, jupyter_lab: Jupyter) -> Iterator[Notebook]:
    with jupyter_lab.notebook(browser, "last", CELLS) as opened:
        opened.run_all()
        expect(opened.page.locator(".latent-workbench")).to_be_visible()
        expect(opened.page.locator(STILL)).to_be_attached()
        yield opened
        opened.watch.seen.clear()  # Jupyter says on the console that the models are gone


def test_the_picture_is_there_but_hidden_while_the_panel_lives(notebook: Notebook) -> None:
    expect(notebook.page.locator(STILL)).to_be_hidden()


def test_the_picture_follows_what_is_shown(notebook: Notebook) -> None:
    page = notebook.page
    before = page.locator(STILL).get_attribute("src")
    page.get_by_role("tab", name="Attention", exact=True).click()
    changed = "([css, before]) => document.querySelector(css).src !== before"
    page.wait_for_function(changed, arg=[STILL, before])
    assert page.locator(STILL).get_attribute("alt") == "Attention, as it was last seen"


def test_a_page_made_of_the_notebook_shows_the_picture_and_no_widget_as_words(
    notebook: Notebook,
) -> None:
    notebook.save()
    page, _ = HTMLExporter().from_notebook_node(nbformat.read(notebook.path, as_version=4))
    assert page.count("as it was last seen") == 1
    assert "Tab(" not in page and "VBox(" not in page and "Workbench(children" not in page


def test_reopened_without_a_kernel_the_notebook_shows_the_picture(
    notebook: Notebook, browser: Browser, jupyter_lab: Jupyter
) -> None:
    notebook.save()
    with jupyter_lab.notebook(browser, "last-again", notebook.path) as again:
        again.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        expect(again.page.locator(STILL)).to_be_visible()
        assert again.page.locator(STILL).evaluate("el => el.decode().then(() => el.width)") > 500
        expect(again.page.get_by_text("model not found").filter(visible=True)).to_have_count(0)
        again.watch.seen.clear()


def test_after_a_restart_the_picture_takes_the_place_of_the_panel(notebook: Notebook) -> None:
    """The last of these: it ends the kernel."""
    page = notebook.page
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    expect(page.locator(STILL)).to_be_visible()
    expect(page.locator(".jupyter-widgets-disconnected").filter(visible=True)).to_have_count(0)
