"""The cost of the open runs of a grid, in slots and in time, before they start.

Slots are counted on a sample of each task's examples, with the layout's latents in place. Time is
slots and decoding steps, at the rates of the finished runs that are most alike. Without such runs,
the stopwatch times a sample here. The time is that of one run at a time on this machine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.evaluation.timing import STOPWATCH, Pace
from latent_core.generation.decoding import decoding_passes
from latent_core.grids.spec import RunSpec
from latent_core.models.build import build_model
from latent_core.models.hesitation import best_probabilities
from latent_core.runs.evaluation_file import read_summary
from latent_core.runs.folder import read_run
from latent_core.slots.methods import Method
from latent_core.tasks.table import load_task
from latent_core.wording import counted

__all__ = ["RunCost", "RunEstimate", "TimeLeft", "count_work", "estimate_grid"]

#: Examples of each split whose slots are counted.
SAMPLE: Final = 16
#: The same, where a model has to say where its latents go.
FEW: Final = 4


@dataclass(frozen=True)
class RunCost:
    """The work in a run.

    Attributes:
        train_slots: slots computed forward and back.
        eval_slots: slots computed in evaluation.
        decode_steps: forward passes of a batch in evaluation.
    """

    train_slots: int
    eval_slots: int
    decode_steps: int


@dataclass(frozen=True)
class RunEstimate:
    """The estimated cost of one run.

    Attributes:
        spec: the run.
        cost: its work.
        seconds: its time on this machine, if no other run is under way.
        basis: what the time rests on.
    """

    spec: RunSpec
    cost: RunCost
    seconds: float
    basis: str


def count_work(specs: Iterable[RunSpec]) -> list[RunCost]:
    """Count the slots and decoding steps of runs; nothing is timed.

    Raises:
        LatentError: if a backbone or a task cannot be loaded.
    """
    backbones = _Backbones()
    return [_cost(spec, backbones) for spec in specs]


class TimeLeft:
    """The time left of a running grid, by the examples that its runs train on and answer.

    A trial has fewer examples than a run. So trials, which come first, do not stand for runs.
    """

    def __init__(self, todo: Iterable[RunSpec]) -> None:
        self._done = 0
        self._pace = Pace(sum(map(self._examples, todo)))

    def after(self, spec: RunSpec) -> float:
        """Return the seconds left now that this run is done."""
        self._done += self._examples(spec)
        self._pace.report(self._done)
        return self._pace.left or 0.0

    @staticmethod
    def _examples(spec: RunSpec) -> int:
        return _trained_examples(spec) + spec.evaluation.examples * len(spec.evaluation.splits)


@dataclass(frozen=True)
class _Rates:
    """Seconds per training slot, and per forward pass of a batch in evaluation."""

    train: float
    decode: float
    basis: str


def estimate_grid(
    todo: Iterable[RunSpec], finished: Iterable[RunSpec], root: str | Path
) -> list[RunEstimate]:
    """Estimate the cost of runs.

    Args:
        todo: the runs.
        finished: runs and trials of the same grid that are done.
        root: the grid's folder.

    Raises:
        LatentError: if a backbone or a task cannot be loaded.
    """
    measured = _measured(finished, Path(root))
    estimates, backbones = [], _Backbones()
    timed: dict[tuple[str, str, str], _Rates] = {}
    for spec in todo:
        cost = _cost(spec, backbones)
        rates = _alike(spec, measured, backbones)
        if rates is None:
            key = (spec.backbone, spec.dtype, spec.task)
            known = timed.get(key)
            if known is None or (spec.training is not None and not known.train):
                timed[key] = _timing(spec, cost, backbones)
            rates = timed[key]
        seconds = cost.train_slots * rates.train + cost.decode_steps * rates.decode
        estimates.append(RunEstimate(spec, cost, seconds, rates.basis))
    return estimates


class _Backbones:
    """Backbones, loaded once each, and the costs counted with them."""

    def __init__(self) -> None:
        self.loaded: dict[tuple[str, str], Backbone] = {}
        self.counted: dict[tuple[str, ...], tuple[float, dict[str, tuple[float, int]]]] = {}

    def of(self, spec: RunSpec) -> Backbone:
        key = (spec.backbone, spec.dtype)
        if key not in self.loaded:
            self.loaded[key] = load_backbone(spec.backbone, dtype=spec.dtype)
        return self.loaded[key]


def _cost(spec: RunSpec, backbones: _Backbones) -> RunCost:
    key = (spec.backbone, spec.task, spec.method, *spec.evaluation.splits)
    if key not in backbones.counted:
        backbones.counted[key] = _count(spec, backbones.of(spec))
    train_slots, by_split = backbones.counted[key]
    asked = spec.evaluation
    batches = math.ceil(asked.examples / asked.batch_size)
    return RunCost(
        round(_trained_examples(spec) * train_slots),
        round(sum(asked.examples * slots for slots, _ in by_split.values())),
        sum(batches * steps for _, steps in by_split.values()),
    )


def _trained_examples(spec: RunSpec) -> int:
    training = spec.training
    if training is None:
        return 0
    return training.steps * training.batch_size * training.gradient_accumulation


def _count(spec: RunSpec, backbone: Backbone) -> tuple[float, dict[str, tuple[float, int]]]:
    """Count the mean slots of a training example; for each split, mean slots and most passes."""
    task, method = load_task(spec.task), Method.parse(spec.method)
    placement = backbone.place(method.layout)
    unsure = build_model(backbone, method, to_train=False) if placement.thresholds else None
    of = method.companion or method
    virtual = (of.size or 0) if of.kind in ("prefix", "prompt-tuning") else 0

    def sample(split: str, looks: bool = False) -> tuple[float, int]:
        sizes, longest = list[float](), 0
        for example in task.examples(split, SAMPLE if unsure is None else FEW, 0):
            prompt = task.few_shot(example, method.shots, 0) if method.shots else example.prompt
            ids, answer = backbone.encode_example(prompt, example.answer, not task.open_ended)
            best = list[float]()
            if unsure is not None:
                best = best_probabilities(unsure, ids, answer)
            slots = placement.insert(ids, answer, best)
            places = sum(p < max(placement.thresholds) for p in best) if looks and best else -1
            # To find a place takes a forward pass, which is a third of one forth and back.
            sizes.append((len(slots.slots) + virtual) * (1 + (places + 1) / 3))
            longest = max(longest, decoding_passes(placement, ids, answer, best))
        return fmean(sizes), longest

    return sample("train", looks=True)[0], {
        split: sample(split) for split in spec.evaluation.splits
    }


def _measured(finished: Iterable[RunSpec], root: Path) -> list[tuple[RunSpec, float, float]]:
    """Read the seconds that finished runs took for training and for evaluation."""
    found = []
    for spec in finished:
        run, summary = read_run(root / spec.folder), read_summary(root / spec.folder)
        columns = (summary[name] for name in ("split", "seconds", "examples"))
        spent, answered = Counter[str](), Counter[str]()
        for split, seconds, examples in zip(*columns, strict=True):
            spent[split] += seconds
            answered[split] += examples
        asked = spec.evaluation  # the run may have answered more than this grid asks
        evaluation = sum(
            spent[split] * min(1.0, asked.examples / answered[split])
            for split in asked.splits
            if split in answered
        )
        found.append((spec, float(run.get("seconds", 0)), evaluation))
    return found


def _alike(
    spec: RunSpec, measured: list[tuple[RunSpec, float, float]], backbones: _Backbones
) -> _Rates | None:
    """Return the rates of the finished runs most like a run; None without one on its backbone."""
    shared: list[tuple[str, Callable[[RunSpec], tuple[str, ...]]]] = [
        ("this method", lambda s: (s.backbone, s.task, s.method)),
        ("this task", lambda s: (s.backbone, s.task)),
        ("this backbone", lambda s: (s.backbone,)),
    ]
    for what, key in shared:
        runs = [entry for entry in measured if key(entry[0]) == key(spec)]
        costs = [_cost(entry[0], backbones) for entry in runs]
        slots, steps = (sum(c.train_slots for c in costs), sum(c.decode_steps for c in costs))
        if runs and steps and (slots or spec.training is None):
            train = sum(seconds for _, seconds, _ in runs) / slots if slots else 0.0
            decode = sum(seconds for _, _, seconds in runs) / steps
            return _Rates(train, decode, f"{counted(len(runs), 'finished run')} of {what}")
    return None


def _timing(spec: RunSpec, cost: RunCost, backbones: _Backbones) -> _Rates:
    """Time a sample of a run here; other methods on its task go by the same rates."""
    backbone, task, training = backbones.of(spec), load_task(spec.task), spec.training
    train = 0.0
    if training is not None:
        seconds = STOPWATCH.seconds_of_training(
            backbone,
            spec.method,
            task,
            training.steps,
            batch_size=training.batch_size,
            gradient_accumulation=training.gradient_accumulation,
        )
        train = seconds / cost.train_slots
    model, asked = build_model(backbone, spec.method, to_train=False), spec.evaluation
    decode = sum(
        STOPWATCH.seconds_of_answers(
            model, task, split, asked.examples, seed=asked.seed, batch_size=asked.batch_size
        )
        for split in asked.splits
    )
    return _Rates(train, decode / cost.decode_steps, f"a sample of {task.name} on this machine")
