"""Progress bars that suit where they appear: a terminal, a log file, or a notebook's output.

In a notebook a bar is plain text that vanishes when the work is done: widgets would not reopen
without a kernel, and a saved notebook should hold results.

Whoever runs long work for somebody else listens to it instead (`listening`): the listener is told
how far the work is, and stops it by raising.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from tqdm import tqdm
from transformers.utils import logging

__all__ = [
    "Progress",
    "as_part_of",
    "heartbeat",
    "heartbeats_only",
    "listening",
    "progress_bar",
    "without_loading_bars",
]


class Progress(NamedTuple):
    """How far a piece of work is: `done` of `total` units ("step", "example", ...)."""

    description: str
    done: int
    total: int
    unit: str


Listener = Callable[[Progress | None], None]

_listener: Final[ContextVar[Listener | None]] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Inside the block, `listener` hears of all work in this thread, and no bar is shown.

    It is called with a `Progress` whenever a bar would move, and with None at least once per
    forward pass of generation in between. What it raises ends the work.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def heartbeat() -> None:
    """Called often by long work, so that a listener can stop it between two moves of its bar."""
    if (listener := _listener.get()) is not None:
        listener(None)


@contextmanager
def heartbeats_only() -> Iterator[None]:
    """Inside the block, the listener hears that the work goes on, but not how far it is.

    For work within other work, whose progress is what counts. A listener can stop it as ever.
    """
    outer = _listener.get()
    if outer is None:
        yield
        return
    with listening(lambda progress: outer(None)):
        yield


@contextmanager
def as_part_of(whole: Callable[[Progress], Progress]) -> Iterator[None]:
    """Inside the block, the listener hears what `whole` makes of the work's progress.

    For work in several parts, each with a bar of its own: how far all of it is.
    """
    outer = _listener.get()
    if outer is None:
        yield
        return
    with listening(lambda progress: outer(None if progress is None else whole(progress))):
        yield


class _Bar(tqdm):
    """A bar that tells the listener, if there is one."""

    def update(self, n: float | None = 1) -> bool | None:
        moved: bool | None = super().update(n)
        if self.disable:
            self.n += n or 0  # tqdm counts only what it shows
        self.tell()
        return moved

    def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
        super().set_description(desc, refresh)
        self.desc = desc
        self.tell()

    def tell(self) -> None:
        if (listener := _listener.get()) is not None:
            listener(Progress(self.desc or "", int(self.n), int(self.total or 0), self.unit))


def _in_notebook() -> bool:
    """Whether this process is a kernel; a script may have imported ipykernel, too."""
    kernels = sys.modules.get("ipykernel.kernelapp")
    return kernels is not None and bool(kernels.IPKernelApp.initialized())


def progress_bar(total: int, description: str, unit: str, shown: bool = True) -> tqdm:
    """A bar of `total` units with the time left; call `update` and `close`, or use it in `with`."""
    in_notebook = _in_notebook()
    file = sys.stdout if in_notebook else sys.stderr
    bar = _Bar(
        total=total,
        desc=description,
        unit=unit,
        disable=not shown or _listener.get() is not None,
        file=file,
        leave=not in_notebook,
        mininterval=0.5 if in_notebook or file.isatty() else 10.0,
        dynamic_ncols=not in_notebook,
    )
    bar.total, bar.desc, bar.unit = total, description, unit  # a disabled bar has not kept them
    bar.tell()
    return bar


@contextmanager
def without_loading_bars() -> Iterator[None]:
    """Inside the block, Transformers shows no bars about weights that are here already."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
