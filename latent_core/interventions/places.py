"""Interventions on where latents are: drop, recount, move, and the numbering of slots.

Knows scenes, and of attention only that `drop(..., nearest=n)` hides latents from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from latent_core.errors import SettingError
from latent_core.interventions.base import (
    Group,
    Intervention,
    Place,
    Slots,
    at_least,
    edited,
    hit_by,
)
from latent_core.interventions.flow import Cut, NearestRule
from latent_core.interventions.scene import Scene
from latent_core.slots.layout import LatentGroup, PositionScheme
from latent_core.slots.selection import Selection

__all__ = ["Drop", "Move", "Positions", "Recount"]


@dataclass(frozen=True)
class Drop(Intervention):
    """Leave latents out: `drop(Comma)`, `drop(Comma.0)`, `drop(Comma, after=3)`.

    Attributes:
        latents: a selection, such as `Comma`, `Comma.1`, `Comma@2` or `latents`.
        after: only occurrences after so many.
        nearest: each slot sees only so many occurrences of each group, the nearest before it (and
            its own). These latents are placed, since each is the nearest at first, and hidden from
            then on.
        from_step: only from so many response tokens on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> with lc.interventions.Drop("Comma", after=1).on(model):
        ...     (answer,) = model.generate("1,2,", max_new_tokens=1, return_details=True)
        >>> [slot.label for slot in answer.slots[:5]]
        ['Start.0', '1', 'Comma.0', ',', '2']
    """

    verb: ClassVar[str] = "drop"
    latents: Slots
    after: int | None = None
    nearest: int | None = None
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        hit = hit_by(scene, self.latents, self.from_step, self.after)
        if self.nearest is None:
            return edited(scene, hit, lambda *latent: None)
        if self.after is not None:
            raise SettingError(f"{self}: expected either after=... or nearest=..., not both")
        at_least("nearest", self.nearest, 1)
        selection = Selection.parse(self.latents, scene.layout, latents_only=True)
        return scene.with_flow(Cut((NearestRule(selection, self.nearest, self.from_step),)))


@dataclass(frozen=True)
class Recount(Intervention):
    """Change how many latents a group places: `recount(Comma, 1)`.

    Fewer: its first ones. More: its vectors in turn.

    Attributes:
        group: a group.
        count: latents per occurrence, at least 1 (`drop` for none).
        from_step: only from so many response tokens on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> with lc.interventions.Recount("Comma", 2).on(model):
        ...     (answer,) = model.generate("1,2,", max_new_tokens=1, return_details=True)
        >>> [slot.label for slot in answer.slots[:5]]
        ['Start.0', '1', 'Comma.0', 'Comma.1', ',']
    """

    verb: ClassVar[str] = "recount"
    group: Group
    count: int
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        at_least("count", self.count, 1)
        at_least("from_step", self.from_step, 0)
        group, rows = scene.layout.group(self.group), scene.rows
        number = scene.layout.groups.index(group)
        most = max(self.count, group.count) if self.from_step else self.count
        scene = _with_group(scene, number, replace(group, count=most))

        def recounted(g: int, member: int, occurrence: int, step: int) -> int | None:
            if g != number:
                return rows(g, member, occurrence, step)
            count = self.count if step >= self.from_step else group.count
            return rows(g, member % group.count, occurrence, step) if member < count else None

        return scene.with_rows(recounted)


@dataclass(frozen=True)
class Move(Intervention):
    """Put a group's latents elsewhere: `move(Comma, to=8)`, `move(Start, to=End)`.

    The group is called by its new place from then on. Which slot predicts stays as it was where the
    place admits it, or is said: `move(Start, to=Start@verbal)`.

    Attributes:
        group: a group.
        to: a place in the notation of layouts, without a count.
        from_step: only from so many response tokens on; the group keeps its name before that.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> with lc.interventions.Move("Comma", to="2").on(model):
        ...     (answer,) = model.generate("1,2,", max_new_tokens=1, return_details=True)
        >>> [slot.label for slot in answer.slots[:4]]
        ['Start.0', '1', ',', '2.0']
    """

    verb: ClassVar[str] = "move"
    group: Group
    to: Place
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        at_least("from_step", self.from_step, 0)
        group = scene.layout.group(self.group)
        number, rows = scene.layout.groups.index(group), scene.rows
        moved = LatentGroup.at(self.to, group.count, group.predict_from)
        moved = replace(moved, filling=group.filling)
        if self.from_step == 0:
            return _with_group(scene, number, moved)
        groups = (*scene.layout.groups, moved)
        scene = scene.with_layout(replace(scene.layout, groups=groups))

        def split_up(g: int, member: int, occurrence: int, step: int) -> int | None:
            late = step >= self.from_step
            if g == len(groups) - 1:
                return rows(number, member, occurrence, step) if late else None
            return None if g == number and late else rows(g, member, occurrence, step)

        return scene.with_rows(split_up)


@dataclass(frozen=True)
class Positions(Intervention):
    """Number slots by another scheme: `positions(sequential)`.

    Attributes:
        scheme: `shared` or `sequential`, as in a layout.
        from_step: only for latents from so many response tokens on; numbers go on from there.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> with lc.interventions.Positions("sequential").on(model):
        ...     (answer,) = model.generate("1,2,", max_new_tokens=1, return_details=True)
        >>> [slot.position_id for slot in answer.slots[:4]]
        [0, 1, 2, 3]
    """

    verb: ClassVar[str] = "positions"
    scheme: PositionScheme
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        if self.scheme not in ("shared", "sequential"):
            raise SettingError(f"scheme is {self.scheme!r}; expected shared or sequential")
        at_least("from_step", self.from_step, 0)
        if self.from_step == 0:
            layout = replace(scene.layout, positions=self.scheme)
            return replace(scene.with_layout(layout), positions=None)
        before = scene.scheme
        return replace(
            scene, positions=lambda step: self.scheme if step >= self.from_step else before(step)
        )


def _with_group(scene: Scene, number: int, group: LatentGroup) -> Scene:
    groups = list(scene.layout.groups)
    groups[number] = group
    return scene.with_layout(replace(scene.layout, groups=tuple(groups)))
