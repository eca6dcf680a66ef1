"""Whom a test asks: adapters that are given, lie in run folders, or are trained for it and kept.

Knows how to come by one adapter of a method and a seed; nothing of what it is asked.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch

from latent_core.archives.folders import has_file, read_frame
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import SettingError
from latent_core.hypotheses.conditions import ADAPTER
from latent_core.models.build import build_model, load_model
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.runs.find import StoredRun, find_runs
from latent_core.runs.folder import RECORDS_FILE, RUN_FILE, read_run, run_lock
from latent_core.slots.methods import Method
from latent_core.tasks.base import Task
from latent_core.training.train import train

__all__ = ["TRAINING", "Given", "Source", "Subject", "Trained", "fingerprint_of"]

TRAINING: Final[dict[str, Any]] = {"steps": 400, "batch_size": 8, "learning_rate": 0.1}
"""How adapters are trained where nothing else is said."""


@dataclass(frozen=True)
class Subject:
    """One adapter.

    Attributes:
        method: its method's name.
        seed: its training seed.
        load: gives the model; called when it is needed, and not before.
        folder: where it lies, if it lies anywhere.
        versions: of the libraries it was trained with; empty if not known.
    """

    method: str
    seed: int
    load: Callable[[], SteeredModel]
    folder: Path | None = None
    versions: tuple[tuple[str, str], ...] = ()

    @cached_property
    def model(self) -> SteeredModel:
        """The model."""
        return self.load()

    @cached_property
    def records(self) -> pd.DataFrame | None:
        """What it answered when it was evaluated, if that was kept."""
        if self.folder is None or not has_file(self.folder, RECORDS_FILE):
            return None
        return read_frame(self.folder)

    @property
    def num_latents(self) -> int:
        """Latent vectors it places; 0 for baselines that place none."""
        return Method.parse(self.method).layout.num_latents


class Source(ABC):
    """Where subjects come from."""

    @abstractmethod
    def seeds(self, methods: Sequence[str], wanted: int) -> list[int]:
        """`wanted` training seeds that every method has.

        Raises:
            SettingError: if there are fewer.
        """

    @property
    @abstractmethod
    def backbone(self) -> Backbone:
        """What the adapters are for."""

    @abstractmethod
    def subject(self, method: str, seed: int) -> Subject:
        """The adapter of a method and seed.

        Raises:
            SettingError: if there is none.
        """


class Given(Source):
    """Adapters that are there already.

    Args:
        subjects: no two of one method and seed.
    """

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self._found: dict[tuple[str, int], Subject] = {}
        for subject in subjects:
            place = (subject.method, subject.seed)
            if place in self._found:
                raise SettingError(
                    f"two adapters of {subject.method}, seed {subject.seed}: "
                    f"{self._found[place].folder} and {subject.folder}; expected one. Name a "
                    "narrower folder"
                )
            self._found[place] = subject
        made_with = {subject.versions for subject in subjects if subject.versions}
        known = [dict(one) for one in made_with]
        named = set.intersection(*map(set, known)) if known else set()
        if any(len({one[name] for one in known}) > 1 for name in named):
            shown = "; ".join(
                ", ".join(f"{name} {number}" for name, number in one) for one in sorted(made_with)
            )
            raise SettingError(
                f"the runs were made by different versions ({shown}), so a difference may be "
                "theirs; expected one. Train them anew, or choose runs of one version"
            )

    @classmethod
    def models(cls, models: Sequence[SteeredModel]) -> Given:
        """Models in memory: those of one method are its seeds 0, 1, 2, ..."""
        counts: dict[str, int] = {}
        subjects = []
        for model in models:
            name = model.method
            counts[name] = counts.get(name, -1) + 1
            subjects.append(Subject(name, counts[name], partial(_as_it_is, model)))
        return cls(subjects)

    @classmethod
    def runs(cls, paths: Sequence[str | Path], task: str) -> Given:
        """The finished runs on a task, at any depth below some folders.

        Raises:
            SettingError: if there are none.
        """
        found = find_runs(paths)
        runs = [r for r in found if r.about["task"] == task and r.about["status"] == "finished"]
        if not runs:
            tasks = ", ".join(sorted({str(run.about["task"]) for run in found})) or "none"
            raise SettingError(
                f"no finished run on {task} below {', '.join(map(str, paths))}; there are "
                f"{len(found)} runs, on {tasks}"
            )
        loaded: dict[str, Backbone] = {}
        return cls([_stored(run, loaded) for run in runs])

    def seeds(self, methods: Sequence[str], wanted: int) -> list[int]:
        """See `Source.seeds`."""
        names = [
            self._named(method)
            for method in methods
            if not method.startswith(ADAPTER) and not self._untrained(method)
        ]
        each = [{seed for found, seed in self._found if found == name} for name in names]
        common = sorted(set.intersection(*each)) if each else [0]
        if len(common) < wanted:
            raise SettingError(
                f"the plan needs {wanted} training seeds, and {' and '.join(names)} have "
                f"{len(common)} in common ({', '.join(map(str, common)) or 'none'}); plan with "
                "seeds=... fewer, or train more"
            )
        return common[:wanted]

    @property
    def backbone(self) -> Backbone:
        """See `Source.backbone`."""
        return next(iter(self._found.values())).model.backbone

    def subject(self, method: str, seed: int) -> Subject:
        """See `Source.subject`."""
        if method.startswith(ADAPTER):
            return _saved(Path(method.removeprefix(ADAPTER)))
        if self._untrained(method):
            return Subject(method, seed, partial(build_model, self.backbone, method, seed))
        return self._found[self._named(method), seed]

    def _untrained(self, method: str) -> bool:
        """Whether a method is built here: nothing of it is trained, and no run of it is given."""
        given = not method or any(method == name for name, _ in self._found)
        return not given and not Method.parse(method).trained

    def _named(self, method: str) -> str:
        """The method meant by a condition's, which is empty where there is but one."""
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
        backbone: what to train on.
        task: what to train for.
        folder: keeps them, each under a name made of all that determines it.
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
        self.training = training or {}
        self._folder = Path(folder) / "adapters" / self.backbone.name.replace("/", "-") / task.name
        self._subjects: dict[tuple[str, int], Subject] = {}

    def seeds(self, methods: Sequence[str], wanted: int) -> list[int]:
        """See `Source.seeds`."""
        if "" in methods:
            raise SettingError(
                "the contrast names no method, so there is nothing to train; expected for example "
                "'Start_1+Comma_1 under drop(Comma)', or a model or runs to test"
            )
        return list(range(wanted))

    def subject(self, method: str, seed: int) -> Subject:
        """See `Source.subject`."""
        place = (method, seed)
        if place not in self._subjects:
            if method.startswith(ADAPTER):
                self._subjects[place] = _saved(Path(method.removeprefix(ADAPTER)), self.backbone)
            else:
                self._subjects[place] = Subject(method, seed, lambda: self._model(method, seed))
        return self._subjects[place]

    @property
    def backbone(self) -> Backbone:
        """See `Source.backbone`."""
        return self._backbone

    def _model(self, method: str, seed: int) -> SteeredModel:
        model = build_model(self.backbone, method, seed)
        chosen = Method.parse(method)
        if not chosen.trained:
            return model
        settings = TRAINING | self.training
        if chosen.kind != "latents" and "learning_rate" not in self.training:
            del settings["learning_rate"]  # each baseline has its own
        sample = [(e.prompt, e.answer) for e in self.task.examples("train", 8, seed)]
        determined = [self.backbone.fingerprint, method, seed, settings, sample]
        name = f"{method}-{seed}-{_digest(determined)}".replace("/", "-").replace(" ", "")
        folder = self._folder / name
        with run_lock(folder, wait=-1):  # another process may be training this very one
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


def fingerprint_of(model: SteeredModel) -> str:
    """Names a model: its backbone, its method, its latents' places and vectors, what it trained."""
    layout, shots = model.placement.layout, model.shots
    backbone = model.backbone.fingerprint
    found = hashlib.sha256(f"{backbone}|{model.method}|{layout}|{shots}".encode())
    weights = model.trainable_weights()
    if isinstance(model, LatentModel):
        weights |= model.tables.named()
    for name, weight in sorted(weights.items()):
        found.update(name.encode())
        found.update(weight.contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:24]


def _as_it_is(model: SteeredModel) -> SteeredModel:
    return model


def _stored(run: StoredRun, loaded: dict[str, Backbone]) -> Subject:
    folder, about = Path(run.path), run.about

    def load() -> SteeredModel:
        name = str(about["backbone"])
        if name not in loaded:
            loaded[name] = load_backbone(name)
        return load_model(folder, loaded[name])

    versions = read_run(folder).get("versions", {}) if has_file(folder, RUN_FILE) else {}
    return Subject(
        str(about["method"]), int(about["seed"]), load, folder, tuple(sorted(versions.items()))
    )


def _saved(folder: Path, backbone: Backbone | None = None) -> Subject:
    runs = find_runs(folder)
    if len(runs) != 1:
        raise SettingError(f"{len(runs)} adapters in {folder}; expected one")
    return _stored(runs[0], {} if backbone is None else {str(runs[0].about["backbone"]): backbone})


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
