"""The built-in studies: the paper's three hypotheses, and the questions its readers ask.

The table gives the words of each study, and the layout that it asks about on each task. The parts
of a study are in `latent_core.hypotheses.studies.claims`.
"""

from __future__ import annotations

from typing import Final

from latent_core.errors import SettingError
from latent_core.hypotheses.studies import claims as parts
from latent_core.hypotheses.study import Study

__all__ = ["STUDIES", "load_study", "other_keys"]

RULE: Final = "Start_4+Comma_4"
"""`tiny` needs about four vectors a group to learn the hidden rule; with two it does not."""
COUNT: Final = "Start_1+Comma_1"
_WITH_COMMAS: Final = {"generation": RULE, "repetition": COUNT, "counting": COUNT}

STUDIES: Final[tuple[Study, ...]] = (
    Study.asking(
        "H1",
        "Do latents keep a rule alive over long output?",
        "Self-prompting: latents between the parts of an output remind the model of a rule that "
        "is never stated.",
        "If so, latents at commas beat as many latents before or after the prompt, more so the "
        "longer the output, and taking them away in mid-output breaks what follows.",
        "Chains under a hidden rule are learned six equations long and asked for longer. The gain "
        "is held against prompt tuning and pause tokens of the same size, and prompt tuning of "
        "the same computation; the cause is shown by dropping the latents after the sixth "
        "equation, by cutting attention to them, and by putting their undisturbed hidden states "
        "into a run whose other latent is ruined.",
        {"generation": RULE, "counting": COUNT},
        parts.paper,
    ),
    Study.asking(
        "H2",
        "Are latents anchors for finding things in the input?",
        "Retrieval: latents strewn over a long input help the model to find in it what is asked "
        "for.",
        "If so, latents after every eight tokens beat as many at one place, more so in longer "
        "lists, and their hidden states hold what was near them.",
        "Two variables are looked up in a list longer than in training, and added on summation. "
        "The cause is shown by dropping the latents, by cutting attention to them, and by giving "
        "them the hidden states that they have in another list.",
        {"summation": "8_2", "lookup": "8_2"},
        parts.paper,
    ),
    Study.asking(
        "H3",
        "Do latents keep an instruction alive?",
        "Instruction adherence: latents at every comma keep a stated count before the model while "
        "it writes.",
        "If so, latents at commas beat as many at one place when more repetitions are asked for "
        "than in training, and without them the count is lost.",
        "An equation is to be written n times, n beyond training. Tested as H1 is; the latents "
        "are dropped after the sixth comma.",
        {"repetition": COUNT},
        parts.paper,
    ),
    Study.asking(
        "computation",
        "Is it only more computation?",
        "What latents do, they do by what they learned, not by the computation that more "
        "tokens buy.",
        "If so, untrained dots in the same places do worse.",
        "Against full stops in the latents' places, and prompt tuning of as many tokens.",
        _WITH_COMMAS,
        parts.computation,
    ),
    Study.asking(
        "placement",
        "Is it the place, or the training?",
        "The place of latents matters: the same vectors elsewhere do less, and so do vectors "
        "that were trained elsewhere.",
        "If so, moving the Comma latents to every eighth token hurts, and training them there "
        "from the start does not make up for it.",
        "First the trained vectors are moved, which also puts them where they were not "
        "trained; then a layout trained in the other place is compared, which separates the "
        "two.",
        _WITH_COMMAS,
        parts.placement,
    ),
    Study.asking(
        "specialisation",
        "Do groups specialise?",
        "Groups of latents learn different functions.",
        "If so, exchanging the vectors of two groups breaks the answer, and one table for both "
        "groups does worse than one for each.",
        "The Start and Comma latents exchange their vectors; then a layout is trained whose "
        "groups share one table.",
        _WITH_COMMAS,
        parts.specialisation,
    ),
    Study.asking(
        "positions",
        "Do shared positions matter?",
        "It matters that latents leave the position ids of the text as they are.",
        "If so, numbering all slots in a row does worse, in training as well as after it.",
        "A layout is trained with positions in a row; and one trained with shared positions is "
        "run with positions in a row.",
        _WITH_COMMAS,
        parts.positions,
    ),
    Study.asking(
        "prediction",
        "Does the last latent have to predict?",
        "Letting the last latent predict the next token beats leaving that to the verbal token "
        "before the group.",
        "If so, End_2 beats End_2@verbal, which sees its latents one token later.",
        "The same latents in the same place; only the slot whose output is read is another.",
        {"repetition": "End_2"},
        parts.prediction,
    ),
    Study.asking(
        "attention",
        "Does attention predict causal effect?",
        "Where latents get more attention, cutting it off matters more.",
        "If so, attention mass and the effect of cutting the same edges rank layers and heads "
        "alike: a rank correlation of 0.3 or more.",
        "For each example the mass that each head gives each group is set beside what cutting "
        "those edges does to the log-probability of the right answer.",
        _WITH_COMMAS,
        parts.attention,
    ),
    Study.asking(
        "reach",
        "How far does one group's influence reach?",
        "Latents matter beyond the token that they stand before: earlier occurrences are used too.",
        "If so, hiding all but the nearest occurrence makes the model do worse.",
        "Every slot sees only the last Comma latent before it; then, the last three.",
        _WITH_COMMAS,
        parts.reach,
    ),
)
"""The built-in studies.

Example:
    >>> import latent_core as lc
    >>> [study.key for study in lc.STUDIES[:3]]
    ['H1', 'H2', 'H3']
"""


def load_study(key: str, layout: str = "") -> Study:
    """Return a built-in study.

    Args:
        key: its name; `reach-repetition` asks the question `reach` of another task.
        layout: the latents to ask about; empty for those of the table.

    Raises:
        SettingError: if there is no such study, with those there are.
        LayoutError: if the layout cannot be read.

    Example:
        >>> import latent_core as lc
        >>> lc.load_study("reach-repetition").layout
        'Start_1+Comma_1'
    """
    for study in STUDIES:
        for task in study.layouts:
            if study.key_on(task).lower() == key.lower():
                return study.about(layout, task)
    raise SettingError(
        f"no hypothesis {key!r}; expected one of {', '.join(study.key for study in STUDIES)}; or "
        f"{', '.join(other_keys())}"
    )


def other_keys() -> list[str]:
    """Return the keys of the built-in studies on other tasks than their own."""
    return [study.key_on(task) for study in STUDIES for task in list(study.layouts)[1:]]
