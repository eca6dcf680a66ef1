"""The workbench: all panels on one session, as tabs.

from workbench import Workbench
wb = Workbench("smollm2-135m", adapters=["Comma_2", "Start_2"])
wb
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import ipywidgets as widgets
from IPython.display import Image, display

from latent_core.backbones.backbone import Backbone
from latent_core.errors import LatentError, SettingError
from latent_core.models.latent import LatentModel
from latent_core.tasks.base import Task
from workbench.panels.attention.panel import AttentionPanel
from workbench.panels.attention.work import NEW_TOKENS
from workbench.panels.base import Panel
from workbench.panels.comparison.panel import ComparisonPanel
from workbench.panels.exports import LastPicture, as_bytes, live_view
from workbench.panels.hypotheses.panel import HypothesesPanel
from workbench.panels.playground.panel import Playground
from workbench.panels.training.panel import TrainingPanel
from workbench.session import Session
from workbench.widgets.bertviz_bridge import BertVizKind, BertVizView, bertviz_view

__all__ = ["PANELS", "Workbench"]

#: The panels in the order of their tabs, by the attribute of `Workbench` that each one is.
PANELS: Final[dict[str, type[Panel]]] = {
    "playground": Playground,
    "attention": AttentionPanel,
    "comparison": ComparisonPanel,
    "hypotheses": HypothesesPanel,
    "training": TrainingPanel,
}


class Workbench(widgets.VBox):
    """Panels that share one session: change something in one, and the others follow.

    Every panel also stands alone, as an attribute: `wb.playground`, `wb.attention`, ...

    Attributes:
        session: what the panels share; set its traits from code, and the panels follow too.

    Example:
        >>> from workbench import Workbench
        >>> wb = Workbench("tiny", adapters=["Comma_2", "Start_6"])
        >>> wb.tabs.titles
        ('Playground', 'Attention', 'Comparison', 'Hypotheses', 'Training')
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
        self._last = LastPicture(self, lambda: (self._shown.title, self._shown.picture()))
        for panel in panels:
            panel.touched.append(self._last.touch)
        self.tabs.observe(lambda change: self._tell_panel(), "selected_index")
        self.session.observe(lambda change: self._open_panel(), "panel")
        self._tell_panel()
        self.add_class("latent-workbench")

    @property
    def _shown(self) -> Panel:
        """The panel whose tab is open."""
        return self._panels[list(PANELS)[self.tabs.selected_index or 0]]

    def _tell_panel(self) -> None:
        self.session.panel = list(PANELS)[self.tabs.selected_index or 0]
        self._last.touch()

    def _open_panel(self) -> None:
        if self.session.panel in PANELS:
            self.tabs.selected_index = list(PANELS).index(self.session.panel)

    def __repr__(self) -> str:
        return f"Workbench({self.session.about()})"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return live_view(self)

    def _ipython_display_(self, **kwargs: Any) -> None:
        self._last.display(live_view(self))

    def __getattr__(self, name: str) -> Any:
        panels = self.__dict__.get("_panels", {})
        if name in panels:
            return panels[name]
        raise AttributeError(f"a workbench has no {name!r}; its panels are {', '.join(PANELS)}")

    def bertviz(
        self,
        kind: BertVizKind = "head",
        layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
        model: Literal["a", "b"] = "a",
        response: str | None = None,
    ) -> BertVizView:
        """One of BertViz's own views of the session's prompt, under its intervention.

        It reads the response that the attention panel shows.

        Args:
            kind: `head`, `model` or `neuron`.
            layers: by default four, spread from the first to the last.
            heads: by default all.
            model: which of the two.
            response: plain text; by default that of the attention panel, which is the example's
                answer, or one that the model generates.

        Raises:
            SettingError: for another kind or model, for a layer or head that does not exist, or if
                the page would be too large.
            BackboneError: if the family does not show what the view needs.
        """
        if model not in ("a", "b"):
            raise SettingError(f"model={model!r}; expected 'a' or 'b', adapter A or B")
        session = self.session
        chosen = session.model_a if model == "a" else session.model_b
        prompt, intervention = session.prompt, session.intervention
        read = self.attention.controls.request("A").answer if response is None else response
        return session.jobs.run(
            "bertviz",
            lambda: bertviz_view(
                chosen, prompt, read, kind, layers, heads, intervention, NEW_TOKENS
            ),
        )

    def snapshot(self, *names: str) -> None:
        """Leave static pictures of panels below the cell, which need no kernel to be seen.

        What a panel would show is computed first, if it is not there yet.

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
            panel.prepare()
            try:
                picture = as_bytes(panel, "png")
            except LatentError as error:
                raise SettingError(f"{panel.title} has nothing to show yet: {error}") from error
            display(Image(picture, alt=panel.title, retina=True))
