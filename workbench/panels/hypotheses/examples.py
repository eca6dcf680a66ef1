"""The examples behind a verdict: those in which its two conditions differ most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import ipywidgets as widgets

from latent_core.errors import LatentError
from latent_core.hypotheses.conditions import Condition
from latent_core.hypotheses.evidence import usual_eval_seed
from latent_core.hypotheses.verdict import Verdict
from latent_core.interventions.kinds import parse_intervention
from latent_core.tasks.base import Example, Task
from workbench.panels.base import Panel
from workbench.panels.controls import field, row
from workbench.panels.over_examples import drawn_again
from workbench.widgets.example_list import ExampleList

__all__ = ["VerdictExample", "VerdictExamples", "examples_of"]

#: Of one part, those that differ most.
MOST: Final = 20


class VerdictExample(NamedTuple):
    """One example of a test.

    Attributes:
        example: what was asked; None if the task no longer gives it.
        record: its row of `Evidence.frame`.
    """

    example: Example | None
    record: Mapping[str, Any]

    def row(self) -> dict[str, Any]:
        """The texts that a list of examples shows."""
        record, example = self.record, self.example
        change = float(record["difference"])
        scores = f"{record['treatment']:.2f} against {record['control']:.2f}"
        return {
            "verdict": "higher" if change > 0 else "lower" if change < 0 else "same",
            "about": f"{record['split']}, example {record['example']}, seed {record['seed']}: "
            f"{scores}, {change:+.2f}",
            "prompt": example.prompt if example else f"(not at hand; key {record['key']})",
            "answer": example.answer if example else "",
            "opens": example is not None,
        }


def examples_of(verdict: Verdict, most: int = MOST) -> list[VerdictExample]:
    """The examples whose difference is largest, in either direction."""
    frame = verdict.frame
    order = frame["difference"].abs().sort_values(ascending=False, kind="stable").index[:most]
    task, records = verdict.hypothesis.loaded_task, frame.loc[order].to_dict("records")
    return [VerdictExample(_example(task, record), record) for record in records]


def _example(task: Task, record: Mapping[str, Any]) -> Example | None:
    """The example of a record; a test draws by its training seed, or as kept records were drawn."""
    seeds = (usual_eval_seed(int(record["seed"])), 1)
    found = (drawn_again(task, record, seed) for seed in seeds)
    return next((example for example in found if example is not None), None)


class VerdictExamples(widgets.VBox):
    """A part of the claim to choose, and a list of its examples.

    Attributes:
        part: whose examples are listed.
        view: the list; a row of it opens its example in the session.
        found: what is listed.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._parts: Mapping[str, Verdict] = {}
        self.found: list[VerdictExample] = []
        self.part = field(widgets.Dropdown, "Examples of part", "460px", "130px")
        self.look = panel.button(
            "Look at attention",
            lambda: self._look("attention"),
            "Open the attention panel under the intervention of this part",
        )
        self.view = ExampleList(kinds=["higher", "lower"])
        super().__init__([row(self.part, self.look), self.view])
        panel.on(self.part, "value", lambda _: self._list())
        panel.on(self.view, "opened", lambda pressed: self._open(self.found[pressed["index"]]))
        self.show({})

    def show(self, parts: Mapping[str, Verdict]) -> None:
        """Offer the parts of a verdict, and list the examples of the first."""
        self._parts = parts
        self.layout.display = "" if parts else "none"
        self.part.options = list(parts)
        self.part.value = next(iter(parts), None)
        self._list()

    def _list(self) -> None:
        verdict = self._parts.get(self.part.value)
        self.found = [] if verdict is None else examples_of(verdict)
        heading = "" if verdict is None else f"Largest differences: {verdict.hypothesis.contrast}"
        self.view.show(heading, [one.row() for one in self.found])

    def _open(self, chosen: VerdictExample) -> None:
        if chosen.example is not None:
            self._take_task()
            self._panel.session.example = chosen.example
            self._look("playground")

    def _take_task(self) -> None:
        session, task = self._panel.session, self._parts[self.part.value].hypothesis.loaded_task
        if task.fingerprint != session.task.fingerprint:
            session.task = task

    def _look(self, panel: str) -> None:
        """Show the treatment's intervention in another panel, where the models can have it."""
        verdict = self._parts.get(self.part.value)
        if verdict is None:
            return
        session = self._panel.session
        self._take_task()
        change = Condition.parse(verdict.hypothesis.contrast.treatment).intervention
        said = ""
        if change != "none":
            try:
                session.intervention = str(parse_intervention(change))
                said = f" under {change}"
            except LatentError as error:
                said = f". The intervention is unchanged: {error}"
        session.panel = panel
        self._panel.status.say(f"Opened in the {panel} panel{said}")
