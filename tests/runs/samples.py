"""Runs made for tests."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from latent_core.runs import folder as runs
from latent_core.runs.lock import run_lock


def records(graded: float = 0.5, splits=("id", "ood-6"), examples: int = 4) -> pd.DataFrame:
    rows = []
    for split in splits:
        for number in range(examples):
            level = 6 if split == "ood-6" else 1 + number % 2
            rows.append(
                {
                    **{"task": "echo", "backbone": "tiny", "layout": "Start_2", "split": split},
                    **{"level": level, "example": number, "key": f"k{number}", "exact": False},
                    **{"graded": graded + number / 100, "latent_slots": level, "seconds": 0.25},
                }
            )
    return pd.DataFrame(rows)


def add_run(folder: Path, method: str = "Start_2", seed: int = 0, **changes) -> Path:
    settings = {"task": "echo", "backbone": "tiny", "layout": method, "seed": seed, "steps": 10}
    notes = {"method": method, "size": 3}
    runs.open_run(folder, settings | changes, notes)
    runs.close_run(folder, "finished", settings | changes, notes, trainable=64, seconds=2.5)
    return folder


@contextlib.contextmanager
def held_elsewhere(folder: Path) -> Iterator[None]:
    """Inside the block another thread is at work on a run."""
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        with run_lock(folder):
            begun.set()
            end.wait()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            assert begun.wait(30)
            yield
        finally:
            end.set()
            working.result()
