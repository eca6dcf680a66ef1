"""Interventions on latents' vectors: replace, scale, shuffle, swap.

Each is a new map from latents to rows of a table that it may extend. With `from_step=n` it acts on
latents that are placed once n response tokens stand.

Knows scenes; no attention.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from latent_core.adapters.saved import read_latents
from latent_core.errors import AdapterError, SettingError
from latent_core.interventions.base import (
    Group,
    Hit,
    Intervention,
    Slots,
    at_least,
    borrow,
    edited,
    hit_by,
    refuse_computed,
)
from latent_core.interventions.held import Along, Scaled, held_in_prompt, mean_held
from latent_core.interventions.scene import Scene
from latent_core.slots.filling import Learned
from latent_core.slots.layout import LatentLayout
from latent_core.slots.selection import Selection
from latent_core.slots.tables import initial_rows

__all__ = ["Replace", "Scale", "Shuffle", "Swap"]


@dataclass(frozen=True)
class Replace(Intervention):
    """Give latents other vectors: `replace(Comma, random, seed=1)`, `replace(Comma, Start)`.

    Attributes:
        latents: a selection of latents.
        by: `zero`; `random`, a random direction of each one's own norm; `mean`, the mean of the
            vocabulary's embeddings; `vocab`, random tokens' embeddings; `gaussian`, the
            vocabulary's mean and spread; `text:WORDS`, the embeddings of those words; the name of
            another group; or `adapter:FOLDER`, the group of the same name there. Of computed
            latents also `data:TASK`, the mean of what each holds over validation examples of a
            task, and `prompt:TEXT`, what it holds in another prompt, where that has it.
        seed: of what is random.
        after: only occurrences after so many.
        from_step: only from so many response tokens on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> change = lc.interventions.Replace("Comma", "random", seed=1)
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'replace(Comma, random, seed=1)'
    """

    verb: ClassVar[str] = "replace"
    latents: Slots
    by: str
    seed: int = 0
    after: int | None = None
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        hit = hit_by(scene, self.latents, self.from_step, self.after)
        groups = scene.layout.groups
        rows = scene.rows
        if self.by in {group.name for group in groups}:
            other = groups.index(scene.layout.group(self.by))
            return edited(scene, hit, borrow(rows, other, groups[other].count))
        if self.by == "random":
            directions = _directions(scene.vectors, self.seed)
            scene, first = scene.with_copies(
                directions * scene.vectors.norm(dim=-1, keepdim=True),
                lambda row, filler: Along(filler, directions[row]),
            )
            return edited(scene, hit, lambda *latent: _shift(rows(*latent), first))
        kind, _, rest = self.by.partition(":")
        if kind in ("data", "prompt"):
            return self._by_held(scene, hit, kind, rest)
        if self.by == "zero":
            scene, zero = scene.with_vectors(torch.zeros(1, scene.vectors.shape[1]))
            return edited(scene, hit, lambda *latent: zero)
        chosen = {
            group for group, _ in Selection.parse(self.latents, scene.layout).members(scene.layout)
        }
        firsts, counts = {}, {}
        for number, vectors in self._vectors(scene, sorted(chosen)).items():
            scene, firsts[number] = scene.with_vectors(vectors)
            counts[number] = len(vectors)
        return edited(scene, hit, lambda g, m, o, s: firsts[g] + m % counts[g])

    def _by_held(self, scene: Scene, hit: Hit, kind: str, rest: str) -> Scene:
        """What computed latents hold elsewhere, as the model is outside the block."""
        if not rest.strip():
            raise SettingError(f"{kind}: names nothing; expected data:TASK or prompt:TEXT")
        groups = scene.layout.groups
        chosen = Selection.parse(self.latents, scene.layout, latents_only=True)
        if not any(groups[number].computed for number, _ in chosen.members(scene.layout)):
            raise SettingError(
                f"{self} changes nothing: learned latents hold the same in every prompt; expected "
                "computed latents, such as End_6=hidden"
            )
        clean, rows = scene.clean or scene, scene.rows
        if kind == "data":
            means = mean_held(clean, rest)
            scene, first = scene.with_vectors(torch.stack(list(means.values())))
            places = {key: first + number for number, key in enumerate(means)}
            return edited(scene, hit, lambda g, m, o, s: places.get((g, m), rows(g, m, o, s)))
        held = held_in_prompt(clean, rest)
        if not held:
            raise SettingError(
                f"{self} changes nothing: no computed latent stands in that prompt; expected one "
                "with some"
            )
        scene, first = scene.with_vectors(torch.stack(list(held.values())))
        there = {key: first + number for number, key in enumerate(held)}
        return edited(scene, hit, lambda g, m, o, s: there.get((g, m, o), rows(g, m, o, s)))

    def _vectors(self, scene: Scene, numbers: list[int]) -> dict[int, Tensor]:
        """By group number, (count, D)."""
        groups = [replace(scene.layout.groups[number], filling=Learned()) for number in numbers]
        kind, _, rest = self.by.partition(":")
        if kind == "adapter" and rest:
            config, theirs, tables = read_latents(rest)
            backbone = scene.backbone
            fingerprint, sample = config.backbone_fingerprint, config.backbone_sample
            if found := backbone.differences_from(fingerprint, sample):
                raise AdapterError(
                    f"{rest} was made for backbone {config.backbone}; expected {backbone.name}, "
                    f"as the model has: {'; '.join(found)}"
                )
            vectors = {}
            for number, group in zip(numbers, groups, strict=True):
                table = "tied" if theirs.tied else theirs.group(group.name).name
                if table not in tables:
                    raise AdapterError(
                        f"{rest} has no vectors of {theirs.group(group.name)}; expected a learned "
                        "group"
                    )
                vectors[number] = tables[table]
            return vectors
        if kind not in ("mean", "vocab", "gaussian", "text"):
            names = ", ".join(group.name for group in scene.layout.groups)
            raise SettingError(
                f"cannot replace by {self.by!r}; expected zero, random, mean, vocab, gaussian, "
                f"text:WORDS, adapter:FOLDER, data:TASK, prompt:TEXT or another group of this "
                f"layout ({names})"
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

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> change = lc.interventions.Scale("Start", 0.5)
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'scale(Start, 0.5)'
    """

    verb: ClassVar[str] = "scale"
    latents: Slots
    factor: float
    after: int | None = None
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        if not math.isfinite(self.factor):
            raise SettingError(f"factor is {self.factor}; expected a finite number")
        hit, rows = hit_by(scene, self.latents, self.from_step, self.after), scene.rows
        scene, first = scene.with_copies(
            scene.vectors * self.factor, lambda row, filler: Scaled(filler, self.factor)
        )
        return edited(scene, hit, lambda *latent: _shift(rows(*latent), first))


@dataclass(frozen=True)
class Shuffle(Intervention):
    """Deal the vectors of latents out anew: `shuffle(Comma)`, `shuffle(latents)`.

    Attributes:
        latents: a selection; vectors move between all the latents it chooses, across groups too.
        of: `members`: one cyclic order for the whole run, in which no latent keeps its vector.
            `occurrences`: a random order for each occurrence.
        seed: of the order.
        from_step: only from so many response tokens on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_2")
        >>> change = lc.interventions.Shuffle("latents")
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'shuffle(latents)'
    """

    verb: ClassVar[str] = "shuffle"
    latents: Slots
    of: Literal["members", "occurrences"] = "members"
    seed: int = 0
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        if self.of not in ("members", "occurrences"):
            raise SettingError(f"of is {self.of!r}; expected members or occurrences")
        refuse_computed(scene, self.latents, str(self))
        hit, rows = hit_by(scene, self.latents, self.from_step), scene.rows
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

        return edited(scene, hit, dealt)


@dataclass(frozen=True)
class Swap(Intervention):
    """Two groups exchange their vectors, and keep their places: `swap(Start, Comma)`.

    Where the counts differ, the shorter group's vectors repeat.

    Attributes:
        a, b: two groups.
        from_step: only from so many response tokens on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> change = lc.interventions.Swap("Start", "Comma")
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'swap(Start, Comma)'
    """

    verb: ClassVar[str] = "swap"
    a: Group
    b: Group
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        layout, rows = scene.layout, scene.rows
        a, b = (layout.groups.index(layout.group(name)) for name in (self.a, self.b))
        for name in (self.a, self.b):
            refuse_computed(scene, name, str(self))
        other = {a: b, b: a}

        def exchanged(group: int, member: int, occurrence: int, step: int) -> int | None:
            return borrow(rows, other[group], layout.groups[other[group]].count)(
                group, member, occurrence, step
            )

        at_least("from_step", self.from_step, 0)
        return edited(scene, lambda g, m, o, s: g in other and s >= self.from_step, exchanged)


def _shift(row: int | None, by: int) -> int | None:
    return None if row is None else row + by


def _directions(vectors: Tensor, seed: int) -> Tensor:
    """A random direction for each of (N, D)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(vectors.shape, generator=generator).to(vectors)
    return drawn / drawn.norm(dim=-1, keepdim=True)
