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

import difflib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

from latent_core.errors import LayoutError

__all__ = ["After", "Before", "End", "Every", "LatentGroup", "LatentLayout", "Place", "Start"]

PredictFrom = Literal["latent", "verbal"]
PositionScheme = Literal["shared", "sequential"]

ALIASES: dict[str, str] = {
    "Comma": "Before[,]",
    "Newline": r"Before[\n]",
    "Equals": "Before[=]",
    "Sentence": "Before[.|!|?]",
}
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\|": "|", "\\]": "]", "\\\\": "\\"}
_GRAMMAR = (
    "a layout is 'none' or a sum of groups PLACE_COUNT with a count of at least 1, where PLACE is "
    "Start, End, Comma, Newline, Equals, Sentence, a whole number k (after every k verbal tokens), "
    "Before[text] or After[text]; for example 'Start_1+Comma_2'"
)


@dataclass(frozen=True, slots=True)
class Start:
    """Before the first verbal token."""


@dataclass(frozen=True, slots=True)
class End:
    """After the prompt, before the first response token."""


@dataclass(frozen=True, slots=True)
class Every:
    """After every `k` verbal tokens, counted from the start of the prompt."""

    k: int


@dataclass(frozen=True, slots=True)
class Before:
    """Before every verbal token whose text contains one of `texts`."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class After:
    """After every verbal token whose text contains one of `texts`."""

    texts: tuple[str, ...]


Place = Start | End | Every | Before | After


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
        if isinstance(self.place, Every) and self.place.k < 1:
            raise LayoutError(f"group {self.name!r}: expected a whole number k >= 1, as in '8_2'")
        if isinstance(self.place, Before) and self.predict_from == "latent":
            raise LayoutError(
                f"group {self.name!r} cannot use '@latent': the token after it must be known "
                "before the group is placed, so the verbal slot before the group predicts it. "
                "Write '@verbal' or leave it out"
            )

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
    """

    groups: tuple[LatentGroup, ...] = ()
    tied: bool = False
    positions: PositionScheme = "shared"

    def __post_init__(self) -> None:
        names = [group.name for group in self.groups]
        for name in names:
            if names.count(name) > 1:
                raise LayoutError(
                    f"group {name!r} appears twice; expected each place once (add the counts up)"
                )

    @classmethod
    def parse(cls, text: str | LatentLayout) -> LatentLayout:
        """Read the notation of the module's docstring; a layout is returned as it is.

        Raises:
            LayoutError: with the piece that could not be read and the grammar.
        """
        if isinstance(text, LatentLayout):
            return text
        terms, *options = (part.strip() for part in _split(text, ";"))
        tied, positions = False, "shared"
        for option in options:
            if option == "tied":
                tied = True
            elif option in ("positions=shared", "positions=sequential"):
                positions = option.removeprefix("positions=")
            else:
                raise LayoutError(
                    f"unknown option {option!r} in layout {text!r}; "
                    "expected 'tied', 'positions=shared' or 'positions=sequential'"
                )
        groups = () if terms == "none" else tuple(_parse_group(t, text) for t in _split(terms, "+"))
        return cls(groups, tied, positions)  # type: ignore[arg-type]

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


def _split(text: str, separator: str) -> list[str]:
    """Split at `separator` outside square brackets; a backslash protects the next character."""
    parts, depth, escaped = [""], 0, False
    for char in text:
        if not escaped and char in "[]":
            depth = 1 if char == "[" else 0
        if char == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
        escaped = char == "\\" and not escaped
    return parts


def _parse_group(term: str, layout: str) -> LatentGroup:
    term = term.strip()
    match = re.fullmatch(r"(?P<place>.+)_(?P<count>\d+)(?:@(?P<predict>\w+))?", term, re.DOTALL)
    if match is None or int(match["count"]) < 1:
        raise LayoutError(_why_unreadable(term, layout))
    name, count, predict = match["place"], int(match["count"]), match["predict"]
    if predict not in (None, "latent", "verbal"):
        raise LayoutError(f"'@{predict}' in layout {layout!r}: expected '@latent' or '@verbal'")
    place = _parse_place(name)
    if place is None:
        meant = difflib.get_close_matches(name, ["Start", "End", *ALIASES], n=1)
        fix = f"did you mean {meant[0]!r}?" if meant else _GRAMMAR
        raise LayoutError(f"unknown place {name!r} in layout {layout!r}; {fix}")
    default = "verbal" if isinstance(place, Before) else "latent"
    return LatentGroup(name, count, place, cast(PredictFrom, predict or default))


def _why_unreadable(term: str, layout: str) -> str:
    """What is wrong with a group that is no PLACE_COUNT: the count, if the place is known."""
    place, _, count = term.rpartition("_") if "_" in term else (term, "", "")
    if _parse_place(place) is None:
        return f"cannot read group {term!r} in layout {layout!r}; {_GRAMMAR}"
    found = f"has the count {count!r}" if count else "has no count"
    return (
        f"group {term!r} {found}; expected a whole number of at least 1 after the place, as in "
        f"'{place}_2'"
    )


def _parse_place(name: str) -> Place | None:
    if name in ("Start", "End"):
        return Start() if name == "Start" else End()
    if re.fullmatch(r"[1-9]\d*", name):
        return Every(int(name))
    match = re.fullmatch(r"(Before|After)\[(.+)\]", ALIASES.get(name, name), re.DOTALL)
    if match is None:
        return None
    texts: list[str] = [""]
    for piece in re.findall(r"\\.|.", match[2], re.DOTALL):
        if piece == "|":
            texts.append("")
        else:
            texts[-1] += _ESCAPES.get(piece, piece)
    if not all(texts):
        return None
    return (Before if match[1] == "Before" else After)(tuple(texts))
