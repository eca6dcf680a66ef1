"""What every panel is: controls and views on a session, with a status line and exports.

A panel stands alone in a notebook cell or as a tab of the workbench. Its callbacks never lose an
exception: what one raises is shown under the panel, and kept in `errors`.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, ParamSpec

import anywidget
import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from workbench.jobs import Job
from workbench.panels.choosers import SessionChoosers, StepSliders
from workbench.panels.exports import FORMATS, LastPicture, as_bytes, live_view, write_export
from workbench.session import Session
from workbench.widgets.export_bar import ExportBar
from workbench.widgets.status_line import StatusLine
from workbench.widgets.text_line import TextLine

__all__ = ["Panel"]

_P = ParamSpec("_P")
#: What the header tells of the session.
_ABOUT: Final = ("task", "example", "prompt", "adapter_a", "adapter_b", "intervention")


class Panel(widgets.VBox):
    """One view of a session.

    A subclass makes its widgets in `__init__`, calls `self.build(...)` with them once, and observes
    the session's traits through `self.follow`.

    Attributes:
        title: its name on the tab.
        chooses: what is chosen below the header.
        session: what it reads and writes.
        header: task, example, models and intervention, the same in every panel.
        step_sliders: over the snapshots of A and B, where their runs have some.
        status: the line that shows jobs and errors.
        errors: exceptions its callbacks raised, oldest first.
        touched: called whenever something may have changed that is seen.
    """

    title: ClassVar[str]
    chooses: ClassVar[Literal["nothing", "adapters", "adapters and examples"]] = "nothing"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.header = TextLine()
        self.status = StatusLine()
        self.errors: list[BaseException] = []
        writers = {kind: functools.partial(as_bytes, self, kind) for kind in FORMATS}
        self.exports = ExportBar(self.title, writers, self.code)
        self.add_class("latent-panel")
        self._last = LastPicture(self, lambda: (self.title, self.picture()))
        self.touched: list[Callable[[], None]] = [self._last.touch]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session.about()})"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return live_view(self)

    def _ipython_display_(self, **kwargs: Any) -> None:
        self._last.display(live_view(self))

    def build(self, *children: widgets.Widget) -> None:
        """Put the panel together: the header, its widgets, the status line and the export bar."""
        self.step_sliders = StepSliders(self.session, self.safely)
        above = [self.header, *self._choosers(), self.step_sliders]
        self.children = (*above, *children, self.status, self.exports)
        self.follow(lambda: self.header.say(self.session.about()), *_ABOUT)

    def _choosers(self) -> list[widgets.Widget]:
        if self.chooses == "nothing":
            return []
        steps = [
            self.button(label, functools.partial(self.session.step, by))
            for label, by in (("Previous example", -1), ("Next example", 1))
        ]
        shown = steps if self.chooses == "adapters and examples" else []
        return [SessionChoosers(self.session, self.safely, *shown)]

    def prepare(self) -> None:
        """Compute what the controls ask for, in this call: for cells, where a click starts a job.

        By default there is nothing to compute.
        """

    # --- what it shows; each raises SettingError while there is nothing to show -------------------

    @abstractmethod
    def table(self) -> pd.DataFrame:
        """What the panel shows as a tidy frame."""

    def readable(self) -> dict[str, pd.DataFrame]:
        """The tables beside the picture, as a reader sees them, by heading; by default none."""
        return {}

    @abstractmethod
    def picture(self) -> Figure:
        """What the panel shows as a static picture, on white, with its title."""

    @abstractmethod
    def code(self) -> str:
        """Python that reproduces what the panel shows, from imports to the last call."""

    def export(self, path: str | Path) -> Path:
        """Write what is shown: .png, .svg, .csv, or .html, one self-contained page."""
        return write_export(self, path)

    # --- callbacks and jobs -----------------------------------------------------------------------

    def safely(self, callback: Callable[_P, Any]) -> Callable[_P, None]:
        """The callback, with its exceptions shown under the panel and kept in `errors`."""

        @functools.wraps(callback)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except Exception as error:
                self.errors.append(error)
                self.status.show_error(error)
            self._touch()

        return call

    def _touch(self) -> None:
        for touched in self.touched:
            touched()

    def on(self, widget: Any, trait: str, callback: Callable[[Any], Any]) -> None:
        """Call `callback` with the new value whenever `widget.trait` changes."""
        widget.observe(self.safely(lambda change: callback(change["new"])), trait)

    def follow(self, callback: Callable[[], Any], *traits: str) -> None:
        """Call `callback` now, and whenever one of the session's `traits` changes."""
        call = self.safely(callback)
        self.session.observe(lambda change: call(), list(traits))
        call()

    def button(
        self, label: str, callback: Callable[[], Any], tooltip: str = "", button_style: str = ""
    ) -> widgets.Button:
        """Make a button that calls `callback`, as wide as its label.

        Args:
            label: a verb and an object.
            callback: called without arguments.
            tooltip: a sentence; by default the label.
            button_style: of ipywidgets, such as `primary`.
        """
        button = widgets.Button(
            description=label,
            tooltip=tooltip or label,
            button_style=button_style,
            layout=widgets.Layout(width="max-content"),
        )
        call = self.safely(callback)
        button.on_click(lambda _: call())
        return button

    def reveal(self, widget: widgets.DOMWidget) -> None:
        """Scroll to a widget of this panel, and move the focus there: what a click has made."""
        if isinstance(widget, anywidget.AnyWidget):  # its view takes no class that is added later
            widget.send({"kind": "reveal", "focus": True})
        else:
            self.status.reveal(widget)

    def start(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], None] | None = None,
        *,
        key: str = "",
        replace: bool = False,
        watch: Callable[[Job], None] | None = None,
    ) -> Job:
        """Run `work` in the background, its progress in the status line; see `Jobs.start`."""

        def tell(job: Job) -> None:
            self.status.watch(job)
            if watch is not None:
                watch(job)
            if job.state == "failed" and job.error is not None:
                self.errors.append(job.error)
            if not job.active:
                self._touch()

        name = f"{self.title} {key}".strip()
        return self.session.jobs.start(name, work, then, tell, replace=replace)
