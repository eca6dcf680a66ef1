"""The carrier study: what a group of latents carries, in one word.

Each part takes something away from the group and asks whether the score falls. `conclude` reads one
word off the verdicts of the parts:

| word        | without them | noise in them | another example's states | their mean | full stops  |
|-------------|--------------|---------------|--------------------------|------------|-------------|
| *unused*    | no harm      |               |                          |            |             |
| *sink*      | harm         | no harm       |                          |            |             |
| *mark*      | harm         | harm          | no harm                  |            |             |
| *memory*    | harm         | harm          | harm                     | harm       | harm        |
| *buffer*    | harm         | harm          | harm                     | harm       | no harm     |

*Unused* also asks for no harm if the response cannot attend to them. *Mixed* is any other pattern
that is settled. *Undecided*: a part on which the word depends is inconclusive.

*Harm* is a supported part: the score falls by at least the smallest effect. *No harm* is a refuted
part: the interval excludes such a fall. States that cannot depend on the example, because no token
stands before the latents, do no harm by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.studies.claims import Parts, group_of, part_of
from latent_core.hypotheses.study import Conclusion
from latent_core.slots.methods import Method
from latent_core.slots.places import End, Start

__all__ = ["WORDS", "carry", "conclude"]

WORDS: Final = ("memory", "mark", "sink", "buffer", "unused", "mixed", "undecided")
"""What latents can be; see the module's table."""

DROPPED: Final = "without them"
UNREAD: Final = "not read by the response"
DONOR: Final = "another example's states"
MEAN: Final = "the mean of their states"
NOISE: Final = "noise as long as their states"
PREVIOUS: Final = "the states of the occurrence before"
ALONE: Final = "states without context"
FILLER: Final = "full stops in their places"
RESTORE: Final = "their states restore"
TAKEN: Final = "the other example's answer"

_MEANINGS: Final = {
    "memory": "their states hold what the example says, and training made them hold it",
    "mark": "the model needs them, and states of another example do as well",
    "sink": "the model needs slots there, and noise in them does as well",
    "buffer": "their states hold what the example says, and full stops in their places do too",
    "unused": "the model does as well without them",
    "mixed": "the verdicts are settled and fit no other word",
}


#: Parts whose changes cannot matter where no token stands before the latents.
_OF_CONTENT: Final = (DONOR, MEAN)


def carry(task: str, layout: str, group: str = "") -> Parts:
    """Return the parts that ask what a group of the layout carries: the last, if none is named.

    Raises:
        SettingError: if the layout has computed latents.
    """
    parsed = Method.parse(layout).layout
    groups = parsed.groups
    if any(one.computed for one in groups):
        raise SettingError(
            f"the study carry gives latents the hidden states of other runs, and {layout} has "
            "computed latents, whose inputs would have to follow; expected learned latents, or "
            "the study computed"
        )
    chosen = group_of(parsed, group)
    name, place = chosen.name, chosen.place

    def harm(change: str, claim: str, controls: tuple[str, ...] = ()) -> Hypothesis:
        treatment = f"{layout} under {change}"
        return part_of(task, claim, treatment, layout, "less", controls=controls)

    parts = {
        DROPPED: harm(
            f"drop({name})", f"without its {name} latents the model does worse", ("random",)
        ),
        UNREAD: harm(
            f"knock_out(response -> {name})",
            f"cutting attention from the response to the {name} latents makes the model do worse",
            ("random",),
        ),
        NOISE: harm(
            f"patch({name}, by=noise)",
            f"noise in place of the {name} latents' hidden states makes the model do worse",
        ),
        FILLER: harm(
            f"replace({name}, text:.)",
            f"full stops in place of the {name} latents make the model do worse",
        ),
    }
    if isinstance(place, Start):
        return parts
    parts |= {
        DONOR: harm(
            f"patch({name}, by=example)",
            f"hidden states that the {name} latents have in another example make the model do "
            "worse",
        ),
        MEAN: harm(
            f"patch({name}, by=mean)",
            f"the mean over examples of the {name} latents' hidden states makes the model do worse",
        ),
        ALONE: harm(
            f"knock_out({name} -> all)",
            f"if its {name} latents attend to nothing but themselves, the model does worse",
        ),
        TAKEN: part_of(
            task,
            f"with hidden states that the {name} latents have in another example, the model gives "
            "that example's answer",
            f"{layout} under patch({name}, by=example)",
            layout,
            "greater",
            metric="donor",
            controls=(),
        ),
    }
    if not isinstance(place, End):
        parts[PREVIOUS] = harm(
            f"patch({name}, by=previous)",
            f"if its {name} latents hold what the occurrence before holds, the model does worse",
        )
    if len(groups) > 1:
        ruined = f"{layout} under replace(latents, random)"
        parts[RESTORE] = part_of(
            task,
            f"the {name} latents' hidden states alone restore a run whose latents are random",
            f"{ruined} & patch({name})",
            ruined,
            "greater",
            controls=(),
        )
    return parts


def conclude(outcomes: Mapping[str, str], not_run: Collection[str] = ()) -> Conclusion:
    """Read the word off the outcomes of the parts, by the module's table.

    Args:
        outcomes: supported, refuted or inconclusive, by part.
        not_run: parts that could not be run.
    """

    def harms(part: str) -> bool | None:
        if part in outcomes:
            return {"supported": True, "refuted": False}.get(outcomes[part])
        return False if part in _OF_CONTENT and part not in not_run else None

    word, open_parts = _word(harms)
    if open_parts:
        return Conclusion(
            "undecided", "inconclusive", f"the word depends on: {', '.join(open_parts)}"
        )
    return Conclusion(word, "supported" if word == "memory" else "refuted", _MEANINGS[word])


def _word(harms: Callable[[str], bool | None]) -> tuple[str, list[str]]:
    """The word; and the parts that it depends on and that are not settled."""
    rules: tuple[tuple[str, Mapping[str, bool]], ...] = (
        ("unused", {DROPPED: False, UNREAD: False}),
        ("sink", {DROPPED: True, NOISE: False}),
        ("mark", {DROPPED: True, NOISE: True, DONOR: False}),
        ("memory", {DROPPED: True, NOISE: True, DONOR: True, MEAN: True, FILLER: True}),
        ("buffer", {DROPPED: True, NOISE: True, DONOR: True, MEAN: True, FILLER: False}),
    )
    still_open: dict[str, None] = {}
    for word, rule in rules:
        found = {part: harms(part) for part in rule}
        if found == rule:
            return word, []
        if all(harm is None or harm == rule[part] for part, harm in found.items()):
            still_open.update(dict.fromkeys(p for p, harm in found.items() if harm is None))
    return "mixed", list(still_open)
