"""The number of threads that computing takes: as many as other processes leave cores free.

Every small operation of a model waits for its slowest thread. A thread that shares its core with
another process comes milliseconds late, which can make a step ten times slower than with one thread
less. So the cores that other processes keep busy are counted at the start of work and while it
goes on, and torch gets the rest.

A number that the user fixed is kept: by `fix_threads` (`--threads`), by `OMP_NUM_THREADS`, or by
`torch.set_num_threads`. Sums may round otherwise with another number of threads, so a run that has
to repeat bit by bit on a busy machine needs a fixed one.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import torch

from latent_core.errors import whole_number

__all__ = [
    "Counters",
    "ThreadChoice",
    "ThreadKeeper",
    "fit_threads",
    "fix_threads",
    "limit_threads",
    "release_threads",
    "usable_cores",
]

#: Seconds between two looks at the machine, so that a look says something.
INTERVAL: Final = 1.0
#: Seconds that the first look takes, where no earlier one is there to compare with.
FIRST: Final = 0.1


class Counters(NamedTuple):
    """What has been computed so far, in seconds of a core.

    Attributes:
        clock: seconds of the wall clock.
        busy: of all processes, on the cores that this one may use.
        own: of this process.
    """

    clock: float
    busy: float
    own: float


class ThreadChoice(NamedTuple):
    """A number of threads, and why that many.

    Attributes:
        threads: the number.
        most: as many as there would be on an idle machine.
        others: cores that other processes keep busy; None where that was not looked at.
    """

    threads: int
    most: int
    others: float | None = None

    def __str__(self) -> str:
        count = f"{self.threads} of {self.most} threads"
        if self.others is None:
            return f"{self.threads} thread" + "s" * (self.threads != 1)
        return f"{count}: other processes keep {self.others:.1f} cores busy"


def read_counters() -> Counters:
    """Read the counters of the machine now."""
    times = psutil.cpu_times(percpu=True)
    usable = psutil.Process().cpu_affinity() if hasattr(psutil.Process, "cpu_affinity") else None
    chosen = times if usable is None else [times[core] for core in usable]
    # Guests' time is part of `user`. A core that waits for a disk is free.
    busy = sum(sum(one) - one.idle - getattr(one, "iowait", 0.0) for one in chosen)
    busy -= sum(getattr(one, "guest", 0.0) + getattr(one, "guest_nice", 0.0) for one in chosen)
    return Counters(time.monotonic(), busy, time.process_time())


class ThreadKeeper:
    """Chooses the number of threads by what other processes leave free.

    Args:
        most: threads on an idle machine.
        cores: cores that this process may use.
        fixed: keep that number, whatever others do.
        read: reads the counters.
        sleep: waits, given seconds.
    """

    def __init__(
        self,
        most: int,
        cores: int,
        fixed: bool = False,
        read: Callable[[], Counters] = read_counters,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._read, self._sleep = read, sleep
        self._seen = read()
        self._choice = ThreadChoice(most, most)
        self._cores, self._fixed, self._looked = cores, fixed, False

    def fix(self, threads: int) -> None:
        """Keep a number of threads from now on."""
        self._fixed = True
        self._choice = ThreadChoice(threads, threads)

    def limit(self, most: int) -> None:
        """Choose at most so many from now on, such as a worker's share of the cores."""
        if not self._fixed:
            self._choice = ThreadChoice(min(most, self._choice.threads), most, self._choice.others)

    def choose(self) -> ThreadChoice:
        """Choose the number of threads for the work that comes now.

        It is the choice of before, where the last look was less than `INTERVAL` ago.
        """
        most = self._choice.most
        if self._fixed or most == 1:
            return self._choice
        now = self._read()
        if self._looked and now.clock - self._seen.clock < INTERVAL:
            return self._choice
        if now.clock - self._seen.clock < FIRST:
            self._sleep(FIRST)
            now = self._read()
        passed = now.clock - self._seen.clock
        others = (now.busy - self._seen.busy - (now.own - self._seen.own)) / passed
        others = min(max(0.0, others), self._cores)
        self._seen, self._looked = now, True
        threads = max(1, min(most, round(self._cores - others)))
        self._choice = ThreadChoice(threads, most, others)
        return self._choice


def usable_cores() -> int:
    """Cores that this process may use; a container may have fewer than its machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


#: The one of this process, whose threads are torch's.
KEEPER: Final = ThreadKeeper(
    torch.get_num_threads(), usable_cores(), fixed="OMP_NUM_THREADS" in os.environ
)


class _Given(threading.local):
    """What torch was given last in each of Python's threads, which torch keeps apart."""

    threads = torch.get_num_threads()


_GIVEN: Final = _Given()


def fit_threads() -> ThreadChoice:
    """Give torch as many threads as are free, in this thread of Python's.

    Returns:
        the choice, with its reason.
    """
    there = torch.get_num_threads()
    if there != _GIVEN.threads:
        KEEPER.fix(there)  # somebody called `torch.set_num_threads`
    choice = KEEPER.choose()
    if there != choice.threads:
        torch.set_num_threads(choice.threads)
    _GIVEN.threads = _Given.threads = choice.threads
    return choice


def fix_threads(threads: int) -> None:
    """Compute with this number of threads from now on.

    Raises:
        SettingError: if it is no whole number of at least 1.
    """
    torch.set_num_threads(whole_number("threads", threads, 1))
    fit_threads()


def limit_threads(most: int) -> None:
    """Compute with at most so many threads from now on, as a worker beside others does."""
    KEEPER.limit(most)
    fit_threads()


def release_threads() -> None:
    """End the threads with which torch computes in this thread of Python's; the next work has new.

    OpenMP keeps such threads for each of Python's threads that has ever computed. While they are
    more than there are cores, they sleep after each operation, and a pass takes half as long again.
    Does nothing where torch's OpenMP cannot be told.
    """
    if _PAUSE is not None:
        _PAUSE(_SOFT)


#: `omp_pause_soft` of OpenMP 5: release the threads, keep the settings.
_SOFT: Final = 1


def _openmp_pause() -> Any:
    """OpenMP's function that releases a thread's threads, of the library that torch brings."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("lib*omp*")):
        try:
            return ctypes.CDLL(str(path)).omp_pause_resource_all
        except (OSError, AttributeError):
            continue
    return None


_PAUSE: Final = _openmp_pause()
