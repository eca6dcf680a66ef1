"""A Plotly figure that lives in the page, and tells Python where it is clicked and hovered.

    view = PlotlyView(figure, label="Accuracy against length")
    view.observe(lambda change: print(change["new"]["customdata"]), "clicked")

Plotly's own FigureWidget puts five megabytes of JavaScript into every widget. Here the page asks
the kernel once for the plotly.js of the installed package, and all its views share that; nothing of
it is saved in the notebook, nothing comes from a network. Numbers travel as binary buffers.

Colours of text, grid and hover labels are the page's, light or dark. Plotly reads some HTML in
labels, so whoever makes a figure escapes them (`workbench.pictures.theme.visible`).
"""

from __future__ import annotations

import base64
import functools
import gzip
from pathlib import Path
from typing import Any, Final

import anywidget
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs, get_plotlyjs_version

__all__ = ["PlotlyView"]

STATIC: Final = Path(__file__).parent


class PlotlyView(anywidget.AnyWidget):
    """One figure. With the keyboard, arrows move from point to point and Enter clicks.

    Attributes:
        figure: what is drawn, as Plotly's JSON with arrays as buffers; set it with `show`.
        label: what the figure is, for those who do not see it.
        clicked: the point that was clicked last: its `curve` and `index` in that curve (numbers
            from 0), `x`, `y`, `customdata`, and `clicks`, which counts all clicks, so that a second
            one on the same point is a change too. Empty before the first.
        hovered: the same, without `clicks`, of the point under the pointer; empty for none.
    """

    _esm = STATIC / "plotly_view.js"
    _css = STATIC / "plotly_view.css"

    figure = traitlets.Dict().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    clicked = traitlets.Dict().tag(sync=True)
    hovered = traitlets.Dict().tag(sync=True)
    version = traitlets.Unicode().tag(sync=True)

    def __init__(self, figure: go.Figure | None = None, label: str = "") -> None:
        super().__init__(
            figure={} if figure is None else _on_the_wire(figure),
            label=label,
            version=get_plotlyjs_version(),
        )
        self.on_msg(self._hear)

    def show(self, figure: go.Figure, label: str | None = None) -> None:
        """Draw another figure. A zoom stays if both have the same `layout.uirevision`."""
        with self.hold_sync():
            self.figure = _on_the_wire(figure)
            if label is not None:
                self.label = label

    def _hear(self, widget: Any, content: dict[str, Any], buffers: list[bytes]) -> None:
        if content.get("kind") == "library":
            packed = bool(content.get("gzip"))
            self.send({"kind": "library", "gzip": packed}, [_library(packed)])


@functools.cache
def _library(packed: bool) -> bytes:
    """plotly.min.js of the installed package, 4.8 MB, or a third of that packed."""
    source: bytes = get_plotlyjs().encode()
    return gzip.compress(source, 6, mtime=0) if packed else source


def _on_the_wire(figure: go.Figure) -> dict[str, Any]:
    """Plotly's JSON without the default template, which the page's theme replaces."""
    template = figure.layout.template
    figure.layout.template = None
    try:
        wire: dict[str, Any] = _with_buffers(figure.to_dict())
    finally:
        figure.layout.template = template
    return wire


def _with_buffers(value: Any) -> Any:
    """Plotly writes arrays as base64 text; the widget protocol carries bytes as they are."""
    if isinstance(value, dict):
        if value.keys() >= {"bdata", "dtype"}:
            return value | {"bdata": memoryview(base64.b64decode(value["bdata"]))}
        return {key: _with_buffers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_buffers(item) for item in value]
    return value
