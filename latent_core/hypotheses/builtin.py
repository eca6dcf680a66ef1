"""The built-in studies: the paper's three hypotheses, and the questions its readers ask.

One literal table. A condition's words are explained in `contrast`, those of interventions in
`latent_core.interventions`. Every split named here is a task's second OOD level: beyond training,
and not so far that nobody answers anything.
"""

from __future__ import annotations

from typing import Final, Literal

from latent_core.hypotheses.contrast import CHANCE, Contrast
from latent_core.hypotheses.hypothesis import CONTROLS, Hypothesis
from latent_core.hypotheses.studies import Study
from latent_core.interventions import Patch
from latent_core.tasks import load_task

__all__ = ["ELSEWHERE", "STUDIES"]

RULE: Final = "Start_4+Comma_4"
"""`tiny` needs about four vectors a group to learn the hidden rule; with two it does not."""
COUNT: Final = "Start_1+Comma_1"
LIST: Final = "8_2"


def _beyond(task: str) -> str:
    """The task's second OOD split."""
    return f"ood-{load_task(task).ood_levels[1]}"


def _part(
    task: str,
    claim: str,
    treatment: str,
    control: str,
    direction: Literal["less", "greater"],
    least: float = 0.1,
    *,
    minus: str | None = None,
    metric: str = "graded",
    controls: tuple[str, ...] = CONTROLS,
) -> Hypothesis:
    contrast = Contrast(treatment, control, minus)
    return Hypothesis(
        claim, task, contrast, direction, least, _beyond(task), metric, controls=controls
    )


def _paper(
    task: str, layout: str, group: str, after: str, patched: Hypothesis
) -> dict[str, Hypothesis]:
    """What each of the paper's three hypotheses is held against."""
    return {
        "gain over Start": _part(
            task,
            f"{layout} beats prompt tuning of the same size",
            layout,
            f"matched({layout}, parameters, start)",
            "greater",
        ),
        "gain over End": _part(
            task,
            f"{layout} beats pause tokens of the same size",
            layout,
            f"matched({layout}, parameters, end)",
            "greater",
        ),
        "gain at equal computation": _part(
            task,
            f"{layout} beats prompt tuning that processes as many extra tokens",
            layout,
            f"matched({layout}, compute, start)",
            "greater",
            controls=(),
        ),
        "gain grows out of distribution": _part(
            task,
            f"{layout} gains more over prompt tuning out of distribution than in it",
            layout,
            f"matched({layout}, parameters, start)",
            "greater",
            0.05,
            minus="id",
            controls=(),
        ),
        "dropping them breaks it": _part(
            task,
            f"without its {group} latents{after} the model does worse",
            f"{layout} under drop({group}{', after=6' if after else ''})",
            layout,
            "less",
            controls=("random",),
        ),
        "they are looked at": _part(
            task,
            f"cutting the response off from the {group} latents makes the model do worse",
            f"{layout} under knock_out(response -> {group})",
            layout,
            "less",
            controls=("random",),
        ),
        "their states carry it": patched,
    }


def _states_suffice(task: str, layout: str) -> Hypothesis:
    ruined = f"{layout} under replace(Start, random)"
    return _part(
        task,
        "the Comma latents' hidden states alone mend a run whose Start latent is ruined",
        f"{ruined} & {Patch('Comma')}",
        ruined,
        "greater",
        controls=(),
    )


def _states_matter(task: str) -> Hypothesis:
    other = load_task(task).examples(_beyond(task), 1, seed=987_654)[0].prompt
    return _part(
        task,
        "giving the latents the hidden states they have in another prompt makes the model do worse",
        f"{LIST} under {Patch('8', prompt=other)}",
        LIST,
        "less",
        controls=("random",),
    )


def _questions(task: str, layout: str, suffix: str = "") -> tuple[Study, ...]:
    """What readers ask of any layout with Start and Comma latents."""
    return (
        Study(
            f"computation{suffix}",
            "Is it only more computation?",
            "What latents do, they do by what they learned, not by the computation that more "
            "tokens buy.",
            "If so, untrained dots in the same places do worse.",
            "Against full stops in the latents' places, and prompt tuning of as many tokens.",
            {
                "against filler": _part(
                    task,
                    "trained latents beat untrained dots in their places",
                    layout,
                    f"filler({layout})",
                    "greater",
                    controls=("random", "shuffled"),
                ),
                "against as many latents at the start": _part(
                    task,
                    "latents at commas beat prompt tuning that processes as many extra tokens",
                    layout,
                    f"matched({layout}, compute, start)",
                    "greater",
                    controls=(),
                ),
            },
        ),
        Study(
            f"placement{suffix}",
            "Is it the place, or the training?",
            "The place of latents matters: the same vectors elsewhere do less, and so do vectors "
            "that were trained elsewhere.",
            "If so, moving the Comma latents to every eighth token hurts, and training them there "
            "from the start does not make up for it.",
            "First the trained vectors are moved, which also puts them where they were not "
            "trained; then a layout trained in the other place is compared, which separates the "
            "two.",
            {
                "moved": _part(
                    task,
                    "the trained vectors do worse after every eighth token than at commas",
                    f"{layout} under move(Comma, 8)",
                    layout,
                    "less",
                    controls=("random",),
                ),
                "trained elsewhere": _part(
                    task,
                    "latents trained at commas beat latents trained after every eighth token",
                    layout,
                    layout.replace("Comma", "8"),
                    "greater",
                ),
            },
        ),
        Study(
            f"specialisation{suffix}",
            "Do groups specialise?",
            "Groups of latents learn different functions.",
            "If so, exchanging the vectors of two groups breaks the answer, and one table for both "
            "groups does worse than one for each.",
            "The Start and Comma latents exchange their vectors; then a layout is trained whose "
            "groups share one table.",
            {
                "swapped": _part(
                    task,
                    "exchanging the Start and Comma vectors makes the model do worse",
                    f"{layout} under swap(Start, Comma)",
                    layout,
                    "less",
                    controls=("random",),
                ),
                "tied": _part(
                    task,
                    "groups with tables of their own beat groups that share one",
                    layout,
                    f"{layout}; tied",
                    "greater",
                    controls=(),
                ),
            },
        ),
        Study(
            f"positions{suffix}",
            "Do shared positions matter?",
            "It matters that latents leave the position ids of the text as they are.",
            "If so, numbering all slots in a row does worse, in training as well as after it.",
            "A layout is trained with positions in a row; and one trained with shared positions is "
            "run with positions in a row.",
            {
                "trained so": _part(
                    task,
                    "shared positions beat positions in a row, each trained",
                    layout,
                    f"{layout}; positions=sequential",
                    "greater",
                    controls=(),
                ),
                "changed after training": _part(
                    task,
                    "positions in a row make a model trained with shared ones do worse",
                    f"{layout} under positions(sequential)",
                    layout,
                    "less",
                    controls=("random",),
                ),
            },
        ),
        Study(
            "prediction",
            "Does the last latent have to predict?",
            "Letting the last latent predict the next token beats leaving that to the verbal token "
            "before the group.",
            "If so, End_2 beats End_2@verbal, which sees its latents one token later.",
            "The same latents in the same place; only the slot whose output is read is another.",
            {
                "latent or verbal": _part(
                    "repetition",
                    "the last latent predicts better than the verbal token before it",
                    "End_2",
                    "End_2@verbal",
                    "greater",
                    controls=(),
                ),
            },
        ),
        Study(
            f"attention{suffix}",
            "Does attention predict causal effect?",
            "Where latents get more attention, cutting it off matters more.",
            "If so, attention mass and the effect of cutting the same edges rank layers and heads "
            "alike: a rank correlation of 0.3 or more.",
            "For each example the mass that each head gives each group is set beside what cutting "
            "those edges does to the log-probability of the right answer.",
            {
                "mass against effect": _part(
                    task,
                    "attention mass and causal effect rank heads and layers alike",
                    layout,
                    CHANCE,
                    "greater",
                    0.3,
                    metric="agreement",
                    controls=(),
                ),
            },
        ),
        Study(
            f"reach{suffix}",
            "How far does one group's influence reach?",
            "Latents matter beyond the token that they stand before: earlier occurrences are used "
            "too.",
            "If so, hiding all but the nearest occurrence makes the model do worse.",
            "Every slot sees only the last Comma latent before it; then, the last three.",
            {
                "nearest only": _part(
                    task,
                    "seeing only the nearest Comma latents, the model does worse",
                    f"{layout} under drop(Comma, nearest=1)",
                    layout,
                    "less",
                    controls=("random",),
                ),
                "nearest three": _part(
                    task,
                    "seeing only the three nearest Comma latents, the model does worse",
                    f"{layout} under drop(Comma, nearest=3)",
                    layout,
                    "less",
                    controls=("random",),
                ),
            },
        ),
    )


STUDIES: Final[tuple[Study, ...]] = (
    Study(
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
        _paper(
            "generation", RULE, "Comma", " after the sixth", _states_suffice("generation", RULE)
        ),
    ),
    Study(
        "H2",
        "Are latents anchors for finding things in the input?",
        "Retrieval: latents strewn over a long input help the model to find in it what is asked "
        "for.",
        "If so, latents after every eight tokens beat as many at one place, more so in longer "
        "lists, and their hidden states hold what was near them.",
        "Two variables are looked up in a list longer than in training, and added. The cause is "
        "shown by dropping the latents, by cutting attention to them, and by giving them the "
        "hidden states that they have in another list.",
        _paper("summation", LIST, "8", "", _states_matter("summation")),
    ),
    Study(
        "H3",
        "Do latents keep an instruction alive?",
        "Instruction adherence: latents at every comma keep a stated count before the model while "
        "it writes.",
        "If so, latents at commas beat as many at one place when more repetitions are asked for "
        "than in training, and without them the count is lost.",
        "An equation is to be written n times, n beyond training. Tested as H1 is; the latents "
        "are dropped after the sixth comma.",
        _paper(
            "repetition", COUNT, "Comma", " after the sixth", _states_suffice("repetition", COUNT)
        ),
    ),
    *_questions("generation", RULE),
)

ELSEWHERE: Final = tuple(
    study for study in _questions("repetition", COUNT, "-repetition") if study.key != "prediction"
)
"""The same questions of another task; `reach-repetition`, say."""
