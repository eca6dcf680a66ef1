"""The state that all panels of a workbench share: models A and B, task, example, intervention.

Set a trait in a panel or in code, and everything that observes it follows. An invalid value raises
an error with the reason, and the old value stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, cast

from traitlets import HasTraits, Instance, Unicode, default, observe, validate

from latent_core.adapters.adapter import CONFIG_NAME
from latent_core.adapters.saved import read_saved
from latent_core.archives.folders import has_file, on_disk
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import AdapterError
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.build import load_model
from latent_core.models.latent import LatentModel
from latent_core.runs.shipped import ShippedAdapter, shipped_adapter, shipped_adapters
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method
from latent_core.tasks.base import Example, Task
from latent_core.tasks.conversations import asked_in
from latent_core.tasks.table import load_task
from latent_core.wording import isolated
from workbench.adapters import adapter_title, best_shipped, shipped_like
from workbench.jobs import Jobs
from workbench.levels import Draw, level_words

__all__ = ["NO_LATENTS", "Proposal", "Session"]

#: The name of the backbone without any latents, which is always among the models.
NO_LATENTS: Final = "no latents"
#: Characters of an example's prompt in the header.
_EXCERPT: Final = 36


@dataclass(frozen=True)
class Proposal:
    """A claim that was seen in a panel, for the fields of the hypotheses panel.

    Attributes:
        claim: one sentence.
        treatment, control: the conditions that are compared.
        split: where.
        direction: whether the treatment scores `less` or `greater`.
        side: the model that it is tested on, `a` or `b`.
    """

    claim: str
    treatment: str
    control: str
    split: str
    direction: Literal["less", "greater"]
    side: Literal["a", "b"] = "a"


class Session(HasTraits):
    """The state of one workbench.

    Attributes:
        backbone: the frozen model that every adapter stands on.
        models: latent models by name, in the order they came; add with `add`. The backbone without
            latents is always one of them.
        adapter_a, adapter_b: names of the two models that are compared. They may be the same.
        task: where examples come from, and who judges them. For another one, what ships for it
            takes the place of what ships for the last.
        example: the task's example that is looked at; None if the prompt was typed.
        prompt: what the models are asked. Follows `example`; typing one forgets the example.
        intervention: text form of what is done to A and B, such as `drop(Comma, after=3)`, or
            `none`. See `latent_core.interventions`.
        panel: name of the panel that is looked at, such as `playground`. Set it, and a workbench
            opens that tab.
        proposal: a claim that another panel asks to test; see `Proposal`.
        notice: which adapters the session switched to, until another task or adapter is chosen.
        titles: what the header calls the models: method, task and seed, by their names.
        jobs: where all work on the models is queued.
        folders: where the adapters lie, by the names of their models; none for a model that is in
            memory only.
        steps: of models that are snapshots of a run, after which step, by the names of the models.
        trained_on: names of the tasks that the adapters were trained on, by the names of their
            models, as far as they keep it.

    Example:
        >>> from workbench import Session
        >>> session = Session("tiny", adapters=["Comma_2", "Start_6"])
        >>> session.intervention = "drop(Comma, after=1)"
        >>> session.adapter_a, session.adapter_b
        ('Comma_2', 'Start_6')
    """

    models = Instance(dict)
    adapter_a = Unicode()
    adapter_b = Unicode()
    task: Any = Instance(Task)
    example = Instance(Example, allow_none=True)
    prompt = Unicode()
    intervention = Unicode("none")
    panel = Unicode()
    proposal: Any = Instance(Proposal, allow_none=True)
    notice = Unicode()

    def __init__(
        self,
        backbone: Backbone | str | Path = "smollm2-135m",
        adapters: Iterable[LatentModel | str | Path] | Mapping[str, LatentModel | str | Path] = (),
        task: Task | str | Path = "repetition",
    ) -> None:
        """Load everything.

        Args:
            backbone: what `load_backbone` takes.
            adapters: latent models, run folders, or methods of shipped adapters (`Comma_2`), with
                names of your own if it is a mapping. The first two are A and B. Without any, of
                those that ship for this backbone and task, the best with latents in the response
                and the best of the others, if there are such; plain layouts before those with
                options.
            task: what `load_task` takes, or a `Task`.

        Raises:
            AdapterError: for an adapter that is missing, or made for another backbone.
        """
        super().__init__()
        self.jobs = Jobs()
        self.folders: Final[dict[str, Path]] = {}
        self.steps: Final[dict[str, int]] = {}
        self.titles: Final[dict[str, str]] = {}
        self.trained_on: Final[dict[str, str]] = {}
        self._drawn: tuple[Draw, Example] | None = None
        self.backbone: Final = load_backbone(backbone)
        self.task = task if isinstance(task, Task) else load_task(task)
        self.models = {NO_LATENTS: LatentModel(self.backbone, LatentLayout())}
        named = adapters if isinstance(adapters, Mapping) else dict.fromkeys(adapters)
        if not named:
            named = {a.method: a.path for a in best_shipped(str(backbone), self.task.name)}
        names = []
        for key, value in named.items():
            source, name = (key, None) if value is None else (value, cast(str, key))
            names.append(self.add(source, name))
        self.adapter_a, self.adapter_b = (*names, NO_LATENTS, NO_LATENTS)[:2]
        self.example = self._first_example()

    @default("models")
    def _no_models(self) -> dict[str, LatentModel]:
        return {}

    @property
    def model_a(self) -> LatentModel:
        """The model that `adapter_a` names."""
        return cast(LatentModel, self.models[self.adapter_a])

    @property
    def model_b(self) -> LatentModel:
        """The model that `adapter_b` names."""
        return cast(LatentModel, self.models[self.adapter_b])

    def add(
        self,
        source: LatentModel | str | Path,
        name: str | None = None,
        folder: Path | None = None,
    ) -> str:
        """Load an adapter, or take a model, and give it a name, which is returned.

        Args:
            source: a model, a run folder, or the method of a shipped adapter.
            name: by default its method.
            folder: where a model that is given as such lies, too.

        Raises:
            AdapterError: if there is no such adapter, or it stands on another backbone.
        """
        if isinstance(source, LatentModel):
            model = source
        else:
            folder = Path(on_disk(source))
            if not has_file(folder, CONFIG_NAME):
                folder = shipped_adapter(str(source), self.task.name, self.backbone.name)
            loaded = load_model(folder, self.backbone)
            if not isinstance(loaded, LatentModel):
                raise AdapterError(f"{folder} holds {loaded.method}, which has no latents")
            model = loaded
        notes = {} if folder is None else read_saved(folder).notes
        title = str(model.layout if folder is None else notes.get("method", folder.name))
        if model.backbone.fingerprint != self.backbone.fingerprint:
            raise AdapterError(
                f"the model is for backbone {model.backbone.name} ({model.backbone.fingerprint}), "
                f"this workbench for {self.backbone.name} ({self.backbone.fingerprint}); open "
                "another workbench for it"
            )
        name = name or title
        if name in self.models and self.models[name] is not model:
            numbers = range(2, len(self.models) + 2)
            name = next(n for i in numbers if (n := f"{name} ({i})") not in self.models)
        if folder is not None:
            self.folders[name] = folder
            self.titles[name] = adapter_title(folder)
        if "task" in notes:
            self.trained_on[name] = str(notes["task"])
        self.models = {**self.models, name: model}
        return name

    @property
    def shipped(self) -> dict[str, Path]:
        """The adapters that ship for the backbone, by title; those of the task come first."""
        ours = sorted(self._ships, key=lambda a: a.task != self.task.name)
        return {adapter_title(a.path): a.path for a in ours}

    @cached_property
    def _ships(self) -> list[ShippedAdapter]:
        here = [a for a in shipped_adapters() if a.backbone == self.backbone.name]
        return [a for a in here if Method.parse(a.method).kind == "latents"]

    def choose(self, side: Literal["a", "b"], name: str) -> None:
        """Make a model A or B, by its name or by the title of an adapter that ships.

        Raises:
            AdapterError: if there is no such model.
        """
        path = self.shipped.get(name)
        if name not in self.models and path is not None:
            name = self.name_of(path) or self.add(path, name)
        setattr(self, f"adapter_{side}", name)

    def at_step(self, side: Literal["a", "b"], step: int | None) -> str:
        """Make A or B what its run had trained after a step, of which there is a snapshot.

        Args:
            side: which of the two.
            step: the step; None for what the run kept in the end.

        Returns:
            the name of the model.

        Raises:
            AdapterError: if the model lies in no folder.
            SettingError: if its run has no such snapshot.
        """
        shown = getattr(self, f"adapter_{side}")
        name = self.base_of(shown)
        if step is None:
            setattr(self, f"adapter_{side}", name)
            return name
        chosen = f"{name} at step {step}"
        if chosen not in self.models:
            if name not in self.folders:
                raise AdapterError(f"{name} lies in no run folder, so it has no snapshots")
            model = cast(LatentModel, load_model(self.folders[name], self.backbone, step=step))
            self.folders[chosen], self.steps[chosen] = self.folders[name], step
            self.titles[chosen] = f"{self.titles[name]} at step {step}"
            if name in self.trained_on:
                self.trained_on[chosen] = self.trained_on[name]
            self.models = {**self.models, chosen: model}
        setattr(self, f"adapter_{side}", chosen)
        if shown in self.steps and shown not in (self.adapter_a, self.adapter_b):
            self.models = {one: model for one, model in self.models.items() if one != shown}
        return chosen

    def base_of(self, name: str) -> str:
        """The name of the model that a snapshot is of; another model's own name."""
        step = self.steps.get(name)
        return name if step is None else name.removesuffix(f" at step {step}")

    def about(self) -> str:
        """What all panels are about: task, example, models and intervention, in one line."""
        example = self.example
        shown = "typed prompt"
        if example is not None:
            words = " ".join(asked_in(example.prompt).split())
            words = words if len(words) <= _EXCERPT else f"{words[: _EXCERPT - 1]}…"
            level = level_words(example.level, self.task.level_name)
            shown = f"{example.split} · example of {level}: {isolated(words)}"
        sides = [
            f"{side} {isolated(self._title(name))}"
            for side, name in (("A", self.adapter_a), ("B", self.adapter_b))
        ]
        parts = (self.task.name, shown, *sides, f"intervention {self.intervention}")
        return " · ".join(parts)

    def _title(self, name: str) -> str:
        return self.titles.get(name, name)

    def name_of(self, folder: Path) -> str | None:
        """The name of the model that lies in a folder, if there is one."""
        here = folder.resolve()
        return next((name for name, path in self.folders.items() if path.resolve() == here), None)

    def draw(self, split: str, number: int = 0, level: int | None = None, seed: int = 1) -> Example:
        """Make the number-th example of a split (of a level, if given) the current one.

        Raises:
            TaskError: if the task has no such split, level or example.
        """
        draw = Draw(split, number, level, seed)
        found = draw.example(self.task)
        self._drawn = draw, found
        self.example = found
        return found

    @property
    def drawn(self) -> Draw | None:
        """How the example was drawn; None if it came another way."""
        draw, example = self._drawn or (None, None)
        return draw if example is not None and example == self.example else None

    def step(self, by: int) -> Example:
        """Draw the next example of the split, or the one before; the first if it was not drawn.

        Raises:
            TaskError: if there is no further one.
        """
        if self.drawn is not None:
            split, number, level, seed = self.drawn
            return self.draw(split, max(0, number + by), level, seed)
        split = self._first_example().split if self.example is None else self.example.split
        return self.draw(split)

    def _first_example(self) -> Example:
        """One of middling length: the shortest may have no place for latents."""
        split = "id" if "id" in self.task.splits else self.task.splits[0]
        levels = self.task.id_levels
        found = self.task.examples(split, max(len(levels), 1), seed=1)
        middle = levels[len(levels) // 2] if levels else None
        return next((example for example in found if example.level == middle), found[0])

    @validate("adapter_a", "adapter_b")
    def _known_model(self, proposal: Any) -> str:
        name = str(proposal["value"])
        if name not in self.models:
            raise AdapterError(
                f"no adapter named {name!r} in this workbench; there are "
                f"{', '.join(self.models)}. Add one with session.add(...)"
            )
        return name

    @validate("intervention")
    def _readable(self, proposal: Any) -> str:
        return str(parse_intervention(proposal["value"].strip() or "none"))

    @observe("task")
    def _new_task(self, change: Any) -> None:
        if self.example is not None:  # first: nothing may judge it by another task
            self.example = self._first_example()
        if self.adapter_a and self.adapter_b:
            self._switch_to_shipped()

    @observe("adapter_a", "adapter_b")
    def _new_adapter(self, change: Any) -> None:
        self.notice = ""

    @observe("example")
    def _new_example(self, change: Any) -> None:
        if self.example is not None:
            self.prompt = self.example.prompt

    @observe("prompt")
    def _new_prompt(self, change: Any) -> None:
        if self.example is not None and self.prompt != self.example.prompt:
            self.example = None

    def _switch_to_shipped(self) -> None:
        """Replace shipped adapters of another task by those of this task, and say so.

        A side without latents stays as it is. Both sides stay if one has an adapter of the user's.
        """
        self.notice = ""
        ships = {adapter.path: adapter for adapter in shipped_adapters()}
        sides = [s for s in ("adapter_a", "adapter_b") if getattr(self, s) != NO_LATENTS]
        shown = [ships.get(self.folders.get(getattr(self, side), Path())) for side in sides]
        ours = [adapter for adapter in shown if adapter is not None]
        if len(ours) < len(sides) or all(adapter.task == self.task.name for adapter in ours):
            return
        found = shipped_like(ours, self.backbone.name, self.task.name)
        for side, adapter in zip(sides, found, strict=False):
            named = f"{adapter.method} ({adapter.task})"
            setattr(self, side, self.name_of(adapter.path) or self.add(adapter.path, named))
        if found:
            names = " and ".join(getattr(self, side) for side in sides[: len(found)])
            self.notice = (
                f"Switched to the adapters trained on {self.task.name}: {names}. The others stay "
                "in the lists of A and B."
            )
