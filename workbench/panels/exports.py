"""What a view shows, as a file: PNG, SVG, CSV, or one self-contained HTML page.

Pictures are drawn in the kernel, so they come out the same without a browser, and a notebook that
holds one needs no kernel to show it. Text stays text: an SVG's letters can be selected, and no
token is parsed as HTML. Knows neither panels nor sessions.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, Final, Protocol, cast

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import LatentError, SettingError

__all__ = ["FORMATS", "Shown", "as_bytes", "figure_svg", "html_page", "write_export"]

_RULES: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "latent",
    "text.parse_math": False,
    "font.family": "sans-serif",
}
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60em; margin: 2em auto;
  padding: 0 1em; }
svg { max-width: 100%; height: auto; }
pre { background: #f4f4f4; padding: 0.8em; overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: left;
  white-space: pre-wrap; }
@media print { details { display: none; } }
"""
#: Rows of a table that go into a page; a CSV has all.
_MOST_ROWS: Final = 500


class Shown(Protocol):
    """Anything that has a title, a table, a picture, and the code that makes them."""

    @property
    def title(self) -> str:
        """What the view is called."""

    def table(self) -> pd.DataFrame:
        """What it shows, as a tidy frame."""

    def picture(self) -> Figure:
        """What it shows, as a static picture."""

    def code(self) -> str:
        """Python that reproduces it."""


def figure_svg(figure: Figure) -> str:
    """A figure as an SVG element, without XML declaration, to be set into a page."""
    text = _picture(figure, "svg").decode()
    return text[text.index("<svg") :]


def html_page(title: str, *parts: str) -> str:
    """A self-contained page: its title is text; its parts are HTML, escaped by the caller."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def as_bytes(shown: Shown, kind: str) -> bytes:
    """What is shown in one of `FORMATS`.

    Raises:
        SettingError: for an unknown format, or while there is nothing to show.
    """
    if kind not in FORMATS:
        raise SettingError(f"cannot export {kind!r}; expected one of {', '.join(FORMATS)}")
    return FORMATS[kind](shown)


def write_export(shown: Shown, path: str | Path) -> Path:
    """Write what is shown in the format that the file's ending names.

    Raises:
        SettingError: for another ending, or while there is nothing to show.
        LatentError: if the file cannot be written.
    """
    target = Path(path)
    content = as_bytes(shown, target.suffix.removeprefix(".").lower())
    try:
        target.write_bytes(content)
    except OSError as error:
        raise LatentError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _picture(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(cast(Any, _RULES)), warnings.catch_warnings():
        # Tokens may have any letters; those that no font has are boxes in a PNG, text in an SVG.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=160, bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()


def _page(shown: Shown) -> bytes:
    table = shown.table()
    more = len(table) - _MOST_ROWS
    note = f"<p>{more} more rows are left out here; the CSV has all.</p>" if more > 0 else ""
    rows = table.head(_MOST_ROWS).to_html(index=False, border=0, float_format="{:.4g}".format)
    return html_page(
        shown.title,
        figure_svg(shown.picture()),
        f"<details open><summary>Table</summary>\n{rows}\n{note}</details>",
        f"<details open><summary>Code</summary>\n<pre>{escape(shown.code())}</pre></details>",
    ).encode()


#: The formats, by file ending.
FORMATS: Final[dict[str, Callable[[Shown], bytes]]] = {
    "png": lambda shown: _picture(shown.picture(), "png"),
    "svg": lambda shown: _picture(shown.picture(), "svg"),
    "csv": lambda shown: shown.table().to_csv(index=False).encode(),
    "html": _page,
}
