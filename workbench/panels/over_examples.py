"""Answers of a model to many examples, without an intervention and under one.

Panels run it as a job. It knows no widgets.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import pandas as pd

from latent_core.errors import SettingError
from latent_core.evaluation.evaluate import evaluate
from latent_core.evaluation.interventions import evaluate_intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.running import InterventionWarning
from latent_core.models.latent import LatentModel
from latent_core.statistics.means import Interval, accuracy_interval, paired_difference
from latent_core.tasks.base import Example, Task
from latent_core.wording import counted
from workbench.levels import split_words
from workbench.responses import fitting
from workbench.templates import render

__all__ = [
    "ANSWERS_CODE",
    "Metric",
    "OverExamples",
    "answer_examples",
    "drawn_again",
    "over_examples_html",
    "over_examples_table",
    "tested_splits",
]

Metric = Literal["graded", "exact"]

#: What the code of a panel calls for such answers; `task` has to be defined.
ANSWERS_CODE: Final = """\
def answers(model, intervention, splits, examples):
    with lc.parse_intervention(intervention).on(model):
        return lc.evaluate(model, task, splits, examples)
"""


class Row(NamedTuple):
    """One line of a summary."""

    split: str
    clean: Interval
    changed: Interval | None
    difference: Interval | None


@dataclass(frozen=True, eq=False)
class OverExamples:
    """The answers of one model.

    Attributes:
        name: of the model.
        intervention: the part of the intervention that fits the model, as text; `none` for none.
        records: of `evaluate`, with `method` the text of the intervention, and `seed`.
        left_out: the parts that do not fit the model, and why, a sentence each.
        notes: what there is to say of the intervention, such as that it changed nothing.
    """

    name: str
    intervention: str
    records: pd.DataFrame
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """What there is to say of the intervention, a line each, each once."""
        lines = (text.split("\n", 1)[0] for text in (*self.left_out, *self.notes))
        return tuple(dict.fromkeys(lines))

    def of(self, intervention: str) -> pd.DataFrame:
        """The records under one intervention, which may be `none`."""
        return self.records[self.records["method"] == intervention]

    def rows(self, metric: Metric = "graded") -> list[Row]:
        """By split: accuracy without and with the intervention, and the paired difference."""
        found = []
        for split, part in self.records.groupby("split", sort=False):
            clean = accuracy_interval(part[part["method"] == "none"], metric)
            changed = difference = None
            if self.intervention != "none":
                changed = accuracy_interval(part[part["method"] == self.intervention], metric)
                difference = paired_difference(part, self.intervention, "none", metric)
            found.append(Row(str(split), clean, changed, difference))
        return found


def over_examples_table(found: Sequence[OverExamples], metric: Metric = "graded") -> pd.DataFrame:
    """One row per model and split.

    Returns:
        model, intervention, split, clean, changed, difference (changed - clean, paired by example),
        each also with `low` and `high`, and examples.
    """
    rows = []
    for one in found:
        for row in one.rows(metric):
            cells: dict[str, object] = {"model": one.name, "intervention": one.intervention}
            cells["split"] = row.split
            for name in ("clean", "changed", "difference"):
                interval: Interval | None = getattr(row, name)
                if interval is not None:
                    cells |= {name: interval.mean, f"{name} low": interval.low}
                    cells |= {f"{name} high": interval.high}
            rows.append(cells | {"examples": row.clean.records})
    return pd.DataFrame(rows)


def over_examples_html(found: Sequence[OverExamples], metric: Metric = "graded") -> str:
    """The same as a table to read; a difference whose interval leaves out zero is bold."""
    changes = dict.fromkeys(one.intervention for one in found if one.intervention != "none")
    found_rows = [(one.name, row) for one in found for row in one.rows(metric)]
    rows = [
        {
            "model": name,
            "split": split_words(row.split),
            "clean": _words(row.clean, ".2f"),
            "changed": _words(row.changed, ".2f"),
            "difference": _words(row.difference, "+.2f"),
            "differs": row.difference is not None
            and not row.difference.low <= 0 <= row.difference.high,
        }
        for name, row in found_rows
    ]
    most = max(row.clean.records for _, row in found_rows)
    caption = f"{counted(most, 'example')} per split, 95 % intervals over examples of one adapter"
    if changes:
        caption += f"; changed by {', '.join(changes)}"
    values = {"caption": caption, "metric": metric, "changed": bool(changes), "rows": rows}
    return render("panels/over_examples.html", **values)


def _words(interval: Interval | None, form: str) -> str:
    """`0.62 [0.50, 0.74]`; a dash where there is none."""
    if interval is None:
        return "-"
    mean, low, high = (round(n, 2) + 0.0 for n in (interval.mean, interval.low, interval.high))
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def tested_splits(task: Task) -> list[str]:
    """The splits of a task that no training has seen.

    Raises:
        SettingError: if there is none.
    """
    splits = [name for name in task.splits if name not in ("train", "validation")]
    if not splits:
        raise SettingError(f"task {task.name!r} has no split to test on; expected id or ood-N")
    return splits


def answer_examples(
    name: str,
    model: LatentModel,
    task: Task,
    splits: Sequence[str],
    examples: int,
    intervention: str = "none",
) -> OverExamples:
    """Answer examples of some splits, and again under the parts of an intervention that fit.

    Args:
        name: of the model.
        model: the model; it is left as it was.
        task: examples and verifier.
        splits: names of splits.
        examples: per split; both answer the same ones.
        intervention: its text form.
    """
    fits, left_out = fitting(model, parse_intervention(intervention))
    applied = str(fits)
    if applied == "none":
        frame = evaluate(model, task, splits, examples, progress=False)
        return OverExamples(name, applied, frame.assign(method="none", seed=0), left_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InterventionWarning)  # the column `note` says the same
        frame = evaluate_intervention(model, task, fits, splits, examples, progress=False)
    notes = tuple(dict.fromkeys(note for note in frame["note"] if note))
    return OverExamples(name, applied, frame, left_out, notes)


def drawn_again(task: Task, record: Mapping[str, Any], seed: int) -> Example | None:
    """The example that a record answers, as its task draws it; None if it draws another one now.

    Args:
        task: of the record.
        record: split, example (its number), key, and level where it has one.
        seed: that drew it.
    """
    split, number = str(record["split"]), int(record["example"])
    if split not in task.splits:
        return None
    drawn = task.examples(split, number + 1, seed)
    if len(drawn) <= number:
        return None
    found = drawn[number]
    known = (str(record.get("key", "")), record.get("level", found.level))
    return found if (found.key, found.level) == known else None
