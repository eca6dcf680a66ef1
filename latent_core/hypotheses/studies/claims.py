"""The claims of the built-in studies, for any task and layout.

Each function makes the parts of one study: hypotheses, each by a short name. The notation of
conditions is in `latent_core.hypotheses.conditions`. Every claim is measured on the task's second
out-of-distribution level, because some methods still answer there.
"""

from __future__ import annotations

from typing import Literal

from latent_core.errors import SettingError
from latent_core.hypotheses.claim import CONTROLS, Hypothesis
from latent_core.hypotheses.conditions import CHANCE, Contrast
from latent_core.interventions.kinds import Patch
from latent_core.slots.layout import LatentGroup, LatentLayout
from latent_core.slots.methods import Method
from latent_core.tasks.table import load_task

__all__ = [
    "Parts",
    "attention",
    "beyond",
    "computation",
    "group_of",
    "paper",
    "part_of",
    "placement",
    "positions",
    "prediction",
    "reach",
    "specialisation",
]

Parts = dict[str, Hypothesis]


def beyond(task: str) -> str:
    """Return the task's second OOD split."""
    return f"ood-{load_task(task).ood_levels[1]}"


def part_of(
    task: str,
    claim: str,
    treatment: str,
    control: str,
    direction: Literal["less", "greater"],
    least: float = 0.1,
    *,
    minus: str | None = None,
    split: str = "",
    metric: str = "graded",
    controls: tuple[str, ...] = CONTROLS,
) -> Hypothesis:
    """Return a part of a study, on the task's second OOD split unless another is given."""
    contrast = Contrast(treatment, control, minus)
    return Hypothesis(
        claim, task, contrast, direction, least, split or beyond(task), metric, controls=controls
    )


def group_of(layout: LatentLayout, name: str) -> LatentGroup:
    """Return the group that a study is about: the last, unless another is named.

    Raises:
        LayoutError: if the layout lacks it.
    """
    return layout.group(name) if name else layout.groups[-1]


def _with_option(layout: str, option: str) -> str:
    """A method whose layout has one more option; itself if it has that already."""
    method = Method.parse(layout)
    if option in str(method.layout).split("; ")[1:]:
        return layout
    init = "" if method.init == "vocab" else f"; init={method.init}"
    beside = "" if method.companion is None else f" & {method.companion}"
    return f"{method.layout}; {option}{init}{beside}"


def _predicting_verbal(layout: str) -> str:
    """A method in whose last group the verbal token before it predicts."""
    method = Method.parse(layout)
    if method.init == "vocab" and method.companion is None:
        return f"{layout}@verbal"
    raise SettingError(
        f"the study prediction compares {method.layout} with {method.layout}@verbal, and {layout} "
        "has more than a layout; expected a layout alone, such as End_2"
    )


def paper(task: str, layout: str, group: str = "") -> Parts:
    """Return the parts that test one of the paper's three hypotheses.

    The claim is about one group of the layout. Where the task demands retrieval, these latents
    stand in the list. Elsewhere they stand in the output and matter once it is longer than in
    training.
    """
    group = group_of(Method.parse(layout).layout, group).name
    in_output = load_task(task).demand != "retrieval"
    return {
        "gain over Start": part_of(
            task,
            f"{layout} beats prompt tuning of the same size",
            layout,
            f"matched({layout}, parameters, start)",
            "greater",
        ),
        "gain over End": part_of(
            task,
            f"{layout} beats pause tokens of the same size",
            layout,
            f"matched({layout}, parameters, end)",
            "greater",
        ),
        "gain at equal computation": part_of(
            task,
            f"{layout} beats prompt tuning that processes as many extra tokens",
            layout,
            f"matched({layout}, compute, start)",
            "greater",
            controls=(),
        ),
        "gain grows out of distribution": part_of(
            task,
            f"{layout} gains more over prompt tuning out of distribution than in it",
            layout,
            f"matched({layout}, parameters, start)",
            "greater",
            0.05,
            minus="id",
            controls=(),
        ),
        "dropping them breaks it": part_of(
            task,
            f"without its {group} latents{' after the sixth' if in_output else ''} the model does "
            "worse",
            f"{layout} under drop({group}{', after=6' if in_output else ''})",
            layout,
            "less",
            controls=("random",),
        ),
        "they are looked at": part_of(
            task,
            f"cutting attention from the response to the {group} latents makes the model do worse",
            f"{layout} under knock_out(response -> {group})",
            layout,
            "less",
            controls=("random",),
        ),
        "their states carry it": (_states_suffice if in_output else _states_matter)(
            task, layout, group
        ),
    }


def _states_suffice(task: str, layout: str, group: str) -> Hypothesis:
    random_start = f"{layout} under replace(Start, random)"
    return part_of(
        task,
        f"hidden states of the {group} latents alone restore a run whose Start latent is random",
        f"{random_start} & {Patch(group)}",
        random_start,
        "greater",
        controls=(),
    )


def _states_matter(task: str, layout: str, group: str) -> Hypothesis:
    other = load_task(task).examples(beyond(task), 1, seed=987_654)[0].prompt
    return part_of(
        task,
        "giving the latents the hidden states they have in another prompt makes the model do worse",
        f"{layout} under {Patch(group, prompt=other)}",
        layout,
        "less",
        controls=("random",),
    )


def computation(task: str, layout: str) -> Parts:
    """Return the parts that compare latents with full stops, and with as many extra tokens."""
    method = Method.parse(layout)
    alone = f"filler({method.layout})"
    return {
        "against filler": part_of(
            task,
            "trained latents beat full stops in their places",
            layout,
            alone if method.companion is None else f"matched({layout}, compute, filler)",
            "greater",
            controls=("random", "shuffled"),
        ),
        "against as many latents at the start": part_of(
            task,
            "latents at commas beat prompt tuning that processes as many extra tokens",
            layout,
            f"matched({layout}, compute, start)",
            "greater",
            controls=(),
        ),
    }


def placement(task: str, layout: str) -> Parts:
    """Return the parts that move trained vectors, and that train a layout in another place."""
    return {
        "moved": part_of(
            task,
            "the trained vectors do worse after every eighth token than at commas",
            f"{layout} under move(Comma, 8)",
            layout,
            "less",
            controls=("random",),
        ),
        "trained elsewhere": part_of(
            task,
            "latents trained at commas beat latents trained after every eighth token",
            layout,
            layout.replace("Comma", "8"),
            "greater",
        ),
    }


def specialisation(task: str, layout: str) -> Parts:
    """Return the parts that exchange the groups' vectors, and that train one table for both."""
    return {
        "swapped": part_of(
            task,
            "exchanging the Start and Comma vectors makes the model do worse",
            f"{layout} under swap(Start, Comma)",
            layout,
            "less",
            controls=("random",),
        ),
        "tied": part_of(
            task,
            "groups with tables of their own beat groups that share one",
            layout,
            _with_option(layout, "tied"),
            "greater",
            controls=(),
        ),
    }


def positions(task: str, layout: str) -> Parts:
    """Return the parts with sequential position ids, in training and after it."""
    return {
        "trained so": part_of(
            task,
            "shared position ids beat sequential ones, each trained",
            layout,
            _with_option(layout, "positions=sequential"),
            "greater",
            controls=(),
        ),
        "changed after training": part_of(
            task,
            "sequential position ids make a model trained with shared ones do worse",
            f"{layout} under positions(sequential)",
            layout,
            "less",
            controls=("random",),
        ),
    }


def prediction(task: str, layout: str) -> Parts:
    """Return the part in which another slot predicts."""
    return {
        "latent or verbal": part_of(
            task,
            "the last latent predicts better than the verbal token before it",
            layout,
            _predicting_verbal(layout),
            "greater",
            controls=(),
        ),
    }


def attention(task: str, layout: str) -> Parts:
    """Return the part that correlates attention with causal effect, for each example."""
    return {
        "mass against effect": part_of(
            task,
            "attention mass and causal effect rank heads and layers alike",
            layout,
            CHANCE,
            "greater",
            0.3,
            metric="agreement",
            controls=(),
        ),
    }


def reach(task: str, layout: str) -> Parts:
    """Return the parts in which a slot sees only the nearest occurrences."""
    return {
        "nearest only": part_of(
            task,
            "seeing only the nearest Comma latents, the model does worse",
            f"{layout} under drop(Comma, nearest=1)",
            layout,
            "less",
            controls=("random",),
        ),
        "nearest three": part_of(
            task,
            "seeing only the three nearest Comma latents, the model does worse",
            f"{layout} under drop(Comma, nearest=3)",
            layout,
            "less",
            controls=("random",),
        ),
    }
