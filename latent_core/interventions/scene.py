"""`Scene`: everything that interventions may change about a model, as one value.

An intervention maps a scene to a scene; `latent_core.interventions.running` makes a model behave as
a scene says. Knows placements and vectors; nothing of single interventions.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from latent_core.backbones.backbone import Backbone
from latent_core.slots.layout import LatentLayout, PositionScheme
from latent_core.slots.placement import RowOf, Triggers
from latent_core.slots.tables import place_rows

if TYPE_CHECKING:
    from latent_core.interventions.observer import Observer

__all__ = ["Flow", "Scene"]


class Flow(ABC):
    """A change to what happens inside the backbone, as against what stands in the slots."""

    @abstractmethod
    def enter(
        self, stack: contextlib.ExitStack, observer: Observer, backbone: Backbone, run: object
    ) -> None:
        """Start, until `stack` closes.

        Args:
            stack: closes when the block is left.
            observer: says which slots the current pass sees.
            backbone: what to hook into.
            run: the flow acts in the passes of this run only; None is the main run.
        """


@dataclass(frozen=True, eq=False)
class Scene:
    """What a model does with latents.

    Attributes:
        backbone: the backbone.
        layout: groups and places.
        triggers: token ids that fire each `Before`/`After` group.
        rows: the row of `vectors` that each latent reads, or None to leave it out.
        vectors: (N, D) fp32; the model's own latents come first, and edits only append. Rows of
            computed latents are zero.
        fillers: compute the inputs of latents, (K, D) -> (K, D); the model's own come first.
        fillers_of_row: of each row, the number of its filler; -1 for a vector.
        run_slots: the model's pass over slots whose inputs are known.
        virtual_tokens: keys and values before the first slot.
        positions: how a latent is numbered, by its step; None: as the layout says.
        flows: changes inside the backbone, in the order in which they were asked for.
        clean: the scene outside the block; None: this one.
    """

    backbone: Backbone
    layout: LatentLayout
    triggers: Triggers
    rows: RowOf
    vectors: Tensor
    fillers: tuple[nn.Module, ...]
    fillers_of_row: tuple[int, ...]
    run_slots: Callable[..., Tensor]
    virtual_tokens: int = 0
    positions: Callable[[int], PositionScheme] | None = None
    flows: tuple[Flow, ...] = ()
    clean: Scene | None = None

    def scheme(self, step: int) -> PositionScheme:
        """How a latent is numbered that is placed once `step` response tokens stand."""
        return self.layout.positions if self.positions is None else self.positions(step)

    def mix(self, inputs_embeds: Tensor, rows: Tensor) -> Tensor:
        """`inputs_embeds` (B, T, D) with the vectors that `rows` (B, T) name; -1: left alone."""
        return place_rows(inputs_embeds, rows, self.vectors)

    def computes(self, row: int | None) -> bool:
        """Whether a row is computed from the slot before."""
        return row is not None and self.fillers_of_row[row] >= 0

    def with_rows(self, rows: RowOf) -> Scene:
        """The scene with other rows."""
        return replace(self, rows=rows)

    def with_layout(self, layout: LatentLayout) -> Scene:
        """The scene with another layout; triggers of new groups are looked up."""
        triggers = {**self.backbone.place(layout).triggers}
        triggers.update((name, self.triggers[name]) for name in triggers if name in self.triggers)
        return replace(self, layout=layout, triggers=triggers)

    def with_vectors(self, more: Tensor) -> tuple[Scene, int]:
        """The scene with more vectors (K, D), and the row of the first of them."""
        vectors = torch.cat([self.vectors, more.to(self.vectors)])
        fillers = (*self.fillers_of_row, *[-1] * len(more))
        return replace(self, vectors=vectors, fillers_of_row=fillers), len(self.vectors)

    def with_copies(
        self, vectors: Tensor, filler: Callable[[int, nn.Module], nn.Module]
    ) -> tuple[Scene, int]:
        """The scene with a changed copy of every row, and the row of the first copy.

        Args:
            vectors: (N, D), what the copies hold, where they are not computed.
            filler: what computes the copy of a computed row, by the row and by what computes it.
        """
        fillers, of_row = list(self.fillers), list(self.fillers_of_row)
        for row, number in enumerate(self.fillers_of_row):
            of_row.append(-1 if number < 0 else len(fillers))
            if number >= 0:
                fillers.append(filler(row, self.fillers[number]))
        scene = replace(
            self,
            vectors=torch.cat([self.vectors, vectors.to(self.vectors)]),
            fillers=tuple(fillers),
            fillers_of_row=tuple(of_row),
        )
        return scene, len(self.vectors)

    def with_flow(self, flow: Flow) -> Scene:
        """The scene with one more change inside the backbone."""
        return replace(self, flows=(*self.flows, flow))
