"""The workbench: all panels on one session, as tabs.

from workbench import Workbench
wb = Workbench("smollm2-135m", adapters=["Comma_2", "Start_2"])
wb
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets
from IPython.display import Image, display

from latent_core.backbones import Backbone
from latent_core.errors import LatentError, SettingError
from latent_core.model import LatentModel
from latent_core.tasks import Task
from workbench.exports import as_bytes
from workbench.panel import Panel
from workbench.session import Session

__all__ = ["PANELS", "Workbench"]

#: The panels in the order of their tabs, by the attribute of `Workbench` that each one is.
PANELS: Final[dict[str, type[Panel]]] = {}


class Workbench(widgets.VBox):
    """Panels that share one session: change something in one, and the others follow.

    Every panel also stands alone, as an attribute: `wb.playground`, `wb.attention`, ...

    Attributes:
        session: what the panels share; set its traits from code, and the panels follow too.
    """

    def __init__(
        self,
        backbone: Backbone | str | Path = "smollm2-135m",
        adapters: Iterable[LatentModel | str | Path] | Mapping[str, LatentModel | str | Path] = (),
        task: Task | str | Path = "repetition",
    ) -> None:
        """See `Session`."""
        super().__init__()
        self.session = Session(backbone, adapters, task)
        self._panels = {name: panel(self.session) for name, panel in PANELS.items()}
        panels = list(self._panels.values())
        self.tabs = widgets.Tab(panels, titles=[panel.title for panel in panels])
        self.children = (self.tabs,)
        self.add_class("latent-workbench")

    def __getattr__(self, name: str) -> Any:
        panels = self.__dict__.get("_panels", {})
        if name in panels:
            return panels[name]
        raise AttributeError(f"a workbench has no {name!r}; its panels are {', '.join(PANELS)}")

    def snapshot(self, *names: str) -> None:
        """Leave static pictures of panels below the cell, which need no kernel to be seen.

        Args:
            names: panels; by default the one whose tab is open.

        Raises:
            SettingError: for a panel that does not exist, or has nothing to show yet.
        """
        if unknown := set(names) - set(self._panels):
            raise SettingError(
                f"no panel {min(unknown)!r}; expected some of {', '.join(self._panels)}"
            )
        for name in names or (list(self._panels)[self.tabs.selected_index or 0],):
            panel = self._panels[name]
            try:
                picture = as_bytes(panel, "png")
            except LatentError as error:
                raise SettingError(f"{panel.title} has nothing to show yet: {error}") from error
            display(Image(picture, alt=panel.title, retina=True))
