"""Methods that can be compared: latent layouts and their baselines, each by its name.

A method's name describes it in full, so any layout is a method: `Start_1+Comma_2`. The other names
are in `BASELINES`. `Start_2 & lora-r8` is a layout with a companion, which trains in the backbone.
`Method.name` is the one spelling of a method: `Start_1 + Comma_2` and `Start_1+Comma_2` are one
method, as `lora` and `lora-r4` are. A place is an exception: it keeps the name that was typed, so
`Comma_1` and `Before[,]_1` are two.

`latent_core.models.build` makes their models. This module stands with the other texts of the
notation, below the records of runs, which are read by these names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from latent_core.errors import LayoutError, SettingError
from latent_core.slots.layout import LatentGroup, LatentLayout
from latent_core.slots.notation import METHOD, whole_number
from latent_core.slots.parts import MethodParts, OptionParts
from latent_core.slots.places import ALIASES, End
from latent_core.slots.pointing import Part, clipped

__all__ = ["BASELINES", "COMPANIONS", "EXAMPLE_LAYOUTS", "Baseline", "Method", "method_name"]

MethodKind = Literal["latents", "lora", "prefix", "prompt-tuning", "full"]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to steer a backbone.

    Attributes:
        name: its one spelling, which `parse` reads back.
        kind: what builds its model.
        layout: latents to insert; no groups for none.
        trained: whether there is anything to train.
        init: how the latents start; see `latent_core.slots.tables.initial_rows`. Or `task`: with
            the embeddings of the task's description and of solved training examples; a prefix with
            the keys and values of that text.
        shots: solved examples in front of each prompt.
        size: rank of LoRA, or virtual tokens of a prefix or a tuned prompt.
        parameters: numbers that LoRA should train, where it has no rank.
        companion: what trains in the backbone beside a layout: LoRA or a prefix.

    Example:
        >>> import latent_core as lc
        >>> method = lc.Method.parse("lora-r4")
        >>> method.kind, method.size
        ('lora', 4)
    """

    name: str
    kind: MethodKind = "latents"
    layout: LatentLayout = field(default_factory=LatentLayout)
    trained: bool = False
    init: str = "vocab"
    shots: int = 0
    size: int | None = None
    parameters: int = 0
    companion: Method | None = None

    @classmethod
    def parse(cls, text: str, init: str = "vocab") -> Method:
        """Read a method's name.

        Args:
            text: the name, such as `Start_2` or `lora-r4`.
            init: how latents or a tuned prompt start.

        Raises:
            LayoutError: if it is neither a baseline nor a layout, with the column.
            SettingError: if `init` is chosen for a method that has no vectors to start.
        """
        return cls.of(METHOD.read(text), init)

    @classmethod
    def of(cls, parts: MethodParts, init: str = "vocab") -> Method:
        """The method of a text that is taken apart already. See `parse`."""
        method = _baseline(parts) if parts.word else _latents(parts)
        if init == "vocab" or not method.trained:
            return method
        if method.init != "vocab":
            raise SettingError(
                f"init is {init!r}, and {method} says how its vectors start; give one of them"
            )
        if method.kind not in ("latents", "prompt-tuning") or (
            method.companion and not method.layout.trains
        ):
            named = init in STARTS.get(method.kind, ())
            fix = f"write it in the name, {method}; init={init}" if named else "leave it out"
            raise SettingError(
                f"init is {init!r}, but {method} has no vectors of the vocabulary's kind to "
                f"start; {fix}"
            )
        return replace(method, init=init)

    def starting(self, init: str) -> Method:
        """The method whose vectors start so; its name says it, where a name can.

        Args:
            init: as in `parse`.

        Raises:
            SettingError, LayoutError: if there is nothing to start.
        """
        if init == "vocab" or init not in STARTS.get(self.kind, ()) or self.init != "vocab":
            return Method.parse(self.name, init)
        beside = "" if self.companion is None else f" & {self.companion}"
        return Method.parse(f"{self.name.removesuffix(beside)}; init={init}{beside}")

    def __str__(self) -> str:
        return self.name


class Baseline(NamedTuple):
    """A method that is no layout.

    Attributes:
        form: how its name is written.
        description: what it is.
        usual: the method that the word alone means.
        sizes: by the form of a size, such as `-r{}`, the fields that a number sets.
        least: the smallest size.
    """

    form: str
    description: str
    usual: Method
    sizes: Mapping[str, Callable[[int], dict[str, Any]]] = {}
    least: int = 1


def _end(count: int) -> LatentLayout:
    return LatentLayout((LatentGroup("End", count, End(), "latent"),))


BASELINES: Final[dict[str, Baseline]] = {
    "zero-shot": Baseline(
        "zero-shot",
        "the backbone alone; nothing is added or trained",
        Method("zero-shot"),
    ),
    "few-shot": Baseline(
        "few-shot-K",
        "K solved training examples before the prompt, not trained; few-shot means K=4",
        Method("few-shot-4", shots=4),
        {"-{}": lambda number: {"shots": number}},
        least=0,
    ),
    "filler": Baseline(
        "filler(LAYOUT)",
        "untrained full stops in the places of a layout, such as filler(End_2)",
        Method("filler(End_2)", layout=_end(2), init="text:."),
    ),
    "pause": Baseline(
        "pause-M",
        "M trained pause tokens after the prompt, the same as End_M; pause means M=2",
        Method("pause-2", layout=_end(2), trained=True),
        {"-{}": lambda number: {"layout": _end(number)}},
    ),
    "prompt-tuning": Baseline(
        "prompt-tuning-M",
        "PEFT's prompt tuning with M virtual tokens, the same as Start_M; positions=sequential; "
        "prompt-tuning means M=2",
        Method("prompt-tuning-2", "prompt-tuning", trained=True, size=2),
        {"-{}": lambda number: {"size": number}},
    ),
    "prefix": Baseline(
        "prefix-M",
        "PEFT's prefix tuning: M keys and values before the prompt in every layer; "
        "prefix means M=2",
        Method("prefix-2", "prefix", trained=True, size=2),
        {"-{}": lambda number: {"size": number}},
    ),
    "lora": Baseline(
        "lora-rR",
        "PEFT's LoRA of rank R; lora-Np has about N trainable parameters; lora means rank 4",
        Method("lora-r4", "lora", trained=True, size=4),
        {
            "-r{}": lambda number: {"size": number},
            "-{}p": lambda number: {"size": None, "parameters": number},
        },
    ),
    "full": Baseline(
        "full",
        "all weights of a copy of the backbone; refused if there is too little memory",
        Method("full", "full", trained=True),
    ),
}
STARTS: Final[dict[MethodKind, tuple[str, ...]]] = {
    "latents": ("task", "mean", "gaussian"),
    "prompt-tuning": ("task", "mean", "gaussian"),
    "prefix": ("task",),
}
"""How vectors may start instead of as random tokens of the vocabulary, by the kind of method; the
name of a method says it, as in `prefix-9; init=task`."""

COMPANIONS: Final = ("lora", "prefix")
"""Baselines that may train beside a layout, as in `Start_2 & lora-r8`."""

EXAMPLE_LAYOUTS: Final[dict[str, str]] = {
    "Start_2": "two latents before the prompt, as in prompt tuning",
    "End_2": "two latents after the prompt, as with pause tokens",
    "Comma_2": "two latents before every comma, in prompt and response",
    "8_2": "two latents after every 8 verbal tokens",
    "Start_1+Comma_1": "a sum of two groups; each group has its own vectors",
    "Start_2+Comma_2; tied": "a sum of two groups that share their vectors",
    "Start_2; positions=sequential": "every slot has its own position id",
    "Start_9; init=task": "latents that start as words of the task; prefix-9; init=task likewise",
    "Before[=]_1, After[.|!]_2": "latents before or after a trigger text of your own",
    "End_6=hidden": "six latents; each holds the hidden state of the slot before it (Coconut)",
    "Unsure[0.5]_1=hidden": "a latent before each response token that the model is not sure of",
    "End_6=hidden(proj=8)": "the same, with a trained map of rank 8",
    "Start_2 & lora-r8": "latents, and PEFT's LoRA in the backbone; also & prefix-M",
}


@lru_cache(maxsize=1024)
def method_name(name: str) -> str:
    """The one spelling of a recorded name; a name that is no method's stays as it is."""
    try:
        return Method.parse(name).name
    except LayoutError:
        return name


def _latents(parts: MethodParts) -> Method:
    """A layout's method; a layout without groups is the backbone alone."""
    assert parts.layout is not None
    if parts.companion is not None:
        return _with_companion(parts)
    for group in parts.layout.groups:
        if group.place.lower() in BASELINES:
            raise _no_method(group.place, str(group.place))
    own, chosen = _split(parts.layout.options)
    layout = LatentLayout.of(parts.layout._replace(options=own))
    if not layout.groups:
        return BASELINES["zero-shot"].usual
    return _starting(Method(str(layout), layout=layout, trained=layout.trains), chosen)


def _with_companion(parts: MethodParts) -> Method:
    """A layout beside which something trains in the backbone."""
    assert parts.companion is not None and parts.companion.word is not None
    word = parts.companion.word
    companion = _baseline(parts.companion)
    if companion.kind not in COMPANIONS:
        raise word.fault(
            LayoutError,
            f"{companion} cannot train beside a layout",
            f"expected {' or '.join(BASELINES[kind].form for kind in COMPANIONS)}",
        )
    method = _latents(parts._replace(companion=None))
    if not method.layout.groups:
        raise word.fault(
            LayoutError,
            f"the layout beside {companion} has no groups",
            f"write {companion} alone",
        )
    return replace(method, name=f"{method} & {companion}", trained=True, companion=companion)


def _split(
    options: tuple[OptionParts, ...],
) -> tuple[tuple[OptionParts, ...], OptionParts | None]:
    """The options of a layout, and `init`, which is one of methods."""
    chosen = [option for option in options if option.name == "init"]
    if len(chosen) > 1:
        raise chosen[1].name.fault(LayoutError, "option init appears twice", "expected it once")
    rest = tuple(option for option in options if option.name != "init")
    return rest, chosen[0] if chosen else None


def _starting(method: Method, chosen: OptionParts | None) -> Method:
    """The method whose vectors start as its name says."""
    if chosen is None:
        return method
    starts = STARTS.get(method.kind, ())
    if not method.trained or not starts or (method.layout.groups and not method.layout.table_sizes):
        raise chosen.name.fault(
            LayoutError, f"{method} has nothing whose start could be chosen", "leave init out"
        )
    if chosen.setting is None or chosen.setting not in starts:
        given = "" if chosen.setting is None else f"={chosen.setting}"
        raise (chosen.setting or chosen.name).fault(
            LayoutError,
            f"unknown option {f'init{given}'!r}",
            f"expected {' or '.join(f'init={start}' for start in starts)}",
        )
    name = f"{method}; init={chosen.setting}"
    return replace(method, name=name, init=str(chosen.setting))


def _baseline(parts: MethodParts) -> Method:
    """A baseline's method, started as its name says."""
    own, chosen = _split(parts.options)
    if own:
        raise own[0].name.fault(
            LayoutError, f"unknown option {clipped(own[0].name)}", "expected init=task"
        )
    return _starting(_sized(parts), chosen)


def _sized(parts: MethodParts) -> Method:
    word, size, inner, *_ = parts
    assert word is not None
    baseline = BASELINES.get(word)
    if baseline is None:
        raise _no_method(word, word + (size or ""))
    if inner is not None:
        layout = LatentLayout.of(inner).learned()  # dots fill every place
        return replace(baseline.usual, name=f"{word}({layout})", layout=layout)
    if size is None:
        return baseline.usual
    for form, fields in baseline.sizes.items():
        head, _, tail = form.partition("{}")
        if digits := re.fullmatch(f"{head}([0-9]+){tail}", size):
            number = whole_number(
                size.within(*digits.span(1)), "the size", LayoutError, baseline.least, 10**9
            )
            return replace(baseline.usual, name=word + form.format(number), **fields(number))
    raise _no_method(word, word + size)


def _no_method(word: Part, name: str) -> LayoutError:
    """The error for a word that is none, or that has no such size."""
    wrong = f"{clipped(name)} is no method"
    places = ["Start", "End", *ALIASES]
    if word in places:
        fix = f"a place needs a count of at least 1, as in '{word}_2'"
        return word.fault(LayoutError, f"group {str(word)!r} has no count", fix)
    known = next((known for known in BASELINES if word.lower().startswith(known)), None)
    close = difflib.get_close_matches(word, [*BASELINES, *places], 1)
    meant = known or (close[0] if close else "")
    if meant in BASELINES:
        form, description, *_ = BASELINES[meant]
        return word.fault(LayoutError, wrong, f"did you mean {form}? {description}")
    if meant:
        return word.fault(LayoutError, wrong, f"did you mean '{meant}_2'?")
    forms = ", ".join(baseline.form for baseline in BASELINES.values())
    return word.fault(
        LayoutError, wrong, f"expected a baseline ({forms}) or a layout such as 'Start_1+Comma_2'"
    )
