"""What a test runs, in words, and how long that takes on this machine, measured on a few tokens.

Decoding dominates: a batch of answers takes as many forward passes as its longest answer has
tokens. The estimate is good to about a third, and less where the machine is shared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import ADAPTER, Condition
from latent_core.hypotheses.controls import controls_of
from latent_core.hypotheses.sources import TRAINING, Given
from latent_core.models.build import build_model
from latent_core.models.methods import Method
from latent_core.models.steered import SteeredModel
from latent_core.training.train import train
from latent_core.wording import counted

__all__ = ["BATCH", "conditions_of", "cost_of", "cost_together", "steps_of", "work_of"]

BATCH: Final = 32


_measured: dict[tuple[str, str, str], float] = {}
"""Seconds by backbone, method and task (or `pass`), so that a study of many parts measures once."""


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
    if isinstance(target, list | tuple) and target:
        target = target[0]
    method = next((c.method for c in hypothesis.contrast.conditions if c.method), "")
    if isinstance(target, SteeredModel):
        model = target
    elif isinstance(target, str | Backbone):
        usable = method and not method.startswith(ADAPTER)
        model = build_model(load_backbone(target), method if usable else "Start_1", 0)
    elif isinstance(target, Given):
        try:
            model = target.subject(method, target.seeds([method], 1)[0]).model
        except SettingError:  # the test will say what is missing
            return None
    else:
        return None
    passes = _seconds_per_pass(model, hypothesis)
    batches = -(-examples // BATCH)
    task = hypothesis.loaded_task
    longest = [
        max(len(model.backbone.encode(e.answer)) for e in task.examples(split, 2, 0))
        for split in hypothesis.terms
    ]
    once = passes * sum(longest) * batches * seeds
    work = {
        (task.name, *hypothesis.terms, hypothesis.metric, str(condition)): once
        for condition in conditions_of(hypothesis)
    }
    if isinstance(target, str | Backbone):
        settings = TRAINING | (training or {})
        for method in trained_methods(hypothesis):
            step = _seconds_per_step(model.backbone, method, task)
            work[task.name, "train", method] = seeds * settings["steps"] * step
    return work


def _seconds_per_pass(model: SteeredModel, hypothesis: Hypothesis, tokens: int = 12) -> float:
    key = (model.backbone.fingerprint, model.method, "pass")
    if key in _measured:
        return _measured[key]
    split = next(iter(hypothesis.terms))
    prompts = [e.prompt for e in hypothesis.loaded_task.examples(split, 8, 0)]
    model.generate(prompts, 2)
    started = time.perf_counter()
    model.generate(prompts, tokens)
    _measured[key] = (time.perf_counter() - started) / tokens
    return _measured[key]


def _seconds_per_step(backbone: Backbone, method: str, task: Any, steps: int = 2) -> float:
    key = (backbone.fingerprint, method, task.name)
    if key in _measured:
        return _measured[key]
    model = build_model(backbone, method, 0)
    started = time.perf_counter()
    train(model, task, steps=steps, progress=False)
    _measured[key] = (time.perf_counter() - started) / steps
    return _measured[key]
