"""Controls of a panel: labelled fields, rows, callbacks, and a button that answers many examples.

A callback may wait for quiet: many changes in a row call it once, one change alone at once.

The button answers with A and B, with and without the session's intervention.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, final

import ipywidgets as widgets

from workbench.jobs import Job
from workbench.panels.base import Panel
from workbench.panels.over_examples import OverExamples, answer_examples, over_examples_html
from workbench.session import Proposal
from workbench.widgets.text_line import TextLine

__all__ = ["ROW", "Controls", "Evaluating", "Quiet", "checkbox", "field", "row"]

#: Layout of widgets side by side, in further lines where they do not fit.
ROW: Final = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "4px 14px"}


class Controls:
    """Controls that call back when the user changes them, but not while code sets them."""

    def __init__(self, panel: Panel) -> None:
        self._panel, self._heard = panel, True

    def on(self, callback: Callable[[Any], Any], *controls: widgets.Widget) -> None:
        """Call `callback` with the new value whenever one of `controls` changes."""
        for control in controls:
            self._panel.on(control, "value", lambda new: callback(new) if self._heard else None)

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """Within it, a control that is set calls nothing."""
        heard, self._heard = self._heard, False
        try:
            yield
        finally:
            self._heard = heard


def field(
    kind: Callable[..., Any], label: str, width: str, label_width: str = "initial", **settings: Any
) -> Any:
    """Make a labelled input.

    Args:
        kind: a class of ipywidgets.
        label: stands before it.
        width: of both together, as CSS has it.
        label_width: the same for fields that stand below each other.
        settings: further arguments of the class.
    """
    return kind(
        description=label,
        style={"description_width": label_width},
        layout=widgets.Layout(width=width, margin="0"),
        **settings,
    )


def checkbox(label: str, tooltip: str, value: bool = False) -> widgets.Checkbox:
    """Make a checkbox as wide as its label."""
    layout = widgets.Layout(width="max-content")
    return widgets.Checkbox(
        value=value, description=label, tooltip=tooltip, indent=False, layout=layout
    )


def row(*children: widgets.Widget, **layout: str) -> widgets.HBox:
    """Put widgets side by side, in further lines where they do not fit."""
    return widgets.HBox(children, layout=widgets.Layout(**(ROW | layout)))


# --- a callback that waits for quiet --------------------------------------------------------------

#: Seconds from a change to the call: of one alone, and while more may come.
_SOON: Final = 0.02
_QUIET: Final = 0.25


@final
class Quiet:
    """Calls back after changes: typing, or dragging a control, makes many of them a second.

    Without a running loop, as in a script, each change calls back at once.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._timer: asyncio.TimerHandle | None = None
        self._last = float("-inf")

    def changed(self) -> None:
        """Hear of a change."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._callback()
            return
        since, self._last = loop.time() - self._last, loop.time()
        if since < _SOON:
            return  # another part of the same change
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(_QUIET if since < _QUIET else _SOON, self._callback)


# --- a button that answers many examples ----------------------------------------------------------


class Evaluating(widgets.VBox):
    """The button, its settings, and the result by model and split.

    Attributes:
        button, count: start it, and the number of examples of each split.
        intervene: whether the session's intervention is evaluated, too.
        found: the latest answers; empty if there are none for what the session shows.
    """

    def __init__(
        self,
        panel: Panel,
        label: str,
        splits: Callable[[], Sequence[str]],
        then: Callable[[list[OverExamples]], None] = lambda found: None,
    ) -> None:
        """Make the controls.

        Args:
            panel: runs the job, and shows its errors.
            label: of the button.
            splits: says which splits are evaluated.
            then: called with the answers.
        """
        self._panel, self._splits, self._then = panel, splits, then
        self.found: list[OverExamples] = []
        self.button = panel.button(label, self.run, "Answer examples with models A and B")
        self.count = field(
            widgets.BoundedIntText, "Examples per split", "190px", value=20, min=2, max=1000
        )
        self.intervene = checkbox("", "Answer the same examples under the intervention, too")
        self._result = widgets.HTML()
        self._notes = TextLine(quiet=True)
        self.propose = panel.button(
            "Test this as a hypothesis",
            self._propose,
            "Fill a claim about this intervention in the hypotheses panel",
        )
        settings = row(self.button, self.count, self.intervene)
        super().__init__([settings, self._result, self._notes, self.propose])
        panel.follow(self.clear, "task", "adapter_a", "adapter_b")
        panel.follow(self._follow, "intervention")

    def run(self) -> Job:
        """Answer the examples in a job."""
        session, count, splits = self._panel.session, self.count.value, self._splits()
        task = session.task
        change = session.intervention if self.intervene.value else "none"
        models = {name: session.models[name] for name in (session.adapter_a, session.adapter_b)}

        def work() -> list[OverExamples]:
            return [
                answer_examples(name, model, task, splits, count, change)
                for name, model in models.items()
            ]

        def show(found: list[OverExamples]) -> None:
            self.found = found
            self._result.value = over_examples_html(found)
            self._result.layout.display = ""
            said = [f"{one.name}: {text}" for one in found for text in one.said]
            self._notes.say("\n".join(said), "note" if said else "")
            changed = any(one.intervention != "none" for one in found)
            self.propose.layout.display = "" if changed else "none"
            self._panel.reveal(self._result)
            self._then(found)

        return self._panel.start(work, show, key="evaluate")

    def clear(self) -> None:
        """Show no result: the session shows something else now."""
        self.found = []
        for part in (self._result, self.propose):
            part.layout.display = "none"
        self._notes.say("")

    def _propose(self) -> None:
        """Carry the largest difference that is shown into the hypotheses panel."""
        one = next(one for one in self.found if one.intervention != "none")
        rows = [row for row in one.rows() if row.difference is not None]
        seen = max(rows, key=lambda row: abs(row.difference.mean) if row.difference else 0.0)
        session = self._panel.session
        less = seen.difference is not None and seen.difference.mean <= 0
        session.proposal = Proposal(
            claim=f"{one.intervention} {'lowers' if less else 'raises'} accuracy on {seen.split} "
            f"of {session.task.name}",
            treatment=one.intervention,
            control="none",
            split=seen.split,
            direction="less" if less else "greater",
            side="a" if one.name == session.adapter_a else "b",
        )
        session.panel = "hypotheses"

    def _follow(self) -> None:
        change = self._panel.session.intervention
        none = change == "none"
        words = "the intervention (none is set)" if none else change
        self.intervene.description = f"Also under {words}"
        self.intervene.disabled, self.intervene.value = none, not none
