"""A study: one question, and the hypotheses that answer it together.

The hypotheses are one family: Holm's correction counts all of them. A study is a value, as a
hypothesis is. `latent_core.hypotheses.lab` runs it, `latent_core.hypotheses.studies` holds the
built-in ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Literal, NamedTuple

from latent_core.errors import MovedName, SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.slots.methods import Method
from latent_core.tasks.base import Task

__all__ = ["Conclusion", "Study"]


class Conclusion(NamedTuple):
    """The answer to a study's question, where it is more than whether all parts hold.

    Attributes:
        word: the answer in a word.
        outcome: whether this supports the study's claim.
        reason: what the word means, or what it still depends on.
    """

    word: str
    outcome: Literal["supported", "refuted", "inconclusive"]
    reason: str


@dataclass(frozen=True)
class Study:
    """A question and the claims that put it to the test.

    Attributes:
        key: its name on the command line.
        title: the question.
        claim: the answer that is tested.
        prediction: what the tests should show if the claim is right.
        explanation: how it is tested, in plain words.
        parts: the hypotheses, each by a short name.
        layouts: the tasks that the question can be asked of, its own task first. Each has the
            layout that the question is then about. Empty if the study has no other form.
        build: makes the parts for a task, a layout, and one of its groups.
        layout: the layout that `parts` are about.
        group: the group of the layout, where the question is about one; empty for the last.
        conclude: makes the answer from the outcomes of the parts, and from the names of the parts
            that could not be run. None if the claim is that every part holds.

    Example:
        >>> import latent_core as lc
        >>> study = lc.load_study("H3")
        >>> study.title, len(study.parts)
        ('Do latents keep an instruction alive?', 7)
    """

    key: str
    title: str
    claim: str
    prediction: str
    explanation: str
    parts: Mapping[str, Hypothesis]
    layouts: Mapping[str, str] = field(default_factory=dict)
    build: Callable[..., Mapping[str, Hypothesis]] | None = None
    layout: str = ""
    group: str = ""
    conclude: Callable[[Mapping[str, str], Collection[str]], Conclusion] | None = None

    @classmethod
    def asking(
        cls,
        key: str,
        title: str,
        claim: str,
        prediction: str,
        explanation: str,
        layouts: Mapping[str, str],
        build: Callable[..., Mapping[str, Hypothesis]],
        conclude: Callable[[Mapping[str, str], Collection[str]], Conclusion] | None = None,
    ) -> Study:
        """Make a study that can be asked of several tasks and of any layout."""
        task, layout = next(iter(layouts.items()))
        words = (key, title, claim, prediction, explanation)
        return cls(*words, build(task, layout), layouts, build, layout, conclude=conclude)

    def about(self, layout: str = "", task: str = "", group: str = "") -> Study:
        """Ask the same question of another layout, task or group.

        Args:
            layout: empty for the study's own layout on the task.
            task: empty for the study's own.
            group: of the layout; empty for the last, or where the question is about all groups.

        Raises:
            LayoutError: if the layout cannot be read, or lacks the group.
            SettingError: if the question cannot be asked of it.
        """
        if self.build is None:
            raise SettingError(
                f"{self.key} has parts of its own, so its layout and task cannot be changed"
            )
        task = task or self.task
        if task not in self.layouts:
            raise SettingError(
                f"{self.key} cannot be tested on {task}; expected {' or '.join(self.layouts)}"
            )
        layout = layout or self.layouts[task]
        if not Method.parse(layout).layout.groups:
            raise SettingError(
                f"{self.key} is about latents, and {layout!r} has none; expected a layout such "
                f"as {self.layout}"
            )
        if (layout, task, group) == (self.layout, self.task, self.group):
            return self
        if group and "group" not in signature(self.build).parameters:
            raise SettingError(
                f"{self.key} is about all groups of a layout together; expected no group"
            )
        parts = self.build(task, layout, group) if group else self.build(task, layout)
        return replace(self, key=self.key_on(task), layout=layout, group=group, parts=parts)

    def key_on(self, task: str) -> str:
        """The study's name when it is asked of one of its tasks."""
        key = self.key.removesuffix(f"-{self.task}")
        return key if task == next(iter(self.layouts)) else f"{key}-{task}"

    @property
    def task(self) -> str:
        """The name of `loaded_task`."""
        return self.loaded_task.name

    @property
    def loaded_task(self) -> Task:
        """The task of the first part; all parts of a built-in study share it."""
        return next(iter(self.parts.values())).loaded_task

    @property
    def hypotheses(self) -> dict[str, Hypothesis]:
        """The parts, each with this study's key as its family."""
        return {name: replace(part, family=self.key) for name, part in self.parts.items()}

    plan = MovedName("lc.lab.plan(study, seeds, examples, target=...)")
    test = MovedName("lc.lab.run(study, target, plans)")
