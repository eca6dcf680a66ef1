"""Helpers of interventions on tokens: the latents that they hit, and new rows for those."""

from __future__ import annotations

from collections.abc import Callable

from latent_core.errors import SettingError
from latent_core.interventions.base import at_least
from latent_core.interventions.scene import Scene
from latent_core.slots.placement import RowOf
from latent_core.slots.selection import Selection

__all__ = ["Hit", "borrow", "edited", "hit_by", "refuse_computed"]

Hit = Callable[[int, int, int, int], bool]
"""Whether an intervention means a latent: by group number, member, occurrence and step."""


def hit_by(scene: Scene, latents: str, from_step: int, after: int | None = None) -> Hit:
    """The latents of a selection, from a step and after some occurrences on."""
    at_least("from_step", from_step, 0)
    at_least("after", after, 0)
    has = Selection.parse(latents, scene.layout, latents_only=True).has
    first = after or 0

    def hit(group: int, member: int, occurrence: int, step: int) -> bool:
        return step >= from_step and occurrence >= first and has(group, member, occurrence)

    return hit


def refuse_computed(scene: Scene, latents: str, what: str) -> None:
    """Refuse an intervention that changes vectors, of latents that have none.

    Raises:
        SettingError: if a selected latent is computed.
    """
    for group, member in Selection.parse(latents, scene.layout, latents_only=True).members(
        scene.layout
    ):
        if scene.layout.groups[group].computed and scene.computes(scene.rows(group, member, 0, 0)):
            raise SettingError(
                f"{what} changes vectors, but those of {scene.layout.groups[group]} are computed "
                "while the model runs; expected drop, replace or knock_out, or learned latents"
            )


def edited(scene: Scene, hit: Hit, edit: RowOf) -> Scene:
    """The scene in which `edit` gives the rows of the latents that are hit, unless dropped."""
    rows = scene.rows

    def new(group: int, member: int, occurrence: int, step: int) -> int | None:
        row = rows(group, member, occurrence, step)
        if row is None or not hit(group, member, occurrence, step):
            return row
        return edit(group, member, occurrence, step)

    return scene.with_rows(new)


def borrow(rows: RowOf, other: int, count: int) -> RowOf:
    """Rows of another group's latents, which repeat where it has fewer."""
    return lambda group, member, occurrence, step: rows(other, member % count, occurrence, step)
