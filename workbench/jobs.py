"""Long work beside the kernel: one job at a time, with progress, cancel and its error kept.

    jobs = Jobs()
    job = jobs.start("generate", lambda: model.generate(prompt), then=show)

Models share a backbone, and interventions and captures change it for a moment, so work on models
must not overlap: `Jobs` has one worker thread, and every panel of a session uses the same one.
The work needs no plumbing: whatever of `latent_core` it calls reports its progress and can be
stopped (`latent_core.progress.listening`). Knows no widgets.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast, final

from latent_core.evaluation.timing import Pace
from latent_core.progress import Progress, listening
from latent_core.threads import release_threads

__all__ = ["CancelledError", "Job", "JobState", "Jobs"]

_R = TypeVar("_R")
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class CancelledError(Exception):
    """Raised inside the work of a job that was cancelled."""


@final
class Job:
    """One piece of work.

    Attributes:
        key: its purpose; only one job of a key is queued or running at any time.
        state: queued, running, or how it ended.
        progress: the last that its work reported, if any.
        result: what the work returned, once `done`.
        error: what it, `then` or `watch` raised, once `failed`.
        details: the error's traceback, once `failed`.
        ahead: while it is queued, the job that runs, or will run next; None where there is none.
        seconds: how long it has run, or ran.
    """

    def __init__(
        self,
        key: str,
        work: Callable[[], Any],
        then: Callable[[Any], None] | None,
        watch: Callable[[Job], None] | None,
    ) -> None:
        self.key = key
        self.state: JobState = "queued"
        self.progress: Progress | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.details = ""
        self.ahead: Job | None = None
        self._work, self._then, self._watch = work, then, watch
        self._cancel, self._ended = threading.Event(), threading.Event()
        self._worked = threading.Event()
        self._told_result = False
        self._started = self._stopped = 0.0
        self._pace: Pace | None = None

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.state in ("queued", "running")

    @property
    def going(self) -> bool:
        """Whether it is active and nobody has asked it to end."""
        return self.active and not self._cancel.is_set()

    @property
    def seconds(self) -> float:
        """Seconds since it began to run; 0 before."""
        if not self._started:
            return 0.0
        return (self._stopped or time.monotonic()) - self._started

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the speed so far; None while nothing is done."""
        return None if self._pace is None else self._pace.left

    def _follow(self, progress: Progress) -> None:
        """Note how far the work is; another total is another piece of work."""
        if self._pace is None or self._pace.total != progress.total:
            started = self._started if self._pace is None else None
            self._pace = Pace(progress.total, started=started)
        self._pace.report(progress.done)
        self.progress = progress

    def cancel(self) -> None:
        """Ask it to end: at its next report, which is at most one step or token away."""
        self._cancel.set()

    def _keep(self, error: BaseException) -> None:
        """Keep the first error; later ones follow from it."""
        if self.error is None:
            self.error = error
            self.details = "".join(traceback.format_exception(error))

    def check(self) -> None:
        """For work that reports nothing for long: raises `CancelledError` once cancelled."""
        if self._cancel.is_set():
            raise CancelledError(self.key)

    def wait(self, timeout: float | None = None) -> Job:
        """Block until it has ended and its `then` has run; raises `TimeoutError` otherwise.

        Not for cells and widgets' callbacks in a notebook, which run on the thread that it waits
        for: see `Jobs.settle`.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.key} has not ended within {timeout} s; it is {self.state}")
        return self


@final
class Jobs:
    """A queue with one worker thread; `then` and `watch` run on the thread that made the queue.

    That is the kernel's main thread where there is a running event loop, as in a notebook; without
    one they run on the worker.
    """

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()
        self._wake = threading.Condition()
        self._worker: threading.Thread | None = None
        self._current: Job | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()

    def start(
        self,
        key: str,
        work: Callable[[], Any],
        then: Callable[[Any], None] | None = None,
        watch: Callable[[Job], None] | None = None,
        *,
        replace: bool = False,
    ) -> Job:
        """Queue work.

        Args:
            key: what it is for, such as `playground`. While a job of this key is active, another
                one is not started: that job is returned, unless `replace` cancels it first.
            work: called without arguments on the worker thread; its result goes to `then`.
            then: called with the result, if the work neither failed nor was cancelled. What it
                raises makes the job fail.
            watch: called with the job whenever it changes: state and progress, and while it is
                queued, those of the job ahead. What it raises makes the job fail in the end; the
                work goes on.
            replace: cancel the active job of this key.
        """
        with self._wake:
            for job in self.active:
                if job.key == key:
                    if not replace:
                        return job
                    job.cancel()
            job = self._queue_up(Job(key, work, then, watch))
        self._tell(job)
        return job

    def run(self, key: str, work: Callable[[], _R]) -> _R:
        """Do work on the worker thread, after what is queued, and return its result.

        For calls from a cell, which want the result at once; an interrupt of the cell cancels it.

        Raises:
            CancelledError: if it was cancelled.
            Exception: whatever the work raised.
        """
        if threading.current_thread() is self._worker:
            return work()
        job = self._queue_up(Job(key, work, None, None))
        try:
            job._worked.wait()
        except KeyboardInterrupt:
            job.cancel()
            raise
        if job.error is not None:
            raise job.error
        job.check()  # a cancelled job has no result
        return cast(_R, job.result)

    def settle(self, job: Job) -> None:
        """Wait for a job and run its `then` here: for cells, which block the kernel's own thread.

        Raises:
            CancelledError: if it was cancelled; an interrupt of the cell does that, too.
            Exception: whatever its work or its `then` raised.
        """
        try:
            job._worked.wait()
        except KeyboardInterrupt:
            job.cancel()
            raise
        if job.error is None and job.state != "cancelled":
            self._finish(job)
        if job.error is not None:
            raise job.error
        job.check()

    def _queue_up(self, job: Job) -> Job:
        release_threads()  # of the thread that asks: the worker has its own
        with self._wake:
            job.ahead = next(iter(self.active), None)
            self._queue.append(job)
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, name="latent-jobs", daemon=True)
                self._worker.start()
            self._wake.notify()
        return job

    @property
    def active(self) -> list[Job]:
        """The running job and those queued, in order."""
        running = [] if self._current is None else [self._current]
        return [job for job in (*running, *self._queue) if job.going]

    def cancel(self, key: str) -> None:
        """Cancel the active job of a key, if there is one."""
        for job in self.active:
            if job.key == key:
                job.cancel()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue:
                    self._wake.wait()
                job = self._current = self._queue.popleft()
            self._work(job)
            release_threads()
            self._current = None
            job._worked.set()

    def _work(self, job: Job) -> None:
        def listen(progress: Progress | None) -> None:
            job.check()
            if progress is not None:
                job._follow(progress)
                self._tell(job)
                for waiting in tuple(self._queue):
                    if waiting.going:
                        waiting.ahead = job
                        self._tell(waiting)

        job._started = time.monotonic()
        try:
            job.check()
            job.state, job.ahead = "running", None
            self._tell(job)
            with listening(listen):
                job.result = job._work()
            job.check()
        except CancelledError:
            self._end(job, "cancelled")
        except BaseException as error:  # a job's error is never lost, whatever it is
            self._fail(job, error)
        else:
            self._deliver(lambda: self._finish(job))

    def _finish(self, job: Job) -> None:
        if job._told_result:
            return  # `settle` was quicker than the loop
        job._told_result = True
        try:
            if job._then is not None:
                job._then(job.result)
        except Exception as error:
            self._fail(job, error)
        else:
            self._end(job, "done")

    def _fail(self, job: Job, error: BaseException) -> None:
        job._keep(error)
        self._end(job, "failed")

    def _end(self, job: Job, state: JobState) -> None:
        job._stopped = time.monotonic()
        job.state = state if job.error is None else "failed"
        self._tell(job)
        self._deliver(job._ended.set)

    def _tell(self, job: Job) -> None:
        if job._watch is not None:
            watch, queued = job._watch, job.state == "queued"

            def call() -> None:
                if queued and job.state != "queued":
                    return  # it began before this was heard
                try:
                    watch(job)
                except Exception as error:  # the work goes on; the job will count as failed
                    job._keep(error)

            self._deliver(call)

    def _deliver(self, call: Callable[[], None]) -> None:
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(call)
        else:
            call()
