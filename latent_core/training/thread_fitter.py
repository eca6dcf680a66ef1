"""The threads of a training run: as many as are free at each of its steps."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from latent_core.threads import fit_threads

__all__ = ["ThreadFitter"]


class ThreadFitter(TrainerCallback):
    """Fits the number of threads before each step, and says it where it is not the most.

    Attributes:
        used: the numbers of threads that steps had, each once.
    """

    def __init__(self, bar: tqdm) -> None:
        self.bar, self._described = bar, bar.desc
        self.used: list[int] = []
        self._last = 0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at the machine, at most once a second."""
        choice = fit_threads()
        if choice.threads == self._last:
            return
        self._last = choice.threads
        if self.used or choice.threads < choice.most:
            count = f"{choice.threads} of {choice.most} threads"
            self.bar.set_description(f"{self._described} on {count}")
        if choice.threads not in self.used:
            self.used.append(choice.threads)
