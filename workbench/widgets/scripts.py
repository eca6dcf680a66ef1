"""Scripts of several files as one module, which is all that a widget's page can load."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["EXPORT", "joined"]

STATIC: Final = Path(__file__).parent
#: The last line of a widget's script.
EXPORT: Final = "export default { render };"


def joined(*names: str) -> str:
    """The text of some of this folder's scripts, in this order."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)
