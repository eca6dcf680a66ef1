"""The playground's prompt: an example of the task by split, level and number, or typed text.

Reads and writes the session's task, example and prompt.
"""

from __future__ import annotations

import random
from typing import Final

import ipywidgets as widgets

from latent_core.evaluation.evaluate import response_limit
from latent_core.tasks.table import TASKS, load_task
from workbench.levels import level_words
from workbench.panels.base import Panel
from workbench.panels.controls import Controls, field, row
from workbench.widgets.text_line import TextLine

__all__ = ["ExamplePicker"]

_ANY: Final = -1  # of a level; None would be no choice at all
#: Of the prompt's field: the fewest and most rows, and characters in one where it is narrow.
_FEWEST, _MOST, _WIDTH = 2, 6, 50
_LIMITS: Final = {
    True: "Maximum number of new tokens in the response to a typed prompt",
    False: "Maximum number of new tokens for this example; type a prompt to change it",
}


class ExamplePicker(widgets.VBox):
    """Controls for the example, and the prompt that can be typed.

    Attributes:
        task, split, level: dropdowns; `level` says what the task counts.
        previous, next, random: buttons.
        prompt: the prompt's text. Typing one leaves the examples.
        notice: adapters that the session replaced when the task changed.
        limit: most new tokens: for a typed prompt the number set here, else the example's own.
    """

    def __init__(self, panel: Panel) -> None:
        self.session = panel.session
        self._typed_limit = 64
        self.task = field(widgets.Dropdown, "Task", "230px", "90px")
        self.split = field(widgets.Dropdown, "Split", "170px")
        self.level = field(widgets.Dropdown, "Level", "170px")
        self.previous = panel.button("Previous example", lambda: self.session.step(-1))
        self.next = panel.button("Next example", lambda: self.session.step(1))
        self.random = panel.button("Draw random example", self._draw_random)
        self.prompt = widgets.Textarea(
            description="Prompt",
            placeholder="Type a prompt, or choose an example above",
            continuous_update=False,
            layout={"width": "auto", "flex": "1 1 420px", "margin": "0"},
            style={"description_width": "90px"},
        )
        self.limit = field(widgets.BoundedIntText, "Max new tokens", "190px", min=1, max=100_000)
        self.where, self.notice = TextLine(), TextLine(quiet=True)
        examples = (self.previous, self.next, self.random, self.where)
        super().__init__(
            [
                row(self.task, self.split, self.level, *examples, grid_gap="0 4px"),
                self.notice,
                row(self.prompt, self.limit, align_items="flex-start"),
            ]
        )
        self._controls = Controls(panel)
        self._controls.on(self._choose_task, self.task)
        self._controls.on(lambda _: self._first(), self.split, self.level)
        self._controls.on(self._type, self.prompt)
        self._controls.on(self._set_limit, self.limit)
        panel.follow(self._show, "task", "example", "prompt")
        panel.follow(lambda: self.notice.say(self.session.notice, "note"), "notice")

    def _choose_task(self, name: str) -> None:
        if name != self.session.task.name:
            self.session.task = load_task(name)
            self._draw()

    def _first(self) -> None:
        self._levels()
        self._draw()

    def _draw_random(self) -> None:
        self._draw(random.randrange(2, 1_000_000))

    def _draw(self, seed: int = 1) -> None:
        level = None if self.level.value == _ANY else self.level.value
        self.session.draw(self.split.value, 0, level, seed)
        self._show()

    def _type(self, text: str) -> None:
        self.session.prompt = text

    def _set_limit(self, tokens: int) -> None:
        self._typed_limit = tokens

    def _levels(self) -> None:
        """Offer the levels of the chosen split; an OOD split has only one."""
        task = self.session.task
        levels = () if self.split.value.startswith("ood-") else task.id_levels
        options = [("any", _ANY), *((str(level), level) for level in levels)]
        if tuple(self.level.options) != tuple(options):
            with self._controls.unheard():
                self.level.options = options
                self.level.value = _ANY
        self.level.description = task.level_name.capitalize()
        self.level.disabled = not levels

    def _show(self) -> None:
        """Show the session's task, example and prompt."""
        with self._controls.unheard():
            task, example = self.session.task, self.session.example
            names = tuple(dict.fromkeys((*TASKS, task.name)))
            if self.task.options != names:
                self.task.options = names
            self.task.value = task.name
            if self.split.options != task.splits:
                self.split.options = task.splits
                self.split.value = "id" if "id" in task.splits else task.splits[0]
            if example is not None and example.split != self.split.value:
                self.split.value = example.split
            self._levels()
            if example is not None and self.level.value not in (_ANY, example.level):
                self.level.value = _ANY
            self.prompt.value = self.session.prompt
            self.prompt.rows = _rows(self.session.prompt)
            self.limit.disabled = example is not None
            self.limit.tooltip = _LIMITS[example is None]
            self.limit.value = (
                self._typed_limit
                if example is None
                else response_limit(self.session.model_a, task, example)
            )
            drawn = self.session.drawn
            self.previous.disabled = drawn is None or drawn.number == 0
            if example is None:
                self.where.say("Typed prompt: not graded")
            else:
                self.where.say(f"{example.split}, {level_words(example.level, task.level_name)}")


def _rows(prompt: str) -> int:
    """The number of rows that show a prompt to its end, up to a limit."""
    rows = sum(1 + len(line) // _WIDTH for line in prompt.split("\n"))
    return min(max(rows, _FEWEST), _MOST)
