"""The work of a test in words, and the time it takes on this machine.

The stopwatch (`latent_core.evaluation.timing`) times samples of the work under the load that the
machine has. On a machine whose load does not change, an estimate is within a factor of 1.5.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from latent_core.evaluation.timing import STOPWATCH
from latent_core.hypotheses.answers import agreement_records, kept_eval_seed, latents_of
from latent_core.hypotheses.claim import Hypothesis, controls_of
from latent_core.hypotheses.conditions import ADAPTER, CHANCE, Condition
from latent_core.hypotheses.sources import Source
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.running import running
from latent_core.models.steered import SteeredModel
from latent_core.slots.methods import Method
from latent_core.wording import counted

__all__ = ["WorkKey", "conditions_of", "steps_of", "trained_methods", "work_of"]

WorkKey = tuple[str, ...]
"""Names a piece of work: the answers under one condition, or the training of one method."""


def conditions_of(hypothesis: Hypothesis) -> tuple[Condition, ...]:
    """Return every condition that has to be answered, each once: the contrast, then controls."""
    found = list(hypothesis.contrast.conditions)
    for control in controls_of(hypothesis):
        found += [control.treatment, control.control]
    return tuple(dict.fromkeys(found))


def trained_methods(hypothesis: Hypothesis) -> list[str]:
    """Return the methods of a contrast that need training."""
    names = {c.method: None for c in hypothesis.contrast.conditions if c.method}
    return [n for n in names if not n.startswith(ADAPTER) and Method.parse(n).trained]


def steps_of(
    hypothesis: Hypothesis, seeds: int, examples: int, training: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Return the steps of a test, a line each.

    Args:
        hypothesis: the claim.
        seeds: training seeds.
        examples: per seed and split.
        training: the arguments of `train`; None if nothing is trained.
    """
    lines = []
    if training is not None and (methods := trained_methods(hypothesis)):
        each = ", ".join(f"{name} {value}" for name, value in training.items())
        lines.append(
            f"train, unless already trained: {', '.join(methods)} x "
            f"{counted(seeds, 'seed')} ({each})"
        )
    splits = ", ".join(hypothesis.terms)
    lines.append(f"answer {examples} examples of {splits} per seed, under each condition:")
    lines += [f"  {condition}" for condition in conditions_of(hypothesis)]
    return tuple(lines)


def work_of(
    hypothesis: Hypothesis, seeds: int, examples: int, source: Source
) -> dict[WorkKey, float]:
    """Return the seconds of each piece of a test's work, over all seeds.

    Two hypotheses have a key in common if a piece of work serves both.

    Raises:
        SettingError: if the source lacks an adapter.
    """
    task, work = hypothesis.loaded_task, dict[WorkKey, float]()
    kept = source.training is None and _has_records(hypothesis, seeds, examples, source)
    for condition in conditions_of(hypothesis):
        plain = condition.intervention == condition.within == "none"
        name = (task.fingerprint, *hypothesis.terms, hypothesis.metric, str(condition))
        work[name] = 0.0
        if condition.intervention != CHANCE and not (plain and kept):
            model = source.sample(condition.method)
            work[name] = _answering(hypothesis, condition, seeds, examples, model)
    if source.training is not None:
        for method in trained_methods(hypothesis):
            once = STOPWATCH.seconds_of_training(source.backbone, method, task, **source.training)
            work[task.fingerprint, "train", method] = seeds * once
    return work


def _has_records(hypothesis: Hypothesis, seeds: int, examples: int, source: Source) -> bool:
    """Whether the source's runs keep the answers of all their models without an intervention."""
    methods = hypothesis.contrast.methods
    found = source.seeds(methods, seeds)
    asked = [source.adapter(method, seed) for method in methods for seed in found]
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
                f"agreement of {model.method} on {task.fingerprint}, {split}",
                partial(agreement_records, latents_of(model), task, [split], 1, 1),
            )
            for split in hypothesis.terms
        ]
        return seeds * examples * sum(once)
    prompts = 2 if hypothesis.metric == "follows" else 1  # one more after the edit
    # Interventions of like verbs take like times.
    verbs = re.findall(r"[a-z_]+(?=\()", f"{condition.intervention} {condition.within}")
    return sum(
        STOPWATCH.seconds_of_answers(
            model,
            task,
            split,
            examples,
            times=seeds * prompts,
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
