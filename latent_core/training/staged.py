"""Training in stages: which model trains when, with what rate and optimiser, and what goes on.

Each layout of a curriculum has a model of its own, on one backbone and with one companion. All of
them are in memory from the first step on, so that a checkpoint of any stage has the same weights.
When a stage begins, its tables take over what the stage before has trained.

Methods with two parts have optimisers of their own as well, since the Trainer's is not enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.hooks import RemovableHandle
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    get_scheduler,
)

from latent_core.errors import SettingError, whole_number
from latent_core.models.latent import LatentModel
from latent_core.models.rates import default_rate, trained_parts
from latent_core.models.steered import SteeredModel
from latent_core.models.trained import (
    Companion,
    assign_weights,
    keep_trainable,
    miss_trainable_only,
    trainable_weights,
)
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method
from latent_core.training.curriculum import Curriculum, CurriculumSource, Stage

__all__ = ["StageChanges", "StagedModel", "optimizer_of_stages", "optimizer_of_two"]


class StagedModel(nn.Module):
    """The models of a curriculum's stages, of which one trains at a time.

    Args:
        model: of the last stage.
        curriculum: its stages.
        seed: draws vectors of groups that the model does not have.

    Attributes:
        stage: the number of the present stage.
        rates: of each stage, the learning rates of tables and of what PEFT trains; 0 for what
            stands still.

    Raises:
        SettingError: if a stage has nothing to train, or a model without latents is to have some.
    """

    # Tells Transformers' Trainer to pass `num_items_in_batch`, which makes accumulation exact.
    accepts_loss_kwargs = True

    def __init__(self, model: SteeredModel, curriculum: Curriculum, seed: int) -> None:
        super().__init__()
        self.curriculum = curriculum
        self.stage = 0
        self.rates: list[tuple[float, float]] = []
        by_layout = {str(model.placement.layout): model}
        for stage in reversed(curriculum.stages):
            if stage.layout not in by_layout:
                by_layout[stage.layout] = _with_layout(model, stage.layout, seed)
        self.models = nn.ModuleList(by_layout[stage.layout] for stage in curriculum.stages)
        self.register_state_dict_post_hook(keep_trainable)
        self.register_load_state_dict_post_hook(miss_trainable_only)
        self._silenced: list[RemovableHandle] = []
        for number, stage in enumerate(curriculum.stages):
            if not any(self.training_parts(number)):
                raise SettingError(
                    f"stage {number} trains {stage.trains} of {self.of_stage(number).method}, "
                    "which is nothing; expected trainable latents, or something beside them"
                )

    @classmethod
    def of(
        cls,
        model: SteeredModel,
        source: CurriculumSource,
        steps: int | None,
        seed: int,
        learning_rate: float | None,
        beside: float | None,
    ) -> Self:
        """The stages of a run, by the arguments of `lc.train`."""
        curriculum = Curriculum.of(source, Method.parse(model.method), steps)
        made = cls(model, curriculum, whole_number("seed", seed, 0))
        made.rates = [
            _rates(made, number, learning_rate, beside) for number in range(len(made.models))
        ]
        return made

    def kept(self) -> list[dict[str, Any]]:
        """What `run.json` keeps: the stages, with the rates of what trains in each."""
        names = ("learning_rate", "learning_rate_beside")
        return [
            stage.to_dict() | {name: rate for name, rate in zip(names, pair, strict=True) if rate}
            for stage, pair in zip(self.curriculum.stages, self.rates, strict=True)
        ]

    def start_from_last(self) -> None:
        """Take over what the last model has, where it was loaded from elsewhere."""
        for model in self.models:
            self._carry(self.of_stage(-1), cast(SteeredModel, model))

    def of_stage(self, number: int) -> SteeredModel:
        """The model of a stage."""
        return cast(SteeredModel, self.models[number])

    @property
    def companion(self) -> Companion | None:
        """What PEFT trains, in all stages."""
        return self.of_stage(-1).companion

    def training_parts(self, number: int) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """What a stage trains outside of what PEFT made, and in it."""
        own, beside = trained_parts(self.of_stage(number), self.companion)
        trains = self.curriculum.stages[number].trains
        return (own if trains != "beside" else []), (beside if trains != "latents" else [])

    def trainable_weights(self) -> dict[str, Tensor]:
        """As `SteeredModel.trainable_weights`, of all stages."""
        return trainable_weights(self)

    def assign(self, weights: Mapping[str, Tensor]) -> None:
        """As `SteeredModel.assign`, of all stages."""
        assign_weights(self, weights)

    def begin(self, number: int) -> None:
        """Train as a stage says, from what the stages before have trained."""
        while self.stage < number:
            self._carry(self.of_stage(self.stage), self.of_stage(self.stage + 1))
            self.stage += 1
        self.stage = number
        self.release()
        training = {id(weight) for part in self.training_parts(number) for weight in part}
        # Without a gradient, what stands still has no part in the norm that gradients are cut to.
        self._silenced = [
            weight.register_hook(torch.zeros_like)
            for weight in self.parameters()
            if weight.requires_grad and id(weight) not in training
        ]

    def finish(self) -> None:
        """Hand on to the last model what has been trained so far."""
        self.begin(len(self.models) - 1)

    def release(self) -> None:
        """Let gradients reach all weights again."""
        for handle in self._silenced:
            handle.remove()
        self._silenced = []

    @staticmethod
    def _carry(before: SteeredModel, after: SteeredModel) -> None:
        """Rows of tables of one name, and maps of one size."""
        if before is after:
            return
        assert isinstance(before, LatentModel) and isinstance(after, LatentModel)
        there, found = before.tables.named(), after.tables.named()
        for name, weight in found.items():
            if name not in there:
                continue
            theirs = there[name]
            if theirs.shape == weight.shape:
                weight.copy_(theirs)
            elif not name.endswith((".down", ".up")):
                rows = min(len(theirs), len(weight))
                weight[:rows] = theirs[:rows]
        after.tables.assign(found)

    def forward(self, **batch: Any) -> dict[str, Tensor]:
        """The loss of a batch of the present stage; see `SteeredModel.forward`."""
        return cast(dict[str, Tensor], self.models[self.stage](**batch))

    @property
    def hf_device_map(self) -> dict[str, Any]:
        """As `SteeredModel.hf_device_map`."""
        return self.of_stage(-1).hf_device_map

    def activation_checkpointing_enable(self, *args: Any, **kwargs: Any) -> None:
        """As `SteeredModel.activation_checkpointing_enable`; the backbone is that of all stages."""
        self.of_stage(-1).activation_checkpointing_enable(*args, **kwargs)


def _with_layout(model: SteeredModel, text: str, seed: int) -> LatentModel:
    """A model of another layout on the same backbone, with the vectors of the same groups."""
    if not isinstance(model, LatentModel):
        raise SettingError(
            f"{model.method} has no latents, so no stage can have the layout {text}; leave the "
            "layout out"
        )
    layout = LatentLayout.parse(text)
    made = LatentModel(model.backbone, layout, seed, companion=model.companion)
    StagedModel._carry(model, made)
    return made


class StageChanges(TrainerCallback):
    """Begins each stage at its step, with a new optimiser state."""

    def __init__(self, model: StagedModel) -> None:
        self.model = model

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Be in the stage of the step that was taken last; the change after it is yet to come."""
        self.model.stage = self.model.curriculum.stage_of(max(0, state.global_step - 1))
        self.model.begin(self.model.stage)

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Go on to the next stage, if it is due."""
        number = self.model.curriculum.stage_of(state.global_step)
        if number != self.model.stage:
            self.model.begin(number)
            getattr(optimizer, "optimizer", optimizer).state.clear()


def _rates(
    model: StagedModel, number: int, rate: float | None, beside: float | None
) -> tuple[float, float]:
    """Learning rates of a stage, for tables and for what PEFT trains; 0 for what stands still.

    Args:
        model: all stages.
        number: of the stage.
        rate, beside: those of the run, where they were given.

    Raises:
        SettingError: for a rate of something that does not train.
    """
    stage, now = model.curriculum.stages[number], model.of_stage(number)
    own, inside = map(bool, model.training_parts(number))
    chosen = stage.learning_rate_beside or beside
    if inside and not own:
        if stage.learning_rate and stage.learning_rate_beside:
            raise SettingError(
                f"stage {number} trains one part alone, and has two learning rates; expected one"
            )
        chosen = stage.learning_rate_beside or stage.learning_rate or beside
        alone = not trained_parts(model, model.companion)[0]
        assert now.companion is not None
        fallback = now.companion.learning_rate or default_rate(now).value
        return 0.0, chosen or (rate if alone else None) or fallback
    if stage.learning_rate_beside and not inside:
        raise SettingError(
            f"stage {number} has learning_rate_beside={stage.learning_rate_beside}, but trains "
            "nothing beside latents; leave it out"
        )
    first = stage.learning_rate or rate or default_rate(now).value
    if not inside:
        return first, 0.0
    assert now.companion is not None and now.companion.learning_rate is not None
    return first, chosen or now.companion.learning_rate


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
