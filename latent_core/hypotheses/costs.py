"""The work of a test in words, and the time it takes on this machine.

The stopwatch (`latent_core.evaluation.timing`) times samples of the work under the load that the
machine has. On a machine whose load does not change, an estimate is within a factor of 1.5.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import SettingError
from latent_core.evaluation.timing import STOPWATCH
from latent_core.hypotheses.answers import agreement_records, kept_eval_seed, latents_of
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import ADAPTER, CHANCE, Condition
from latent_core.hypotheses.controls import controls_of
from latent_core.hypotheses.sources import TRAINING, Given
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.running import running
from latent_core.models.build import build_model
from latent_core.models.steered import SteeredModel
from latent_core.slots.methods import Method
from latent_core.wording import counted

__all__ = ["conditions_of", "cost_of", "cost_together", "steps_of", "work_of"]


def conditions_of(hypothesis: Hypothesis) -> tuple[Condition, ...]:
    """Everything that has to be answered, each once: the contrast, then its controls."""
    found = list(hypothesis.contrast.conditions)
    for control in controls_of(hypothesis):
        found += [control.treatment, control.control]
    return tuple(dict.fromkeys(found))


def steps_of(
    hypothesis: Hypothesis, seeds: int, examples: int, target: Any, training: dict[str, Any] | None
) -> tuple[str, ...]:
    """What will be run, a line each."""
    lines = []
    methods = trained_methods(hypothesis)
    if isinstance(target, str | Backbone) and methods:
        settings = TRAINING | (training or {})
        each = ", ".join(f"{name} {value}" for name, value in settings.items())
        lines.append(
            f"train, unless kept from before: {', '.join(methods)} x "
            f"{counted(seeds, 'seed')} ({each})"
        )
    splits = ", ".join(hypothesis.terms)
    lines.append(f"answer {examples} examples of {splits}, per seed, under each of:")
    lines += [f"  {condition}" for condition in conditions_of(hypothesis)]
    return tuple(lines)


def trained_methods(hypothesis: Hypothesis) -> list[str]:
    """The methods of a contrast that need training."""
    names = {c.method: None for c in hypothesis.contrast.conditions if c.method}
    return [n for n in names if not n.startswith(ADAPTER) and Method.parse(n).trained]


def cost_of(
    hypothesis: Hypothesis,
    seeds: int,
    examples: int,
    target: Any,
    training: dict[str, Any] | None = None,
) -> float | None:
    """Seconds on this machine, or None if the target is nothing that could be tried out."""
    work = work_of(hypothesis, seeds, examples, target, training)
    return None if work is None else sum(work.values())


def cost_together(
    hypotheses: Sequence[Hypothesis],
    seeds: int,
    examples: int,
    target: Any,
    training: dict[str, Any] | None = None,
) -> float | None:
    """The same for several that are tested in one folder: what they share is done once."""
    together: dict[tuple[str, ...], float] = {}
    for hypothesis in hypotheses:
        work = work_of(hypothesis, seeds, examples, target, training)
        if work is None:
            return None
        together |= work
    return sum(together.values())


def work_of(
    hypothesis: Hypothesis,
    seeds: int,
    examples: int,
    target: Any,
    training: dict[str, Any] | None = None,
) -> dict[tuple[str, ...], float] | None:
    """Seconds by what is done: each method's training, each condition's answers, over all seeds.

    Two hypotheses have a name in common where one has no more to do what the other has done.
    """
    if isinstance(target, SteeredModel):
        target = Given.models([target])
    if not isinstance(target, Given | str | Backbone):
        return None
    backbone = load_backbone(target) if isinstance(target, str | Backbone) else target.backbone
    task, work = hypothesis.loaded_task, dict[tuple[str, ...], float]()
    try:
        kept = isinstance(target, Given) and _has_records(hypothesis, seeds, examples, target)
        for condition in conditions_of(hypothesis):
            plain = condition.intervention == condition.within == "none"
            name = (task.name, *hypothesis.terms, hypothesis.metric, str(condition))
            work[name] = 0.0
            if condition.intervention != CHANCE and not (plain and kept):
                model = _model(backbone, target, condition.method)
                work[name] = _answering(hypothesis, condition, seeds, examples, model)
    except SettingError:  # the test will say what is missing
        return None
    if not isinstance(target, Given):
        settings = TRAINING | (training or {})
        for method in trained_methods(hypothesis):
            once = STOPWATCH.seconds_of_training(backbone, method, task, **settings)
            work[task.name, "train", method] = seeds * once
    return work


def _model(backbone: Backbone, target: Given | str | Backbone, method: str) -> SteeredModel:
    """A model of a method to time, trained if there is one."""
    if isinstance(target, Given):
        return target.subject(method, target.seeds([method], 1)[0]).model
    return build_model(backbone, "Start_1" if method.startswith(ADAPTER) else method, 0)


def _has_records(hypothesis: Hypothesis, seeds: int, examples: int, source: Given) -> bool:
    """Whether a source's runs keep the answers of all its models as they are."""
    conditions = [c for c in hypothesis.contrast.conditions if c.intervention != CHANCE]
    methods = list(dict.fromkeys(condition.method for condition in conditions))
    try:
        found = source.seeds(methods, seeds)
    except SettingError:  # a plan may ask for more seeds than there are
        return False
    asked = [source.subject(method, seed) for method in methods for seed in found]
    return kept_eval_seed(asked, hypothesis, examples) is not None


def _answering(
    hypothesis: Hypothesis, condition: Condition, seeds: int, examples: int, model: SteeredModel
) -> float:
    """Seconds to answer the examples under a condition, for all training seeds."""
    task = hypothesis.loaded_task
    if hypothesis.metric == "agreement":
        once = [
            STOPWATCH.seconds_of_call(
                model.backbone,
                f"agreement of {model.method} on {task.name}, {split}",
                partial(agreement_records, latents_of(model), task, [split], 1, 1),
            )
            for split in hypothesis.terms
        ]
        return seeds * examples * sum(once)
    # Interventions of like verbs take like times.
    verbs = re.findall(r"[a-z_]+(?=\()", f"{condition.intervention} {condition.within}")
    return sum(
        STOPWATCH.seconds_of_answers(
            model,
            task,
            split,
            examples,
            times=seeds,
            state=" ".join(verbs),
            inside=partial(_under, condition, model),
        )
        for split in hypothesis.terms
    )


@contextlib.contextmanager
def _under(condition: Condition, model: SteeredModel) -> Iterator[None]:
    """Run the block under a condition's interventions."""
    with contextlib.ExitStack() as stack:
        for text in (condition.within, condition.intervention):
            if text != "none":
                change = parse_intervention(text).apply
                stack.enter_context(running(latents_of(model), change, text, lambda note: None))
        yield
