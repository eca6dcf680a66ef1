"""The words of the built-in studies, and the layout that each asks about on each task.

Needs no torch, so that the studies are listed at once. Their claims are made in
`latent_core.hypotheses.studies.table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["OUTLINES", "Outline", "other_keys"]

RULE: Final = "Start_4+Comma_4"
"""`tiny` needs about four vectors a group to learn the hidden rule; with two it does not."""
COUNT: Final = "Start_1+Comma_1"
_WITH_COMMAS: Final = {"generation": RULE, "repetition": COUNT, "counting": COUNT}


class Outline(NamedTuple):
    """A study in words.

    Attributes:
        key, title, claim, prediction, explanation, layouts: as in `Study`.
        parts: the function of `latent_core.hypotheses.studies.claims` that makes its claims.
        size: the number of these claims.
    """

    key: str
    title: str
    claim: str
    prediction: str
    explanation: str
    layouts: Mapping[str, str]
    parts: str
    size: int


OUTLINES: Final[tuple[Outline, ...]] = (
    Outline(
        "H1",
        "Do latents keep a rule alive over long output?",
        "Self-prompting: latents between the parts of an output remind the model of a rule that "
        "is never stated.",
        "If so, latents at commas beat as many latents before or after the prompt. The gain grows "
        "with the length of the output. Without the latents, the rest of the output is wrong.",
        "Training chains have six equations under a hidden rule; test chains are longer. The "
        "baselines are prompt tuning and pause tokens of the same size, and prompt tuning of the "
        "same computation. Three interventions test the cause: they drop the latents after the "
        "sixth equation, cut attention to them, and patch their hidden states into a run whose "
        "other latent is replaced by a random vector.",
        {"generation": RULE, "counting": COUNT},
        "paper",
        7,
    ),
    Outline(
        "H2",
        "Are latents anchors for finding things in the input?",
        "Retrieval: latents spread over a long input help the model to find the part of it that "
        "the question needs.",
        "If so, latents after every eight tokens beat as many latents at one place. The gain grows "
        "with the length of the list, and their hidden states carry the text near them.",
        "The model looks up two variables in a list that is longer than in training; the task "
        "summation also adds them. Three interventions test the cause: they drop the latents, cut "
        "attention to them, and give them the hidden states that they have in another list.",
        {"summation": "8_2", "lookup": "8_2"},
        "paper",
        7,
    ),
    Outline(
        "H3",
        "Do latents keep an instruction alive?",
        "Instruction adherence: latents at every comma keep the stated count available while the "
        "model writes.",
        "If so, latents at commas beat as many latents at one place if the prompt asks for more "
        "repetitions than in training. Without the latents, the count is wrong.",
        "The prompt asks for an equation n times, with n larger than in training. The tests are "
        "those of H1; the latents are dropped after the sixth comma.",
        {"repetition": COUNT},
        "paper",
        7,
    ),
    Outline(
        "computation",
        "Is it only more computation?",
        "Latents help because of what they learned, not because more tokens mean more computation.",
        "If so, full stops, which are not trained, score lower in the same places.",
        "The baselines are full stops in the latents' places, and prompt tuning that processes as "
        "many extra tokens.",
        _WITH_COMMAS,
        "computation",
        2,
    ),
    Outline(
        "placement",
        "Is it the place, or the training?",
        "The place of latents matters: vectors that are moved score lower, and so do vectors that "
        "were trained in another place.",
        "If so, moving the Comma latents to every eighth token lowers the score, and training them "
        "there does not restore it.",
        "The first part moves the trained vectors, which also puts them where they were not "
        "trained. The second part compares a layout that was trained in the other place, so it "
        "separates place from training.",
        _WITH_COMMAS,
        "placement",
        2,
    ),
    Outline(
        "specialisation",
        "Do groups specialise?",
        "Groups of latents learn different functions.",
        "If so, exchanging the vectors of two groups lowers the score, and one table for both "
        "groups scores lower than one table for each.",
        "The first part exchanges the vectors of the Start and Comma latents. The second part "
        "trains a layout whose groups share one table.",
        _WITH_COMMAS,
        "specialisation",
        2,
    ),
    Outline(
        "positions",
        "Do shared positions matter?",
        "Latents work better if they do not change the position ids of the text.",
        "If so, sequential position ids score lower, both in training and after it.",
        "The first part trains a layout with sequential position ids. The second part runs a "
        "layout with sequential ids that was trained with shared ids.",
        _WITH_COMMAS,
        "positions",
        2,
    ),
    Outline(
        "prediction",
        "Does the last latent have to predict?",
        "A layout scores higher if its last latent predicts the next token, and not the verbal "
        "token before the group.",
        "If so, End_2 beats End_2@verbal, whose latents act one token later.",
        "Both layouts have the same latents in the same place. They differ in the slot that "
        "predicts the next token.",
        {"repetition": "End_2"},
        "prediction",
        1,
    ),
    Outline(
        "attention",
        "Does attention predict causal effect?",
        "Cutting attention to latents has a larger effect where latents get more attention.",
        "If so, attention mass and the effect of cutting the same edges have a rank correlation of "
        "0.3 or more over layers and heads.",
        "For each example, the attention mass of each head on each group is compared with the "
        "effect of cutting those edges on the log-probability of the right answer.",
        _WITH_COMMAS,
        "attention",
        1,
    ),
    Outline(
        "reach",
        "How far does one group's influence reach?",
        "Latents act beyond the token that they stand before: the model also uses earlier "
        "occurrences.",
        "If so, hiding all but the nearest occurrence lowers the score.",
        "In the first part, every slot sees only the last Comma latent before it. In the second "
        "part, it sees the last three.",
        _WITH_COMMAS,
        "reach",
        2,
    ),
    Outline(
        "carry",
        "What do latents carry?",
        "Memory: the hidden states of latents hold what the example says, and the model answers by "
        "them.",
        "If so, the score falls without the latents, and also if their hidden states are noise, "
        "those of another example, or the mean over examples, or if full stops stand in their "
        "places. Other patterns have other names: mark, sink, buffer, unused or mixed.",
        "Each part takes something away from the layout's last group and asks whether the score "
        "falls. Every example has its own donor: another example of the same level and form, with "
        "another answer. So the interval is over donors, too. The word follows from the verdicts "
        "by a fixed rule; docs/carrier.md has it, with how often it errs.",
        {
            "summation": "Comma_2",
            "lookup": COUNT,
            "generation": RULE,
            "repetition": COUNT,
            "counting": COUNT,
        },
        "carry",
        9,
    ),
    Outline(
        "computed",
        "Do computed latents do more than learned ones at the same places?",
        "A latent that holds the state of the slot before it helps more than a learned vector in "
        "its place, because what it holds depends on the prompt.",
        "If so, computed latents beat as many learned ones, and their answers follow an edit of "
        "the prompt more often. Without them the score is lower, and "
        "also if they hold their mean over the task, random directions, or what the first holds. "
        "And what they hold is enough: it raises the score where they cannot attend to the prompt.",
        "The learned latents have the same places and count. The interventions keep the slots and "
        "change what they hold. Only a map of the states is trained; a layout such as "
        "End_4=hidden & lora-r8 trains the backbone's copy too.",
        {"hops": "End_4=hidden(proj=8)", "reach": "End_4=hidden(proj=8)"},
        "computed",
        7,
    ),
)


def other_keys() -> list[str]:
    """Return the keys of the built-in studies on other tasks than their own."""
    return [f"{one.key}-{task}" for one in OUTLINES for task in list(one.layouts)[1:]]
