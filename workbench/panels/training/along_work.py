"""A run along its training: attention, accuracy, and the length of its vectors, at each snapshot.

It knows no widgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from latent_core.analysis.mean_attention import attention_masses
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.evaluation.along import along
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.runs.snapshots import load_snapshots
from latent_core.statistics.means import summarise
from latent_core.tasks.base import Task
from latent_core.wording import counted
from workbench.levels import split_words
from workbench.panels.choosers import records_along
from workbench.panels.code import path_code, task_source
from workbench.pictures.chart import DASHES, SYMBOLS, Chart, Curve, Plot
from workbench.pictures.theme import colours_of

__all__ = ["AlongRun", "measure_along"]

#: What the name of a group's vectors begins with, among the weights of a snapshot.
_TABLES: Final = "tables.vectors."
_MOST_SPLITS: Final = 4


@dataclass(frozen=True)
class AlongQuestion:
    """The examples over which attention is averaged at each snapshot.

    Attributes:
        task: gives the examples.
        split: of which split.
        examples: how many.
    """

    task: Task
    split: str
    examples: int


def measure_along(folder: Path, backbone: Backbone, question: AlongQuestion) -> pd.DataFrame:
    """Rows of run, method, seed, step, group, mean, low, high and examples."""

    def measure(model: SteeredModel) -> pd.DataFrame:
        if not isinstance(model, LatentModel):
            raise SettingError(f"{model.method} has no latents that could be attended to")
        asked = question.task, question.split, question.examples
        return attention_masses(model, *asked, progress=False).by_group()

    return along(folder, measure, backbone=backbone)


@dataclass(frozen=True, eq=False)
class AlongRun:
    """What is known of the snapshots of one run.

    Attributes:
        folder: of the run.
        name: of its model in the session.
        question: the examples over which attention was averaged, if it was.
        attention: of `measure_along`, if it was measured.
    """

    folder: Path
    name: str
    question: AlongQuestion | None = None
    attention: pd.DataFrame | None = None

    def chart(self) -> Chart:
        """Attention, accuracy where it was measured, and vectors, each against the steps."""
        plots = [*self._attention(), *self._accuracy(), self._vectors()]
        return Chart(plots, f"{self.name} along training", height=330, legend="above")

    def table(self) -> pd.DataFrame:
        """One row per step and quantity: run, step, quantity, of, value, low, high."""
        parts = []
        for plot in self.chart().plots:
            for curve in plot.curves:
                found = {"step": curve.x, "quantity": plot.title, "of": curve.name}
                ends = {} if curve.low is None else {"low": curve.low, "high": curve.high}
                parts.append(pd.DataFrame(found | {"value": curve.y} | ends))
        frame = pd.concat(parts, ignore_index=True)
        frame.insert(0, "run", self.name)
        return frame

    def code(self) -> str:
        """Python that ends with `moved`, and with `attention` if it is shown."""
        lines = ["import latent_core as lc", "", f"run = {path_code(self.folder)}"]
        if self.question is not None:
            asked = f"{self.question.split!r}, {self.question.examples}"
            lines += [
                f"task = lc.load_task({task_source(self.question.task)!r})",
                "",
                "",
                "def measure(model):",
                f"    return lc.attention_masses(model, task, {asked}, progress=False).by_group()",
                "",
                "",
                "attention = lc.along(run, measure, progress=False)",
            ]
        return "\n".join([*lines, "moved = lc.load_snapshots(run).distances()"]) + "\n"

    def _attention(self) -> list[Plot]:
        if self.attention is None or self.question is None:
            return []
        examples = counted(self.question.examples, f"{self.question.split} example")
        parts = dict(iter(self.attention.groupby("group", sort=False)))
        tip = "step {x}: {y:.3f} onto {name}"
        return [
            Plot(
                list(_curves(parts, "mean", tip)),
                "step",
                "attention weight",
                f"Attention of text onto latents, {examples}",
                y_range=(0.0, None),
            )
        ]

    def _accuracy(self) -> list[Plot]:
        records = records_along(self.folder)
        if records is None:
            return []
        means = summarise(records, ("step", "split"), "graded")
        parts = {
            split_words(str(split)): rows for split, rows in means.groupby("split", sort=False)
        }
        shown = dict(list(parts.items())[:_MOST_SPLITS])
        tip = "step {x}: graded {y:.2f}, {name}"
        return [
            Plot(
                list(_curves(shown, "mean", tip)),
                "step",
                "accuracy",
                "Accuracy",
                None,
                (-0.03, 1.05),
            )
        ]

    def _vectors(self) -> Plot:
        frame = load_snapshots(self.folder).distances()
        names = [name.removeprefix(_TABLES) for name in frame["name"]]
        parts = dict(iter(frame.assign(name=names).groupby("name", sort=False)))
        curves = [
            *_curves(parts, "norm", "step {x}: {name} {y:.3f}", "length of "),
            *_curves(parts, "moved", "step {x}: {name} {y:.3f}", "distance moved of ", 1),
        ]
        return Plot(curves, "step", "Euclidean length", "Vectors", y_range=(0.0, None))


def _curves(
    parts: Mapping[str, pd.DataFrame], value: str, tip: str, what: str = "", dash: int = 0
) -> Iterable[Curve]:
    """One curve for each part, in the colour of its name."""
    colours = colours_of(parts)
    for number, (name, rows) in enumerate(parts.items()):
        low, high = (rows["low"], rows["high"]) if value == "mean" else (None, None)
        symbol = SYMBOLS[number % len(SYMBOLS)]
        yield Curve(
            f"{what}{name}",
            rows["step"],
            rows[value],
            colours[name],
            low=low,
            high=high,
            dash=DASHES[dash],
            symbol=symbol,
            tip=tip,
        )
