"""Export of a view as a file: PNG, SVG, CSV, or one self-contained HTML page.

The kernel draws the pictures, so they come out the same without a browser, and a notebook that
holds one needs no kernel to show it. Text stays text: an SVG's letters can be selected, and no
token is parsed as HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import LatentError, SettingError
from workbench.pictures.still import figure_bytes
from workbench.templates import render

__all__ = ["FORMATS", "Exportable", "as_bytes", "write_export"]

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
