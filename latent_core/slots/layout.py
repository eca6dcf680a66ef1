r"""Where latent tokens go: groups, places, and the string notation of arXiv 2505.12629.

The notation, which is also what a user types and what `str(layout)` gives back:

| text               | place                                                             |
|--------------------|-------------------------------------------------------------------|
| `Start_m`          | m latents before the first verbal token (prompt tuning's place)   |
| `End_m`            | m latents after the prompt (the pause token's place)              |
| `Comma_m`          | m before every token with a comma, in prompt and response         |
| `8_m`              | m after every 8 verbal tokens                                     |
| `Before[=]_m`      | m before every token that contains `=`                            |
| `After[.\|!\|?]_m` | m after every token that contains `.`, `!` or `?`                 |
| `A_m+B_n`          | both groups, each with its own table                              |
| `none`             | no latents: the backbone itself                                   |

`Comma`, `Newline`, `Equals` and `Sentence` are short for `Before[,]`, `Before[\n]`, `Before[=]` and
`Before[.|!|?]`. A group may end in `@latent` or `@verbal` to say which slot predicts the token
after it; options follow a semicolon: `Start_2+Comma_2; tied; positions=sequential`.

This module knows no tokenizer, no tensor and no model: which token ids are triggers is decided in
`latent_core.backbones.backbone`, and the placing itself in `latent_core.slots.placement`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, cast

from latent_core.errors import LayoutError
from latent_core.slots.notation import LAYOUT, MOVED, whole_number
from latent_core.slots.parts import LayoutParts, OptionParts
from latent_core.slots.pointing import Part, clipped
from latent_core.wording import meant

__all__ = ["After", "Before", "End", "Every", "LatentGroup", "LatentLayout", "Place", "Start"]

PredictFrom = Literal["latent", "verbal"]
PositionScheme = Literal["shared", "sequential"]

ALIASES: Final[dict[str, str]] = {
    "Comma": "Before[,]",
    "Newline": r"Before[\n]",
    "Equals": "Before[=]",
    "Sentence": "Before[.|!|?]",
}
_ESCAPES: Final = {"\\n": "\n", "\\t": "\t", "\\|": "|", "\\]": "]", "\\\\": "\\"}
#: Latents of one occurrence, and verbal tokens between two: no layout needs more.
MOST: Final = 1_000_000
#: The options of a layout, and what each may be set to.
_OPTIONS: Final = {"tied": ("",), "positions": ("shared", "sequential")}
_PLACES: Final = (
    f"Start, End, {', '.join(ALIASES)}, a whole number k (after every k verbal tokens), "
    "Before[text] or After[text]"
)


@dataclass(frozen=True, slots=True)
class Start:
    """Before the first verbal token.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("Start_2").groups[0].place
        Start()
    """


@dataclass(frozen=True, slots=True)
class End:
    """After the prompt, before the first response token.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("End_2").groups[0].place
        End()
    """


@dataclass(frozen=True, slots=True)
class Every:
    """After every `k` verbal tokens, counted from the start of the prompt.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("8_2").groups[0].place
        Every(k=8)
    """

    k: int


@dataclass(frozen=True, slots=True)
class Before:
    """Before every verbal token whose text contains one of `texts`.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("Comma_2").groups[0].place
        Before(texts=(',',))
    """

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class After:
    """After every verbal token whose text contains one of `texts`.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("After[.|!]_2").groups[0].place
        After(texts=('.', '!'))
    """

    texts: tuple[str, ...]


Place = Start | End | Every | Before | After
"""Any place of latents.

Example:
    >>> import latent_core as lc
    >>> isinstance(lc.layouts.Every(8), lc.layouts.Place)
    True
"""


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
        return _group(parts.place, count, parts.predictor, predict_from)

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

    def __str__(self) -> str:
        default: PredictFrom = "latent" if self.known_ahead else "verbal"
        suffix = "" if self.predict_from == default else f"@{self.predict_from}"
        return f"{self.name}_{self.count}{suffix}"


@dataclass(frozen=True)
class LatentLayout:
    """All latent groups of a method, and how their slots are numbered.

    Attributes:
        groups: the groups, in the order of their tables.
        tied: whether all groups read the first rows of one common table (an ablation of the paper's
            function specialisation) instead of a table each.
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
            groups[group.place] = _group(group.place, count, group.predictor)
        options = _options(parts.options)
        return cls(
            tuple(groups.values()),
            tied="tied" in options,
            positions=cast(PositionScheme, options.get("positions", "shared")),
        )

    @cached_property
    def table_sizes(self) -> dict[str, int]:
        """Rows of each trainable table, by table name; only `tied` when the groups are tied."""
        if self.tied and self.groups:
            return {"tied": max(group.count for group in self.groups)}
        return {group.name: group.count for group in self.groups}

    @property
    def num_latents(self) -> int:
        """Trainable latent vectors in all tables together."""
        return sum(self.table_sizes.values())

    @cached_property
    def first_rows(self) -> tuple[int, ...]:
        """For each group, the row of its first latent in the concatenated tables."""
        if self.tied:
            return (0,) * len(self.groups)
        counts = [group.count for group in self.groups]
        return tuple(sum(counts[:index]) for index in range(len(counts)))

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
    name: Part, count: int, predictor: Part | None, predict_from: PredictFrom | None = None
) -> LatentGroup:
    """The group at a place. The text says who predicts, or `predict_from`, or the place."""
    place = _place(name)
    before = isinstance(place, Before)
    if predictor is None:
        default: PredictFrom = "verbal" if before else predict_from or "latent"
        return LatentGroup(str(name), count, place, default)
    if predictor not in ("latent", "verbal"):
        raise predictor.fault(
            LayoutError, f"unknown '@{predictor}'", "write '@latent' or '@verbal'"
        )
    if before and predictor == "latent":
        raise predictor.fault(LayoutError, *_unknown_ahead(name))
    return LatentGroup(str(name), count, place, cast(PredictFrom, str(predictor)))


def _place(name: Part) -> Place:
    if name in ("Start", "End"):
        return Start() if name == "Start" else End()
    if re.fullmatch("[1-9][0-9]*", name):
        return Every(whole_number(name, "the distance", LayoutError, 1, MOST))
    kind, bracket, rest = ALIASES.get(name, str(name)).partition("[")
    if kind not in ("Before", "After") or not bracket:
        known = ["Start", "End", "Before[text]", "After[text]", *ALIASES]
        raise name.fault(
            LayoutError,
            f"unknown place {clipped(name)}",
            meant(name, known) or f"expected {_PLACES}",
        )
    texts: list[str] = [""]
    for piece in re.findall(r"\\.|.", rest.removesuffix("]"), re.DOTALL):
        if piece == "|":
            texts.append("")
        else:
            texts[-1] += _ESCAPES.get(piece, piece)
    if not all(texts):
        raise name.fault(
            LayoutError, f"a trigger text of {clipped(name)} is empty", "expected text between '|'"
        )
    return (Before if kind == "Before" else After)(tuple(texts))


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
