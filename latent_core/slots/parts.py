"""The parts of a text, as values: what the rules of `notation.lark` turn into.

Knows no words: `place` may be any word, `verb` too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from lark import Token, v_args
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from latent_core.errors import LatentError
from latent_core.slots.pointing import Part, clipped

__all__ = [
    "Argument",
    "Call",
    "ConditionParts",
    "EdgeParts",
    "FillingArgument",
    "FillingParts",
    "GroupParts",
    "LayoutParts",
    "MatchedParts",
    "MethodParts",
    "MovedParts",
    "OptionParts",
    "PartsOf",
    "RangeParts",
    "SelectionParts",
    "TermParts",
]

MOST_NESTED: Final = 20


class FillingArgument(NamedTuple):
    """`0.6`, or `top_p=0.9`."""

    name: Part | None
    value: Part


class FillingParts(NamedTuple):
    """`hidden`, `fused(0.6, norm)`, or `text(.)`, whose `words` still have their escapes."""

    word: Part
    arguments: tuple[FillingArgument, ...] = ()
    words: Part | None = None


class GroupParts(NamedTuple):
    """`Comma_2@verbal=hidden`."""

    place: Part
    latents: Part
    predictor: Part | None
    filling: FillingParts | None


class OptionParts(NamedTuple):
    """`tied`, `positions=sequential`."""

    name: Part
    setting: Part | None


class LayoutParts(NamedTuple):
    """`Start_1+Comma_2; tied`; no groups for `none`."""

    groups: tuple[GroupParts, ...]
    options: tuple[OptionParts, ...]


class MovedParts(NamedTuple):
    """`Start@verbal`."""

    place: Part
    predictor: Part | None


class MethodParts(NamedTuple):
    """A layout, a word such as `lora` with a size such as `-r4`, or a word with a layout.

    A layout may have a companion, which is a word with a size. A word may have options, as a layout
    has its own.
    """

    word: Part | None = None
    size: Part | None = None
    layout: LayoutParts | None = None
    companion: MethodParts | None = None
    options: tuple[OptionParts, ...] = ()


class TermParts(NamedTuple):
    """`Comma.1@2`."""

    name: Part
    member: Part | None
    occurrence: Part | None

    def __str__(self) -> str:
        member = "" if self.member is None else f".{self.member}"
        occurrence = "" if self.occurrence is None else f"@{self.occurrence}"
        return f"{self.name}{member}{occurrence}"


class SelectionParts(NamedTuple):
    """`Start+Comma.1@2`."""

    terms: tuple[TermParts, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.terms))


class EdgeParts(NamedTuple):
    """`verbal -> Comma`, `verbal <-> Comma`, or `Comma` without queries and arrow."""

    queries: SelectionParts | None
    arrow: Part | None
    keys: SelectionParts


class RangeParts(NamedTuple):
    """`3`, or `0-3`."""

    first: Part
    last: Part | None


class Argument(NamedTuple):
    """`Comma`, `after=3`, `prompt="a, b"`; the value without its quotes."""

    name: Part | None
    value: Part


class Call(NamedTuple):
    """`drop(Comma, after=3)`."""

    verb: Part
    arguments: tuple[Argument, ...]


class MatchedParts(NamedTuple):
    """`matched(Start_1+Comma_1, compute, end)`, or with `& lora-r8` after the layout."""

    method: MethodParts
    by: Part
    against: Part | None


class ConditionParts(NamedTuple):
    """`SIDE under CHANGE within CHANGE`, of which only one part has to be there.

    Attributes:
        side: a method, a `matched(...)`, or the folder of `adapter:FOLDER`.
        change, within: interventions; none for `none`, too.
        chance: whether the text is `chance`.
    """

    side: MethodParts | MatchedParts | Part | None = None
    change: tuple[Call, ...] = ()
    within: tuple[Call, ...] = ()
    chance: bool = False


class PartsOf(Transformer_NonRecursive[Token, Any]):
    """Turns the tree of a text into its parts, from the leaves to the root.

    Args:
        text: what was read.
        error: raised for quotes and parentheses that cannot be read.
    """

    def __init__(self, text: Part, error: type[LatentError]) -> None:
        super().__init__()
        self.text = text
        self.error = error

    def __default_token__(self, token: Token) -> Part:
        start = token.start_pos or 0
        return self.text.within(start, start + len(token))

    def __default__(self, data: str, children: list[Any], meta: Meta) -> Any:
        return _VALUES[data](*children)

    def KEY(self, token: Token) -> Part:
        """The name of an argument, without the `=`."""
        start = token.start_pos or 0
        return self.text.within(start, start + len(token[:-1].rstrip()))

    def ADAPTER(self, token: Token) -> Part:
        """The folder of `adapter:FOLDER`, in quotes or without."""
        start = token.start_pos or 0
        bare = token.removeprefix("adapter:")
        first = len(token) - len(bare.lstrip())
        folder = self.text.within(start + first, start + first + len(bare.strip()))
        if not folder:
            raise self.text.within(start, start + len(token)).fault(
                self.error, "adapter: has no folder", "expected one, as in adapter:runs/first"
            )
        return self.quoted([folder]) if folder.startswith('"') else folder

    def quoted(self, children: list[Part]) -> Part:
        """What a quoted text says. Its own parts are pointed at where it has no escapes."""
        (whole,) = children
        try:
            said = str(json.loads(whole))
        except json.JSONDecodeError as error:
            raise whole.within(error.pos, error.pos + 1).fault(
                self.error,
                f"cannot read {clipped(whole)} as a quoted text: {error.msg.lower()}",
                "quotes and escapes are JSON's: write a line break as \\n",
            ) from None
        return Part(said) if "\\" in whole else Part(said, whole.source, whole.start + 1)

    @v_args(meta=True)
    def free(self, meta: Meta, children: list[Any]) -> Part:
        """Free text as it was typed, from its first token to its last."""
        found = self.text.within(meta.start_pos, meta.end_pos)
        deep = max((child for child in children if isinstance(child, int)), default=0)
        if deep > MOST_NESTED:
            raise found.fault(
                self.error,
                f"parentheses are nested {deep:,} deep",
                f"expected at most {MOST_NESTED}",
            )
        return found.within(0, len(found.rstrip()))

    def nested(self, children: list[Any]) -> int:
        """How deep parentheses are nested in parentheses."""
        return 1 + max((child for child in children if isinstance(child, int)), default=0)


def _layout(*children: Any) -> LayoutParts:
    groups = tuple(child for child in children if isinstance(child, GroupParts))
    return LayoutParts(groups, tuple(c for c in children if isinstance(c, OptionParts)))


def _filling(word: Part, *arguments: FillingArgument | None) -> FillingParts:
    if "(" not in word:
        return FillingParts(word, tuple(a for a in arguments if a is not None))
    start = word.index("(") + 1
    return FillingParts(word.within(0, start - 1), (), word.within(start, len(word) - 1))


def _baseline(
    word: Part, rest: Part | LayoutParts | None = None, *options: OptionParts
) -> MethodParts:
    if isinstance(rest, LayoutParts):
        return MethodParts(word, None, rest)
    return MethodParts(word, rest, options=options)


def _method(
    found: MethodParts | LayoutParts, sign: Part | None = None, companion: MethodParts | None = None
) -> MethodParts:
    if isinstance(found, MethodParts):
        return found
    return MethodParts(layout=found, companion=companion)


def _edges(first: SelectionParts, arrow: Part | None, second: SelectionParts | None) -> EdgeParts:
    return EdgeParts(None, None, first) if second is None else EdgeParts(first, arrow, second)


def _calls(*steps: Call | None) -> tuple[Call, ...]:
    return tuple(step for step in steps if step is not None)


def _argument(*parts: Part | None) -> Argument:
    if len(parts) == 1:
        return Argument(None, cast(Part, parts[0]))
    name, value = cast(Part, parts[0]), parts[1]
    end = name.start + name.length
    return Argument(name, Part("", name.source, end) if value is None else value)


def _condition(first: Any = None, change: Any = None) -> ConditionParts:
    if isinstance(first, ConditionParts):
        return first
    side, change = (None, first) if isinstance(first, _Change) else (first, change)
    calls, within = change or ((), None)
    return ConditionParts(side, calls, within or ())


class _Change(NamedTuple):
    calls: tuple[Call, ...]
    within: tuple[Call, ...] | None


#: What each rule of the grammar turns into, by its name.
_VALUES: Final[dict[str, Callable[..., Any]]] = {
    "layout": _layout,
    "group": GroupParts,
    "filling": _filling,
    "setting": FillingArgument,
    "option": OptionParts,
    "moved": MovedParts,
    "method": _method,
    "companion": MethodParts,
    "baseline": _baseline,
    "selection": lambda *terms: SelectionParts(terms),
    "term": TermParts,
    "edges": _edges,
    "name": lambda name: name,
    "numbers": lambda *ranges: ranges,
    "range": RangeParts,
    "intervention": _calls,
    "steps": _calls,
    "nothing": lambda none: None,
    "call": lambda verb, *arguments: Call(verb, tuple(a for a in arguments if a is not None)),
    "argument": _argument,
    "value": lambda value: value,
    "plain": lambda *pieces: None,
    "condition": _condition,
    "chance": lambda word: ConditionParts(chance=True),
    "change": _Change,
    "side": lambda side: side,
    "matchable": _method,
    "matched": lambda word, *parts: MatchedParts(*parts),
}
