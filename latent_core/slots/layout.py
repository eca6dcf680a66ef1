r"""Where latent tokens go and what fills them: the string notation of arXiv 2505.12629, extended.

The notation, which is also what a user types and what `str(layout)` gives back:

| text               | place                                                             |
|--------------------|-------------------------------------------------------------------|
| `Start_m`          | m latents before the first verbal token (prompt tuning's place)   |
| `End_m`            | m latents after the prompt (the pause token's place)              |
| `Comma_m`          | m before every token with a comma, in prompt and response         |
| `8_m`              | m after every 8 verbal tokens                                     |
| `Before[=]_m`      | m before every token that contains `=`                            |
| `After[.\|!\|?]_m` | m after every token that contains `.`, `!` or `?`                 |
| `Unsure[0.5]_m`    | m before a response token whose best probability is below 0.5     |
| `A_m+B_n`          | both groups, each with its own table                              |
| `A_m=hidden`       | m whose input is computed; see `latent_core.slots.filling`        |
| `none`             | no latents: the backbone itself                                   |

`Comma`, `Newline`, `Equals` and `Sentence` are short for `Before[,]`, `Before[\n]`, `Before[=]` and
`Before[.|!|?]`. A group may go on with `@latent` or `@verbal` to say which slot predicts the token
after it, and with `=` and its filling. Options follow a semicolon:
`Start_2+Comma_2; tied; positions=sequential`.

This module knows no tokenizer, no tensor and no model: which token ids are triggers is decided in
`latent_core.backbones.backbone`, and the placing itself in `latent_core.slots.placement`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal, cast

from latent_core.errors import LayoutError
from latent_core.slots.filling import (
    Filling,
    Fused,
    Hidden,
    Learned,
    Text,
    is_computed,
    read_filling,
)
from latent_core.slots.notation import LAYOUT, MOVED, whole_number
from latent_core.slots.parts import LayoutParts, OptionParts
from latent_core.slots.places import MOST, Before, End, Every, Place, Start, Unsure, read_place
from latent_core.slots.pointing import Part, clipped
from latent_core.wording import meant

__all__ = ["LatentGroup", "LatentLayout"]

PredictFrom = Literal["latent", "verbal"]
PositionScheme = Literal["shared", "sequential"]

#: The options of a layout, and what each may be set to.
_OPTIONS: Final = {"tied": ("",), "positions": ("shared", "sequential")}


@dataclass(frozen=True, slots=True)
class LatentGroup:
    """`count` latents that are placed together, wherever `place` says.

    Attributes:
        name: the place as the notation writes it (`Start`, `Comma`, `8`, `After[=]`).
        count: latents per occurrence, at least 1.
        place: where the group goes.
        predict_from: which slot predicts the verbal token after the group. `latent`: the group's
            last latent, possible where the place is known before that token is. `verbal`: the
            verbal slot before the group, the only choice for `Before`, where the token has to be
            sampled first.
        filling: what the slots hold.

    Example:
        >>> import latent_core as lc
        >>> group = lc.layouts.LatentGroup("Comma", 2, lc.layouts.Before((",",)), "verbal")
        >>> str(group), group.repeats
        ('Comma_2', True)
    """

    name: str
    count: int
    place: Place
    predict_from: PredictFrom
    filling: Filling = field(default_factory=Learned)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise LayoutError(
                f"group {self.name!r} has {self.count} latents; expected at least 1 "
                f"(leave the group out for none)"
            )
        if self.count > MOST:
            raise LayoutError(
                f"group {self.name!r} has {self.count:,} latents; expected at most {MOST:,}"
            )
        if isinstance(self.place, Every) and self.place.k < 1:
            raise LayoutError(f"group {self.name!r}: expected a whole number k >= 1, as in '8_2'")
        if isinstance(self.place, Before) and self.predict_from == "latent":
            raise LayoutError("; ".join(_unknown_ahead(self.name)))
        if isinstance(self.place, Unsure) and self.predict_from == "verbal":
            raise LayoutError("; ".join(_sure_of_it(self.name)))
        if isinstance(self.place, Start) and self.computed:
            raise LayoutError("; ".join(_nothing_before(self.name, self.filling)))

    @classmethod
    def at(cls, place: str, count: int, predict_from: PredictFrom | None = None) -> LatentGroup:
        """The group of `count` latents at a place such as `8`, `Comma` or `End@verbal`.

        Args:
            place: in the notation of layouts, without a count.
            count: latents per occurrence.
            predict_from: which slot predicts, where the place admits it and does not say it.

        Raises:
            LayoutError: if it is no place, or not one.
        """
        parts = MOVED.read(place)
        return _group(parts.place, count, parts.predictor, predict_from, Learned())

    @property
    def known_ahead(self) -> bool:
        """Whether the place is known before the next verbal token is."""
        return not isinstance(self.place, Before)

    @property
    def repeats(self) -> bool:
        """Whether it stands at every occurrence of something, in prompt and response.

        `Start` and `End` stand once, around the prompt.
        """
        return not isinstance(self.place, Start | End)

    @property
    def computed(self) -> bool:
        """Whether what fills a slot depends on the slot before it."""
        return is_computed(self.filling)

    @property
    def map_rank(self) -> int:
        """Rank of the trained map of hidden states; 0 without one."""
        match self.filling:
            case Hidden(rank=rank) | Fused(hidden=Hidden(rank=rank)):
                return rank
        return 0

    def __str__(self) -> str:
        default: PredictFrom = "latent" if self.known_ahead else "verbal"
        predictor = "" if self.predict_from == default else f"@{self.predict_from}"
        filling = "" if isinstance(self.filling, Learned) else f"={self.filling}"
        return f"{self.name}_{self.count}{predictor}{filling}"


@dataclass(frozen=True)
class LatentLayout:
    """All latent groups of a method, and how their slots are numbered.

    Attributes:
        groups: the groups, in the order of their tables.
        tied: whether all learned groups read the first rows of one common table (an ablation of the
            paper's function specialisation) instead of a table each.
        positions: `shared`: a latent takes the position id of the verbal token after it (section 3
            of the paper). `sequential`: slots are numbered 0, 1, 2, ... (an ablation).

    Example:
        >>> import latent_core as lc
        >>> layout = lc.layouts.LatentLayout.parse("Start_1+Comma_2")
        >>> layout.num_latents, layout.table_sizes
        (3, {'Start': 1, 'Comma': 2})
    """

    groups: tuple[LatentGroup, ...] = ()
    tied: bool = False
    positions: PositionScheme = "shared"

    def __post_init__(self) -> None:
        for name, times in Counter(group.name for group in self.groups).items():
            if times > 1:
                raise LayoutError("; ".join(_twice(name)))

    @classmethod
    def parse(cls, text: str | LatentLayout) -> LatentLayout:
        """Read the notation of the module's docstring; a layout is returned as it is.

        Raises:
            LayoutError: with the column, what was expected there, and what came.
        """
        return text if isinstance(text, LatentLayout) else cls.of(LAYOUT.read(text))

    @classmethod
    def of(cls, parts: LayoutParts) -> LatentLayout:
        """The layout of a text that is taken apart already.

        Raises:
            LayoutError: for a place, a count or an option that does not exist.
        """
        groups: dict[str, LatentGroup] = {}
        for group in parts.groups:
            if group.place in groups:
                raise group.place.fault(LayoutError, *_twice(group.place))
            count = whole_number(
                group.latents, f"the count of {group.place!r}", LayoutError, 1, MOST
            )
            filling = read_filling(group.filling)
            if group.filling is not None and group.place == "Start" and is_computed(filling):
                raise group.filling.word.fault(LayoutError, *_nothing_before("Start", filling))
            groups[group.place] = _group(group.place, count, group.predictor, None, filling)
        options = _options(parts.options)
        return cls(
            tuple(groups.values()),
            tied="tied" in options,
            positions=cast(PositionScheme, options.get("positions", "shared")),
        )

    @cached_property
    def table_sizes(self) -> dict[str, int]:
        """Rows of each trained table, by table name; only `tied` when the groups are tied."""
        learned = [group for group in self.groups if isinstance(group.filling, Learned)]
        if self.tied and learned:
            return {"tied": max(group.count for group in learned)}
        return {group.name: group.count for group in learned}

    @property
    def num_latents(self) -> int:
        """Trained latent vectors in all tables together."""
        return sum(self.table_sizes.values())

    @cached_property
    def texts(self) -> dict[str, str]:
        """The words that fill a group's slots, by the name of the group."""
        return {g.name: g.filling.words for g in self.groups if isinstance(g.filling, Text)}

    def weight_shapes(self, hidden_size: int) -> dict[str, tuple[int, int]]:
        """Shapes of everything that trains, by name: tables, and maps of hidden states."""
        shapes = {name: (count, hidden_size) for name, count in self.table_sizes.items()}
        for group in self.groups:
            if group.map_rank:
                shapes[f"{group.name}.down"] = (group.map_rank, hidden_size)
                shapes[f"{group.name}.up"] = (hidden_size, group.map_rank)
        return shapes

    @cached_property
    def first_rows(self) -> tuple[int, ...]:
        """For each group, the row of its first latent.

        Rows count the trained tables one after the other, then the groups that are not learned.
        """
        firsts: list[int] = []
        learned, other = 0, self.num_latents
        for group in self.groups:
            if isinstance(group.filling, Learned):
                firsts.append(0 if self.tied else learned)
                learned += group.count
            else:
                firsts.append(other)
                other += group.count
        return tuple(firsts)

    @cached_property
    def computing_groups(self) -> tuple[int, ...]:
        """For each row, the number of the group that computes it; -1 for a vector that is kept."""
        rows = [-1] * self.num_latents
        for number, group in enumerate(self.groups):
            if not isinstance(group.filling, Learned):
                rows += [number if group.computed else -1] * group.count
        return tuple(rows)

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return any(isinstance(g.filling, Learned) or g.map_rank for g in self.groups)

    @property
    def computed(self) -> bool:
        """Whether some latent depends on the slot before it."""
        return any(group.computed for group in self.groups)

    def learned(self) -> LatentLayout:
        """The same places and counts with a learned vector in each: the control of fillings."""
        groups = tuple(replace(group, filling=Learned()) for group in self.groups)
        return replace(self, groups=groups)

    def group(self, name: str) -> LatentGroup:
        """The group called `name`.

        Raises:
            LayoutError: if there is none, with the names there are.
        """
        for group in self.groups:
            if group.name == name:
                return group
        have = ", ".join(group.name for group in self.groups) or "none"
        raise LayoutError(f"layout {self} has no group {name!r}; its groups: {have}")

    def __str__(self) -> str:
        options = ["tied"] * self.tied
        if self.positions != "shared":
            options.append(f"positions={self.positions}")
        return "; ".join(["+".join(map(str, self.groups)) or "none", *options])


def _group(
    name: Part,
    count: int,
    predictor: Part | None,
    predict_from: PredictFrom | None,
    filling: Filling,
) -> LatentGroup:
    """The group at a place. The text says who predicts, or `predict_from`, or the place."""
    place = read_place(name)
    before = isinstance(place, Before)
    if predictor is None:
        default: PredictFrom = "verbal" if before else predict_from or "latent"
        return LatentGroup(str(name), count, place, default, filling)
    if predictor not in ("latent", "verbal"):
        raise predictor.fault(
            LayoutError, f"unknown '@{predictor}'", "write '@latent' or '@verbal'"
        )
    if isinstance(place, Unsure) and predictor == "verbal":
        raise predictor.fault(LayoutError, *_sure_of_it(name))
    if before and predictor == "latent":
        raise predictor.fault(LayoutError, *_unknown_ahead(name))
    return LatentGroup(str(name), count, place, cast(PredictFrom, str(predictor)), filling)


def _options(parts: tuple[OptionParts, ...]) -> dict[str, str]:
    """Settings by option; that of `tied` is empty."""
    found: dict[str, str] = {}
    for name, setting in parts:
        settings = _OPTIONS.get(name)
        if settings is None:
            raise name.fault(
                LayoutError,
                f"unknown option {clipped(name)}",
                meant(name, _OPTIONS) or "expected tied or positions=...",
            )
        if name in found:
            raise name.fault(LayoutError, f"option {name} appears twice", "expected it once")
        if (setting or "") not in settings:
            given = "" if setting is None else f"={setting}"
            raise (setting or name).fault(
                LayoutError,
                f"unknown option {name + given!r}",
                f"expected {' or '.join(f'{name}={s}' if s else str(name) for s in settings)}",
            )
        found[str(name)] = str(setting or "")
    return found


def _twice(name: str) -> tuple[str, str]:
    return f"group {name!r} appears twice", "expected each place once (add the counts up)"


def _unknown_ahead(name: str) -> tuple[str, str]:
    return (
        f"group {name!r} cannot use '@latent'",
        "the token after it must be known before the group is placed, so the verbal slot before "
        "the group predicts it: write '@verbal' or leave it out",
    )


def _sure_of_it(name: str) -> tuple[str, str]:
    return (
        f"group {name!r} cannot use '@verbal'",
        "its latents stand before a token so as to predict it: write '@latent' or leave it out",
    )


def _nothing_before(name: str, filling: Filling) -> tuple[str, str]:
    return (
        f"group {name!r} cannot be filled by {filling}",
        "it has no slot before it to compute from: use a place after a token, such as End",
    )
