"""A list of answered examples: what was asked, what was wanted, what came, judged part by part.

Texts are data: the browser is given them as text. Knows neither records nor sessions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from workbench.templates import joined

__all__ = ["ExampleList"]

STATIC: Final = Path(__file__).parent


class ExampleList(anywidget.AnyWidget):
    """Examples, a page at a time.

    Attributes:
        heading: what they are.
        rows: a dict per example: verdict (right, partly right, wrong, or higher, lower, same),
            about, prompt, answer, parts of the response if it is at hand (pairs of text and
            "right", "wrong" or ""), and whether it `opens`.
        kinds: the verdicts by which a reader can choose; "not right" stands for all but "right".
        opened: `index` of the row whose button was pressed last, and `presses`, a count of all.
    """

    _esm = joined("reveal.js", "example_list.js")
    _css = STATIC / "example_list.css"

    heading = traitlets.Unicode().tag(sync=True)
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    kinds = traitlets.List(traitlets.Unicode(), ["right", "not right"]).tag(sync=True)
    opened = traitlets.Dict().tag(sync=True)

    def show(self, heading: str, rows: list[dict[str, Any]]) -> None:
        """Show these instead."""
        with self.hold_sync():
            self.heading, self.rows = heading, rows
