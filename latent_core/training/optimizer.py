"""Optimisers of methods with two parts and of curricula, where the Trainer's own is not enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainingArguments, get_scheduler

from latent_core.errors import SettingError
from latent_core.models.rates import trained_parts
from latent_core.models.steered import SteeredModel
from latent_core.training.curriculum import Stage
from latent_core.training.staged import StagedModel

__all__ = ["optimizer_of_stages", "optimizer_of_two"]


def optimizer_of_two(model: SteeredModel, args: TrainingArguments, beside: float) -> Optimizer:
    """Make the Trainer's optimiser with a second rate for what PEFT trains.

    Schedules multiply both rates alike. The log shows that of the tables.

    Args:
        model: a layout with a companion.
        args: say which optimiser, with its settings and the rate of the tables.
        beside: the rate of what PEFT trains.
    """
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(args, model)  # type: ignore[arg-type]
    own, inside = trained_parts(model, model.companion)
    groups = [{"params": own}, {"params": inside, "lr": beside}]
    return kind(groups, **settings | {"weight_decay": args.weight_decay})


def optimizer_of_stages(model: StagedModel, args: TrainingArguments) -> tuple[Optimizer, LambdaLR]:
    """The Trainer's optimiser, and the learning rates of all steps.

    Args:
        model: all stages.
        args: say which optimiser and which schedule; each stage has the whole schedule.

    Raises:
        SettingError: for a schedule that is no function of the step.
    """
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(args, model)  # type: ignore[arg-type]
    parts = trained_parts(model, model.companion)
    groups = [{"params": part} for part in parts if part]
    optimizer = kind(groups, **settings | {"weight_decay": args.weight_decay, "lr": 1.0})
    shapes = [_shape(args, stage) for stage in model.curriculum.stages]

    def rate_of(part: int) -> Callable[[int], float]:
        def rate(step: int) -> float:
            number = model.curriculum.stage_of(step)
            return model.rates[number][part] * shapes[number](
                step - model.curriculum.first_step(number)
            )

        return rate

    return optimizer, LambdaLR(optimizer, [rate_of(n) for n, part in enumerate(parts) if part])


def _shape(args: TrainingArguments, stage: Stage) -> Callable[[int], float]:
    """The factor of a learning rate, by the step of a stage."""
    # A share of the steps, unless a user gave their number.
    warmup = args.warmup_steps
    first = int(warmup) if warmup >= 1 else math.ceil(stage.steps * warmup)
    if stage.steps == 1:
        first = 0  # whose rate would be 0
    schedule = get_scheduler(
        args.lr_scheduler_type,
        SGD([torch.zeros(1)], lr=1.0),
        first,
        stage.steps,
        cast(Any, args.lr_scheduler_kwargs),
    )
    if not isinstance(schedule, LambdaLR):
        raise SettingError(
            f"lr_scheduler_type is {args.lr_scheduler_type}, which depends on the loss; expected "
            "one of the step alone in a curriculum, such as linear or constant"
        )
    return schedule.lr_lambdas[0]
