"""Where the comparison panel takes runs from: a box to tick for each place, and a field to add one.

Knows folders and files; nothing of what is in a run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets

from latent_core.shipped import SHIPPED
from latent_core.store import find_runs
from workbench.panel import Panel
from workbench.run_collection import RunCollection

__all__ = ["RunSources"]

_RUNS: Final = Path("runs")


class RunSources:
    """The places, and whether each is looked at.

    Attributes:
        field: the folder or file to add.
        buttons: to add it, and to read everything again.
        boxes: one for each place.
    """

    def __init__(
        self, panel: Panel, collection: RunCollection, refresh: Callable[[], Any], row: Any
    ) -> None:
        """`refresh` is called whenever other runs are to be shown; `row` lays out the boxes."""
        self._panel, self._collection, self._refresh = panel, collection, refresh
        self.field = widgets.Text(
            description="Runs in",
            placeholder="a folder, or a .parquet file",
            tooltip="a folder of runs, or a .parquet file of records",
            continuous_update=False,
            layout={"width": "300px"},
            style={"description_width": "initial"},
        )
        self.buttons = (
            panel.button("Add", self.add, "show the runs of this folder, too", layout=_width(70)),
            panel.button(
                "Read again", self.read_again, "look for new runs and records", layout=_width(100)
            ),
        )
        self.boxes = widgets.HBox(layout=row)
        panel.on(self.field, "value", lambda _: self.add())  # Enter, or leaving the field

    def add(self) -> None:
        """Add what the field names."""
        source = self.field.value.strip()
        if source:
            self._collection.add(source)
            self.field.value = ""
            self._refresh()

    def read_again(self) -> None:
        """Look for new runs and records."""
        self._collection.forget()
        self._refresh()

    def find(self) -> None:
        """Add what ships and what lies here; where runs lie here, what ships waits to be ticked.

        Both at once would show two runs of a method and seed as one method.
        """
        collection, backbone = self._collection, self._panel.session.backbone.name
        shipped, known = SHIPPED / backbone, list(collection.sources)
        for folder in (shipped, _RUNS):
            if folder.is_dir():
                collection.add(folder)
        if {shipped, _RUNS} <= set(collection.sources) and shipped not in known:
            here = (run.about["backbone"] == backbone for run in find_runs(_RUNS))
            collection.use(shipped, not any(here))
        if [box.tooltip for box in self.boxes.children] != [*map(str, collection.sources)]:
            self.boxes.children = [self._box(path) for path in collection.sources]

    def _box(self, source: Path) -> widgets.Checkbox:
        box = widgets.Checkbox(
            value=source not in self._collection.left_out,
            description="runs that ship" if source.is_relative_to(SHIPPED) else str(source),
            tooltip=str(source),
            indent=False,
            layout={"width": "auto"},
        )

        def use(used: bool) -> None:
            self._collection.use(source, used)
            self._refresh()

        self._panel.on(box, "value", use)
        return box


def _width(pixels: int) -> dict[str, str]:
    return {"width": f"{pixels}px"}
