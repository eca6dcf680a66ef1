"""The line under a panel: the job's progress, a button to cancel it, and its error.

Messages and tracebacks are data: they are shown as text, never parsed as HTML.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets
from ipywidgets import DOMWidget

from latent_core.slots.pointing import sentence_and_lines
from latent_core.wording import duration
from workbench.jobs import Job
from workbench.templates import joined

__all__ = ["StatusLine", "standing"]

STATIC: Final = Path(__file__).parent


class StatusLine(anywidget.AnyWidget):
    """Progress, time left, cancel, and errors of a panel's jobs.

    Attributes:
        state: `idle`, or the job's state.
        message: one line of text.
        details: a traceback, in a fold; empty for none.
        fraction: share done, 0 to 1; below 0 while it is not known.
    """

    _esm = joined("reveal.js", "panel_root.js", "status_line.js")
    _css = STATIC / "status_line.css"

    state = traitlets.Unicode("idle").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    details = traitlets.Unicode("").tag(sync=True)
    fraction = traitlets.Float(-1.0).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._job: Job | None = None
        self._told = True  # whether the line says how the job stands
        self._views = 0
        self.on_msg(self._hear)

    def watch(self, job: Job) -> None:
        """Show the state of a job; called at each of its changes.

        A message or an error from the job's `then` stays: it says more than "done".
        """
        if job.state == "cancelled" and self._job is not job and self._job is not None:
            return  # it was replaced by the job that is shown
        if job.state == "queued" and self._job is not None:
            said_since = self._job is job and not self._told
            if said_since or (self._job is not job and self._job.going):
                return  # what waits takes the line from nothing that has more to say
        told, self._job, self._told = self._told, job, job.active
        if job.state == "done" and not told:
            return
        with self.hold_trait_notifications():
            if job.progress is None or not job.active:
                self.fraction = -1.0
            else:
                self.fraction = job.progress.done / max(job.progress.total, 1)
            self.details = job.details
            self.message = standing(job)
            self.state = job.state

    def show_error(self, error: BaseException) -> None:
        """Show an exception that no job raised, such as one from a callback."""
        self._told = False
        with self.hold_trait_notifications():
            self.details = "".join(traceback.format_exception(error))
            self.message = _name(error)
            self.state = "failed"

    def say(self, message: str) -> None:
        """Show one line in place of the last."""
        self._told = False
        with self.hold_trait_notifications():
            self.details, self.message, self.fraction, self.state = "", message, -1.0, "idle"

    def reveal(self, widget: DOMWidget) -> None:
        """Scroll to one of ipywidgets' own in the same panel, and move the focus there."""
        name = f"latent-revealed-{widget.model_id}"
        widget.add_class(name)
        self.send({"kind": "reveal", "name": name})

    def _hear(self, widget: Any, content: dict[str, str], buffers: list[bytes]) -> None:
        kind = content.get("kind")
        if kind in ("opened", "closed"):
            self._views = max(0, self._views + (1 if kind == "opened" else -1))
        last_view_closed = kind == "closed" and self._views == 0
        if (kind == "cancel" or last_view_closed) and self._job is not None:
            self._job.cancel()


def standing(job: Job) -> str:
    """Describe a job's state in one line; for a queued job, the job it waits for."""
    if job.state == "queued":
        ahead = job.ahead
        return "waiting" if ahead is None else f"waiting for {ahead.key} ({standing(ahead)})"
    if job.state == "failed":
        return _name(job.error)
    if job.state == "cancelled":
        return f"cancelled after {job.seconds:.0f} s"
    if job.state == "done":
        return f"done in {job.seconds:.1f} s"
    if job.progress is None:
        return "running"
    what = f"{job.progress.description}: {job.progress.done} of {job.progress.total}"
    left = job.seconds_left
    return f"{what} {job.progress.unit}s" + ("" if left is None else f", {duration(left)} left")


def _name(error: BaseException | None) -> str:
    """An error in one line; one of our own needs no class name.

    The lines by which it points into a text are in the details: the sentence says the column.
    """
    text = "" if error is None else " ".join(sentence_and_lines(error)[0].split())
    kind = type(error).__name__
    return (
        text
        if kind.endswith("Error") and isinstance(error, ValueError) and text
        else (f"{kind}: {text}" if text else kind)
    )
