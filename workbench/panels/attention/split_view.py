"""Attention and causal effects over the examples of a split: what is computed, and its heat maps.

It knows no widgets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import pandas as pd

from latent_core.analysis.mean_attention import DIRECTIONS, AttentionMasses, attention_masses
from latent_core.analysis.mean_effect import mean_effect, single_latents
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.latent import LatentModel
from latent_core.tasks.base import Example, Task
from workbench.pictures.heat_map import Axis, HeatMap, largest_of
from workbench.responses import fitting

__all__ = [
    "QUERIES",
    "SWEEPS",
    "SplitQuestion",
    "SplitView",
    "Sweep",
    "measure_attention",
    "measure_effects",
]

Sweep = Literal["groups by layer", "latents by layer", "heads by layer"]
SWEEPS: Final[tuple[Sweep, ...]] = ("groups by layer", "latents by layer", "heads by layer")
#: The queries whose edges onto latents are cut, by direction.
QUERIES: Final = {DIRECTIONS[0]: "verbal", DIRECTIONS[2]: "latents"}
_ROLE: Final = "occurrence_role"


@dataclass(frozen=True)
class SplitQuestion:
    """What is averaged.

    Attributes:
        adapter: name of the model.
        intervention: the part of the session's that fits the model, as text.
        near, far: two splits; `far` is empty for one alone.
        examples: of each split.
    """

    adapter: str
    intervention: str
    near: str
    far: str
    examples: int

    @property
    def splits(self) -> tuple[str, ...]:
        """One split or two."""
        return (self.near, self.far) if self.far else (self.near,)

    @property
    def name(self) -> str:
        """The model, and its intervention if there is one."""
        under = "" if self.intervention == "none" else f" under {self.intervention}"
        return f"{self.adapter}{under}"


def measure_attention(
    model: LatentModel, task: Task, question: SplitQuestion
) -> tuple[AttentionMasses, ...]:
    """The attention of each example, split by split."""
    with fitting(model, parse_intervention(question.intervention))[0].on(model):
        return tuple(
            attention_masses(model, task, split, question.examples, progress=False)
            for split in question.splits
        )


def measure_effects(
    model: LatentModel, task: Task, question: SplitQuestion, sweep: Sweep, group: str, queries: str
) -> pd.DataFrame:
    """The mean effect of cutting edges, split by split.

    Args:
        model, task: of the session.
        question: the splits and the number of examples.
        sweep: what is cut at a time; `heads by layer` cuts edges onto `group` alone.
        group: a latent group.
        queries: whose edges are cut: `verbal`, `latents` or `all`.

    Returns:
        the frame of `mean_effect`, with a column `split` in front.
    """
    with fitting(model, parse_intervention(question.intervention))[0].on(model):
        groups = {
            "groups by layer": None,
            "latents by layer": single_latents(model),
            "heads by layer": [group],
        }[sweep]
        heads: Literal["each"] | None = "each" if sweep == "heads by layer" else None
        frames = [
            mean_effect(
                model,
                task,
                split,
                question.examples,
                groups=groups,
                heads=heads,
                queries=queries,
                progress=False,
            ).assign(split=split)
            for split in question.splits
        ]
    frame = pd.concat(frames, ignore_index=True)
    return pd.DataFrame({"split": frame.pop("split")}).join(frame)


@dataclass(frozen=True, eq=False)
class SplitView:
    """Heat maps of what was measured.

    Attributes:
        question: what was averaged.
        masses: one or two splits.
        group, role, direction: the edges that are shown.
        effects: of `measure_effects`, if they were measured.
    """

    question: SplitQuestion
    masses: tuple[AttentionMasses, ...]
    group: str
    role: str
    direction: str
    effects: pd.DataFrame | None = None
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def prepare(self) -> None:
        """Compute the intervals of all cells now, so that drawing is quick."""
        self._all()

    def _all(self) -> dict[str, pd.DataFrame]:
        """All cells, whatever is shown; a view of other cells of the same splits shares them."""
        if not self._tables:
            question = self.question
            for split, masses in zip(question.splits, self.masses, strict=True):
                self._tables[split] = masses.frame()
            if question.far:
                near, far = self.masses
                self._tables[f"{question.far} - {question.near}"] = far.minus(near)
        return self._tables

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The cells that are shown, by what they are of: each split, and their difference."""
        return {what: self._chosen(frame) for what, frame in self._all().items()}

    def maps(self) -> list[HeatMap]:
        """(H, L) of each split, in one scale of colours, and of their difference."""
        frames = self.frames
        means = [_grid(frame, "mean") for frame in frames.values()]
        count = len(self.question.splits)
        shared = largest_of(*means[:count])
        return [
            self._map(what, frame, mean, number >= count, shared)
            for number, ((what, frame), mean) in enumerate(zip(frames.items(), means, strict=True))
        ]

    def effect_maps(self) -> list[HeatMap]:
        """The mean effect by group, latent or head, and layer, split by split."""
        if self.effects is None:
            return []
        largest = largest_of(self.effects["mean"].to_numpy(float))
        return [
            self._effect_map(str(split), part, largest)
            for split, part in self.effects.groupby("split", sort=False)
        ]

    def strongest(self, layer: int, head: int, most: int = 5) -> list[tuple[str, Example, float]]:
        """The examples that contribute most to a cell: split, example and mass, largest first."""
        found = []
        for split, masses in zip(self.question.splits, self.masses, strict=True):
            values = masses.of(layer, head, self.group, self.role, self.direction)
            pairs = zip(masses.examples, values, strict=True)
            found += [(split, example, float(v)) for example, v in pairs if np.isfinite(v)]
        return sorted(found, key=lambda one: -one[2])[:most]

    def table(self) -> pd.DataFrame:
        """All cells that are shown; `view` tells attention, difference and effect apart."""
        parts = [frame.assign(view=what) for what, frame in self.frames.items()]
        if self.effects is not None:
            parts.append(self.effects.assign(view="effect " + self.effects["split"]))
        frame = pd.concat(parts, ignore_index=True).drop(columns="split", errors="ignore")
        about = {"view": frame.pop("view"), "model": self.question.name}
        return pd.DataFrame(about).join(frame)

    def _chosen(self, frame: pd.DataFrame) -> pd.DataFrame:
        same = (frame["group"] == self.group) & (frame["direction"] == self.direction)
        return frame[same & (frame[_ROLE] == self.role)].reset_index(drop=True)

    def _map(
        self, what: str, frame: pd.DataFrame, mean: np.ndarray, signed: bool, shared: float
    ) -> HeatMap:
        rows, columns = sorted(frame["head"].unique()), sorted(frame["layer"].unique())
        count = int(frame["examples"].min())
        return HeatMap(
            mean,
            Axis("head", [str(head) for head in rows], numbers=[int(head) for head in rows]),
            Axis("layer", [str(layer) for layer in columns], numbers=[int(n) for n in columns]),
            f"{self.question.name}, {what}: {self.direction}, {self.group}, {self.role}, "
            f"mean of {count} examples",
            "difference" if signed else "weight",
            signed,
            largest_of(mean) if signed else shared,
            uncertain=_holds_zero(frame, "head") if signed else None,
        )

    def _effect_map(self, split: str, part: pd.DataFrame, largest: float) -> HeatMap:
        by_head = part["head"].notna().any()
        side = "head" if by_head else "group"
        names = [str(name) for name in dict.fromkeys(part[side])]
        layers = sorted(part["layer"].unique())
        what = f"onto {self.group}, head by head" if by_head else "in one layer"
        return HeatMap(
            _grid(part, "mean", side),
            Axis("head" if by_head else "latents", names),
            Axis("layer", [str(layer) for layer in layers], numbers=[int(n) for n in layers]),
            f"{self.question.name}, {split}: change of log p(answer) with edges cut {what}",
            "nats",
            True,
            largest,
            uncertain=_holds_zero(part, side),
        )


def _grid(frame: pd.DataFrame, value: str, rows: str = "head") -> np.ndarray:
    """(rows, layers) of one column."""
    table = frame.pivot(index=rows, columns="layer", values=value)
    return table.loc[list(dict.fromkeys(frame[rows]))].to_numpy(np.float32)


def _holds_zero(frame: pd.DataFrame, rows: str) -> np.ndarray:
    """(rows, layers), where the interval holds zero, or is not known."""
    apart = (_grid(frame, "low", rows) > 0) | (_grid(frame, "high", rows) < 0)
    return ~apart
