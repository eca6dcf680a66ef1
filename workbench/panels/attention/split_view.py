"""Attention and causal effects over the examples of a split: what is computed, and its heat maps.

It knows no widgets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
import pandas as pd

from latent_core.analysis.mean_attention import DIRECTIONS, AttentionMasses, with_and_without
from latent_core.analysis.mean_effect import mean_effect, single_latents
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.latent import LatentModel
from latent_core.tasks.base import Example, Task
from workbench.panels.attention.view import SCALES
from workbench.pictures.heat_map import Axis, HeatMap, largest_of, nothing
from workbench.responses import fitting

__all__ = [
    "QUERIES",
    "SWEEPS",
    "SplitEffects",
    "SplitQuestion",
    "SplitView",
    "Sweep",
    "arrow",
    "measure_attention",
    "measure_effects",
]

#: Masses with the first slot as a key, and without it.
WithAndWithout = tuple[AttentionMasses, AttentionMasses]
Sweep = Literal["groups by layer", "latents by layer", "heads by layer"]
SWEEPS: Final[tuple[Sweep, ...]] = ("groups by layer", "latents by layer", "heads by layer")
#: The queries whose edges onto latents are cut, by direction.
QUERIES: Final = {DIRECTIONS[0]: "verbal", DIRECTIONS[2]: "latents"}
_ROLE: Final = "occurrence_role"


def arrow(direction: str) -> str:
    """A direction as the panel writes it."""
    return direction.replace("->", "→")


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


@dataclass(frozen=True, eq=False)
class SplitEffects:
    """The mean effect of cutting edges, split by split.

    Attributes:
        frame: of `mean_effect`, with a column `split` in front.
        sweep: what was cut at a time; `heads by layer` cuts edges onto `group` alone.
        group: a latent group.
        direction: of the edges, one of `QUERIES`.
    """

    frame: pd.DataFrame
    sweep: Sweep
    group: str
    direction: str

    @property
    def queries(self) -> str:
        """Whose edges were cut: `verbal`, `latents` or `all`."""
        return QUERIES[self.direction]

    def maps(self, name: str) -> list[HeatMap]:
        """(G, L) or (H, L): the mean effect by group, latent or head, and layer, split by split."""
        largest = largest_of(self.frame["mean"].to_numpy(float))
        by_head = self.sweep == "heads by layer"
        side = "head" if by_head else "group"
        edges = arrow(self.direction)
        what = f"onto {self.group} cut in one head" if by_head else "cut in one layer"
        maps = []
        for split, part in self.frame.groupby("split", sort=False):
            names = [str(name) for name in dict.fromkeys(part[side])]
            layers = sorted(part["layer"].unique())
            maps.append(
                HeatMap(
                    _grid(part, "mean", side),
                    Axis("head" if by_head else "latents", names),
                    Axis("layer", [str(n) for n in layers], numbers=[int(n) for n in layers]),
                    f"{name}, {split}: change of log p(answer) with edges {edges} {what}",
                    "nats",
                    True,
                    largest,
                    uncertain=_holds_zero(part, side),
                )
            )
        return maps


def measure_attention(
    model: LatentModel, task: Task, question: SplitQuestion
) -> tuple[WithAndWithout, ...]:
    """The attention of each example, split by split."""
    with fitting(model, parse_intervention(question.intervention))[0].on(model):
        return tuple(
            with_and_without(model, task, split, question.examples, progress=False)
            for split in question.splits
        )


def measure_effects(
    model: LatentModel,
    task: Task,
    question: SplitQuestion,
    sweep: Sweep,
    group: str,
    direction: str,
) -> SplitEffects:
    """The mean effect of cutting edges; for the arguments, see `SplitQuestion`, `SplitEffects`."""
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
                queries=QUERIES[direction],
                progress=False,
            ).assign(split=split)
            for split in question.splits
        ]
    frame = pd.concat(frames, ignore_index=True)
    frame = pd.DataFrame({"split": frame.pop("split")}).join(frame)
    return SplitEffects(frame, sweep, group, direction)


@dataclass(frozen=True, eq=False)
class SplitView:
    """Heat maps of what was measured.

    Attributes:
        question: what was averaged.
        measured: of one or two splits, with the first slot as a key and without it.
        group, role, direction: the edges that are shown.
        effects: of `measure_effects`, if they were measured.
        without_first: whether the first slot is left out as a key.
        scale: one of `SCALES`, the end of the scale of colours of weights.
        log: whether colours of weights go by powers of ten.
    """

    question: SplitQuestion
    measured: tuple[WithAndWithout, ...]
    group: str
    role: str
    direction: str
    effects: SplitEffects | None = None
    without_first: bool = False
    scale: str = SCALES[0]
    log: bool = False
    _tables: tuple[dict[str, pd.DataFrame], ...] = field(default_factory=lambda: ({}, {}))

    @property
    def masses(self) -> tuple[AttentionMasses, ...]:
        """Of one or two splits."""
        return tuple(both[self.without_first] for both in self.measured)

    def prepare(self) -> None:
        """Compute the intervals of all cells now, so that drawing is quick."""
        for without_first in (False, True):
            replace(self, without_first=without_first)._all()

    def _all(self) -> dict[str, pd.DataFrame]:
        """All cells, whatever is shown; a view of other cells of the same splits shares them."""
        tables = self._tables[self.without_first]
        if not tables:
            question = self.question
            for split, masses in zip(question.splits, self.masses, strict=True):
                tables[split] = masses.frame()
            if question.far:
                near, far = self.masses
                tables[f"{question.far} - {question.near}"] = far.minus(near)
        return tables

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The cells that are shown, by what they are of: each split, and their difference."""
        return {what: self._chosen(frame) for what, frame in self._all().items()}

    def maps(self, beside: SplitView | None = None) -> list[HeatMap]:
        """(H, L) of each split, and of their difference.

        Args:
            beside: the other model, if its splits were averaged; a shared scale covers it, too.
        """
        frames = self.frames
        means = [_grid(frame, "mean") for frame in frames.values()]
        shared = max(one._largest() for one in (self, beside) if one is not None) or 1.0
        return [
            self._map(what, frame, mean, number >= len(self.question.splits), shared)
            for number, ((what, frame), mean) in enumerate(zip(frames.items(), means, strict=True))
        ]

    def _largest(self) -> float:
        """The largest mean of a split; 0 without cells."""
        means = pd.concat([self.frames[split]["mean"] for split in self.question.splits])
        return float(means.max()) if len(means) else 0.0

    def effect_maps(self) -> list[HeatMap]:
        """See `SplitEffects.maps`; none before they are measured."""
        return [] if self.effects is None else self.effects.maps(self.question.name)

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
            cut = self.effects.frame
            parts.append(
                cut.assign(view="effect " + cut["split"], direction=self.effects.direction)
            )
        frame = pd.concat(parts, ignore_index=True).drop(columns="split", errors="ignore")
        about = {"view": frame.pop("view"), "model": self.question.name}
        return pd.DataFrame(about).join(frame)

    def _chosen(self, frame: pd.DataFrame) -> pd.DataFrame:
        same = (frame["group"] == self.group) & (frame["direction"] == self.direction)
        return frame[same & (frame[_ROLE] == self.role)].reset_index(drop=True)

    def _map(
        self, what: str, frame: pd.DataFrame, mean: np.ndarray, signed: bool, shared: float
    ) -> HeatMap:
        if frame.empty:
            return nothing()
        rows, columns = sorted(frame["head"].unique()), sorted(frame["layer"].unique())
        count = int(frame["examples"].min())
        end = {SCALES[0]: shared, SCALES[2]: 1.0}.get(self.scale, largest_of(mean))
        left_out = ", without the first slot" if self.without_first else ""
        return HeatMap(
            mean,
            Axis("head", [str(head) for head in rows], numbers=[int(head) for head in rows]),
            Axis("layer", [str(layer) for layer in columns], numbers=[int(n) for n in columns]),
            f"{self.question.name}, {what}: {arrow(self.direction)}, {self.group}, {self.role}"
            f"{left_out}, mean of {count} examples",
            "difference" if signed else "weight",
            signed,
            largest_of(mean) if signed else end,
            uncertain=_holds_zero(frame, "head") if signed else None,
            log=self.log and not signed,
        )


def _grid(frame: pd.DataFrame, value: str, rows: str = "head") -> np.ndarray:
    """(rows, layers) of one column."""
    table = frame.pivot(index=rows, columns="layer", values=value)
    return table.loc[list(dict.fromkeys(frame[rows]))].to_numpy(np.float32)


def _holds_zero(frame: pd.DataFrame, rows: str) -> np.ndarray:
    """(rows, layers), where the interval holds zero, or is not known."""
    apart = (_grid(frame, "low", rows) > 0) | (_grid(frame, "high", rows) < 0)
    return ~apart
