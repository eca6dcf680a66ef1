"""Turns on a backbone: threads that share one use it one after the other.

A capture, an intervention and a training step change the backbone while they last: they put hooks
on it, exchange its attention, or make it recompute. A pass of another thread in between would see
these changes. So each of them takes a turn, and so does every forward pass. Threads wait in the
order in which they came, so a training gives way to a capture after its present step.

A thread that holds a turn may take another within it. Turns are per model: a method with modules of
its own, such as LoRA, has its own turns.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Final
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

from latent_core.progress import heartbeat

__all__ = ["Turns", "turn", "turns_of"]

#: Seconds between two looks at whether the waiting work was cancelled.
_LOOK: Final = 0.1
#: Seconds of waiting after which a message says for what.
_PATIENCE: Final = 1.0

_log: Final = logging.getLogger(__name__)


class Turns:
    """Who uses one backbone, and who waits for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._owner: int | None = None
        self._depth = 0
        self._doing = ""

    def take(self, doing: str) -> None:
        """Begin a turn, after those that are under way or waiting.

        Args:
            doing: what it is for, as the message to others says it: "training Start_2".
        """
        me, ticket = threading.get_ident(), object()
        with self._changed:
            if self._owner == me:
                self._depth += 1
                return
            self._waiting.append(ticket)
        began, told = time.monotonic(), False
        try:
            while not self._is_mine(ticket, me, doing):
                heartbeat()  # whoever cancels this work is heard
                if not told and time.monotonic() - began > _PATIENCE:
                    told = True
                    _log.warning("%s waits for another thread: %s", doing, self._doing)
        except BaseException:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()
            raise

    def _is_mine(self, ticket: object, me: int, doing: str) -> bool:
        """Begin the turn if it is this ticket's; else wait a moment."""
        with self._changed:
            if self._owner is None and self._waiting[0] is ticket:
                self._waiting.popleft()
                self._owner, self._depth, self._doing = me, 1, doing
                return True
            self._changed.wait(_LOOK)
            return False

    def end(self) -> None:
        """End the turn that this thread began last."""
        with self._changed:
            assert self._owner == threading.get_ident()
            self._depth -= 1
            if not self._depth:
                self._owner, self._doing = None, ""
                self._changed.notify_all()

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds a turn."""
        return self._owner == threading.get_ident()


_TURNS: Final[WeakKeyDictionary[PreTrainedModel, Turns]] = WeakKeyDictionary()
_TABLE: Final = threading.Lock()


def turns_of(model: PreTrainedModel) -> Turns:
    """The turns on a model."""
    with _TABLE:
        return _TURNS.setdefault(model, Turns())


@contextlib.contextmanager
def turn(model: PreTrainedModel, doing: str) -> Iterator[None]:
    """Use a model alone inside the block; wait for other threads first. See `Turns.take`."""
    turns = turns_of(model)
    turns.take(doing)
    try:
        yield
    finally:
        turns.end()
