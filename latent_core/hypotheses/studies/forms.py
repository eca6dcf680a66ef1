"""The form of a built-in study that existing runs can answer.

A study asks about one layout on one task, and the runs may have another layout or task. No adapter
is loaded here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from latent_core.archives.folders import is_folder
from latent_core.backbones.backbone import Backbone
from latent_core.errors import LatentError, SettingError
from latent_core.hypotheses.costs import trained_methods
from latent_core.hypotheses.sources import Given
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.targets import resolved
from latent_core.runs.find import StoredRun, find_runs
from latent_core.slots.methods import Method

__all__ = ["Fit", "fitted", "methods_of", "on_runs"]


class Fit(NamedTuple):
    """A study, and the number of its parts that the runs can answer."""

    study: Study
    parts: int


def methods_of(runs: Iterable[StoredRun]) -> dict[str, set[str]]:
    """Return the methods of finished runs, by task."""
    found: dict[str, set[str]] = {}
    for run in runs:
        if run.about["status"] == "finished":
            found.setdefault(str(run.about["task_name"]), set()).add(str(run.about["method"]))
    return found


def fitted(study: Study, methods: Mapping[str, Set[str]], backbone: Backbone | str) -> Fit:
    """Return the form of a study of which the runs can answer most parts.

    The forms are the study itself, the same question on its other tasks, and the same question
    about layouts with the same groups. Among equal forms, the first is taken, so a study that can
    be answered stays as it is.

    Args:
        study: a built-in study.
        methods: the methods of the runs, by task.
        backbone: the backbone of the runs; controls are matched on it.
    """
    found = []
    for task in dict.fromkeys((study.task, *study.layouts)):
        form = study if task == study.task else study.about(task=task)
        have = methods.get(task, frozenset())
        groups = _groups(form.layout)
        alike = [name for name in sorted(have) if groups and _groups(name) == groups]
        for one in (form, *(form.about(name) for name in alike if name != form.layout)):
            found.append(Fit(one, sum(_answered(one, part, have, backbone) for part in one.parts)))
    return max(found, key=lambda fit: fit.parts)


def on_runs(
    study: Study, folders: Sequence[str | Path], exactly: bool = False
) -> tuple[Study, Given]:
    """Return a study in the form that runs can answer, and the runs as a source.

    Args:
        study: a built-in study.
        folders: where the runs lie, at any depth.
        exactly: keep the study as it is.

    Raises:
        SettingError: if they can answer no part of it.
    """
    runs = find_runs([path for path in folders if is_folder(path)])
    methods = methods_of(runs)
    if not exactly and methods:
        study, parts = fitted(study, methods, str(runs[0].about["backbone"]))
        if not parts:
            methods = {}
    if not methods:
        raise SettingError(f"no part of {study.key} can be tested with these runs")
    return study, Given.runs(folders, study.loaded_task)


def _answered(study: Study, part: str, have: Set[str], backbone: Backbone | str) -> bool:
    if not have:
        return False
    try:
        needed = trained_methods(resolved(study.parts[part], backbone))
    except LatentError:  # a control that cannot be matched
        return False
    return have >= set(needed)


def _groups(method: str) -> tuple[str, ...]:
    """Names of the groups of a layout with nothing special about it; of all others, none."""
    layout = Method.parse(method).layout
    plain = "+".join(f"{group.name}_{group.count}" for group in layout.groups)
    return tuple(group.name for group in layout.groups) if plain == method else ()
