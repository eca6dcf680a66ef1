"""A table of answered examples across methods: sorted by a head, filtered by verdict and text.

Texts are data: the browser is given them as text. It shows a page of rows at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from workbench.templates import joined

__all__ = ["RecordTable"]

STATIC: Final = Path(__file__).parent


class RecordTable(anywidget.AnyWidget):
    """One row per example, one column per method.

    Attributes:
        methods: heads of the columns of scores.
        rows: a dict per example: `about` (texts of split, level and prompt) and `scores`, a number
            from 0 to 1 or None for each method.
        opened: `index` of the row whose button was pressed last, and `presses`, a count of all.
    """

    _esm = joined("reveal.js", "record_table.js")
    _css = STATIC / "record_table.css"

    methods = traitlets.List(traitlets.Unicode()).tag(sync=True)
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    opened = traitlets.Dict().tag(sync=True)

    def show(self, methods: Sequence[str], rows: list[dict[str, Any]]) -> None:
        """Show these instead."""
        with self.hold_sync():
            self.methods, self.rows = list(methods), rows
