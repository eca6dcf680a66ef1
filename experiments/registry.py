"""The register of claims that are written down before their runs. Scripts beside it import it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

__all__ = ["REGISTERED", "register", "registered_at"]

REGISTERED: Final = Path(__file__).parent / "records" / "registered.jsonl"


def hash_of(stated: dict[str, Any]) -> str:
    """A hash of everything that a claim states."""
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def register(stated: dict[str, Any], existing: list[Path], registered: Path = REGISTERED) -> None:
    """Write down what will be tested, before it can be; what is written down stays as it is.

    Args:
        stated: everything that the claim states.
        existing: those of its runs that exist.
        registered: the register.

    Raises:
        SystemExit: if there are some.
    """
    mark = hash_of(stated)
    if mark in _times(registered):
        return
    if existing:
        raise SystemExit(f"{existing[0]} exists; expected a claim written down before its runs")
    time = datetime.now(UTC).isoformat(timespec="seconds")
    registered.parent.mkdir(parents=True, exist_ok=True)
    with registered.open("a") as file:
        file.write(json.dumps(stated | {"hash": mark, "time": time}) + "\n")
    print(f"registered {mark}: {stated['claim']}")


def registered_at(stated: dict[str, Any], registered: Path = REGISTERED) -> str:
    """When a claim was written down.

    Raises:
        SystemExit: if it was not, as it stands.
    """
    mark, times = hash_of(stated), _times(registered)
    if mark not in times:
        raise SystemExit(
            f"{stated['claim']!r} is not registered as it stands ({mark}); expected it to be "
            "registered before its runs, and not changed since: call the script with `register`"
        )
    return times[mark]


def _times(path: Path) -> dict[str, str]:
    entries = path.read_text().splitlines() if path.is_file() else []
    return {entry["hash"]: entry["time"] for entry in map(json.loads, entries)}
