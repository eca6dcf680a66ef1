"""What a comparison shows: a checkbox for each source of runs and for each method.

A field adds a source; buttons show all methods or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets

from latent_core.archives.folders import has_file, is_folder
from latent_core.runs.find import find_runs
from latent_core.runs.own_files import RECORDS_FILE
from latent_core.runs.shipped import SHIPPED
from workbench.adapters import runs_folder
from workbench.panels.base import Panel
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.controls import ROW, Controls, checkbox, field, row

__all__ = ["MethodChoice", "RunSources"]

#: Two runs that agree in these would be averaged as two of one.
_SAME: Final = ("task", "backbone", "method", "seed")


class RunSources:
    """The folders and files of runs, and whether each is used.

    Attributes:
        field: the folder or file to add.
        buttons: to add it, and to read everything again.
        boxes: one checkbox for each source.
    """

    def __init__(self, panel: Panel, collection: RunCollection, refresh: Callable[[], Any]) -> None:
        """`refresh` is called whenever other runs are to be shown."""
        self._panel, self._collection, self._refresh = panel, collection, refresh
        self._twice = False  # whether some shipped runs are in the user's folder, too
        self.field = field(
            widgets.Text,
            "Runs folder",
            "300px",
            placeholder="a folder, or a .parquet file",
            tooltip="A folder of runs, or a .parquet file of records",
            continuous_update=False,
        )
        self.buttons = (
            panel.button("Add runs", self.add, "Also show the runs in this folder"),
            panel.button("Reload runs", self.reload, "Look for new runs and records"),
        )
        self.boxes = row()
        panel.on(self.field, "value", lambda _: self.add())  # Enter, or leaving the field

    def add(self) -> None:
        """Add the folder or file that the field names."""
        source = self.field.value.strip()
        if source:
            self._collection.add(source)
            self.field.value = ""
            self._refresh()

    def reload(self) -> None:
        """Look for new runs and records."""
        self._collection.forget()
        self._refresh()

    def find(self) -> None:
        """Add the shipped runs of the backbone, and the user's own, all ticked.

        If a run is in both, as for who trained the shipped ones, the shipped runs are not ticked:
        both at once would count such a run twice.
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
        ships = f"shipped runs{f' (some are also in {runs_folder()})' if self._twice else ''}"
        box = checkbox(
            ships if source.is_relative_to(SHIPPED) else str(source),
            str(source),
            source not in self._collection.left_out,
        )

        def use(used: bool) -> None:
            self._collection.use(source, used)
            self._refresh()

        self._panel.on(box, "value", use)
        return box


def _share_a_run(ships: Path, own: Path) -> bool:
    """Whether two folders hold records of the same method, settings and seed on the same task."""
    found: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
    for run in find_runs((ships, own), apart=True, copies=True):  # methods name their settings
        if not has_file(run.path, RECORDS_FILE):
            continue
        key = tuple(str(run.about.get(name)) for name in _SAME)
        found[Path(run.path).is_relative_to(ships)].add(key)
    return not found[True].isdisjoint(found[False])


class MethodChoice(widgets.HBox):
    """Checkboxes that alone decide which curves and rows there are.

    Attributes:
        boxes: one for each method.
    """

    def __init__(self, panel: Panel, changed: Callable[[], None]) -> None:
        """`changed` is called when other methods are to be shown."""
        self._changed = changed
        self.boxes = row()
        every = panel.button("Show all", lambda: self._tick(True), "Show every method")
        none = panel.button("Show none", lambda: self._tick(False), "Hide every method")
        super().__init__([every, none, self.boxes], layout=widgets.Layout(**ROW))
        self._controls = Controls(panel)

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods."""
        return tuple(box.description for box in self.boxes.children)

    @property
    def ticked(self) -> list[str]:
        """The methods that are shown."""
        return [box.description for box in self.boxes.children if box.value]

    def offer(self, methods: Sequence[str]) -> None:
        """Offer these methods; one that was hidden stays so."""
        if self.methods == tuple(methods):
            return
        hidden = set(self.methods) - set(self.ticked)
        boxes = [checkbox(name, f"Show {name}", name not in hidden) for name in methods]
        self._controls.on(lambda _: self._changed(), *boxes)
        self.boxes.children = boxes

    def _tick(self, shown: bool) -> None:
        with self._controls.unheard():
            for box in self.boxes.children:
                box.value = shown
        self._changed()
