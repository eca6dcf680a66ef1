"""The optimiser of a method with two parts, each of which has a learning rate."""

from __future__ import annotations

from torch.optim import Optimizer
from transformers import Trainer, TrainingArguments

from latent_core.models.rates import trained_parts
from latent_core.models.steered import SteeredModel

__all__ = ["optimizer_of_two"]


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
