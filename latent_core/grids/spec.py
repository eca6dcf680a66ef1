"""The settings of one run of a grid, and the folder that they name."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from latent_core.errors import SettingError, whole_number
from latent_core.slots.methods import Method
from latent_core.training.curriculum import PRESETS

__all__ = ["TRIALS", "Evaluation", "RunSpec", "Search", "Training"]

#: Folder of the trials of searches, inside a grid's folder. It is hidden, as trials are no results.
TRIALS: Final = ".search"


#: Trials that a search may have for one method.
MOST_TRIALS: Final = 10_000

#: Settings of training that a run has or has not.
CHECKS: Final = ("patience", "check_every", "check_examples", "snapshots")
UNSET: Final = (*CHECKS, "curriculum", "learning_rate_beside")


@dataclass(frozen=True)
class Training:
    """Settings of training, the same for every method.

    Attributes:
        steps: optimiser steps.
        batch_size: examples per step, before accumulation.
        gradient_accumulation: batches per step.
        learning_rate: AdamW's; None for each method's own default.
        init: initial values of latents; methods without latents ignore it.
        arguments: further `transformers.TrainingArguments`.
        patience, check_every, check_examples, snapshots: as in `train`; None for none.
        curriculum: a name, such as `coconut`, of stages that share the steps out; None for none.
        learning_rate_beside: of what PEFT trains beside latents, also where these have nothing to
            train (`End_2=hidden & lora-r8`); None for its default. Other methods ignore it.
    """

    steps: int = 300
    batch_size: int = 16
    gradient_accumulation: int = 1
    learning_rate: float | None = None
    init: str = "vocab"
    arguments: dict[str, Any] = field(default_factory=dict)
    patience: int | None = None
    check_every: int | None = None
    check_examples: int | None = None
    snapshots: int | None = None
    curriculum: str | None = None
    learning_rate_beside: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "gradient_accumulation"):
            whole_number(name, getattr(self, name), least=1)
        for name in CHECKS:
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), least=1)
        for name in ("learning_rate", "learning_rate_beside"):
            if getattr(self, name) is not None:
                _check_rate(name, getattr(self, name))
        if self.curriculum is not None and self.curriculum not in PRESETS:
            raise SettingError(
                f"curriculum is {self.curriculum!r}; expected {' or '.join(PRESETS)}, which share "
                "out any number of steps"
            )
        if not isinstance(self.init, str):
            raise SettingError(f"init is {self.init!r}; expected text, such as vocab")
        if not isinstance(self.arguments, dict):
            raise SettingError(f"arguments is {self.arguments!r}; expected settings by name")

    def of_method(self, method: Method) -> Training:
        """The same settings with the rates that a method has: one, where one part trains."""
        if self.learning_rate_beside is None or (method.companion and method.layout.trains):
            return self
        rate = self.learning_rate_beside if method.companion else self.learning_rate
        return replace(self, learning_rate=rate, learning_rate_beside=None)

    @property
    def checks(self) -> dict[str, Any]:
        """Arguments of `train` that a run has or has not, as far as they are set."""
        found = {name: getattr(self, name) for name in UNSET}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Evaluation:
    """Settings of evaluation.

    Attributes:
        splits: split names; `ood` stands for every OOD level.
        examples: number per split.
        seed: draws the examples; the same for every run.
        batch_size: examples decoded side by side. In float32 no response depends on it; in
            bfloat16 and float16 rounding does.
    """

    splits: Sequence[str] = ("id", "ood")
    examples: int = 200
    seed: int = 1
    batch_size: int = 32

    def __post_init__(self) -> None:
        if isinstance(self.splits, str) or not all(isinstance(name, str) for name in self.splits):
            raise SettingError(f"splits is {self.splits!r}; expected a list such as [id, ood]")
        object.__setattr__(self, "splits", list(self.splits))
        whole_number("examples", self.examples, least=1)
        whole_number("batch_size", self.batch_size, least=1)
        whole_number("seed", self.seed, least=0)


@dataclass(frozen=True)
class Search:
    """Settings of the search for learning rate and steps, by one rule for every method.

    Each pair of a learning rate and a number of steps gets short trials. The pair with the best
    graded accuracy on the validation split, which is in distribution, is chosen. Ties go to the
    lower training loss, then to fewer steps, then to the lower rate.

    Attributes:
        learning_rates: rates to try, each with each of `steps`.
        steps: numbers of steps to try; empty for the training section's own.
        share: share of the steps that a trial trains for; 1 for all of them.
        examples: validation examples per trial.
        seeds: training seeds of the trials, never those of the runs. The accuracy is their mean.
        beside: whether the rates are those of what PEFT trains, where it trains beside latents.
            The latents then train at their own default rate.
    """

    learning_rates: Sequence[float] = ()
    steps: Sequence[int] = ()
    share: float = 1.0
    examples: int = 50
    seeds: Sequence[int] = (1000,)
    beside: bool = False

    def __post_init__(self) -> None:
        for name in ("learning_rates", "steps", "seeds"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or (name != "steps" and not value):
                raise SettingError(f"{name} is {value!r}; expected a list")
            object.__setattr__(self, name, list(value))
        for rate in self.learning_rates:
            _check_rate("learning_rates", rate)
        for steps in self.steps:
            whole_number("steps", steps, least=1)
        for seed in self.seeds:
            whole_number("seeds", seed, least=0)
        whole_number("examples", self.examples, least=1)
        trials = len(self.learning_rates) * max(1, len(self.steps)) * len(self.seeds)
        if trials > MOST_TRIALS:
            raise SettingError(
                f"the search has {trials:,} trials for a method; expected at most {MOST_TRIALS:,}"
            )
        if not isinstance(self.beside, bool):
            raise SettingError(f"beside is {self.beside!r}; expected true or false")
        if not isinstance(self.share, int | float) or not 0 < self.share <= 1:
            raise SettingError(f"share is {self.share!r}; expected more than 0 and at most 1")


@dataclass(frozen=True)
class RunSpec:
    """All settings of one run.

    Attributes:
        backbone, task, method, seed: as in the grid.
        training: settings of training; None for a method that is only evaluated.
        evaluation: settings of evaluation. They are not part of the run's identity: a run that has
            to answer more examples is not trained again.
        search: chooses learning rate and steps; None if `training` has them.
        dtype: data type of the backbone's weights.
        trial: whether the run is a trial of a search.
    """

    backbone: str
    task: str
    method: str
    seed: int
    training: Training | None
    evaluation: Evaluation
    search: Search | None = None
    dtype: str = "auto"
    trial: bool = False

    @property
    def task_name(self) -> str:
        """The task's name; that of a file is its stem."""
        return Path(self.task).stem if self.task.endswith(".jsonl") else self.task

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that identify the run; a task that is a file counts by its content."""
        body = asdict(self)
        for name in ("evaluation", "trial"):
            del body[name]
        if self.training is not None:
            for name in set(UNSET) - set(self.training.checks):  # as before there were any
                del body["training"][name]
        if self.search is not None and not self.search.beside:
            del body["search"]["beside"]
        return body | {"task": _content(self.task) if self.task.endswith(".jsonl") else self.task}

    @property
    def folder(self) -> str:
        """The run's path in the grid's folder: readable, and unique for its settings."""
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:8]
        parts = [_word(self.task_name), _word(self.backbone), _word(self.method)]
        last = f"seed-{self.seed}-{digest}"
        if self.trial and self.training is not None:
            rate = self.training.learning_rate or self.training.learning_rate_beside
            last = f"lr-{rate:g}-steps-{self.training.steps}-{last}"
        return "/".join([TRIALS, *parts, last] if self.trial else [*parts, last])

    @property
    def searched(self) -> str:
        """The setting of training that the search chooses, apart from steps."""
        method = Method.parse(self.method)
        two = method.companion is not None and method.layout.trains
        beside = self.search is not None and self.search.beside
        return "learning_rate_beside" if two and beside else "learning_rate"

    def trials(self) -> list[RunSpec]:
        """Return the trials of its search: one per learning rate, number of steps and seed."""
        if self.search is None or self.training is None:
            return []
        found = []
        for steps in self.search.steps or [self.training.steps]:
            for rate in self.search.learning_rates:
                share = max(1, math.ceil(steps * self.search.share))
                every = self.training.check_every
                searched: dict[str, Any] = {self.searched: rate}
                training = replace(
                    self.training,
                    steps=share,
                    check_every=None if every is None else min(every, share),
                    snapshots=None,
                    **searched,
                )
                asked = Evaluation(
                    ["validation"], self.search.examples, batch_size=self.evaluation.batch_size
                )
                for seed in self.search.seeds:
                    trial = replace(self, seed=seed, training=training, evaluation=asked)
                    found.append(replace(trial, search=None, trial=True))
        return found


@functools.cache
def _content(task: str) -> str:
    try:
        return hashlib.sha256(Path(task).read_bytes()).hexdigest()
    except OSError as error:
        raise SettingError(f"cannot read the task {task}: {error.strerror or error}") from error


def _word(text: str) -> str:
    """Return a name as part of a path: letters, digits and a few signs."""
    return re.sub(r"[^A-Za-z0-9._+@-]+", "-", Path(text).name if "/" in text else text)


def _check_rate(name: str, value: Any) -> None:
    if isinstance(value, str):
        raise SettingError(
            f"{name} is the text {value!r}; expected a number (YAML reads 1e-2 as text: write "
            "0.01 or 1.0e-2)"
        )
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise SettingError(f"{name} is {value!r}; expected a number above 0")
