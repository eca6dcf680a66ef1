"""A callback that waits for quiet: many changes in a row call it once, one change alone at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, final

__all__ = ["Quiet"]

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
