"""`--threads`, and what is said of the threads that a command computed with."""

from __future__ import annotations

from typing import Annotated

import typer

from latent_core.cli.app import FIRST_PROCESS
from latent_core.cli.terminal import say

__all__ = ["ThreadsOption", "fix_threads_if", "say_once", "say_threads"]

ThreadsOption = Annotated[
    int | None,
    typer.Option(help="Threads to compute with; by default what other processes leave free."),
]


def fix_threads_if(threads: int | None) -> None:
    """Compute with a number of threads, if the user gave one."""
    if threads is not None:
        from latent_core.threads import fix_threads  # brings torch

        fix_threads(threads)


def say_threads() -> None:
    """Say on how many threads was computed, if others left fewer than there are."""
    from latent_core.threads import fit_threads

    choice = fit_threads()
    if choice.threads < choice.most:
        say_once(f"computed on {choice} (--threads)")


def say_once(text: str) -> None:
    """Say something beside the answers, which may go into a file."""
    if FIRST_PROCESS:
        say(text)
