"""Interventions on the flow: attention edges knocked out, hidden states patched.

Knows scenes and rules of edges; the hooks themselves are in `edges` and `patching`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from latent_core.attention.hooks import attention_shape
from latent_core.backbones.layers import pick
from latent_core.errors import SettingError
from latent_core.interventions.base import Indices, Intervention, Slots, at_least
from latent_core.interventions.edges import Cut, PairRule
from latent_core.interventions.scene import Scene
from latent_core.slots.notation import EDGES
from latent_core.slots.parts import Argument, Call
from latent_core.slots.pointing import Part
from latent_core.slots.selection import Selection

__all__ = ["KnockOut", "numbers"]


@dataclass(frozen=True)
class KnockOut(Intervention):
    """Cut attention edges: `knock_out(verbal -> Comma.0, layers=0-3, heads=2)`.

    `knock_out(Comma)` is short for `all -> Comma`; `a <-> b` cuts both ways. A slot's edge to
    itself stays. The rest of the attention is renormalised by the softmax (Geva et al. 2023).

    Attributes:
        queries: slots that no longer look there, a selection.
        keys: slots that they no longer see, a selection.
        layers, heads: where, from 0; None for all. A number, or several.
        both: also from `keys` to `queries`.
        from_step: only for queries from so many response tokens on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> change = lc.interventions.KnockOut("response", "Comma", layers=(0, 1))
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'knock_out(response -> Comma, layers=0-1)'
    """

    verb: ClassVar[str] = "knock_out"
    queries: Slots
    keys: Slots
    layers: Indices | None = None
    heads: Indices | None = None
    both: bool = False
    from_step: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", numbers(self.layers))
        object.__setattr__(self, "heads", numbers(self.heads))

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        return scene.with_flow(Cut((self.rule(scene),)))

    def rule(self, scene: Scene) -> PairRule:
        """The edges it means in a scene.

        Raises:
            LayoutError, SettingError: if there are no such slots, layers or heads.
        """
        shape = attention_shape(scene.backbone)
        at_least("from_step", self.from_step, 0)
        name = scene.backbone.name
        layers = pick("layer", self.layers, shape.layers, name)
        heads = pick("head", self.heads, range(shape.heads), name)
        return PairRule(
            Selection.parse(self.queries, scene.layout),
            Selection.parse(self.keys, scene.layout),
            None if self.layers is None else frozenset(layers),
            None if self.heads is None else heads,
            self.both,
            self.from_step,
        )

    @classmethod
    def from_call(cls, call: Call) -> Self:
        """See `Intervention.from_call`. The first argument without a name is `queries -> keys`."""
        arguments = list(call.arguments)
        first = next((i for i, a in enumerate(arguments) if a.name is None), None)
        if first is not None:
            text = arguments[first].value
            queries, arrow, keys = EDGES.read(text)
            ends = [str(queries or "all"), str(keys)]
            parts = [Argument(None, Part(e, text.source, text.start, text.length)) for e in ends]
            if arrow == "<->":
                name, yes = (Part(t, arrow.source, arrow.start, 3) for t in ("both", "True"))
                parts.append(Argument(name, yes))
            arguments[first : first + 1] = parts
        return super().from_call(Call(call.verb, tuple(arguments)))

    def arguments(self) -> list[str]:
        """See `Intervention.arguments`."""
        arrow = "<->" if self.both else "->"
        rest = [text for text in super().arguments()[2:] if not text.startswith("both=")]
        return [f"{self.queries} {arrow} {self.keys}", *rest]


def numbers(value: Iterable[int] | int | None) -> tuple[int, ...] | None:
    """Layers or heads as a sorted tuple; None for all.

    Raises:
        SettingError: if there are none.
    """
    if value is None:
        return None
    found = (value,) if isinstance(value, int) else tuple(sorted(set(value)))
    if not found:
        raise SettingError("no layers or heads were given; expected at least one, or None for all")
    return found
