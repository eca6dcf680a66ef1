"""The examples behind a point of a curve: listed, and opened in the session."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from latent_core.adapters.adapter import CONFIG_NAME
from latent_core.archives.folders import has_file
from latent_core.errors import LatentError
from latent_core.models.build import load_model
from latent_core.models.latent import LatentModel
from latent_core.tasks.base import Task
from workbench.adapter_names import adapter_title
from workbench.level_words import level_words
from workbench.panels.base import Panel
from workbench.panels.comparison.recorded_examples import RecordedExample, recorded_example
from workbench.panels.comparison.runs import RunCollection
from workbench.widgets.example_list import ExampleList

__all__ = ["PointExamples"]

_MOST_EXAMPLES: Final = 500


class PointExamples:
    """The answers of one method at one level.

    Attributes:
        view: the list; a row of it opens its example in the session.
        found: what is listed.
    """

    def __init__(self, panel: Panel, collection: RunCollection) -> None:
        self._panel, self._collection = panel, collection
        self._task: Task | None = None
        self.found: list[RecordedExample] = []
        self.view = ExampleList()
        panel.on(self.view, "opened", lambda pressed: self._open(self.found[pressed["index"]]))

    def clear(self) -> None:
        """List nothing."""
        self.found = []
        self.view.show("", [])

    def look_up(
        self,
        task: Task | None,
        levels: str,
        point: tuple[str, str, str, int],
        splits: Collection[str],
    ) -> None:
        """Read examples in a job, then list them.

        Args:
            task: the task, if it is at hand.
            levels: what its levels count.
            point: the task's name, the backbone, the method and the level.
            splits: the splits of the curve.
        """
        *_, method, level = point

        def work() -> list[RecordedExample]:
            records = self._collection.examples(*point, splits).head(_MOST_EXAMPLES)
            return [recorded_example(record, task) for _, record in records.iterrows()]

        def then(examples: list[RecordedExample]) -> None:
            self._task, self.found = task, examples
            heading = f"{method}, {level_words(level, levels)}"
            self.view.show(heading, [example.row() for example in examples])
            self._panel.status.say(f"{len(examples)} examples of {heading} are listed")
            self._panel.reveal(self.view)

        self._panel.start(work, then, key="examples", replace=True)

    def _open(self, chosen: RecordedExample) -> None:
        """Make an example the session's, and the adapter of its run adapter A, if there is one."""
        session, example, record = self._panel.session, chosen.example, chosen.record
        if example is None:
            return
        if self._task is not None and self._task.name != session.task.name:
            session.task = self._task
        session.example = example
        model, path = record.get("model"), record.get("path")
        if isinstance(model, str) and model in session.models:  # it was answered in the panel
            session.adapter_a, session.intervention = model, str(record["intervention"])
            self._opened(f"{model} is now adapter A")
        elif not isinstance(path, str) or not has_file(path, CONFIG_NAME):
            self._opened("Adapter A is unchanged: the run has no saved adapter")
        elif name := session.name_of(Path(path)):
            session.adapter_a = name
            self._opened(f"{name} is now adapter A")
        else:
            self._panel.start(lambda: self._load(Path(path)), self._join, key="open", replace=True)

    def _load(self, folder: Path) -> tuple[Path, LatentModel | str]:
        """A run's model, or the reason why there is none to show."""
        try:
            model = load_model(folder, self._panel.session.backbone)
        except LatentError as error:
            return folder, str(error)
        if not isinstance(model, LatentModel):
            return folder, "the method of the run has no latents"
        return folder, model

    def _join(self, loaded: tuple[Path, LatentModel | str]) -> None:
        folder, model = loaded
        if isinstance(model, str):
            self._opened(f"Adapter A is unchanged: {model}")
            return
        session = self._panel.session
        name = session.add(model, adapter_title(folder), folder)
        session.adapter_a = name
        self._opened(f"{name} is now adapter A")

    def _opened(self, how: str) -> None:
        self._panel.session.panel = "playground"
        self._panel.status.say(f"Opened in the playground. {how}")
