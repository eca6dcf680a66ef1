"""A view outside the live notebook: as a file, and as the last picture below it.

Files are PNG, SVG, CSV, or one self-contained HTML page. The kernel draws the pictures, so they
come out the same without a browser, and a notebook that holds one needs no kernel to show it. Text
stays text: an SVG's letters can be selected, and no token is parsed as HTML.

A saved notebook holds a reference to its widgets, which shows nothing without their kernel. The
last picture lies in an output of its own. A rule in it hides the picture while the widgets live,
and hides the widgets once they are cut off from their kernel.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import pandas as pd
from IPython.display import display
from ipywidgets import DOMWidget
from matplotlib.figure import Figure

from latent_core.errors import LatentError, SettingError
from workbench.pictures.still import figure_bytes
from workbench.templates import render

__all__ = ["FORMATS", "Exportable", "LastPicture", "as_bytes", "live_view", "write_export"]

#: Rows of a table that go into a page; a CSV has all.
_MOST_ROWS: Final = 500


class Exportable(Protocol):
    """A view with a title, a table, a picture, and the code that makes them."""

    @property
    def title(self) -> str:
        """The name of the view."""

    def table(self) -> pd.DataFrame:
        """The numbers of the view, as a tidy frame."""

    def readable(self) -> Mapping[str, pd.DataFrame]:
        """The tables that stand beside the picture, by heading; none if it is the picture alone."""

    def picture(self) -> Figure:
        """The view as a static picture."""

    def code(self) -> str:
        """Python that reproduces the view."""


def as_bytes(view: Exportable, kind: str) -> bytes:
    """Write a view in one of `FORMATS`.

    Raises:
        SettingError: for an unknown format, or while there is nothing to show.
    """
    if kind not in FORMATS:
        raise SettingError(f"cannot export {kind!r}; expected one of {', '.join(FORMATS)}")
    return FORMATS[kind](view)


def write_export(view: Exportable, path: str | Path) -> Path:
    """Write a view in the format that the file's ending names.

    Raises:
        SettingError: for another ending, or while there is nothing to show.
        LatentError: if the file cannot be written.
    """
    target = Path(path)
    content = as_bytes(view, target.suffix.removeprefix(".").lower())
    try:
        target.write_bytes(content)
    except OSError as error:
        raise LatentError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _svg_element(figure: Figure) -> str:
    """A figure as SVG without an XML declaration, as a page holds it."""
    text = figure_bytes(figure, "svg").decode()
    return text[text.index("<svg") :]


def _page(view: Exportable) -> bytes:
    """What is seen, then the numbers behind it and the code, each in a fold."""
    table = view.table()
    return render(
        "panels/export_page.html",
        title=view.title,
        picture=_svg_element(view.picture()),
        tables={heading: _Cells.of(frame) for heading, frame in view.readable().items()},
        data=_Cells.of(table.head(_MOST_ROWS)),
        count=len(table),
        left_out=max(0, len(table) - _MOST_ROWS),
        csv=base64.b64encode(FORMATS["csv"](view)).decode(),
        code=view.code(),
    ).encode()


class _Cells(NamedTuple):
    """A table as texts."""

    columns: list[str]
    rows: list[list[str]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> _Cells:
        rows = [[_cell(value) for value in row] for row in frame.to_numpy(object)]
        return cls([str(name) for name in frame.columns], rows)


def _cell(value: object) -> str:
    """A number in four digits; nothing where a value is missing."""
    if pd.isna(cast(Any, value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


#: The formats, by file ending.
FORMATS: Final[dict[str, Callable[[Exportable], bytes]]] = {
    "png": lambda view: figure_bytes(view.picture(), "png"),
    "svg": lambda view: figure_bytes(view.picture(), "svg"),
    "csv": lambda view: view.table().to_csv(index=False).encode(),
    "html": _page,
}


# --- the last picture -----------------------------------------------------------------------------

#: Seconds without a change until the picture is made anew.
_QUIET: Final = 2.0
_DPI: Final = 96


def live_view(widget: DOMWidget) -> dict[str, Any]:
    """The MIME bundle of a widget, without words, which would stand beside the picture."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}


class LastPicture:
    """The picture of a widget, which is made anew some time after each change."""

    def __init__(self, widget: DOMWidget, draw: Callable[[], tuple[str, Figure]]) -> None:
        """Make none yet.

        Args:
            widget: the live view.
            draw: gives its name and its picture; raises `LatentError` while there is nothing.
        """
        self._draw = draw
        self._name = secrets.token_hex(4)
        self._displayed = False
        self._png = b""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._title = ""
        widget.add_class(f"latent-live-{self._name}")

    def display(self, bundle: dict[str, Any]) -> None:
        """Show the live view, which is given as its MIME bundle, and the picture below it."""
        display(bundle, raw=True)
        try:
            self._title, figure = self._draw()
            self._png = figure_bytes(figure, "png", _DPI)
        except LatentError:
            pass  # the picture comes when there is something
        display(self._html(), raw=True, display_id=self._name)
        self._displayed = True

    def touch(self) -> None:
        """Tell of a change: the picture is made anew when no other follows."""
        if not self._displayed:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # without a loop nobody looks
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(_QUIET, self._begin)

    def _begin(self) -> None:
        if self._task is not None and not self._task.done():
            self.touch()
        else:
            self._task = asyncio.get_running_loop().create_task(self.refresh())

    async def refresh(self) -> None:
        """Make the picture anew now; what takes long is done beside the kernel's own thread."""
        try:
            self._title, figure = self._draw()
            png = await asyncio.to_thread(figure_bytes, figure, "png", _DPI)
        except LatentError:
            return  # nothing to show, so the last picture stays
        if png != self._png:
            self._png = png
            display(self._html(), raw=True, display_id=self._name, update=True)

    def _html(self) -> dict[str, str]:
        html = render(
            "panels/last_picture.html",
            name=self._name,
            title=self._title or "Panel",
            picture=base64.b64encode(self._png).decode(),
        )
        return {"text/html": html, "text/plain": ""}
