"""The table of interventions, the reader of their text form, and `Patch`.

`Patch` stands here because its source is an intervention in the text form, of any kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from latent_core.backbones.layers import decoder_layers, pick
from latent_core.errors import SettingError
from latent_core.interventions.base import Combined, Indices, Intervention, Slots, at_least
from latent_core.interventions.borrowing import (
    AnotherExample,
    Borrowing,
    Lender,
    Mean,
    OtherPrompt,
)
from latent_core.interventions.flow import KnockOut, numbers
from latent_core.interventions.held import Freeze
from latent_core.interventions.patching import Noise, Patching
from latent_core.interventions.places import Drop, Move, Positions, Recount
from latent_core.interventions.scene import Scene
from latent_core.interventions.vectors import Replace, Scale, Shuffle, Swap
from latent_core.slots.notation import INTERVENTION
from latent_core.slots.parts import Call
from latent_core.slots.places import Start, Unsure
from latent_core.slots.selection import Selection
from latent_core.wording import meant

__all__ = ["VERBS", "Patch", "intervention_of", "parse_intervention"]

Run = Annotated[str, lambda part: str(parse_intervention(part))]
"""The type of a field that names another run, by the intervention that it is under."""


@dataclass(frozen=True)
class Patch(Intervention):
    """Freeze latents' hidden states to those of another run: `patch(Comma, layers=3)`.

    `replace(Start, zero) & patch(Comma, layers=4)` takes Start away, but leaves the Comma latents
    what they were without that after layer 4. `patch(Comma, layers=4, source="knock_out(Start)")`
    is the reverse. `patch(End, prompt="Repeat 5 times: 1+1=2\\n")` gives the End latents what they
    are in another prompt, and `patch(End, by=example)` what they are in another example.

    Attributes:
        latents: a selection; verbal slots too, unless `prompt` or `by` is given. If the states come
            from another text, some latent has to stand after a token: a decoder's states before it
            are the same in every text.
        layers: after which layers, from 0; one or several, None for every layer.
        source: the other run, as an intervention on the model as it is outside the block; `none`
            is the clean run. It goes over the same slots.
        prompt: what the other run reads, its own latents in their places; each latent takes the
            states of the one with the same group, member and occurrence there, if there is one.
            Empty: the other run goes over the same prompt and response.
        from_step: only slots from so many response tokens on.
        by: what else the states come from: `example`, for each example of a task another one with
            its right answer (see `latent_core.tasks.donors`); `mean`, the mean over 64 examples of
            the split; `noise`, a random direction, as long as the state that it replaces;
            `previous`, the occurrence of the group before, in the run as it would be. `example` and
            `mean` need to know the task, so they run in `evaluate`, `evaluate_intervention` and
            hypotheses. Empty: `source` or `prompt`.
        seed: of the examples and the noise.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> change = lc.interventions.Patch("Comma", layers=2, prompt="3,4,")
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'patch(Comma, layers=2, prompt="3,4,")'
    """

    verb: ClassVar[str] = "patch"
    latents: Slots
    layers: Indices | None = None
    source: Run = "none"
    prompt: str = ""
    from_step: int = 0
    by: Literal["", "example", "mean", "noise", "previous"] = ""
    seed: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", numbers(self.layers))
        if self.by not in ("", "example", "mean", "noise", "previous"):
            raise SettingError(f"by is {self.by!r}; expected example, mean, noise or previous")
        if self.by and self.prompt:
            raise SettingError(
                f"{self} takes states from another prompt and from {self.by}; expected one of them"
            )
        if self.by == "noise" and self.source != "none":
            raise SettingError(f"{self} takes no states from a run; leave out source")

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        at_least("from_step", self.from_step, 0)
        every = range(len(decoder_layers(scene.backbone)))
        layers = pick("layer", self.layers, every, scene.backbone.name)
        clean = scene if scene.clean is None else scene.clean
        source = parse_intervention(self.source).apply(clean)
        if scene.fillers:
            raise SettingError(
                f"{self} cannot run beside computed latents ({scene.layout}): the other run would "
                "have to compute its own; expected drop, replace or knock_out"
            )
        if source.layout != scene.layout or source.positions is not scene.positions:
            raise SettingError(
                f"the source run {self.source} has the layout {source.layout}, the patched one "
                f"{scene.layout}; expected two runs over the same slots (no move, recount or "
                "positions in only one of them)"
            )
        only_latents = bool(self.prompt or self.by)
        selection = Selection.parse(self.latents, scene.layout, latents_only=only_latents)
        if self.by == "noise":
            return scene.with_flow(Noise(selection, layers, self.seed, self.from_step))
        if not self.prompt and self.by in ("", "previous"):
            shifted = self.by == "previous"
            return scene.with_flow(Patching(selection, layers, source, self.from_step, shifted))
        if source.flows:
            raise SettingError(
                f"the run over another text cannot be under {self.source}, nor under an outer "
                "block's changes to the flow; expected a source that changes tokens only (drop, "
                "replace, scale, shuffle, swap)"
            )
        unsure = {
            scene.layout.groups[group].name
            for group, _ in selection.members(scene.layout)
            if isinstance(scene.layout.groups[group].place, Unsure)
        }
        if unsure:
            raise SettingError(
                f"{self} takes states from another text, and the model itself decides where "
                f"{' and '.join(sorted(unsure))} stands as it answers, so a text that is given has "
                "no counterparts; expected other groups, or by=noise or by=previous"
            )
        if _is_same_in_every_prompt(selection, scene, source):
            raise SettingError(
                f"{self} cannot change anything: {self.latents} stands before the prompt's first "
                "token, and a decoder's states there are the same in every prompt; expected "
                "latents that stand after a token, such as End or Comma, or a source that changes "
                'these, such as source="scale(Start, 0.5)"'
            )
        return scene.with_flow(Borrowing(selection, layers, source, self._lender(), self.from_step))

    def _lender(self) -> Lender:
        match self.by:
            case "example":
                return AnotherExample(self.seed, str(self))
            case "mean":
                return Mean(self.seed, str(self))
            case _:
                return OtherPrompt(self.prompt)


def _is_same_in_every_prompt(selection: Selection, scene: Scene, source: Scene) -> bool:
    """Whether the selected latents see no prompt, and the same latents in both runs."""
    groups = scene.layout.groups
    first = [number for number, group in enumerate(groups) if isinstance(group.place, Start)]
    if scene.flows or any(group not in first for group, _ in selection.members(scene.layout)):
        return False

    def seen(of: Scene) -> list[list[float] | None]:
        rows = [of.rows(group, m, 0, 0) for group in first for m in range(groups[group].count)]
        return [None if row is None else of.vectors[row].tolist() for row in rows]

    return seen(scene) == seen(source)


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
    "freeze": Freeze,
}
"""The kinds of interventions by the verb of their text form.

Example:
    >>> import latent_core as lc
    >>> lc.interventions.VERBS["knock_out"].__name__
    'KnockOut'
"""


def parse_intervention(text: str | Intervention) -> Intervention:
    """Read the one-line text form of an intervention.

    Args:
        text: such as `drop(Comma, after=3) & scale(Start, 0.5)`; `none` is no change. An
            intervention is returned as it is.

    Raises:
        LayoutError, SettingError: with the column, what was expected there, and what came.

    Example:
        >>> import latent_core as lc
        >>> lc.parse_intervention("drop(Comma, after=3)")
        Drop(latents='Comma', after=3, nearest=None, from_step=0)
    """
    return text if isinstance(text, Intervention) else intervention_of(INTERVENTION.read(text))


def intervention_of(calls: Sequence[Call]) -> Intervention:
    """The intervention of a text that is taken apart already.

    Raises:
        LayoutError, SettingError: for a verb or an argument that does not exist.
    """
    found: list[Intervention] = []
    for call in calls:
        if call.verb not in VERBS:
            raise call.verb.fault(
                SettingError,
                f"unknown intervention {call.verb!r}",
                meant(call.verb, VERBS) or f"expected one of {', '.join(VERBS)}",
            )
        found.append(VERBS[call.verb].from_call(call))
    return found[0] if len(found) == 1 else Combined(tuple(found))
