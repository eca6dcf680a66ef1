"""Controls that come with every claim about latents: what stands in for the learned vectors.

| control    | the latents' places hold                                       |
|------------|----------------------------------------------------------------|
| `random`   | random vectors of the same norms                               |
| `shuffled` | the learned vectors, each in another latent's place            |
| `filler`   | full stops' embeddings: as many tokens that are no latents     |

A claim that one method beats another must lose its gain when the treatment's latents are replaced
so; a claim that an intervention matters must lose its effect when the model it works on has such
latents. Either way the *specific* effect, effect - effect under the control, is estimated example
by example: a claim stands only if that too lies beyond zero in the stated direction.

Knows conditions as text; runs nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Condition

__all__ = ["STAND_INS", "Control", "controls_of"]

STAND_INS: Final[dict[str, str]] = {
    "random": "replace(latents, random)",
    "shuffled": "shuffle(latents)",
    "filler": "replace(latents, text:.)",
}


class Control(NamedTuple):
    """A contrast whose latents are stand-ins.

    Attributes:
        name: of the stand-in.
        treatment, control: its two conditions.
    """

    name: str
    treatment: Condition
    control: Condition


def controls_of(hypothesis: Hypothesis, num_latents: int | None = None) -> list[Control]:
    """The controls that a hypothesis asks for and that can differ from it.

    Args:
        hypothesis: the claim.
        num_latents: latent vectors of the treatment's model, if known: a single one cannot be
            shuffled.
    """
    treatment, control = hypothesis.contrast.conditions
    if not treatment.latents_placed or num_latents == 0 or hypothesis.metric == "agreement":
        return []
    found = []
    for name in hypothesis.controls:
        if name == "shuffled" and num_latents is not None and num_latents < 2:
            continue
        stand_in = STAND_INS[name]
        if stand_in in (treatment.intervention, control.intervention):
            continue  # the contrast is that control
        other = replace(control, within=stand_in) if hypothesis.contrast.is_causal else control
        found.append(Control(name, replace(treatment, within=stand_in), other))
    return found
