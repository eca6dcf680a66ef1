"""Damage to run folders, drawn at random: what disks, kills, users and strangers do to them."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["HARMS", "harm"]

#: What stands in place of a value in a JSON file.
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, -1, 1.5, 10**30, "text", "", [], {}, [1, "a"], {"a": None}),
    *("\udcff", "[/]\x1b[31m", "../../up"),
)


def harm(folder: Path, outside: Path, rng: random.Random) -> str:
    """Damage a run folder in one way, chosen at random; what was done to what."""
    name = rng.choice(list(HARMS))
    return f"{name}: {HARMS[name](folder, outside, rng)}"


def _some_file(folder: Path, rng: random.Random, ending: str = "") -> Path | None:
    paths = [p for p in sorted(folder.rglob(f"*{ending}")) if p.is_file() and not p.is_symlink()]
    paths = [p for p in paths if p.name != "mine.txt"]
    return rng.choice(paths) if paths else None


def _to_file(change: Callable[[Path, random.Random], None]) -> Any:
    def done(folder: Path, outside: Path, rng: random.Random) -> str:
        path = _some_file(folder, rng)
        if path is None:
            return "nothing"
        change(path, rng)
        return str(path.relative_to(folder))

    return done


def _truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 20))):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _zeros(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def _delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def _become_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("mine")


def _dangle(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice((path.name, "/nowhere/at/all", "../..")))


def _link_outside(folder: Path, outside: Path, rng: random.Random) -> str:
    target = rng.choice((outside, outside / "run", outside / "notes.txt"))
    link = folder / rng.choice(("link", "checkpoints", "log.csv", "records.parquet", ".lock"))
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return f"{link.name} -> {target.name}"


def _wrong_json(folder: Path, outside: Path, rng: random.Random) -> str:
    path = _some_file(folder, rng, ".json")
    if path is None:
        return "nothing"
    try:
        body = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return "nothing"
    places = list(_places(body))
    value = rng.choice(_VALUES)
    if not places or rng.random() < 0.1:
        body = value
    else:
        where, key = rng.choice(places)
        where[key] = value
    path.write_text(json.dumps(body))
    return f"{path.relative_to(folder)}: {value!r}"


def _places(body: Any) -> Any:
    """Every place in nested JSON that a value can be put into."""
    items = body.items() if isinstance(body, dict) else enumerate(body)
    if isinstance(body, dict | list):
        for key, value in list(items):
            yield body, key
            if isinstance(value, dict | list):
                yield from _places(value)


def _deep_json(folder: Path, outside: Path, rng: random.Random) -> str:
    path = _some_file(folder, rng, ".json")
    if path is None:
        return "nothing"
    path.write_text(rng.choice(("[" * 100_000, '{"a":' * 100_000, "9" * 5_000)))
    return str(path.relative_to(folder))


def _foreign(folder: Path, outside: Path, rng: random.Random) -> str:
    names = ("mine.txt", "figures/mine.txt", "checkpoints/mine.txt", ".hidden/mine.txt")
    path = folder / rng.choice((*names, "checkpoints/checkpoint-9/mine.txt"))
    if path.parent.exists() and not path.parent.is_dir():
        return "nothing"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return str(path.relative_to(folder))


def _swap(folder: Path, outside: Path, rng: random.Random) -> str:
    """The content of one file in another."""
    one, other = _some_file(folder, rng), _some_file(folder, rng)
    if one is None or other is None:
        return "nothing"
    other.write_bytes(one.read_bytes())
    return f"{one.name} in {other.name}"


def _staged(folder: Path, outside: Path, rng: random.Random) -> str:
    """As a killed writer leaves it."""
    for name in (".run.json.0123abcd.part", "checkpoints/.start.safetensors.0123abcd.part"):
        with_parent = folder / name
        if with_parent.parent.is_dir():
            with_parent.write_bytes(os.urandom(20))
    return "files"


HARMS: Final[dict[str, Callable[[Path, Path, random.Random], str]]] = {
    "truncated": _to_file(_truncate),
    "bits flipped": _to_file(_flip),
    "zeros": _to_file(_zeros),
    "deleted": _to_file(_delete),
    "a folder instead": _to_file(_become_folder),
    "dangling link": _to_file(_dangle),
    "link outside": _link_outside,
    "wrong JSON": _wrong_json,
    "deep JSON": _deep_json,
    "foreign file": _foreign,
    "another's content": _swap,
    "leftovers": _staged,
}
