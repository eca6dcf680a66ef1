"""Where runs of one's own lie: those that panels show, those that they train, and their tests.

Knows folders only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["runs_folder"]

#: What a repository's root holds, any of them.
_MARKS: Final = ("pyproject.toml", ".git")


def runs_folder() -> Path:
    """The nearest `runs`, from the working directory up to the root of its repository.

    A notebook runs in its own folder, the command line mostly at the root: both mean the same one.
    Where there is none yet, it is one to be made at the root; outside a repository, `runs` here.

    Returns:
        the path as seen from the working directory, such as `../runs`.
    """
    here = Path.cwd()
    above = [here, *here.parents]
    marked = (n for n, folder in enumerate(above) if any((folder / m).exists() for m in _MARKS))
    within = above[: next(marked, 0) + 1]
    found = (folder / "runs" for folder in within if (folder / "runs").is_dir())
    return Path(os.path.relpath(next(found, within[-1] / "runs")))
