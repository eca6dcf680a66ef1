"""Ctrl-C during training: it ends the run after the present step, so that the step is kept."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from tqdm import tqdm

__all__ = ["interrupts_after_steps"]

_SAID: Final = "the run ends after this step and keeps it; press Ctrl-C again to end it at once"


@contextlib.contextmanager
def interrupts_after_steps(
    interrupt: Callable[[BaseException], None], here: bool = True
) -> Iterator[None]:
    """Within the block, the first Ctrl-C calls `interrupt`; a second one interrupts at once.

    A step may not be ended in its middle: the weights and the optimiser's state would be of two
    different steps. Only the main thread hears of Ctrl-C, so elsewhere the block changes nothing.

    Args:
        interrupt: called with the `KeyboardInterrupt` that is to be raised later.
        here: whether to do so; several processes could not agree on a step.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if in_main_thread else None
    if not here or before is not signal.default_int_handler:
        yield
        return

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        tqdm.write(_SAID, file=sys.stderr)
        interrupt(KeyboardInterrupt())

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
