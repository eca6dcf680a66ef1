"""The stopwatch: exact on a model whose speed is known, right on a real one, corrected on the way.

A simulated clock stands for the machine, so that no other process changes what is asserted. The
real model is timed by the processor time of this process, for the same reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

import latent_core as lc
from latent_core.evaluation import timing
from latent_core.evaluation.timing import Pace, Stopwatch
from latent_core.tasks.base import Example, Score, Task
from latent_core.wording import duration_range

pytestmark = pytest.mark.timed


class Clock:
    """A time that passes only when someone lets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def read(self) -> float:
        return self.now


class Words(Task):
    """Prompts of one length; answers of ever more letters; nothing ends by itself."""

    name = "words"
    open_ended = True
    ood_levels = ()

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        return [
            Example("p" * 40, "a" * (10 + number), split, number, str(number))
            for number in range(count)
        ]

    def score(self, example: Example, response: str) -> Score:
        return Score(False, 0.0, ())


class Simulated:
    """A model that reads, decodes and says tokens at a speed of its own."""

    method, shots = "simulated", 0

    def __init__(self, clock: Clock, fingerprint: str = "fake") -> None:
        self.clock, self.slowdown = clock, 1.0
        self.batches: list[int] = []
        self.placement = None
        self.backbone = SimpleNamespace(
            has_sliding_window=True,  # so that one batch ends before the next one begins
            fingerprint=fingerprint,
            encode=list,
            encode_response=lambda text, end, prompt: list(text),
        )

    def generate(
        self,
        prompts: Sequence[str],
        limits: Sequence[int],
        batch_size: int,
        on_token: Callable[[int, int, str], None],
    ) -> None:
        self.batches.append(len(prompts))
        self.clock.now += self.slowdown * 0.001 * sum(map(len, prompts))
        for step in range(max(limits)):
            if step:
                self.clock.now += self.slowdown * (0.01 + 0.002 * len(prompts))
            for number, limit in enumerate(limits):
                if step < limit:
                    on_token(number, 0, "a")

    def seconds(self, examples: int) -> float:
        """How long all of them really take."""
        found, before = Words().examples("id", examples, 0)[::-1], self.clock.now
        for start in range(0, examples, 32):
            batch = found[start : start + 32]
            prompts, limits = [e.prompt for e in batch], [len(e.answer) for e in batch]
            self.generate(prompts, limits, len(batch), lambda *_: None)
        passed, self.clock.now = self.clock.now - before, before
        return passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    fake = SimpleNamespace(perf_counter=found.read, monotonic=found.read)
    monkeypatch.setattr(timing, "time", fake)
    return found


@pytest.fixture
def model(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    found = Simulated(clock)
    monkeypatch.setattr(timing, "_probe", lambda backbone: 100 / found.slowdown)
    return found


@pytest.mark.parametrize("budget", [0.05, 1e9], ids=["stopped early", "a whole batch"])
def test_an_estimate_is_the_time_of_a_model_whose_speed_is_known(
    model: Simulated, budget: float
) -> None:
    stopwatch = Stopwatch(budget)
    found = stopwatch.seconds_of_answers(model, Words(), "id", 100)  # type: ignore[arg-type]
    assert found == pytest.approx(model.seconds(100), rel=0.02)


def test_a_sample_keeps_to_its_budget_or_to_a_small_share_of_the_work(
    model: Simulated, clock: Clock
) -> None:
    before = clock.now
    found = Stopwatch(0.2).seconds_of_answers(model, Words(), "id", 320)  # type: ignore[arg-type]
    assert clock.now - before < 0.05 * found
    assert max(model.batches) < 32  # the whole batch takes 1.3 s to read alone


def test_work_that_takes_the_same_time_is_timed_once(model: Simulated) -> None:
    stopwatch = Stopwatch()
    once = stopwatch.seconds_of_answers(model, Words(), "id", 64)  # type: ignore[arg-type]
    timed = len(model.batches)
    five = stopwatch.seconds_of_answers(model, Words(), "id", 64, times=5)  # type: ignore[arg-type]
    assert len(model.batches) == timed and five == pytest.approx(5 * once)
    stopwatch.seconds_of_answers(model, Words(), "id", 64, state="drop")  # type: ignore[arg-type]
    assert len(model.batches) > timed


def test_a_machine_that_became_slower_is_timed_anew(model: Simulated, clock: Clock) -> None:
    stopwatch = Stopwatch()
    idle = stopwatch.seconds_of_answers(model, Words(), "id", 100)  # type: ignore[arg-type]
    model.slowdown = 3.0
    clock.now += timing.FRESH + 1
    busy = stopwatch.seconds_of_answers(model, Words(), "id", 100)  # type: ignore[arg-type]
    assert busy == pytest.approx(3 * idle, rel=0.02)


def test_each_sample_is_taken_inside_its_context(model: Simulated) -> None:
    entered = []

    @contextmanager
    def inside():
        entered.append(len(model.batches))
        yield

    Stopwatch().seconds_of_answers(model, Words(), "id", 8, inside=inside)  # type: ignore[arg-type]
    assert entered == list(range(len(model.batches)))  # before each batch, each time anew


def test_the_time_of_a_call_is_measured(model: Simulated, clock: Clock) -> None:
    def call() -> None:
        clock.now += 7

    found = Stopwatch().seconds_of_call(model.backbone, "agreement", call)  # type: ignore[arg-type]
    assert found == pytest.approx(7)


def test_real_answers_and_training_take_about_as_long_as_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        timing, "time", SimpleNamespace(perf_counter=time.process_time, monotonic=time.monotonic)
    )
    task, stopwatch = lc.load_task("repetition"), Stopwatch()
    backbone = lc.load_backbone("tiny")
    model = lc.build_model(backbone, "Start_1+Comma_1")
    estimate = stopwatch.seconds_of_answers(model, task, "ood-6", 40)
    started = time.process_time()
    lc.evaluate(model, task, "ood-6", 40, progress=False)
    assert 1 / 1.5 < estimate / (time.process_time() - started) < 1.5

    estimate = stopwatch.seconds_of_training(backbone, "Start_2", task, 25, batch_size=4)
    started = time.process_time()
    lc.train(lc.build_model(backbone, "Start_2"), task, 25, 4, progress=False)
    assert 1 / 1.5 < estimate / (time.process_time() - started) < 1.5


def test_the_time_left_follows_what_has_run(clock: Clock) -> None:
    pace = Pace(100)
    assert pace.left is None
    for done in range(10, 60, 10):
        clock.now += 20  # 2 s a unit
        pace.report(done)
    assert pace.left == pytest.approx(50 * 2)
    clock.now += 80  # and then 8 s
    pace.report(60)
    assert 40 * 4 < pace.left < 40 * 6
    clock.now += 80
    pace.report(70)
    assert 30 * 6 < pace.left < 30 * 8
    pace.report(100)
    assert pace.left == 0


def test_a_planned_time_counts_until_there_is_a_better_one(clock: Clock) -> None:
    pace = Pace(100, planned=1.0)
    assert pace.left == pytest.approx(100)
    for done in range(10, 60, 10):
        clock.now += 30  # three times as long as planned
        pace.report(done)
    assert pace.left == pytest.approx(50 * 3, rel=0.05)


def test_a_report_of_no_progress_changes_nothing(clock: Clock) -> None:
    pace = Pace(10, started=clock.now - 4)
    pace.report(2)
    clock.now += 50
    pace.report(2)
    assert pace.left == pytest.approx(16)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1-3 s"),
        (6, "4-9 s"),
        (24, "15-35 s"),
        (82, "1-2 min"),
        (600, "7-15 min"),
        (18_000, "3-8 h"),
    ],
)
def test_an_estimate_is_shown_as_a_range(seconds: float, text: str) -> None:
    assert duration_range(seconds) == text


def test_rows_that_take_the_places_of_ended_ones_take_fewer_steps() -> None:
    """The longest ends last; the others fit beside it."""
    limits = [[9, 5], [5, 2], [2]]
    batches = [timing._Batch(["p"] * len(some), 10 * len(some), some) for some in limits]
    plain = timing._Decoding(token=0.1, fixed=1.0, row=0.25, share=1.0, refills=False)
    assert plain.seconds(batches) == pytest.approx(5.0 + 8 * 1.5 + 4 * 1.5 + 1 * 1.25)
    refilled = timing._Decoding(token=0.1, fixed=1.0, row=0.25, share=1.0, refills=True)
    steps = [8, 4, 4, 1, 1]  # 8 + 1 in one place, 4 + 4 + 1 in the other
    assert refilled.seconds(batches) == pytest.approx(5.0 + 9 + 0.25 * sum(steps))
