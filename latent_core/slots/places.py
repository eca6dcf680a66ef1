"""The places of latent groups, and the reader of their names: `Start`, `8`, `Comma`, `After[.]`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from latent_core.errors import LayoutError
from latent_core.slots.notation import whole_number
from latent_core.slots.pointing import Part, clipped
from latent_core.wording import meant

__all__ = [
    "ALIASES",
    "MOST",
    "After",
    "Before",
    "End",
    "Every",
    "Place",
    "Start",
    "Unsure",
    "read_place",
]

ALIASES: Final[dict[str, str]] = {
    "Comma": "Before[,]",
    "Newline": r"Before[\n]",
    "Equals": "Before[=]",
    "Sentence": "Before[.|!|?]",
}
_ESCAPES: Final = {"\\n": "\n", "\\t": "\t", "\\|": "|", "\\]": "]", "\\\\": "\\"}
#: Latents of one occurrence, and verbal tokens between two: no layout needs more.
MOST: Final = 1_000_000
_PLACES: Final = (
    f"Start, End, {', '.join(ALIASES)}, a whole number k (after every k verbal tokens), "
    "Before[text], After[text] or Unsure[0.5]"
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


@dataclass(frozen=True, slots=True)
class Unsure:
    """Before a response token whose best probability is below `threshold`.

    The model itself finds the place, with the slots before it: as it decodes, and, in training, for
    the token that is given. After Latent Thoughts Tuning (arXiv 2602.10229), which puts latents
    where the model has little confidence. Not found out: its threshold, and whether it is on the
    best token's probability or on another measure.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("Unsure[0.5]_1").groups[0].place
        Unsure(threshold=0.5)
    """

    threshold: float


Place = Start | End | Every | Before | After | Unsure
"""Any place of latents.

Example:
    >>> import latent_core as lc
    >>> isinstance(lc.layouts.Every(8), lc.layouts.Place)
    True
"""


def read_place(name: Part) -> Place:
    """The place of a name.

    Raises:
        LayoutError: if there is none, with the column.
    """
    if name in ("Start", "End"):
        return Start() if name == "Start" else End()
    if re.fullmatch("[1-9][0-9]*", name):
        return Every(whole_number(name, "the distance", LayoutError, 1, MOST))
    kind, bracket, rest = ALIASES.get(name, str(name)).partition("[")
    if kind == "Unsure" and bracket:
        return Unsure(_probability(name, rest.removesuffix("]")))
    if kind not in ("Before", "After") or not bracket:
        known = ["Start", "End", "Before[text]", "After[text]", "Unsure[0.5]", *ALIASES]
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


def _probability(name: Part, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= 1:
        raise name.fault(
            LayoutError,
            f"the threshold of {clipped(name)} is {text!r}",
            "expected a probability above 0, and at most 1, as in Unsure[0.5]",
        )
    return found
