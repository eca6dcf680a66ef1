"""Where the comparison panel takes runs from: a box to tick for each place, and a field to add one.

Knows folders and files; nothing of what is in a run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets

from latent_core.archives.folders import has_file, is_folder
from latent_core.runs.find import find_runs
from latent_core.runs.folder import RECORDS_FILE
from latent_core.runs.shipped import SHIPPED
from workbench.panels.base import Panel
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.runs_folder import runs_folder

__all__ = ["RunSources"]

#: What two runs have in common that would be averaged as two of one.
_SAME: Final = ("task", "backbone", "method", "seed")


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
        self._twice = False  # whether runs that ship lie here, too
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
        """Add what ships for the backbone, and the runs of one's own, all ticked.

        Only where one of them is the same run as one that ships, as for who trained those, what
        ships waits to be ticked: both at once would count such a run twice.
        """
        collection = self._collection
        shipped, own = SHIPPED / self._panel.session.backbone.name, runs_folder()
        known = set(collection.sources)
        for folder in (shipped, own):
            if is_folder(folder):
                collection.add(folder)
        both = {shipped, own} <= set(collection.sources)
        if both and not {shipped, own} <= known:  # one of them is new
            self._twice = _share_a_run(shipped, own)
            collection.use(shipped, not self._twice)
        if [box.tooltip for box in self.boxes.children] != [*map(str, collection.sources)]:
            self.boxes.children = [self._box(path) for path in collection.sources]

    def _box(self, source: Path) -> widgets.Checkbox:
        ships = "runs that ship" + (" (some of them lie here, too)" if self._twice else "")
        box = widgets.Checkbox(
            value=source not in self._collection.left_out,
            description=ships if source.is_relative_to(SHIPPED) else str(source),
            tooltip=str(source),
            indent=False,
            layout={"width": "auto"},
        )

        def use(used: bool) -> None:
            self._collection.use(source, used)
            self._refresh()

        self._panel.on(box, "value", use)
        return box


def _share_a_run(ships: Path, own: Path) -> bool:
    """Whether two folders hold records of the same method, settings and seed on the same task."""
    found: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
    for run in find_runs((ships, own), apart=True):  # the settings are in the methods' names
        if not has_file(run.path, RECORDS_FILE):
            continue
        key = tuple(str(run.about.get(name)) for name in _SAME)
        found[Path(run.path).is_relative_to(ships)].add(key)
    return not found[True].isdisjoint(found[False])


def _width(pixels: int) -> dict[str, str]:
    return {"width": f"{pixels}px"}
