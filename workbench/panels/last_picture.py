"""The last picture of a live view, below it in the notebook: seen where there is no kernel.

A saved notebook holds a reference to its widgets, which shows nothing without their kernel. The
picture lies in an output of its own. A rule in it hides the picture while the widgets live, and
hides the widgets once they are cut off from their kernel.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from typing import Any, Final

from IPython.display import display
from ipywidgets import DOMWidget
from matplotlib.figure import Figure

from latent_core.errors import LatentError
from workbench.pictures.still import figure_bytes
from workbench.templates import render

__all__ = ["LastPicture", "live_view"]

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
