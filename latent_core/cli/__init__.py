"""The `latent` command: the library's words, typed. One file per group of commands.

Bad input ends in exit code 2 and one sentence. Torch is imported only by the commands that need it,
so that `--help` is instant.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from latent_core.cli import (
    comparing,
    evaluating,
    first_steps,
    generating,
    grid,
    hypotheses,
    lists,
    runs,
    sharing,
    training,
)
from latent_core.cli.app import app
from latent_core.cli.terminal import neutral_warnings, say
from latent_core.errors import LatentError

__all__ = [
    "app",
    "comparing",
    "evaluating",
    "first_steps",
    "generating",
    "grid",
    "hypotheses",
    "lists",
    "main",
    "runs",
    "sharing",
    "training",
]

#: Of what goes into a file or another program, where no table has to fit.
_NO_WIDTH: Final = "250"


def main() -> None:
    """Run the command line; exit code 2 and one sentence on bad input."""
    unbounded = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    if unbounded:
        os.environ["COLUMNS"] = _NO_WIDTH
    try:
        with neutral_warnings():
            app()
    except LatentError as error:
        say(f"latent: {error}")
        sys.exit(2)
    finally:
        if unbounded:
            del os.environ["COLUMNS"]
