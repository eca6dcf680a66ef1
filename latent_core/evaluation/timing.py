"""The stopwatch: seconds that work will take on this machine, under the load that it has now.

An estimate rests on a sample of the work itself: one batch of the examples, with its prompts and
its limits, or a few training steps. A sample is stopped when its time is up, and the rest is
extrapolated by tokens and rows:

- reading the prompts takes time in proportion to their tokens;
- a decoding step takes a fixed time and a time for each row;
- a response decodes in proportion to its limit. Where waiting rows take the places of ended ones,
  there are as many steps as the places need; else each batch takes those of its longest limit.

A sample is kept and used again while the machine is as fast as it was. A probe of the backbone
tells, at most every `FRESH` seconds.

Once the work runs, `Pace` corrects the estimate by the units that are done.

A caller describes work by model, task and counts; the stopwatch knows no hypothesis and no grid.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch

from latent_core.backbones.backbone import Backbone
from latent_core.evaluation.evaluate import longest_first, response_limit
from latent_core.generation.decoding import can_refill
from latent_core.models.build import build_model
from latent_core.models.steered import SteeredModel
from latent_core.progress import heartbeats_only
from latent_core.tasks.base import Example, Task
from latent_core.training.train import train

__all__ = ["STOPWATCH", "Pace", "Stopwatch"]

#: Seconds for which the speed of a backbone counts as known.
FRESH: Final = 20.0
#: Speeds that differ by less than this factor count as the same.
SAME: Final = 1.25
#: Seconds that a probe lasts: long beside the time slices that processes share a core by.
PROBE: Final = 0.1
#: Rows of the first, small sample.
FEW: Final = 2
#: Share of the estimated time that a sample may take, where that is more than the budget.
SHARE: Final = 0.02


@dataclass(frozen=True)
class _Batch:
    """Prompts that are decoded side by side, with the limit of each response."""

    prompts: Sequence[str]
    tokens: int
    limits: Sequence[int]

    @property
    def longest(self) -> int:
        return max(self.limits)

    def first(self, rows: int) -> _Batch:
        """A batch of its first rows. Rows come sorted, so these have the longest answers."""
        share = self.tokens * rows // len(self.prompts)
        return _Batch(self.prompts[:rows], share, self.limits[:rows])


@dataclass(frozen=True)
class _Run:
    """One timed batch: seconds until the first token, and between each further one.

    `refills` says whether rows of a larger one would take the places of ended ones.
    """

    first: float
    steps: Sequence[float]
    ended: bool
    refills: bool

    @property
    def step(self) -> float:
        return sum(self.steps) / len(self.steps) if self.steps else 0.0


@dataclass(frozen=True)
class _Decoding:
    """How fast a model decodes a split.

    Attributes:
        token: seconds to read one token of a prompt.
        fixed, row: seconds of a decoding step, and its further seconds for each row.
        share: tokens of a response, as a share of its limit.
        refills: whether waiting rows take the places of ended ones.
    """

    token: float
    fixed: float
    row: float
    share: float
    refills: bool

    def seconds(self, batches: Sequence[_Batch]) -> float:
        """Seconds of a split, whose batches have as many rows, but for the last."""
        reading = self.token * sum(batch.tokens for batch in batches)
        if not self.refills:
            return reading + sum(
                max(0.0, self.share * batch.longest - 1)
                * (self.fixed + self.row * len(batch.prompts))
                for batch in batches
            )
        steps = [max(0.0, self.share * one - 1) for batch in batches for one in batch.limits]
        places = [0.0] * len(batches[0].prompts)
        for one in steps:  # each goes to the place that is free first
            heapq.heapreplace(places, places[0] + one)
        return reading + self.fixed * max(places) + self.row * sum(steps)


@dataclass(frozen=True)
class _Training:
    """How fast a method trains: seconds before the first step is done, and of each further one."""

    first: float
    step: float


@dataclass(frozen=True)
class _Speed:
    """Passes per second of a backbone's probe, and when that was measured."""

    passes: float
    at: float


class _TimeIsUp(Exception):
    """Raised inside a sample that has lasted long enough."""


class Stopwatch:
    """Estimates seconds of answering and of training by samples of each.

    Args:
        budget: seconds that a sample may take: about, and more where the work is long (`SHARE`).
    """

    def __init__(self, budget: float = 1.0) -> None:
        self.budget = budget
        self._speeds: dict[str, _Speed] = {}
        self._samples: dict[tuple[str, ...], tuple[float, Any]] = {}

    def seconds_of_answers(
        self,
        model: SteeredModel,
        task: Task,
        split: str,
        examples: int,
        *,
        seed: int = 1,
        batch_size: int = 32,
        times: int = 1,
        state: str = "",
        inside: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> float:
        """Estimate the seconds that `evaluate` takes for the examples of one split.

        Args:
            model, task, split, examples, seed, batch_size: as in `evaluate`.
            times: how often, such as once for each training seed.
            state: a name for what `inside` does to the model's speed. Two estimates with the same
                backbone, method, state, task and split share one sample.
            inside: gives the context in which the model answers, such as an intervention's.
        """
        batches = _batches(model, task, split, examples, seed, batch_size)
        key = (model.backbone.fingerprint, model.method, "answers", state, task.fingerprint, split)
        middle = batches[(len(batches) - 1) // 2]
        decoding = self._sampled(
            model.backbone,
            key,
            lambda: self._decoding(model, middle, task.open_ended, inside, times * len(batches)),
        )
        return times * decoding.seconds(batches)

    def seconds_of_training(
        self, backbone: Backbone, method: str, task: Task, steps: int, **settings: Any
    ) -> float:
        """Estimate the seconds that `train` takes for a new model of a method.

        Args:
            backbone, method, task, steps: what is trained, and for how long.
            settings: further arguments of `train`, such as `batch_size`.
        """
        named = [f"{name}={value}" for name, value in sorted(settings.items())]
        key = (backbone.fingerprint, method, "training", task.fingerprint, *named)
        found = self._sampled(
            backbone, key, lambda: self._training(backbone, method, task, settings)
        )
        return found.first + (steps - 1) * found.step

    def seconds_of_call(self, backbone: Backbone, name: str, call: Callable[[], Any]) -> float:
        """Time one call, for work that is the same call many times; `name` is what is shared."""

        def timed() -> float:
            started = time.perf_counter()
            call()
            return time.perf_counter() - started

        return self._sampled(backbone, (backbone.fingerprint, "call", name), timed)

    def _sampled(self, backbone: Backbone, key: tuple[str, ...], sample: Callable[[], Any]) -> Any:
        """The sample of a key, taken anew if the machine's speed is another than it was then."""
        speed = self._speed(backbone)
        if key in self._samples:
            then, kept = self._samples[key]
            if 1 / SAME < speed / then < SAME:
                return kept
        with heartbeats_only():
            kept = sample()
        self._samples[key] = (self._speed(backbone), kept)
        return kept

    def _speed(self, backbone: Backbone) -> float:
        """Passes per second of the backbone now, by a probe that is at most `FRESH` seconds old."""
        known = self._speeds.get(backbone.fingerprint)
        if known is None:
            _probe(backbone)  # the first pass of a process is slow
        if known is None or time.monotonic() - known.at > FRESH:
            known = _Speed(_probe(backbone), time.monotonic())
            self._speeds[backbone.fingerprint] = known
        return known.passes

    def _decoding(
        self,
        model: SteeredModel,
        batch: _Batch,
        open_ended: bool,
        inside: Callable[[], AbstractContextManager[Any]],
        times: int,
    ) -> _Decoding:
        few = batch.first(min(FEW, len(batch.prompts)))
        _timed(model, few, 0.0, inside)  # the first answers of a model are slow
        small = _timed(model, few, self.budget / 8, inside)
        rows, a_row = len(batch.prompts), small.first / len(few.prompts)
        one = a_row * rows + small.step * batch.longest
        budget = max(self.budget, SHARE * times * one)
        while rows > len(few.prompts) and a_row * rows > budget:
            rows = max(len(few.prompts), rows // 2)
        sample = batch.first(rows)
        large = _timed(model, sample, budget, inside) if rows > len(few.prompts) else small
        more = len(sample.prompts) - len(few.prompts)
        row = max(0.0, (large.step - small.step) / more) if more else 0.0
        # How many tokens a response takes is known if all have ended. Else they end somewhere
        # between the answer's length and the limit, which is a quarter above it.
        share = 1.0 if open_ended else 0.9
        if large.ended:
            share = (len(large.steps) + 1) / sample.longest
        return _Decoding(
            large.first / max(1, sample.tokens),
            max(0.0, large.step - row * len(sample.prompts)),
            row,
            share,
            large.refills,
        )

    def _training(
        self, backbone: Backbone, method: str, task: Task, settings: dict[str, Any]
    ) -> _Training:
        model = build_model(backbone, method, 0, task=task)
        started, ends = time.perf_counter(), list[float]()

        def on_step(step: int, loss: float) -> bool:
            ends.append(time.perf_counter())
            return len(ends) > 2 and ends[-1] - started > self.budget

        train(model, task, steps=12, progress=False, on_step=on_step, **settings)
        return _Training(ends[0] - started, (ends[-1] - ends[0]) / (len(ends) - 1))


#: The one that estimates share, so that what one of them has timed need not be timed again.
STOPWATCH: Final = Stopwatch()


class Pace:
    """Time left of work that is under way, by its units done so far, the latest counting most.

    Args:
        total: units of the work.
        planned: seconds that one unit was estimated to take; None without an estimate.
        started: when the work began, by `time.monotonic`; by default now.
    """

    #: Share of the work after which a report counts half as much as a new one.
    HALF: Final = 0.1

    def __init__(
        self, total: float, planned: float | None = None, started: float | None = None
    ) -> None:
        self.total, self.done = total, 0.0
        self._last = time.monotonic() if started is None else started
        # The plan counts as much as half of `HALF` of the work.
        self._units = 0.0 if planned is None else self.HALF * total / 2
        self._seconds = 0.0 if planned is None else planned * self._units

    def report(self, done: float) -> None:
        """Note that `done` units of the total are done by now."""
        new = done - self.done
        if new <= 0 or self.total <= 0:
            return
        now = time.monotonic()
        kept = 0.5 ** (new / (self.HALF * self.total))
        self._units = kept * self._units + new
        self._seconds = kept * self._seconds + now - self._last
        self.done, self._last = done, now

    @property
    def left(self) -> float | None:
        """Seconds left after the last report; None without a report or an estimate."""
        if not self._units:
            return None
        return max(0.0, self.total - self.done) * self._seconds / self._units


def _batches(
    model: SteeredModel, task: Task, split: str, examples: int, seed: int, batch_size: int
) -> list[_Batch]:
    """The examples of a split in the order in which `evaluate` decodes them, as batches."""
    drawn = task.examples(split, examples, seed)
    found = [drawn[number] for number in longest_first(model, task, drawn)]
    return [
        _batch(model, task, found[start : start + batch_size])
        for start in range(0, len(found), batch_size)
    ]


def _batch(model: SteeredModel, task: Task, found: Sequence[Example]) -> _Batch:
    shots = model.shots
    prompts = [task.few_shot(one, shots, 1) if shots else one.prompt for one in found]
    widest = max(len(model.backbone.encode(prompt)) for prompt in prompts)
    limits = [response_limit(model, task, one) for one in found]
    return _Batch(prompts, widest * len(found), limits)


def _timed(
    model: SteeredModel,
    batch: _Batch,
    seconds: float,
    inside: Callable[[], AbstractContextManager[Any]],
) -> _Run:
    """Decode a batch to its end, or until `seconds` are over and three tokens are there."""
    counts, ends = [0] * len(batch.prompts), list[float]()

    def on_token(number: int, token: int, text: str) -> None:
        counts[number] += 1
        if counts[number] > len(ends):
            ends.append(time.perf_counter())
            if len(ends) > 3 and ends[-1] - started > seconds:
                raise _TimeIsUp

    ended, started = True, 0.0
    with inside():
        refills = can_refill(model, [model.placement])
        started = time.perf_counter()
        try:
            model.generate(
                batch.prompts, list(batch.limits), batch_size=len(batch.prompts), on_token=on_token
            )
        except _TimeIsUp:
            ended = False
    steps = [end - start for start, end in itertools.pairwise(ends)]
    return _Run(ends[0] - started, steps, ended, refills)


def _probe(backbone: Backbone) -> float:
    """Passes per second of the backbone over a few tokens."""
    ids = torch.zeros(1, 8, dtype=torch.long, device=backbone.device)
    mask = torch.ones_like(ids)
    passes, started = 0, time.perf_counter()
    while True:
        with torch.no_grad():
            output = backbone.model(input_ids=ids, attention_mask=mask)
        output[0].sum().item()  # an accelerator has to be done
        passes += 1
        if (passed := time.perf_counter() - started) >= PROBE:
            return passes / passed
