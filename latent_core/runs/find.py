"""Finding runs: all below some folders and archives, and what each says of itself.

A run of an older version, without `run.json`, is known by its adapter or its records. A damaged run
is named in a warning and left out, and so is a copy of a run that is there already.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from latent_core.archives.folders import is_folder, nothing_at, on_disk, place_of
from latent_core.archives.reading import is_archive
from latent_core.errors import ArchiveError, SettingError
from latent_core.runs.copies import find_copies, warn_of_copies
from latent_core.runs.folder import checked_run, read_json
from latent_core.runs.own_files import (
    ADAPTER_FILE,
    BASELINE_FILE,
    RECORDS_FILE,
    RUN_FILE,
    holds_adapter,
)
from latent_core.slots.methods import method_name
from latent_core.statistics.task_names import distinct_task_names

__all__ = [
    "StoredRun",
    "Where",
    "find_runs",
    "refuse_in_run",
    "run_folders",
    "several",
    "warn_of",
]

Where = Mapping[str, Any] | Callable[[dict[str, Any]], bool] | None

#: By which runs of one method may differ, besides the seed.
_SETTINGS: Final = (
    *("steps", "learning_rate", "batch_size", "gradient_accumulation", "init"),
    *("training_arguments", "patience", "started_from"),
)
#: Those of them that only some runs have.
_OF_SOME: Final = ("patience", "started_from")


#: What an adapter that was saved without a run says in its notes.
_NOTED: Final = ("task", "task_fingerprint", "seed")


class StoredRun(NamedTuple):
    """A run folder.

    Attributes:
        path: the folder.
        about: `RUN_COLUMNS`, then the other settings and notes by their names. `task_name` is the
            task's own name; `task` is that, with its fingerprint where two tasks share the name.
    """

    path: str
    about: dict[str, Any]


def find_runs(
    paths: str | Path | Iterable[str | Path],
    where: Where = None,
    apart: bool = False,
    *,
    copies: bool = False,
) -> list[StoredRun]:
    """The runs below some folders, in alphabetical order.

    Args:
        paths, where, apart: as those of `load_runs`.
        copies: whether a copy of a run is found, too.

    Warns:
        UserWarning: of damaged runs, and of copies, which are left out.
    """
    several = not isinstance(paths, str | Path)
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    found: list[StoredRun] = []
    known: set[str] = set()
    for one in given:
        root = Path(on_disk(one))
        if not is_folder(root):
            raise SettingError(f"{nothing_at(one)} Expected a folder that holds runs")
        folders = list(run_folders(str(root)))
        # A run is called by its path below the root, or below the root's parent where the root's
        # own name tells it from others.
        itself = any(path == str(root) for path, _ in folders)
        skipped = len(os.path.join(root.parent if several or itself else root, ""))
        for path, names in folders:
            about = _about(path, path[skipped:], names)
            if about is not None:
                known.update(about)
                found.append(StoredRun(path, about))
    _name_tasks(found)
    if apart:
        _name_apart(found)
    if isinstance(where, Mapping) and known and (unknown := set(where) - known):
        raise SettingError(
            f"no run has {', '.join(map(repr, sorted(unknown)))}; expected some of "
            f"{', '.join(sorted(known))}, split, level"
        )
    selected = [run for run in found if _selected(run.about, where)]
    if copies:
        return selected
    left_out = find_copies(selected)
    warn_of_copies(selected, left_out)
    return [run for number, run in enumerate(selected) if number not in left_out]


def _name_tasks(runs: Sequence[StoredRun]) -> None:
    """Give two tasks of one name two names, by their fingerprints."""
    columns = [[run.about[name] for run in runs] for name in ("task_name", "task_fingerprint")]
    for run, name in zip(runs, distinct_task_names(*columns), strict=True):
        run.about["task"] = name


def _name_apart(runs: Iterable[StoredRun]) -> None:
    """Put the settings in which runs of one method differ into their methods' names."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        key = tuple(run.about[name] for name in ("task", "backbone", "method"))
        groups.setdefault(key, []).append(run.about)
    for abouts in groups.values():
        known = [{n: about[n] for n in _SETTINGS if about.get(n) is not None} for about in abouts]
        values = {n: {repr(k.get(n)) for k in known if n in k or n in _OF_SOME} for n in _SETTINGS}
        differ = [n for n in _SETTINGS if len(values[n]) > 1]
        for about, settings in zip(abouts, known, strict=True):
            if said := ", ".join(f"{n}={settings[n]}" for n in differ if n in settings):
                about["method"] = f"{about['method']} ({said})"


def _is_run(names: Iterable[str]) -> bool:
    return not {RUN_FILE, ADAPTER_FILE, BASELINE_FILE, RECORDS_FILE}.isdisjoint(names)


def run_folders(
    root: str, hidden: bool = False, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, set[str]]]:
    """Run folders at any depth, with the names in them; nothing below a run is looked at.

    Args:
        root: a folder, in either form.
        hidden: whether to look into folders whose names begin with a dot.
        above: the folders on the way to the root; a link that leads back to one is not followed.

    Warns:
        UserWarning: of each folder that cannot be read and each archive that is damaged; they are
            left out.
    """
    if not os.path.isdir(root) or is_archive(root):
        yield from _packed_folders(root, hidden)
        return
    try:
        found, names = os.stat(root), set(os.listdir(root))
    except OSError as error:
        warnings.warn(f"left out: {root} cannot be read ({error.strerror})", stacklevel=2)
        return
    if (found.st_dev, found.st_ino) in above:
        return
    if _is_run(names):
        yield root, names
        return
    above |= {(found.st_dev, found.st_ino)}
    for name in sorted(names):
        if hidden or not name.startswith("."):
            yield from run_folders(f"{root}/{name}", hidden, above)


def refuse_in_run(path: str | Path) -> None:
    """Refuse to put a file that is no run's into a run's folder or into an archive of runs.

    Raises:
        SettingError: with the folder.
    """
    folder = Path(path).resolve().parent
    if os.path.isdir(folder) and (is_archive(folder) or _is_run(os.listdir(folder))):
        raise SettingError(
            f"cannot write {path}: {folder} is a run or an archive of runs, whose files it might "
            "replace; choose another folder"
        )


def _packed_folders(root: str, hidden: bool) -> Iterator[tuple[str, set[str]]]:
    """The run folders of an archive, at or below a path in it."""
    try:
        place = place_of(root)
    except (ArchiveError, OSError) as error:
        warnings.warn(f"left out: {error}", stacklevel=2)
        return
    if place is None:  # a file, or a link to nothing
        return
    above = f"{place.name}/" if place.name else ""
    for name in sorted(place.folders, key=lambda name: name.split("/")):
        below = name.removeprefix(above) if name != place.name else ""
        names = set(place.archive.folders[name].files)
        if _is_run(names) and (hidden or not any(p.startswith(".") for p in below.split("/"))):
            yield (f"{root}/{below}" if below else root), names


def _about(path: str, name: str, names: set[str]) -> dict[str, Any] | None:
    """What a run says of itself, or None, with a warning, if it cannot be read."""
    try:
        if RUN_FILE in names:
            return _flat(path, name, checked_run(read_json(path, RUN_FILE)))
        if holds_adapter(names):  # written by `save_pretrained` alone
            config = read_json(path, BASELINE_FILE if BASELINE_FILE in names else ADAPTER_FILE)
            notes = config.get("notes", {})
            settings = {key: config.get(key) for key in ("layout", "backbone")}
            settings |= {key: notes[key] for key in _NOTED if key in notes}
            return _flat(path, name, {"status": "finished", "settings": settings, "notes": notes})
        return _flat(path, name, {"status": "finished", "settings": {}, "notes": {}})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        warn_of(path, error)
        return None


def _flat(path: str, name: str, record: dict[str, Any]) -> dict[str, Any]:
    settings, notes = record["settings"], record.get("notes", {})
    layout = settings.get("layout")
    method = notes.get("method", layout)
    first = {
        "run": name.replace(os.sep, "/"),
        "path": path,
        "status": record["status"],
        "task": settings.get("task"),
        "task_fingerprint": settings.get("task_fingerprint"),
        "backbone": settings.get("backbone"),
        "method": method_name(method) if isinstance(method, str) else method,
        "layout": layout,
        "seed": settings.get("seed", 0),
        "learning_rate": settings.get("learning_rate"),
        "steps": settings.get("steps"),
        "batch_size": settings.get("batch_size"),
        "trainable": record.get("trainable"),
        "train_seconds": record.get("seconds"),
        "error": record.get("error"),
        "id": record.get("id"),
        "task_name": settings.get("task"),
    }
    return {**notes, **settings, **first}


def _selected(about: dict[str, Any], where: Where) -> bool:
    if where is None:
        return True
    if callable(where):
        return bool(where(about))
    return all(
        about.get(name) in several(wanted)
        or (name == "method" and about[name] in map(method_name, several(wanted)))
        or (name == "task" and about["task_name"] in several(wanted))
        for name, wanted in where.items()
    )


def several(wanted: Any) -> list[Any]:
    """A list of values, given one or several."""
    one = isinstance(wanted, str) or not isinstance(wanted, Iterable)
    return [wanted] if one else list(wanted)


def warn_of(path: str, error: Exception) -> None:
    """Warn of a run that is damaged."""
    reason = f"{type(error).__name__}: {error}"
    warnings.warn(f"the run in {path} is damaged and left out ({reason})", stacklevel=2)
