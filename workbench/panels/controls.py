"""Controls of a panel: labelled fields, rows of widgets, and callbacks for the user's changes.

A callback may wait for quiet: many changes in a row call it once, one change alone at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, final

import ipywidgets as widgets

from workbench.panels.base import Panel

__all__ = ["ROW", "Controls", "Quiet", "checkbox", "field", "row"]

#: Layout of widgets side by side, in further lines where they do not fit.
ROW: Final = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "4px 14px"}


class Controls:
    """Controls that call back when the user changes them, but not while code sets them."""

    def __init__(self, panel: Panel) -> None:
        self._panel, self._heard = panel, True

    def on(self, callback: Callable[[Any], Any], *controls: widgets.Widget) -> None:
        """Call `callback` with the new value whenever one of `controls` changes."""
        for control in controls:
            self._panel.on(control, "value", lambda new: callback(new) if self._heard else None)

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """Within it, a control that is set calls nothing."""
        heard, self._heard = self._heard, False
        try:
            yield
        finally:
            self._heard = heard


def field(
    kind: Callable[..., Any], label: str, width: str, label_width: str = "initial", **settings: Any
) -> Any:
    """Make a labelled input.

    Args:
        kind: a class of ipywidgets.
        label: stands before it.
        width: of both together, as CSS has it.
        label_width: the same for fields that stand below each other.
        settings: further arguments of the class.
    """
    return kind(
        description=label,
        style={"description_width": label_width},
        layout=widgets.Layout(width=width, margin="0"),
        **settings,
    )


def checkbox(label: str, tooltip: str, value: bool = False) -> widgets.Checkbox:
    """Make a checkbox as wide as its label."""
    layout = widgets.Layout(width="max-content")
    return widgets.Checkbox(
        value=value, description=label, tooltip=tooltip, indent=False, layout=layout
    )


def row(*children: widgets.Widget, **layout: str) -> widgets.HBox:
    """Put widgets side by side, in further lines where they do not fit."""
    return widgets.HBox(children, layout=widgets.Layout(**(ROW | layout)))


#: Seconds from a change to the call: of one alone, and while more may come.
_SOON: Final = 0.02
_QUIET: Final = 0.25


@final
class Quiet:
    """Calls back after changes: typing, or dragging a control, makes many of them a second.

    Without a running loop, as in a script, each change calls back at once.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._timer: asyncio.TimerHandle | None = None
        self._last = float("-inf")

    def changed(self) -> None:
        """Hear of a change."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._callback()
            return
        since, self._last = loop.time() - self._last, loop.time()
        if since < _SOON:
            return  # another part of the same change
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(_QUIET if since < _QUIET else _SOON, self._callback)
