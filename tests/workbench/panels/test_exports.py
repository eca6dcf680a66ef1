"""What is exported, or stays without a kernel, holds what is shown; text stays text."""

import base64
import functools
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from matplotlib.figure import Figure
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, expect

from latent_core.errors import LatentError, SettingError
from tests.browser import PATIENCE, Jupyter, Notebook
from tests.made_backbones import TOKENS
from workbench.panels.exports import FORMATS, as_bytes, write_export
from workbench.widgets.export_bar import ExportBar

DRAWN = [token for token in TOKENS if token.isascii()]  # glyphs that the figure's font has


class Shown:
    """One bar per hostile token, and these tokens wherever text can stand."""

    title = "What </script> shows & <b>more</b>"

    def __init__(self, rows: int = 0) -> None:
        self.rows = rows

    def table(self) -> pd.DataFrame:
        numbers = range(self.rows) if self.rows else range(len(TOKENS))
        tokens = [TOKENS[n % len(TOKENS)] for n in numbers]
        return pd.DataFrame({"token": tokens, "<i>mass</i>": [n / 7 for n in numbers]})

    def readable(self) -> dict[str, pd.DataFrame]:
        return {"Seen": pd.DataFrame({"mean": [float("nan"), 0.5]})}

    def picture(self) -> Figure:
        figure = Figure(figsize=(4, 3))
        axes = figure.subplots()
        axes.bar(DRAWN, np.arange(len(DRAWN)) + 1.0)
        axes.set_title(self.title)
        return figure

    def code(self) -> str:
        return f"show({TOKENS[0]!r})  # </pre><img src=x>"


class Empty(Shown):
    def picture(self) -> Figure:
        raise SettingError("nothing to show yet: press Generate")

    table = code = readable = picture  # type: ignore[assignment]


class Page(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_csv_is_the_table_to_the_letter() -> None:
    back = pd.read_csv(io.BytesIO(as_bytes(Shown(), "csv")), keep_default_na=False)
    pd.testing.assert_frame_equal(back, Shown().table())


def test_png_is_a_picture_of_ink_on_white() -> None:
    pixels = image.imread(io.BytesIO(as_bytes(Shown(), "png")))
    assert pixels.shape[1] > 400 and pixels.std() > 0.01
    assert np.allclose(pixels[0, 0], 1.0)


def test_svg_holds_its_text_as_text_and_comes_out_the_same_twice() -> None:
    source = as_bytes(Shown(), "svg")
    assert source == as_bytes(Shown(), "svg")
    root = ElementTree.fromstring(source)
    text = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {Shown.title, *DRAWN} <= set(text)
    kinds = {e.tag.rpartition("}")[2] for e in root.iter()}
    assert kinds.isdisjoint({"script", "img", "image", "foreignObject", "a"})


def test_the_page_is_one_file_in_which_tokens_are_text() -> None:
    source = as_bytes(Shown(), "html").decode()
    page = Page(source)
    forbidden = {"script", "img", "iframe", "link", "object", "b", "i", "textarea"}
    assert forbidden.isdisjoint(tag for tag, _ in page.tags)
    svg_once = sum(tag == "svg" for tag, _ in page.tags)
    assert svg_once == 1
    names = {name for _, attributes in page.tags for name in attributes}
    assert not any(name.startswith("on") for name in names)
    links = [v for _, a in page.tags for n, v in a.items() if n in ("href", "src", "xlink:href")]
    (data,) = [str(link) for link in links if not str(link).startswith("#")]
    written = base64.b64decode(data.removeprefix("data:text/csv;base64,"))
    assert written == as_bytes(Shown(), "csv"), "the data behind the page"
    for wanted in (Shown.title, "<i>mass</i>", Shown().code(), *TOKENS):
        assert words(wanted) in words(page.text), wanted
    assert "1.429" in page.text  # 10/7, in four digits
    assert "Seen" in page.text and "nan" not in page.text.lower(), "a missing number is empty"


def test_a_long_table_is_cut_in_the_page_and_whole_in_the_csv() -> None:
    page = as_bytes(Shown(rows=612), "html").decode()
    assert page.count("<tr") == 501 + 3 and "112 more rows are in the CSV only" in page
    assert as_bytes(Shown(rows=612), "csv").count(b"\n") >= 613


def test_write_export_goes_by_the_ending(tmp_path: Path) -> None:
    for kind in FORMATS:
        path = write_export(Shown(), tmp_path / f"view.{kind.upper()}")
        assert path.read_bytes() == as_bytes(Shown(), kind)
    with pytest.raises(SettingError, match="cannot export 'pdf'; expected one of png, svg, csv"):
        write_export(Shown(), tmp_path / "view.pdf")
    with pytest.raises(LatentError, match=r"cannot write .*No such file"):
        write_export(Shown(), tmp_path / "missing" / "view.csv")


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_to_show_says_so_and_writes_nothing(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="press Generate"):
        write_export(Empty(), tmp_path / f"view.{kind}")
    assert list(tmp_path.iterdir()) == []


# --- the buttons ----------------------------------------------------------------------------------


class Heard(ExportBar):
    """An export bar that remembers what it sent to the page."""

    def __init__(self, view: Shown) -> None:
        writers = {kind: functools.partial(as_bytes, view, kind) for kind in FORMATS}
        super().__init__(view.title, writers, view.code)

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent = content, buffers


@pytest.fixture
def bar() -> Iterator[Heard]:
    yield Heard(Shown())


def test_a_click_sends_the_file_or_the_code(bar: Heard) -> None:
    assert bar.name == "what-script-shows-b-more-b"
    for kind in bar.formats:
        bar._handle_custom_msg({"kind": kind}, [])
        assert bar.sent == ({"kind": kind}, [as_bytes(Shown(), kind)])
    bar._handle_custom_msg({"kind": "code"}, [])
    assert bar.sent == ({"kind": "code", "text": Shown().code()}, None)


def test_what_goes_wrong_is_said_beside_the_buttons() -> None:
    class Broken(Shown):
        def code(self) -> str:
            raise KeyError("mine")

    bar = Heard(Empty())
    for kind in (*bar.formats, "code"):
        bar._handle_custom_msg({"kind": kind}, [])
        assert bar.sent[0] == {"kind": "error", "text": "nothing to show yet: press Generate"}
    broken = Heard(Broken())
    broken._handle_custom_msg({"kind": "code"}, [])
    assert broken.sent[0] == {"kind": "error", "text": "KeyError: 'mine'"}


@pytest.mark.slow
def test_the_tables_that_a_reader_sees_are_whole_on_the_page(chromium: str, tmp_path: Path) -> None:
    from tests.browser import chromium_browser

    class Long(Shown):
        def readable(self) -> dict[str, pd.DataFrame]:
            return {"Seen": pd.DataFrame({"part": [f"part {n}" for n in range(80)]})}

    (tmp_path / "page.html").write_bytes(as_bytes(Long(), "html"))
    with chromium_browser(chromium) as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.goto((tmp_path / "page.html").as_uri())
        assert page.locator(".wide").first.evaluate("el => el.scrollHeight == el.clientHeight")
        last = page.get_by_text("part 79").bounding_box()
        code = page.get_by_text("Code", exact=True).bounding_box()
        assert last is not None and code is not None and last["y"] < code["y"]


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_picture_is_there_but_hidden_while_the_panel_lives(notebook: Notebook) -> None:
    expect(notebook.page.locator(STILL)).to_be_hidden()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_picture_follows_what_is_shown(notebook: Notebook) -> None:
    page = notebook.page
    before = page.locator(STILL).get_attribute("src")
    page.get_by_role("tab", name="Attention", exact=True).click()
    changed = "([css, before]) => document.querySelector(css).src !== before"
    page.wait_for_function(changed, arg=[STILL, before])
    assert page.locator(STILL).get_attribute("alt") == "Attention, as it was last seen"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_page_made_of_the_notebook_shows_the_picture_and_no_widget_as_words(
    notebook: Notebook,
) -> None:
    notebook.save()
    page, _ = HTMLExporter().from_notebook_node(nbformat.read(notebook.path, as_version=4))
    assert page.count("as it was last seen") == 1
    assert "Tab(" not in page and "VBox(" not in page and "Workbench(children" not in page


@pytest.mark.slow
@pytest.mark.timeout(600)
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_a_restart_the_picture_takes_the_place_of_the_panel(notebook: Notebook) -> None:
    """The last of these: it ends the kernel."""
    page = notebook.page
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    expect(page.locator(STILL)).to_be_visible()
    expect(page.locator(".jupyter-widgets-disconnected").filter(visible=True)).to_have_count(0)
