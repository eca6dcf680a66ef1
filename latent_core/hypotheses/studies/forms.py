"""Which form of a built-in study the runs that are there can answer.

A study asks about one layout on one task; runs may be of another, or of more than one. Knows runs
and names of methods; loads no adapter.
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
    """A study, and how many of its parts some runs can answer."""

    study: Study
    parts: int


def methods_of(runs: Iterable[StoredRun]) -> dict[str, set[str]]:
    """The methods of runs that are finished, by task."""
    found: dict[str, set[str]] = {}
    for run in runs:
        if run.about["status"] == "finished":
            found.setdefault(str(run.about["task"]), set()).add(str(run.about["method"]))
    return found


def fitted(study: Study, methods: Mapping[str, Set[str]], backbone: Backbone | str) -> Fit:
    """The form of a study, most parts of which can be answered.

    Tried are the study itself, the same question of another task, and of layouts of the same
    groups; of equals the first, so a study that can be answered as it is stays as it is.

    Args:
        study: a built-in study.
        methods: methods of the runs that are there, by task.
        backbone: what they were trained on; controls are matched on it.
    """
    found = []
    for task in dict.fromkeys((study.task, *study.layouts)):
        form = study if task == study.task else study.about(task=task)
        have = methods.get(task, frozenset())
        alike = [name for name in sorted(have) if _groups(name) == _groups(form.layout)]
        for one in (form, *(form.about(name) for name in alike if name != form.layout)):
            found.append(Fit(one, sum(_answered(one, part, have, backbone) for part in one.parts)))
    return max(found, key=lambda fit: fit.parts)


def on_runs(
    study: Study, folders: Sequence[str | Path], exactly: bool = False
) -> tuple[Study, Given]:
    """A study in the form that runs can answer, and these runs, to test it on.

    Args:
        study: a built-in study.
        folders: where the runs lie, at any depth.
        exactly: whether to keep the study as it is.

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
        raise SettingError(f"no part of {study.key} can be answered by what is there")
    return study, Given.runs(folders, study.task)


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
