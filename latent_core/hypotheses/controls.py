"""Controls that come with every claim about latents: stand-ins for the learned vectors.

| control    | the latents' places hold                                       |
|------------|----------------------------------------------------------------|
| `random`   | random vectors of the same norms                               |
| `shuffled` | the learned vectors, each in another latent's place            |
| `filler`   | full stops' embeddings: as many tokens that are not latents    |

If a claim says that one method beats another, the control replaces the treatment's latents, and the
gain must disappear. If a claim is about an intervention, the control replaces the latents of the
model on both sides, and the effect must disappear. The *specific* effect is the effect minus the
effect under the control, example by example. A claim stands only if the interval of the specific
effect also excludes zero in the stated direction.
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
    """A contrast whose latents are replaced.

    Attributes:
        name: the name of the stand-in.
        treatment, control: the two conditions.
    """

    name: str
    treatment: Condition
    control: Condition


def controls_of(hypothesis: Hypothesis, num_latents: int | None = None) -> list[Control]:
    """Return the controls that a hypothesis asks for and that can differ from it.

    Args:
        hypothesis: the claim.
        num_latents: the number of latent vectors of the treatment's model, if known; a single
            vector cannot be shuffled.
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
