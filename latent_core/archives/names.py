"""Names of what ships with the package, in place of paths: `shipped:BACKBONE/TASK/METHOD`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["SHIPPED", "SHIPPED_PREFIX", "on_disk"]

#: Holds the runs that ship, an archive for each backbone.
SHIPPED: Final = Path(__file__).parents[1] / "assets" / "adapters"
SHIPPED_PREFIX: Final = "shipped:"


def on_disk(path: str | Path) -> str:
    """The path that a name stands for; any other path as it is."""
    text = os.fspath(path)
    if not text.startswith(SHIPPED_PREFIX):
        return text
    below = text.removeprefix(SHIPPED_PREFIX).strip("/")
    return os.path.join(SHIPPED, below) if below else str(SHIPPED)
