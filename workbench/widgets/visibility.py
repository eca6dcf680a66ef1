"""Whether a panel can be seen: so that what nobody looks at costs nothing.

A tab that is not open, or a cell far below, is on the page but not in view; all panels of a session
share one worker, and the one that is looked at should not wait for the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

__all__ = ["Visibility"]

STATIC: Final = Path(__file__).parent


class Visibility(anywidget.AnyWidget):
    """An invisible line, to be put into a panel.

    Attributes:
        seen: whether some of the panel is in a browser's window. Stays as it was where the browser
            is closed without a word.
    """

    _esm = STATIC / "visibility.js"

    seen = traitlets.Bool(False)

    def __init__(self) -> None:
        super().__init__()
        self._views: set[str] = set()
        self.on_msg(self._hear)

    def _hear(self, widget: Any, content: dict[str, Any], buffers: list[bytes]) -> None:
        change = self._views.add if content.get("seen") else self._views.discard
        change(str(content.get("view")))
        self.seen = bool(self._views)
