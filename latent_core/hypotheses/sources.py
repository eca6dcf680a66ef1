"""Where the adapters of a test come from: models in memory, run folders, or training.

A source gives one adapter for each method and training seed. It does not know the questions.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from latent_core.archives.folders import is_folder
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import SettingError
from latent_core.hypotheses.answers import SeedAdapter, saved_adapter, stored_adapter
from latent_core.hypotheses.conditions import ADAPTER
from latent_core.models.build import build_model
from latent_core.models.steered import SteeredModel
from latent_core.runs.find import StoredRun, find_runs
from latent_core.runs.lock import run_lock
from latent_core.slots.methods import Method
from latent_core.tasks.base import Task
from latent_core.training.train import train

__all__ = ["TRAINING", "Given", "Source", "Trained", "is_backbone", "source_of"]

TRAINING: Final[dict[str, Any]] = {"steps": 400, "batch_size": 8, "learning_rate": 0.1}
"""Arguments of `train` for adapters that a test trains, unless the caller gives others."""
_USUAL_SEEDS: Final = 5


class Source(ABC):
    """A supply of adapters, one for each method and training seed."""

    @abstractmethod
    def seeds(self, methods: Sequence[str], wanted: int) -> list[int]:
        """Return `wanted` training seeds that every method has.

        Raises:
            SettingError: if there are fewer.
        """

    @abstractmethod
    def usual_seeds(self, methods: Sequence[str]) -> int:
        """Return the number of seeds of a test for which the user names none."""

    @property
    @abstractmethod
    def backbone(self) -> Backbone:
        """The backbone of the adapters."""

    @property
    @abstractmethod
    def training(self) -> dict[str, Any] | None:
        """The arguments of `train` for adapters that are missing; None if nothing is trained."""

    @abstractmethod
    def adapter(self, method: str, seed: int) -> SeedAdapter:
        """Return the adapter of a method and seed.

        Raises:
            SettingError: if there is none.
        """

    @abstractmethod
    def sample(self, method: str) -> SteeredModel:
        """Return a model of the method, trained or not, on which speed can be measured.

        Raises:
            SettingError: if there is none.
        """


class Given(Source):
    """Adapters that exist already.

    Args:
        adapters: at most one of each method and seed.
        most: the largest number of seeds that a test takes by itself; None for all.
    """

    def __init__(self, adapters: Sequence[SeedAdapter], most: int | None = _USUAL_SEEDS) -> None:
        self._found: dict[tuple[str, int], SeedAdapter] = {}
        self._most = most
        for adapter in adapters:
            place = (adapter.method, adapter.seed)
            if place in self._found:
                raise SettingError(
                    f"two adapters of {adapter.method}, seed {adapter.seed}: "
                    f"{self._found[place].folder} and {adapter.folder}; expected one. Name a "
                    "narrower folder"
                )
            self._found[place] = adapter
        _check_versions(adapters)

    @classmethod
    def models(cls, models: Sequence[SteeredModel]) -> Given:
        """Take models in memory: those of one method are its seeds 0, 1, 2, ..."""
        counts: dict[str, int] = {}
        adapters = []
        for model in models:
            name = model.method
            counts[name] = counts.get(name, -1) + 1
            adapters.append(SeedAdapter(name, counts[name], partial(_as_it_is, model)))
        return cls(adapters, most=None)

    @classmethod
    def runs(cls, paths: Sequence[str | Path], task: Task) -> Given:
        """Take the finished runs on a task, at any depth below some folders.

        A run of an older version does not say its task's fingerprint; there the name decides.

        Raises:
            SettingError: if there are none.
        """
        found = find_runs(paths)
        runs = [
            run
            for run in found
            if run.about["status"] == "finished"
            and run.about["task_name"] == task.name
            and run.about["task_fingerprint"] in (None, task.fingerprint)
        ]
        if not runs:
            tasks = ", ".join(sorted({_task_of(run) for run in found})) or "none"
            raise SettingError(
                f"no finished run on {task.name} ({task.fingerprint[:8]}) below "
                f"{', '.join(map(str, paths))}; there are {len(found)} runs, on {tasks}"
            )
        loaded: dict[tuple[str, str], Backbone] = {}
        return cls([stored_adapter(run, loaded) for run in runs])

    def seeds(self, methods: Sequence[str], wanted: int) -> list[int]:
        """See `Source.seeds`."""
        names, common = self._in_common(methods)
        if len(common) < wanted:
            raise SettingError(
                f"the plan needs {wanted} training seeds, and {' and '.join(names)} have "
                f"{len(common)} in common ({', '.join(map(str, common)) or 'none'}); plan with "
                "fewer seeds, or train more"
            )
        return common[:wanted]

    def usual_seeds(self, methods: Sequence[str]) -> int:
        """See `Source.usual_seeds`."""
        _, common = self._in_common(methods)
        return max(1, len(common[: self._most]))

    @property
    def backbone(self) -> Backbone:
        """See `Source.backbone`."""
        return next(iter(self._found.values())).model.backbone

    @property
    def training(self) -> None:
        """See `Source.training`: nothing is trained."""

    def adapter(self, method: str, seed: int) -> SeedAdapter:
        """See `Source.adapter`."""
        if method.startswith(ADAPTER):
            return saved_adapter(Path(method.removeprefix(ADAPTER)))
        if self._untrained(method):
            return SeedAdapter(method, seed, partial(build_model, self.backbone, method, seed))
        return self._found[self._named(method), seed]

    def sample(self, method: str) -> SteeredModel:
        """See `Source.sample`."""
        return self.adapter(method, self.seeds([method], 1)[0]).model

    def _in_common(self, methods: Sequence[str]) -> tuple[list[str], list[int]]:
        """The methods of which adapters are needed, and the seeds that all of them have."""
        names = [
            self._named(method)
            for method in methods
            if not method.startswith(ADAPTER) and not self._untrained(method)
        ]
        each = [{seed for found, seed in self._found if found == name} for name in names]
        return names, sorted(set.intersection(*each)) if each else [0]

    def _untrained(self, method: str) -> bool:
        """Whether a method is built here: it trains nothing, and no run of it is given."""
        given = not method or any(method == name for name, _ in self._found)
        return not given and not Method.parse(method).trained

    def _named(self, method: str) -> str:
        """The method that a condition means; a condition without one means the only method."""
        have = list(dict.fromkeys(name for name, _ in self._found))
        if not method and len(have) == 1:
            return have[0]
        if method in have:
            return method
        shown = ", ".join(have) or "none"
        if not method:
            raise SettingError(
                f"the contrast names no method, and there are several ({shown}); write for example "
                f"'{have[0]} under drop(...)'"
            )
        raise SettingError(f"no adapter of method {method!r}; there are {shown}")


class Trained(Source):
    """Adapters that are trained when they are first needed, and kept.

    Args:
        backbone: the backbone to train on.
        task: the task to train for.
        folder: keeps the adapters. Each has a name that follows from all that determines it.
        training: arguments of `train`, on top of `TRAINING`.
    """

    def __init__(
        self,
        backbone: Backbone | str,
        task: Task,
        folder: str | Path,
        training: dict[str, Any] | None = None,
    ) -> None:
        self._backbone = load_backbone(backbone)
        self.task = task
        self._training = training or {}
        self._folder = Path(folder) / "adapters" / self.backbone.name.replace("/", "-") / task.name
        self._adapters: dict[tuple[str, int], SeedAdapter] = {}

    def seeds(self, methods: Sequence[str], wanted: int) -> list[int]:
        """See `Source.seeds`."""
        if "" in methods:
            raise SettingError(
                "the contrast names no method, so there is nothing to train; expected for example "
                "'Start_1+Comma_1 under drop(Comma)', or a model or runs to test"
            )
        return list(range(wanted))

    def usual_seeds(self, methods: Sequence[str]) -> int:
        """See `Source.usual_seeds`."""
        return _USUAL_SEEDS

    @property
    def backbone(self) -> Backbone:
        """See `Source.backbone`."""
        return self._backbone

    @property
    def training(self) -> dict[str, Any]:
        """See `Source.training`."""
        return TRAINING | self._training

    def adapter(self, method: str, seed: int) -> SeedAdapter:
        """See `Source.adapter`."""
        place = (method, seed)
        if place not in self._adapters:
            if method.startswith(ADAPTER):
                self._adapters[place] = saved_adapter(
                    Path(method.removeprefix(ADAPTER)), self.backbone
                )
            else:
                load = partial(self._model, method, seed)
                self._adapters[place] = SeedAdapter(method, seed, load)
        return self._adapters[place]

    def sample(self, method: str) -> SteeredModel:
        """See `Source.sample`: an untrained model is as fast as a trained one."""
        usable = method and not method.startswith(ADAPTER)
        return build_model(self.backbone, method if usable else "Start_1", 0, to_train=False)

    def _model(self, method: str, seed: int) -> SteeredModel:
        model = build_model(self.backbone, method, seed, task=self.task)
        chosen = Method.parse(method)
        if not chosen.trained:
            return model
        settings = self.training
        if not chosen.layout.trains and "learning_rate" not in self._training:
            del settings["learning_rate"]  # what PEFT trains has its own
        determined = [self.backbone.fingerprint, self.task.fingerprint, method, seed, settings]
        name = f"{method}-{seed}-{_digest(determined)}".replace("/", "-").replace(" ", "")
        folder = self._folder / name
        with run_lock(folder, wait=-1):  # another process may be training the same adapter
            train(
                model,
                self.task,
                seed=seed,
                output_dir=folder,
                resume=True,
                progress=False,
                notes={"method": method},
                **settings,
            )
        return model


def is_backbone(target: Any) -> bool:
    """Whether a target is a backbone, loaded or by name, on which adapters have to be trained."""
    named = isinstance(target, str) and not is_folder(target)
    return named or isinstance(target, Backbone)


def source_of(
    target: Any, task: Task, folder: str | Path, training: dict[str, Any] | None = None
) -> Source:
    """Find the adapters that a target stands for.

    Args:
        target: a model, several models, a folder of runs, several folders, a backbone to train on,
            or a source.
        task: the task of the runs, or of the training.
        folder: keeps adapters that are trained.
        training: arguments of `train`, where adapters are trained.

    Raises:
        SettingError: if a test cannot run on the target.
    """
    if isinstance(target, Source):
        return target
    if isinstance(target, SteeredModel):
        return Given.models([target])
    if is_backbone(target):
        return Trained(target, task, folder, training)
    if isinstance(target, str | Path):
        return Given.runs([target], task)
    if isinstance(target, list | tuple) and target:
        if all(isinstance(one, SteeredModel) for one in target):
            return Given.models(target)
        if all(isinstance(one, str | Path) for one in target):
            return Given.runs(target, task)
    raise SettingError(
        f"cannot test on {type(target).__name__}; expected a LatentModel, several, a folder of "
        "runs, several, a data frame of records, or a backbone to train on"
    )


def _task_of(run: StoredRun) -> str:
    """The task of a run, with its fingerprint if the run says it."""
    name, fingerprint = run.about["task_name"], run.about["task_fingerprint"]
    return f"{name} ({fingerprint[:8]})" if fingerprint else str(name)


def _check_versions(adapters: Sequence[SeedAdapter]) -> None:
    """Refuse adapters that different versions of a library have trained."""
    made_with = {adapter.versions for adapter in adapters if adapter.versions}
    known = [dict(one) for one in made_with]
    named = set.intersection(*map(set, known)) if known else set()
    if any(len({one[name] for one in known}) > 1 for name in named):
        shown = "; ".join(
            ", ".join(f"{name} {number}" for name, number in one) for one in sorted(made_with)
        )
        raise SettingError(
            f"the runs were made by different versions ({shown}), so the versions may cause a "
            "difference; expected one version. Train the runs anew, or choose runs of one version"
        )


def _as_it_is(model: SteeredModel) -> SteeredModel:
    return model


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
