"""The grid: backbones x tasks x methods x seeds x training settings, read and checked.

A grid is a YAML file, or the same names as arguments of `Grid`:

    backbones: [tiny]
    tasks: [repetition, mine.jsonl]
    methods: [zero-shot, Start_2, Start_1+Comma_1]
    seeds: 10                        # or a list
    training: {steps: 300, batch_size: 16, learning_rate: [0.03, 0.1]}   # each value of a list
    evaluation: {splits: [id, ood], examples: 200}
    search: {learning_rates: [0.01, 0.03, 0.1], share: 0.5}              # instead of learning_rate
    per_task: {summation: {training: {steps: 600}, methods: [Start_9]}}   # in addition
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from latent_core.errors import LatentError, SettingError, whole_number
from latent_core.grids.spec import Evaluation, RunSpec, Search, Training
from latent_core.slots.methods import Method
from latent_core.tasks.base import resolve_splits
from latent_core.tasks.table import load_task
from latent_core.wording import did_you_mean
from latent_core.yaml_file import read_yaml

__all__ = ["Grid", "read_grid"]

#: Sections of a grid.
SECTIONS: Final[dict[str, type[Training | Evaluation | Search]]] = {
    "training": Training,
    "evaluation": Evaluation,
    "search": Search,
}
#: Runs that a grid may have.
MOST_RUNS: Final = 100_000
#: Training settings that may be a list: the grid then has runs with each of the values.
TRIED: Final = (
    *("steps", "batch_size", "gradient_accumulation", "learning_rate", "init", "curriculum"),
)


@dataclass(frozen=True)
class Grid:
    """A grid of runs, checked when it is made.

    Attributes:
        backbones: short names, folders or hub ids.
        tasks: names, or paths of .jsonl files.
        methods: layouts and baselines.
        seeds: training seeds; a number n stands for 0, ..., n - 1.
        training: settings of `Training`; of a list, each value is tried.
        evaluation: settings of `Evaluation`.
        search: settings of `Search`, which then chooses learning rate and steps; empty for none.
        per_task: task name -> the three sections again, for a task that needs other values, and
            `methods` that this task has in addition.
        dtype: data type of the backbone's weights, as in `load_backbone`.

    Raises:
        SettingError: if a name is unknown or a value is out of its range; the error has the fix.

    Example:
        >>> import latent_core as lc
        >>> grid = lc.Grid(["tiny"], ["repetition"], ["Start_2", "zero-shot"], seeds=2)
        >>> [(spec.method, spec.seed) for spec in grid.specs()]
        [('Start_2', 0), ('zero-shot', 0), ('Start_2', 1)]
    """

    backbones: list[str]
    tasks: list[str]
    methods: list[str]
    seeds: list[int] | int = 1
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    per_task: dict[str, dict[str, Any]] = field(default_factory=dict)
    dtype: str = "auto"

    def __post_init__(self) -> None:
        for name in ("backbones", "tasks", "methods"):
            _check_list(name, getattr(self, name), str)
        if isinstance(self.seeds, int) and not isinstance(self.seeds, bool) and self.seeds > 0:
            whole_number("seeds", self.seeds, 1, MOST_RUNS)
            object.__setattr__(self, "seeds", list(range(self.seeds)))
        _check_list("seeds", self.seeds, int)
        for name in SECTIONS:
            _check_mapping(name, getattr(self, name))
        _check_mapping("per_task", self.per_task)
        for task, sections in self.per_task.items():
            if task not in self.tasks:
                raise SettingError(
                    f"per_task names {task!r}, which is not among the tasks: "
                    f"{', '.join(self.tasks)}"
                )
            _check_mapping(f"per_task, {task}", sections)
            _check_names(f"per_task, {task}", sections, [*SECTIONS, "methods"])
            for name, values in sections.items():
                if name == "methods":
                    _check_list(f"per_task, {task}, methods", values, str)
                else:
                    _check_mapping(f"per_task, {task}, {name}", values)
        if (runs := self._count()) > MOST_RUNS:
            raise SettingError(
                f"the grid has {runs:,} runs; expected at most {MOST_RUNS:,}: make it smaller, or "
                "divide it"
            )
        self.specs()

    def _count(self) -> int:
        """The number of runs, if every combination were one."""
        assert not isinstance(self.seeds, int)
        tried = 0
        for task in self.tasks:
            own = self.per_task.get(task, {})
            training = {**self.training, **(own.get("training") or {})}
            lengths = [len(value) for value in training.values() if isinstance(value, list)]
            methods = len(self.methods) + len(own.get("methods") or [])
            tried += methods * math.prod(max(1, length) for length in lengths)
        return len(self.backbones) * tried * len(self.seeds)

    def specs(self) -> list[RunSpec]:
        """Return every run of the grid once; a method without training has one run for all seeds.

        Runs come seed by seed, so that a grid that was stopped has the same seeds of every method.
        """
        assert not isinstance(self.seeds, int)
        seeds, found = self.seeds, dict[str, RunSpec]()
        for backbone, task in itertools.product(self.backbones, self.tasks):
            # A worker may run in another folder. Links are not resolved: they name the task.
            place = str(Path(task).absolute()) if task.endswith(".jsonl") else task
            trainings, evaluation, search = self._sections(task)
            splits = resolve_splits(load_task(task), evaluation.splits)
            evaluation = replace(evaluation, splits=list(splits))
            methods = [*self.methods, *self.per_task.get(task, {}).get("methods", [])]
            for method, training, seed in itertools.product(methods, trainings, seeds):
                parsed = Method.parse(method)
                if not parsed.trained:
                    seed = seeds[0]  # a seed changes nothing
                spec = RunSpec(
                    backbone=backbone,
                    task=place,
                    method=parsed.name,
                    seed=seed,
                    training=training if parsed.trained else None,
                    evaluation=evaluation,
                    search=search if parsed.trained else None,
                    dtype=self.dtype,
                )
                found[spec.folder] = spec
        return sorted(found.values(), key=lambda spec: seeds.index(spec.seed))

    def _sections(self, task: str) -> tuple[list[Training], Evaluation, Search | None]:
        """Return training settings, evaluation and search of one task."""
        own = self.per_task.get(task, {})
        where = f"per_task, {task}, " if own else ""
        training, evaluation, search = (
            {**getattr(self, name), **(own.get(name) or {})} for name in SECTIONS
        )
        chosen = _made(f"{where}search", Search, search) if search else None
        if chosen is not None:
            if "learning_rate" in training:
                raise SettingError(
                    "training has a learning_rate and search has learning_rates; keep one of them"
                )
            assert not isinstance(self.seeds, int)
            if shared := set(chosen.seeds) & set(self.seeds):
                raise SettingError(
                    f"search.seeds has {sorted(shared)}, which the runs use too; expected others, "
                    "so that the choice does not rest on the seeds of the results"
                )
        several = {
            name: value if isinstance(value, list) else [value] for name, value in training.items()
        }
        if bad := [name for name, value in several.items() if not value]:
            raise SettingError(f"{where}training, {bad[0]} is an empty list; expected values")
        if bad := [name for name, value in several.items() if len(value) > 1 and name not in TRIED]:
            raise SettingError(
                f"{where}training, {bad[0]} is a list; only {', '.join(TRIED)} may have several"
            )
        products = itertools.product(*several.values())
        trainings = [
            _made(f"{where}training", Training, dict(zip(several, values, strict=True)))
            for values in products
        ]
        return trainings, _made(f"{where}evaluation", Evaluation, evaluation), chosen


def read_grid(path: str | Path) -> Grid:
    """Read a grid from a YAML file.

    Args:
        path: the file. Paths of task files in it are relative to its own folder.

    Raises:
        SettingError: if the file is missing or not valid YAML, if it stands for more values than a
            grid needs, or if `Grid` refuses a setting.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> import latent_core as lc
        >>> path = pathlib.Path(tempfile.mkdtemp(), "mine.yaml")
        >>> _ = path.write_text("{backbones: [tiny], tasks: [repetition], methods: [Start_2]}")
        >>> lc.read_grid(path).methods
        ['Start_2']
    """
    path = Path(path)
    content = read_yaml(path)
    try:
        if not isinstance(content, dict):  # and what it holds is nobody's business
            raise SettingError(
                f"the file is {_kind(content)}; expected settings by name, such as seeds: 3"
            )
        _check_names("the file", content, [entry.name for entry in fields(Grid)])
        if missing := {"backbones", "tasks", "methods"} - set(content):
            raise SettingError(f"{', '.join(sorted(missing))} missing; expected a list")
        content["tasks"] = _from(path.parent, content["tasks"])
        if isinstance(content.get("per_task"), dict):
            names = _from(path.parent, list(content["per_task"]))
            content["per_task"] = dict(zip(names, content["per_task"].values(), strict=True))
        return Grid(**content)
    except LatentError as error:
        raise type(error)(f"{path}: {error}") from error


def _from(folder: Path, tasks: Any) -> Any:
    """Return task names, and paths relative to `folder`."""
    _check_list("tasks", tasks, str)
    return [str(folder / task) if task.endswith(".jsonl") else task for task in tasks]


def _made(where: str, kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Make a section. The section checks its values; this function checks the names."""
    _check_names(where, values, [entry.name for entry in fields(kind)])
    try:
        return kind(**values)
    except SettingError as error:
        raise SettingError(f"{where}: {error}") from error


def _check_names(where: str, values: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in values:
        if name not in set(known):
            hint = did_you_mean(str(name), known)
            raise SettingError(
                f"{where}: unknown setting {name!r:.40}{hint} Expected some of {', '.join(known)}"
            )


def _check_mapping(where: str, value: Any) -> None:
    if not isinstance(value, dict):
        found = "empty" if value is None else _shown(value)
        raise SettingError(f"{where} is {found}; expected settings by name, such as steps: 300")


def _check_list(where: str, value: Any, kind: type) -> None:
    """Check that a value is a list of one kind, not empty and without repeats."""
    what = {str: "names", int: "whole numbers"}[kind]
    if not isinstance(value, list) or not value:
        raise SettingError(f"{where} is {_shown(value)}; expected a list of {what}")
    for entry in value:
        if not isinstance(entry, kind) or isinstance(entry, bool):
            raise SettingError(
                f"{where} has {_shown(entry)}; expected {what} (put text into quotes)"
            )
    if len(set(value)) < len(value):
        raise SettingError(f"{where} has a value twice: {_shown(value)}")


def _shown(value: Any) -> str:
    """A value as an error shows it."""
    return f"{value!r:.80}"


def _kind(value: Any) -> str:
    names = {dict: "settings by name", list: "a list", str: "text", type(None): "empty"}
    return names.get(type(value), f"of type {type(value).__name__}")
