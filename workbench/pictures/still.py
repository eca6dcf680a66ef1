"""Matplotlib figures as bytes, the same each time, and without any state of a notebook."""

from __future__ import annotations

import io
import threading
import warnings
from typing import Any, Final, Literal, cast

import matplotlib
from matplotlib.figure import Figure

__all__ = ["figure_bytes"]

_RULES: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "latent",
    "text.parse_math": False,
    "font.family": "sans-serif",
}


#: Matplotlib's settings are the process's own: two threads would undo one another's.
_ONE_AT_A_TIME: Final = threading.Lock()


def figure_bytes(figure: Figure, kind: Literal["png", "svg"], dpi: int = 160) -> bytes:
    """Write a figure as PNG or SVG; the letters of an SVG stay text."""
    buffer = io.BytesIO()
    rules = cast(Any, _RULES)
    with _ONE_AT_A_TIME, matplotlib.rc_context(rules), warnings.catch_warnings():
        # Tokens may have any letters; those that no font has are boxes in a PNG, text in an SVG.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()
