"""Copies of runs: one run that is found twice counts once.

A run gets an `id` when its folder is made, and keeps it when the folder is copied, packed or
unpacked. Runs of an older version have none. Two runs are also the same if they hold the same
trained numbers for the same task, backbone, method and seed.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

from latent_core.archives.folders import has_file, read_file, size_of
from latent_core.files import parse_json
from latent_core.runs.own_files import ADAPTER_FILE, BASELINE_FILE, RECORDS_FILE

__all__ = ["find_copies", "warn_of_copies"]

#: What a copy has in common with its original, whatever else its folder holds.
_SAME: Final = (
    *("task_name", "task_fingerprint", "backbone", "backbone_fingerprint", "method", "layout"),
    *("seed", "steps", "learning_rate", "dtype"),
)
#: Pairs that a warning names.
_NAMED: Final = 5


def find_copies(runs: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[int, int]:
    """Find runs that are there more than once.

    Of several copies, the one with the largest records is kept, or else the first.

    Args:
        runs: the path of each, and what it says of itself.

    Returns:
        for each run that is a copy, its number and the number of the run that is kept.
    """
    alike: dict[str, list[int]] = {}
    for number, (_, about) in enumerate(runs):
        key = json.dumps([about.get(name) for name in _SAME], default=str)
        alike.setdefault(key, []).append(number)
    copies: dict[int, int] = {}
    for numbers in alike.values():
        if len(numbers) > 1:  # files are read only where two runs may be one
            copies |= _copies_among(numbers, runs)
    return copies


def warn_of_copies(
    runs: Sequence[tuple[str, Mapping[str, Any]]], copies: Mapping[int, int]
) -> None:
    """Warn that copies are left out, and of which runs they are."""
    if not copies:
        return
    named = [
        f"{runs[copy][0]} (see {runs[kept][0]})" for copy, kept in list(copies.items())[:_NAMED]
    ]
    if len(copies) > _NAMED:
        named.append(f"and {len(copies) - _NAMED:,} more")
    many = "1 copy of a run is" if len(copies) == 1 else f"{len(copies):,} copies of runs are"
    warnings.warn(f"{many} left out: {'; '.join(named)}", stacklevel=3)


def _copies_among(
    numbers: Sequence[int], runs: Sequence[tuple[str, Mapping[str, Any]]]
) -> dict[int, int]:
    """Copies among runs that say the same of themselves."""
    groups: list[tuple[set[str], list[int]]] = []
    for number in numbers:
        names = _identities(*runs[number])
        for known, members in groups:
            if not known.isdisjoint(names):
                known |= names
                members.append(number)
                break
        else:
            groups.append((names, [number]))
    copies: dict[int, int] = {}
    for _, members in groups:
        kept = max(members, key=lambda number: (_size_of_records(runs[number][0]), -number))
        copies |= {number: kept for number in members if number != kept}
    return copies


def _identities(path: str, about: Mapping[str, Any]) -> set[str]:
    """By any of which a run is known: its place, its id, and a hash of what was trained."""
    found = {f"at {os.path.realpath(path)}"}
    if isinstance(about.get("id"), str):
        found.add(f"id {about['id']}")
    if (content := _content(path)) is not None:
        found.add(f"content {content}")
    return found


def _content(path: str) -> str | None:
    """A hash of a run's trained numbers, or else of its records; None without either."""
    try:
        for name, key in ((BASELINE_FILE, "sha256"), (ADAPTER_FILE, "weights_sha256")):
            if has_file(path, name):
                return json.dumps(parse_json(read_file(path, name))[key], sort_keys=True)
        if has_file(path, RECORDS_FILE):
            return hashlib.sha256(read_file(path, RECORDS_FILE)).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        pass  # damaged: whoever reads more of it is told
    return None


def _size_of_records(path: str) -> int:
    return size_of(path, RECORDS_FILE) if has_file(path, RECORDS_FILE) else 0
