"""What the open runs of a grid will cost, in slots and in time, before they are begun.

Slots are counted on a sample of each task's examples, placed by the layout. Time is slots and
decoding steps at the rates of finished runs that are most alike, or else of a short timing here.
A rough figure: other machines, busy cores and longer contexts are not in it.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.evaluation.evaluate import evaluate
from latent_core.grids.spec import RunSpec
from latent_core.models.build import build_model
from latent_core.models.methods import Method
from latent_core.runs.folder import read_run, read_summary
from latent_core.tasks.table import load_task
from latent_core.training.train import train

__all__ = ["Cost", "Estimate", "TimeLeft", "estimate_grid"]

SAMPLE = 16  # examples of each split whose slots are counted


@dataclass(frozen=True)
class Cost:
    """The work in a run.

    Attributes:
        train_slots: positions computed forward and back.
        eval_slots: positions computed in evaluation.
        decode_steps: forward passes of a batch in evaluation.
    """

    train_slots: int
    eval_slots: int
    decode_steps: int


@dataclass(frozen=True)
class Estimate:
    """What one run will cost.

    Attributes:
        spec: the run.
        cost: its work.
        seconds: its time on this machine, alone.
        basis: what the time rests on.
    """

    spec: RunSpec
    cost: Cost
    seconds: float
    basis: str


class TimeLeft:
    """How long a running grid still takes: by the examples that runs train on and answer.

    A trial has a fraction of a run's, so trials, which come first, promise nothing for the rest.
    """

    def __init__(self, todo: Iterable[RunSpec]) -> None:
        self._started = time.monotonic()
        self._todo, self._done = sum(map(self._examples, todo)), 0

    def after(self, spec: RunSpec) -> float:
        """Seconds that are left once this run is done as well."""
        self._done += self._examples(spec)
        passed = time.monotonic() - self._started
        return passed / self._done * (self._todo - self._done)

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
) -> list[Estimate]:
    """What runs will cost.

    Args:
        todo: the runs.
        finished: runs and trials of the same grid that are done.
        root: the grid's folder.

    Raises:
        LatentError: if a backbone or a task cannot be loaded.
    """
    measured, timed = _measured(finished, Path(root)), {}
    estimates, backbones = [], _Backbones()
    for spec in todo:
        cost = _cost(spec, backbones)
        rates = _alike(spec, measured, backbones)
        if rates is None:
            if spec.backbone not in timed:
                timed[spec.backbone] = _timing(spec, backbones)
            rates = timed[spec.backbone]
        seconds = cost.train_slots * rates.train + cost.decode_steps * rates.decode
        estimates.append(Estimate(spec, cost, seconds, rates.basis))
    return estimates


class _Backbones:
    """Backbones as they are needed, and the costs counted with them."""

    def __init__(self) -> None:
        self.loaded: dict[tuple[str, str], Backbone] = {}
        self.counted: dict[tuple[str, ...], tuple[float, dict[str, tuple[float, int]]]] = {}

    def of(self, spec: RunSpec) -> Backbone:
        key = (spec.backbone, spec.dtype)
        if key not in self.loaded:
            self.loaded[key] = load_backbone(spec.backbone, dtype=spec.dtype)
        return self.loaded[key]


def _cost(spec: RunSpec, backbones: _Backbones) -> Cost:
    key = (spec.backbone, spec.task, spec.method, *spec.evaluation.splits)
    if key not in backbones.counted:
        backbones.counted[key] = _count(spec, backbones.of(spec))
    train_slots, by_split = backbones.counted[key]
    asked = spec.evaluation
    batches = math.ceil(asked.examples / asked.batch_size)
    return Cost(
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
    """Mean slots of a training example; for each split, mean slots and the longest answer."""
    task, method = load_task(spec.task), Method.parse(spec.method)
    placement = backbone.place(method.layout)
    virtual = (method.size or 0) if method.kind in ("prefix", "prompt-tuning") else 0

    def sample(split: str) -> tuple[float, int]:
        sizes, longest = [], 0
        for example in task.examples(split, SAMPLE, 0):
            prompt = task.few_shot(example, method.shots, 0) if method.shots else example.prompt
            answer = backbone.encode_response(example.answer, end=not task.open_ended)
            sizes.append(len(placement.insert(backbone.encode(prompt), answer).slots) + virtual)
            longest = max(longest, len(answer))
        return fmean(sizes), longest

    return sample("train")[0], {split: sample(split) for split in spec.evaluation.splits}


def _measured(finished: Iterable[RunSpec], root: Path) -> list[tuple[RunSpec, float, float]]:
    """Seconds of training and of evaluation of what is done."""
    found = []
    for spec in finished:
        run, summary = read_run(root / spec.folder), read_summary(root / spec.folder)
        columns = (summary[name] for name in ("split", "seconds", "examples"))
        spent, answered = Counter[str](), Counter[str]()
        for split, seconds, examples in zip(*columns, strict=True):
            spent[split] += seconds
            answered[split] += examples
        asked = spec.evaluation  # it may have been asked more
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
    """Rates of the finished runs that share the most with a run, its backbone at least."""
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
            return _Rates(train, decode, f"{len(runs)} finished of {what}")
    return None


def _timing(spec: RunSpec, backbones: _Backbones) -> _Rates:
    """Two training steps and one batch of answers, here and now."""
    backbone, task, steps = backbones.of(spec), load_task(spec.task), []
    method = "Start_2"
    model = build_model(backbone, method)
    train(
        model,
        task,
        steps=3,
        batch_size=4,
        progress=False,
        on_step=lambda step, loss: steps.append(time.perf_counter()),
    )
    slots = fmean(
        len(model.insert(example.prompt, example.answer).slots)
        for example in task.examples("train", SAMPLE, 0)
    )
    split = spec.evaluation.splits[0]
    frame = evaluate(model, task, split, 8, batch_size=8, progress=False)
    return _Rates(
        (steps[-1] - steps[0]) / 2 / (4 * slots),
        float(frame["seconds"].sum() / frame["response_tokens"].max()),
        "a timing of this backbone",
    )
