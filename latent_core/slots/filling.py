r"""What fills a latent slot: a learned vector, text, or something computed from the slot before it.

The notation, which follows a group after `=`:

| text                     | the input of the slot                                             |
|--------------------------|-------------------------------------------------------------------|
| `learned`                | a trained vector; the default, which is not written               |
| `text(.)`                | the embeddings of a text's tokens, in turn; nothing trains        |
| `hidden`                 | the last hidden state of the slot before, after the final norm    |
| `hidden(norm)`           | the same at the median norm of the vocabulary's embeddings        |
| `hidden(proj=8)`         | the same plus a trained map of it, of rank 8, which starts at 0   |
| `mix`                    | the mean embedding of the next token, by that slot's probabilities |
| `mix(top_p=0.9)`         | the same over the most probable tokens; also `temperature=0.7`    |
| `fused(0.6)`             | 0.6 of the hidden state and 0.4 of the mixture                    |
| `fused(0.6, norm)`       | the same with the hidden state scaled                             |

`hidden` is the continuous thought of Coconut (arXiv 2412.06769), `mix` the concept token of Soft
Thinking (2505.15778), `fused` the fusion of Latent Thoughts Tuning (2602.10229).

Knows no tensors; `latent_core.slots.fillers` computes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from latent_core.errors import LayoutError
from latent_core.slots.notation import whole_number
from latent_core.slots.parts import FillingParts
from latent_core.slots.pointing import Part, clipped
from latent_core.wording import meant

__all__ = [
    "FILLINGS",
    "Filling",
    "Fused",
    "Hidden",
    "Learned",
    "Mix",
    "Text",
    "is_computed",
    "read_filling",
]

Scaling = Literal["raw", "norm", "proj"]

_ESCAPES: Final = {"\\": "\\\\", ")": "\\)", "\n": "\\n", "\t": "\\t"}
_UNESCAPES: Final = {escaped: char for char, escaped in _ESCAPES.items()}
#: The largest rank of a trained map.
_MOST_RANK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Learned:
    """A trained vector for each latent of the group.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("End_2").groups[0].filling
        Learned()
    """

    def __str__(self) -> str:
        return "learned"


@dataclass(frozen=True, slots=True)
class Text:
    """The embeddings of a text's tokens, repeated as needed; nothing trains.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("End_2=text(.)").groups[0].filling
        Text(words='.')
    """

    words: str

    def __post_init__(self) -> None:
        if not self.words:
            raise LayoutError("the filling text() has no text; expected some, as in text(.)")

    def __str__(self) -> str:
        return f"text({''.join(_ESCAPES.get(char, char) for char in self.words)})"


@dataclass(frozen=True, slots=True)
class Hidden:
    """The last hidden state of the slot before (Coconut, arXiv 2412.06769).

    Attributes:
        scaling: `raw`, as it is; `norm`, at the median norm of the vocabulary's embeddings; `proj`,
            with a trained map of it added, which starts at zero.
        rank: of the trained map; 0 without one.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("End_6=hidden(proj=8)").groups[0].filling
        Hidden(scaling='proj', rank=8)
    """

    scaling: Scaling = "raw"
    rank: int = 0

    def __post_init__(self) -> None:
        _check_scaling(self.scaling, self.rank)

    def __str__(self) -> str:
        return _written("hidden", _scaling_text(self.scaling, self.rank))


@dataclass(frozen=True, slots=True)
class Mix:
    """The mean input embedding under the slot's next-token probabilities (arXiv 2505.15778).

    Attributes:
        top_p: only the most probable tokens, as many as reach this probability together.
        temperature: what the logits are divided by.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("End_6=mix(top_p=0.9)").groups[0].filling
        Mix(top_p=0.9, temperature=1.0)
    """

    top_p: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1:
            raise LayoutError(f"top_p is {self.top_p}; expected more than 0, and at most 1")
        if not 0 < self.temperature < math.inf:
            raise LayoutError(f"temperature is {self.temperature}; expected more than 0")

    def __str__(self) -> str:
        return _written("mix", *_mix_text(self))


@dataclass(frozen=True, slots=True)
class Fused:
    """A weighted sum of `Hidden` and `Mix` (Latent Thoughts Tuning, arXiv 2602.10229).

    Attributes:
        weight: of the hidden state, from 0 to 1; the mixture has the rest.
        hidden: how the hidden state is scaled.
        mix: how the mixture is made.

    Example:
        >>> import latent_core as lc
        >>> filling = lc.layouts.LatentLayout.parse("End_6=fused(0.6, norm)").groups[0].filling
        >>> filling.weight, filling.hidden.scaling
        (0.6, 'norm')
    """

    weight: float
    hidden: Hidden = field(default_factory=Hidden)
    mix: Mix = field(default_factory=Mix)

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise LayoutError(f"the weight of fused is {self.weight}; expected 0 to 1")

    def __str__(self) -> str:
        scaling = _scaling_text(self.hidden.scaling, self.hidden.rank)
        return _written("fused", _number_text(self.weight), scaling, *_mix_text(self.mix))


Filling = Learned | Text | Hidden | Mix | Fused
"""What fills the slots of a group.

Example:
    >>> import latent_core as lc
    >>> isinstance(lc.layouts.Mix(top_p=0.9), lc.layouts.Filling)
    True
"""

FILLINGS: Final[dict[str, str]] = {
    "learned": "a trained vector, the default: D numbers, no pass",
    "text(WORDS)": "embeddings of a text, as text(.): nothing trains, no pass",
    "hidden": (
        "the last hidden state of the slot before (Coconut); also hidden(norm), and hidden(proj=8) "
        "with a trained map: 0 or 2*8*D numbers a group, a pass a latent"
    ),
    "mix": (
        "the mean embedding of the next token (Soft Thinking); also mix(top_p=0.9, "
        "temperature=0.7): nothing trains, a pass a latent"
    ),
    "fused(A)": (
        "A of the hidden state, the rest of the mixture (LT-Tuning); also fused(0.6, norm): as "
        "hidden"
    ),
}
"""The fillings by their form, with what each is.

Example:
    >>> import latent_core as lc
    >>> list(lc.layouts.FILLINGS)
    ['learned', 'text(WORDS)', 'hidden', 'mix', 'fused(A)']
"""


def is_computed(filling: Filling) -> bool:
    """Whether it depends on the slot before."""
    return isinstance(filling, Hidden | Mix | Fused)


def read_filling(parts: FillingParts | None) -> Filling:
    """The filling of a text that is taken apart already.

    Raises:
        LayoutError: for a filling or an argument that does not exist, with the column.
    """
    if parts is None:
        return Learned()
    word, given, words = parts
    if words is not None:
        if not words:
            raise word.fault(LayoutError, "text() has no text", "expected some, as in text(.)")
        return Text(re.sub(r"\\.", lambda found: _unescaped(found[0]), words, flags=re.DOTALL))
    if word not in _READERS:
        raise word.fault(
            LayoutError,
            f"unknown filling {clipped(word)}",
            meant(word, _READERS) or f"expected {', '.join(FILLINGS)}",
        )
    allowed, form = _READERS[word]
    found: dict[str, float | int | str] = {}
    for name, value in given:
        key = _key(name, value, found)
        if key not in allowed:
            raise (name or value).fault(
                LayoutError, f"{word} takes no {clipped(name or value)}", f"expected {form}"
            )
        if key in found:
            raise (name or value).fault(LayoutError, f"{key} is given twice", "give it once")
        found[key] = _value(key, value)
    return _made(word, found, form)


_READERS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "learned": ((), "learned"),
    "text": ((), "text(WORDS), as in text(.)"),
    "hidden": (("scaling", "proj"), "hidden, hidden(norm) or hidden(proj=8)"),
    "mix": (("top_p", "temperature"), "mix or mix(top_p=0.9, temperature=0.7)"),
    "fused": (
        ("weight", "scaling", "proj", "top_p", "temperature"),
        "fused(0.6), fused(0.6, norm) or fused(0.6, proj=8, top_p=0.9)",
    ),
}
#: The numbers of a filling, with the condition on each.
_NUMBERS: Final[dict[str, tuple[Callable[[float], bool], str]]] = {
    "weight": (lambda number: 0 <= number <= 1, "a number from 0 to 1"),
    "top_p": (lambda number: 0 < number <= 1, "a number above 0, and at most 1"),
    "temperature": (lambda number: 0 < number < math.inf, "a number above 0"),
}


def _key(name: Part | None, value: Part, found: dict[str, float | int | str]) -> str:
    """Which setting an argument gives; one without a name is a number or a scaling."""
    if name is not None:
        return str(name)
    return "scaling" if value in ("raw", "norm", "proj") or "weight" in found else "weight"


def _value(key: str, value: Part) -> float | int | str:
    if key == "proj":
        return whole_number(value, "the rank of proj", LayoutError, 1, _MOST_RANK)
    if key == "scaling":
        if value in ("raw", "norm"):
            return str(value)
        wrong = "proj has no rank" if value == "proj" else f"unknown scaling {clipped(value)}"
        raise value.fault(LayoutError, wrong, "expected raw, norm or proj=8")
    holds, expected = _NUMBERS[key]
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not holds(number):
        raise value.fault(LayoutError, f"{key} is {clipped(value)}", f"expected {expected}")
    return number


def _made(word: Part, found: dict[str, float | int | str], form: str) -> Filling:
    if "scaling" in found and "proj" in found:
        raise word.fault(LayoutError, f"{word} has two scalings", "expected raw, norm or proj=8")
    rank = int(found.get("proj", 0))
    hidden = Hidden("proj" if rank else cast(Scaling, found.get("scaling", "raw")), rank)
    mix = Mix(float(found.get("top_p", 1.0)), float(found.get("temperature", 1.0)))
    match str(word):
        case "learned":
            return Learned()
        case "hidden":
            return hidden
        case "mix":
            return mix
        case "fused" if "weight" in found:
            return Fused(float(found["weight"]), hidden, mix)
    raise word.fault(LayoutError, f"{word} lacks an argument", f"expected {form}")


def _check_scaling(scaling: str, rank: int) -> None:
    if scaling not in ("raw", "norm", "proj"):
        raise LayoutError(f"scaling is {scaling!r}; expected raw, norm or proj")
    if (rank > 0) != (scaling == "proj") or rank > _MOST_RANK:
        raise LayoutError(
            f"scaling {scaling} has rank {rank}; expected 1 to {_MOST_RANK:,} for proj, else 0"
        )


def _scaling_text(scaling: str, rank: int) -> str:
    return {"raw": "", "norm": "norm", "proj": f"proj={rank}"}[scaling]


def _mix_text(mix: Mix) -> list[str]:
    settings = {"top_p": mix.top_p, "temperature": mix.temperature}
    return [f"{name}={_number_text(value)}" for name, value in settings.items() if value != 1]


def _written(word: str, *arguments: str) -> str:
    said = ", ".join(filter(None, arguments))
    return f"{word}({said})" if said else word


def _number_text(number: float) -> str:
    return f"{float(number)!r}".removesuffix(".0")


def _unescaped(escape: str) -> str:
    return _UNESCAPES.get(escape, escape)
