"""The table of interventions, the reader of their text form, and `Patch`.

`Patch` stands here because its source is an intervention in the text form, of any kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from latent_core.backbones.layers import decoder_layers, pick
from latent_core.errors import SettingError
from latent_core.interventions.base import Combined, Intervention, at_least
from latent_core.interventions.borrowing import Borrowing
from latent_core.interventions.flow import KnockOut, numbers
from latent_core.interventions.patching import Patching
from latent_core.interventions.places import Drop, Move, Positions, Recount
from latent_core.interventions.scene import Scene
from latent_core.interventions.vectors import Replace, Scale, Shuffle, Swap
from latent_core.slots.notation import pieces
from latent_core.slots.selection import Selection
from latent_core.wording import did_you_mean

__all__ = ["VERBS", "Patch", "parse_intervention"]


@dataclass(frozen=True)
class Patch(Intervention):
    """Freeze latents' hidden states to those of another run: `patch(Comma, layers=3)`.

    `replace(Start, zero) & patch(Comma, layers=4)` takes Start away, but leaves the Comma latents
    what they were without that after layer 4. `patch(Comma, layers=4, source="knock_out(Start)")`
    is the reverse. `patch(Start, prompt="Repeat 5 times: 1+1=2\\n")` gives the Start latents what
    they are in another prompt.

    Attributes:
        latents: a selection; verbal slots too, unless `prompt` is given.
        layers: after which layers, from 0; one or several, None for every layer.
        source: the other run, as an intervention on the model as it is outside the block; `none`
            is the clean run. It goes over the same slots.
        prompt: what the other run reads, its own latents in their places; each latent takes the
            states of the one with the same group, member and occurrence there, if there is one.
            Empty: the other run goes over the same prompt and response.
        from_step: only slots from so many response tokens on.
    """

    verb: ClassVar[str] = "patch"
    latents: str
    layers: tuple[int, ...] | int | None = None
    source: str = "none"
    prompt: str = ""
    from_step: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", numbers(self.layers))

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        at_least("from_step", self.from_step, 0)
        every = range(len(decoder_layers(scene.backbone)))
        layers = pick("layer", self.layers, every, scene.backbone.name)
        clean = scene if scene.clean is None else scene.clean
        source = parse_intervention(self.source).apply(clean)
        if source.layout != scene.layout or source.positions is not scene.positions:
            raise SettingError(
                f"the source run {self.source} has the layout {source.layout}, the patched one "
                f"{scene.layout}; expected two runs over the same slots (no move, recount or "
                "positions in only one of them)"
            )
        selection = Selection.parse(self.latents, scene.layout)
        if not self.prompt:
            return scene.with_flow(Patching(selection, layers, source, self.from_step))
        if source.flows:
            raise SettingError(
                f"the run over another prompt cannot be under {self.source}, nor under an outer "
                "block's changes to the flow; expected a source that changes tokens only (drop, "
                "replace, scale, shuffle, swap)"
            )
        return scene.with_flow(Borrowing(selection, layers, source, self.prompt, self.from_step))


VERBS: Final[dict[str, type[Intervention]]] = {
    "drop": Drop,
    "replace": Replace,
    "shuffle": Shuffle,
    "swap": Swap,
    "scale": Scale,
    "recount": Recount,
    "move": Move,
    "positions": Positions,
    "knock_out": KnockOut,
    "patch": Patch,
}


def parse_intervention(text: str | Intervention) -> Intervention:
    """Read the one-line text form; `none` is no change. An intervention is returned as it is.

    Raises:
        SettingError: with the piece that could not be read, and what was expected.
    """
    if isinstance(text, Intervention):
        return text
    found: list[Intervention] = []
    for piece in pieces(text):
        if piece.verb not in VERBS:
            raise SettingError(
                f"unknown intervention {piece.verb!r} in {text!r}"
                f"{did_you_mean(piece.verb, VERBS)} Expected one of {', '.join(VERBS)}"
            )
        found.append(VERBS[piece.verb].from_piece(piece))
    return found[0] if len(found) == 1 else Combined(tuple(found))
