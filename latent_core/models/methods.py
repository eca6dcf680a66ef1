"""Methods that can be compared: latent layouts and their baselines, each by its name.

A method's name describes it in full, so any layout is a method: `Start_1+Comma_2`. The other names
are in `BASELINES`. `latent_core.models.build` makes their models.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from latent_core.errors import LayoutError, SettingError
from latent_core.slots.layout import LatentLayout

__all__ = ["BASELINES", "EXAMPLE_LAYOUTS", "Baseline", "Method"]

MethodKind = Literal["latents", "lora", "prefix", "prompt-tuning", "full"]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to steer a backbone.

    Attributes:
        name: as the user wrote it.
        kind: what builds its model.
        layout: latents to insert; no groups for none.
        trained: whether there is anything to train.
        init: how the latents start; see `latent_core.slots.tables.initial_rows`.
        shots: solved examples in front of each prompt.
        size: rank of LoRA, or virtual tokens of a prefix or a tuned prompt.
        parameters: numbers that LoRA should train, where it has no rank.

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

    @classmethod
    def parse(cls, text: str, init: str = "vocab") -> Method:
        """Read a method's name.

        Args:
            text: the name, such as `Start_2` or `lora-r4`.
            init: how latents or a tuned prompt start.

        Raises:
            LayoutError: if it is neither a baseline nor a layout.
            SettingError: if `init` is chosen for a method that has no vectors to start.
        """
        name = text.strip()
        for baseline in BASELINES.values():
            if match := re.fullmatch(baseline.pattern, name):
                method = baseline.read(name, match, init)
                if init != "vocab" and method.init != init and method.trained:
                    raise SettingError(
                        f"init is {init!r}, but {name} has no vectors of the vocabulary's kind to "
                        "start; leave it out"
                    )
                return method
        try:
            return cls(name, layout=LatentLayout.parse(name), trained=True, init=init)
        except LayoutError as error:
            for known, baseline in BASELINES.items():
                if name.lower().startswith(re.split(r"[-(]", known)[0]):
                    raise LayoutError(
                        f"{name!r} is no method; did you mean {known}? {baseline.description}"
                    ) from error
            if "_" in name:  # meant as a layout
                raise LayoutError(f"{name!r} is no method: {error}") from error
            raise LayoutError(
                f"{name!r} is no method: neither a baseline ({', '.join(BASELINES)}) nor a "
                f"layout; {error}"
            ) from error


class Baseline(NamedTuple):
    """A method that is no layout.

    Attributes:
        description: what it is.
        pattern: the whole of its name.
        read: name, match and init -> the method.
    """

    description: str
    pattern: str
    read: Callable[[str, re.Match[str], str], Method]


def _filler(name: str, match: re.Match[str], init: str) -> Method:
    return Method(name, layout=LatentLayout.parse(match[1] or "End_2"), init="text:.")


def _pause(name: str, match: re.Match[str], init: str) -> Method:
    layout = LatentLayout.parse(f"End_{match[1] or 2}")
    return Method(name, layout=layout, trained=True, init=init)


def _lora(name: str, match: re.Match[str], init: str) -> Method:
    if match[2]:
        return Method(name, "lora", trained=True, parameters=int(match[2]))
    return Method(name, "lora", trained=True, size=int(match[1] or 4))


BASELINES: Final[dict[str, Baseline]] = {
    "zero-shot": Baseline(
        "the backbone alone, nothing added, nothing trained",
        r"zero-shot|none",
        lambda name, match, init: Method("zero-shot"),
    ),
    "few-shot-K": Baseline(
        "K solved training examples before the prompt, untrained; few-shot is K=4",
        r"few-shot(?:-(\d+))?",
        lambda name, match, init: Method(name, shots=int(match[1] or 4)),
    ),
    "filler(LAYOUT)": Baseline(
        "untrained dots in the layout's places, as filler(End_2): computation only",
        r"filler(?:\((.+)\))?",
        _filler,
    ),
    "pause-M": Baseline(
        "M trained pause tokens after the prompt, which is End_M; pause is M=2",
        r"pause(?:-([1-9]\d*))?",
        _pause,
    ),
    "prompt-tuning-M": Baseline(
        "PEFT's prompt tuning with M virtual tokens: Start_M, numbered on; prompt-tuning is M=2",
        r"prompt-tuning(?:-([1-9]\d*))?",
        lambda name, match, init: Method(
            name, "prompt-tuning", trained=True, init=init, size=int(match[1] or 2)
        ),
    ),
    "prefix-M": Baseline(
        "PEFT's prefix tuning: M keys and values in every layer before the prompt; prefix is M=2",
        r"prefix(?:-([1-9]\d*))?",
        lambda name, match, init: Method(name, "prefix", trained=True, size=int(match[1] or 2)),
    ),
    "lora-rR": Baseline(
        "PEFT's LoRA of rank R, or lora-Np for about N trainable parameters; lora is rank 4",
        r"lora(?:-(?:r([1-9]\d*)|([1-9]\d*)p))?",
        _lora,
    ),
    "full": Baseline(
        "all weights of a copy of the backbone, where memory allows",
        r"full",
        lambda name, match, init: Method(name, "full", trained=True),
    ),
}
EXAMPLE_LAYOUTS: Final[dict[str, str]] = {
    "Start_2": "two latents before the prompt: prompt tuning's place",
    "End_2": "two latents after the prompt: the pause token's place",
    "Comma_2": "two latents before every comma, in prompt and response",
    "8_2": "two latents after every 8 verbal tokens",
    "Start_1+Comma_1": "a sum: each group with vectors of its own",
    "Start_2+Comma_2; tied": "a sum whose groups share one table",
    "Start_2; positions=sequential": "slots numbered one by one, instead of sharing positions",
    "Before[=]_1, After[.|!]_2": "latents around any trigger text",
}
