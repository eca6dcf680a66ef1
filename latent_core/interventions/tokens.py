"""Interventions on the latents themselves: which are placed, where, and what vector each reads.

All but `Recount`, `Move` and `Positions` are a new map from latents to rows of a table that edits
extend. With `from_step=n` they act on latents that are placed once n response tokens stand.

Knows scenes; no attention.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from latent_core.adapter import read_adapter
from latent_core.embedding import initial_rows
from latent_core.errors import AdapterError, LayoutError, SettingError
from latent_core.insertion import RowOf
from latent_core.interventions.base import Intervention, at_least
from latent_core.interventions.edges import Cut, NearestRule
from latent_core.interventions.scene import Scene
from latent_core.interventions.selection import Selection
from latent_core.interventions.text import split
from latent_core.layout import Before, LatentGroup, LatentLayout

__all__ = ["Drop", "Move", "Positions", "Recount", "Replace", "Scale", "Shuffle", "Swap"]

Hit = Callable[[int, int, int, int], bool]


def _hit(scene: Scene, latents: str, from_step: int, after: int | None = None) -> Hit:
    """Whether an intervention means a latent: by group, member, occurrence and step."""
    at_least("from_step", from_step, 0)
    at_least("after", after, 0)
    has = Selection.parse(latents, scene.layout, latents_only=True).has
    first = after or 0

    def hit(group: int, member: int, occurrence: int, step: int) -> bool:
        return step >= from_step and occurrence >= first and has(group, member, occurrence)

    return hit


def _edited(scene: Scene, hit: Hit, edit: RowOf) -> Scene:
    """The scene in which `edit` gives the rows of the latents that are hit, unless dropped."""
    rows = scene.rows

    def edited(group: int, member: int, occurrence: int, step: int) -> int | None:
        row = rows(group, member, occurrence, step)
        if row is None or not hit(group, member, occurrence, step):
            return row
        return edit(group, member, occurrence, step)

    return scene.with_rows(edited)


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
    """

    verb: ClassVar[str] = "drop"
    latents: str
    after: int | None = None
    nearest: int | None = None
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        hit = _hit(scene, self.latents, self.from_step, self.after)
        if self.nearest is None:
            return _edited(scene, hit, lambda *latent: None)
        if self.after is not None:
            raise SettingError(f"{self}: expected either after=... or nearest=..., not both")
        at_least("nearest", self.nearest, 1)
        selection = Selection.parse(self.latents, scene.layout, latents_only=True)
        return scene.with_flow(Cut((NearestRule(selection, self.nearest, self.from_step),)))


@dataclass(frozen=True)
class Replace(Intervention):
    """Give latents other vectors: `replace(Comma, random, seed=1)`, `replace(Comma, Start)`.

    Attributes:
        latents: a selection of latents.
        by: `zero`; `random`, a random direction of each one's own norm; `mean`, the mean of the
            vocabulary's embeddings; `vocab`, random tokens' embeddings; `gaussian`, the
            vocabulary's mean and spread; `text:WORDS`, the embeddings of those words; the name of
            another group; or `adapter:FOLDER`, the group of the same name there.
        seed: of what is random.
        after: only occurrences after so many.
        from_step: only from so many response tokens on.
    """

    verb: ClassVar[str] = "replace"
    latents: str
    by: str
    seed: int = 0
    after: int | None = None
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        hit = _hit(scene, self.latents, self.from_step, self.after)
        groups = scene.layout.groups
        rows = scene.rows
        if self.by in {group.name for group in groups}:
            other = groups.index(scene.layout.group(self.by))
            return _edited(scene, hit, _borrow(rows, other, groups[other].count))
        if self.by == "random":
            scene, first = scene.with_vectors(_random_like(scene.vectors, self.seed))
            return _edited(scene, hit, lambda *latent: _shift(rows(*latent), first))
        if self.by == "zero":
            scene, zero = scene.with_vectors(torch.zeros(1, scene.vectors.shape[1]))
            return _edited(scene, hit, lambda *latent: zero)
        chosen = {
            group for group, _ in Selection.parse(self.latents, scene.layout).members(scene.layout)
        }
        firsts, counts = {}, {}
        for number, vectors in self._vectors(scene, sorted(chosen)).items():
            scene, firsts[number] = scene.with_vectors(vectors)
            counts[number] = len(vectors)
        return _edited(scene, hit, lambda g, m, o, s: firsts[g] + m % counts[g])

    def _vectors(self, scene: Scene, numbers: list[int]) -> dict[int, Tensor]:
        """By group number, (count, D)."""
        groups = [scene.layout.groups[number] for number in numbers]
        kind, _, rest = self.by.partition(":")
        if kind == "adapter" and rest:
            config, tables = read_adapter(rest)
            backbone = scene.backbone
            if config.backbone_fingerprint != backbone.fingerprint:
                raise AdapterError(
                    f"{rest} was made for backbone {config.backbone}; expected {backbone.name}, "
                    "as the model has"
                )
            theirs = LatentLayout.parse(config.layout)
            found = {}
            for number, group in zip(numbers, groups, strict=True):
                table = tables["tied" if theirs.tied else theirs.group(group.name).name]
                found[number] = table
            return found
        if kind not in ("mean", "vocab", "gaussian", "text"):
            names = ", ".join(group.name for group in scene.layout.groups)
            raise SettingError(
                f"cannot replace by {self.by!r}; expected zero, random, mean, vocab, gaussian, "
                f"text:WORDS, adapter:FOLDER or another group of this layout ({names})"
            )
        tokenizer = scene.backbone.tokenizer
        special = set(tokenizer.all_special_ids)
        size = min(len(tokenizer), scene.backbone.vocabulary_size)
        ordinary = [token_id for token_id in range(size) if token_id not in special]
        drawn = initial_rows(
            LatentLayout(tuple(groups)),
            scene.backbone.embed,
            torch.tensor(ordinary, device=scene.backbone.device),
            self.by,
            self.seed,
            lambda text: tokenizer(text, add_special_tokens=False)["input_ids"],
        )
        return {n: drawn[group.name] for n, group in zip(numbers, groups, strict=True)}


@dataclass(frozen=True)
class Scale(Intervention):
    """Multiply latents' vectors: `scale(Start, 0.5)`.

    Attributes:
        latents: a selection of latents.
        factor: what to multiply by.
        after: only occurrences after so many.
        from_step: only from so many response tokens on.
    """

    verb: ClassVar[str] = "scale"
    latents: str
    factor: float
    after: int | None = None
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        hit, rows = _hit(scene, self.latents, self.from_step, self.after), scene.rows
        scene, first = scene.with_vectors(scene.vectors * self.factor)
        return _edited(scene, hit, lambda *latent: _shift(rows(*latent), first))


@dataclass(frozen=True)
class Shuffle(Intervention):
    """Deal the vectors of latents out anew: `shuffle(Comma)`, `shuffle(latents)`.

    Attributes:
        latents: a selection; vectors move between all the latents it chooses, across groups too.
        of: `members`: one cyclic order for the whole run, in which no latent keeps its vector.
            `occurrences`: a random order for each occurrence.
        seed: of the order.
        from_step: only from so many response tokens on.
    """

    verb: ClassVar[str] = "shuffle"
    latents: str
    of: Literal["members", "occurrences"] = "members"
    seed: int = 0
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        if self.of not in ("members", "occurrences"):
            raise SettingError(f"of is {self.of!r}; expected members or occurrences")
        hit, rows = _hit(scene, self.latents, self.from_step), scene.rows
        selection = Selection.parse(self.latents, scene.layout, latents_only=True)
        chosen = tuple(selection.members(scene.layout))

        @lru_cache(maxsize=4096)
        def order(occurrence: int) -> dict[tuple[int, int], tuple[int, int]]:
            if self.of == "members":
                ring = random.Random(self.seed).sample(chosen, len(chosen))
                return dict(zip(ring, ring[1:] + ring[:1], strict=True))
            rng = random.Random(f"{self.seed}|{occurrence}")
            return dict(zip(chosen, rng.sample(chosen, len(chosen)), strict=True))

        def dealt(group: int, member: int, occurrence: int, step: int) -> int | None:
            key = occurrence if self.of == "occurrences" else 0
            return rows(*order(key)[group, member], occurrence, step)

        return _edited(scene, hit, dealt)


@dataclass(frozen=True)
class Swap(Intervention):
    """Two groups exchange their vectors, and keep their places: `swap(Start, Comma)`.

    Where the counts differ, the shorter group's vectors repeat.

    Attributes:
        a, b: two groups.
        from_step: only from so many response tokens on.
    """

    verb: ClassVar[str] = "swap"
    a: str
    b: str
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        layout, rows = scene.layout, scene.rows
        a, b = (layout.groups.index(layout.group(name)) for name in (self.a, self.b))
        other = {a: b, b: a}

        def exchanged(group: int, member: int, occurrence: int, step: int) -> int | None:
            return _borrow(rows, other[group], layout.groups[other[group]].count)(
                group, member, occurrence, step
            )

        at_least("from_step", self.from_step, 0)
        return _edited(scene, lambda g, m, o, s: g in other and s >= self.from_step, exchanged)


@dataclass(frozen=True)
class Recount(Intervention):
    """Change how many latents a group places: `recount(Comma, 1)`.

    Fewer: its first ones. More: its vectors in turn.

    Attributes:
        group: a group.
        count: latents per occurrence, at least 1 (`drop` for none).
    """

    verb: ClassVar[str] = "recount"
    group: str
    count: int

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        at_least("count", self.count, 1)
        group, rows = scene.layout.group(self.group), scene.rows
        number = scene.layout.groups.index(group)
        scene = _with_group(scene, number, replace(group, count=self.count))

        def recounted(g: int, member: int, occurrence: int, step: int) -> int | None:
            return rows(g, member % group.count if g == number else member, occurrence, step)

        return scene.with_rows(recounted)


@dataclass(frozen=True)
class Move(Intervention):
    """Put a group's latents elsewhere: `move(Comma, to=8)`, `move(Start, to=End)`.

    The group is called by its new place from then on. Which slot predicts stays as it was where the
    place admits it, or is said: `move(Start, to=Start@verbal)`.

    Attributes:
        group: a group.
        to: a place in the notation of layouts, without a count.
    """

    verb: ClassVar[str] = "move"
    group: str
    to: str

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        group = scene.layout.group(self.group)
        place, at, predict = self.to.rpartition("@")
        if not at or predict not in ("latent", "verbal"):
            place, predict = self.to, ""
        if len(split(place, "+")) != 1 or place == "none":
            raise LayoutError(f"cannot move to {self.to!r}; expected one place, such as Comma or 8")
        suffix = f"@{predict}" if predict else ""
        (moved,) = LatentLayout.parse(f"{place}_{group.count}{suffix}").groups
        if not predict and not isinstance(moved.place, Before):
            moved = replace(moved, predict_from=group.predict_from)
        return _with_group(scene, scene.layout.groups.index(group), moved)


@dataclass(frozen=True)
class Positions(Intervention):
    """Number slots by another scheme: `positions(sequential)`.

    Attributes:
        scheme: `shared` or `sequential`, as in a layout.
    """

    verb: ClassVar[str] = "positions"
    scheme: Literal["shared", "sequential"]

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        if self.scheme not in ("shared", "sequential"):
            raise SettingError(f"scheme is {self.scheme!r}; expected shared or sequential")
        return scene.with_layout(replace(scene.layout, positions=self.scheme))


def _with_group(scene: Scene, number: int, group: LatentGroup) -> Scene:
    groups = list(scene.layout.groups)
    groups[number] = group
    return scene.with_layout(replace(scene.layout, groups=tuple(groups)))


def _borrow(rows: RowOf, other: int, count: int) -> RowOf:
    """Rows of another group's latents, which repeat where it has fewer."""
    return lambda group, member, occurrence, step: rows(other, member % count, occurrence, step)


def _shift(row: int | None, by: int) -> int | None:
    return None if row is None else row + by


def _random_like(vectors: Tensor, seed: int) -> Tensor:
    """A random vector for each (N, D), of the same norm."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(vectors.shape, generator=generator).to(vectors)
    return drawn / drawn.norm(dim=-1, keepdim=True) * vectors.norm(dim=-1, keepdim=True)
