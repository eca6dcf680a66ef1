"""Progress bars that suit where they appear: a terminal, a log file, or a notebook's output.

In a notebook a bar is plain text that vanishes when the work is done: widgets would not reopen
without a kernel, and a saved notebook should hold results.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm
from transformers.utils import logging

__all__ = ["progress_bar", "without_loading_bars"]


def progress_bar(total: int, description: str, unit: str, shown: bool = True) -> tqdm:
    """A bar of `total` units with the time left; call `update` and `close`, or use it in `with`."""
    in_notebook = "ipykernel" in sys.modules
    file = sys.stdout if in_notebook else sys.stderr
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        disable=not shown,
        file=file,
        leave=not in_notebook,
        mininterval=0.5 if in_notebook or file.isatty() else 10.0,
        dynamic_ncols=not in_notebook,
    )


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
