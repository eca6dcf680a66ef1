"""Arguments of a training run: its settings, and what it passes on to the Hugging Face Trainer.

A run records what it was asked for, so every argument either has the effect that the record states,
or is refused by name before the run begins.

The settings say what has to be the same for a run to be resumed.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from transformers import TrainingArguments
from transformers.integrations.integration_utils import get_available_reporting_integrations

from latent_core.errors import SettingError, whole_number
from latent_core.models.steered import SteeredModel
from latent_core.tasks.base import Task
from latent_core.wording import did_you_mean

__all__ = [
    "INSTEAD",
    "PASSED_ON",
    "VALIDATION",
    "Settings",
    "check_arguments",
    "identity_of",
    "trainer_arguments",
]

PASSED_ON: Final = frozenset(
    {
        *("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay"),
        *("optim", "optim_args", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"),
        *("gradient_checkpointing", "gradient_checkpointing_kwargs"),
        *("activation_checkpointing", "activation_checkpointing_kwargs", "bf16"),
        *("save_strategy", "save_steps", "save_total_limit"),
        *("report_to", "run_name", "project"),
        *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers"),
        *("dataloader_prefetch_factor", "dataloader_multiprocessing_context"),
        *("ddp_bucket_cap_mb", "ddp_backend", "ddp_timeout", "ddp_broadcast_buffers"),
        *("torch_empty_cache_steps", "skip_memory_metrics"),
    }
)
"""Arguments that reach the Trainer as they are."""

_ON_EVERY_STEP: Final = "The log has every step; the Trainer's settings for it are fixed"
_CHECK_INSTEAD: Final = "Use check_every=..., which checks the loss on the validation split"
_BEST: Final = "Use patience=..., which keeps the vectors with the lowest validation loss"
_OWN_LOSS: Final = "The loss is that of the labelled slots alone"
_NOT_WHOLE: Final = "The backbone is frozen and is not part of what the Trainer saves"

INSTEAD: Final[Mapping[str, str]] = {
    "max_steps": "Use steps=...",
    "num_train_epochs": "Use steps=...; every example is drawn anew",
    "per_device_train_batch_size": "Use batch_size=...",
    "auto_find_batch_size": "Use batch_size=...; the record states it",
    "gradient_accumulation_steps": "Use gradient_accumulation=...",
    "data_seed": "Use seed=...",
    "output_dir": "Use the output_dir of lc.train (`--out`)",
    "resume_from_checkpoint": "Use resume=True (`--resume`)",
    "disable_tqdm": "Use progress=False",
    "use_cpu": "Use load_backbone(..., device=...)",
    "fp16": "Load the backbone with dtype='float16'; latents stay in float32",
    "full_determinism": "Call torch.use_deterministic_algorithms yourself; it is process-wide",
    "log_level": "Call transformers.logging.set_verbosity yourself; it holds for the process",
    "log_level_replica": "Call transformers.logging.set_verbosity yourself",
    "tf32": "Set torch.backends.cuda.matmul.fp32_precision yourself; it holds for the process",
    "push_to_hub": "Use model.push_to_hub(...) or `latent push` after training",
    **dict.fromkeys(
        ("hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push"),
        "Use model.push_to_hub(...) or `latent push` after training",
    ),
    "hub_revision": "Use model.push_to_hub(...) or `latent push` after training",
    **dict.fromkeys(
        ("logging_strategy", "logging_steps", "logging_first_step", "logging_nan_inf_filter"),
        _ON_EVERY_STEP,
    ),
    "log_on_each_node": _ON_EVERY_STEP,
    **dict.fromkeys(
        ("eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "do_eval", "do_predict"),
        _CHECK_INSTEAD,
    ),
    **dict.fromkeys(
        ("load_best_model_at_end", "metric_for_best_model", "greater_is_better"), _BEST
    ),
    "label_smoothing_factor": _OWN_LOSS,
    "prediction_loss_only": _OWN_LOSS,
    "label_names": _OWN_LOSS,
    "use_liger_kernel": _OWN_LOSS,
    "neftune_noise_alpha": "Verbal embeddings are frozen; noise on them is not supported",
    "remove_unused_columns": "Every tensor of a batch is used",
    "train_sampling_strategy": "Examples come in the order that seed=... draws",
    "length_column_name": "Examples come in the order that seed=... draws",
    "save_only_model": "A checkpoint has to hold the optimiser's state to be resumed",
    "fsdp": _NOT_WHOLE,
    "fsdp_config": _NOT_WHOLE,
    "deepspeed": _NOT_WHOLE,
}
"""What to do instead of an argument that is refused."""


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that would not have the effect that the record states.

    Raises:
        SettingError: with each argument's name and what to do instead.
    """
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    for name in arguments:
        if name in PASSED_ON & known:
            continue
        if name in known:
            instead = INSTEAD.get(name, "It is not known to work with latent tokens")
            raise SettingError(f"training argument {name!r} is refused. {instead}")
        raise SettingError(
            f"no training argument {name!r}{did_you_mean(name, PASSED_ON)} Expected one of "
            f"{', '.join(sorted(PASSED_ON & known))}"
        )
    try:
        json.dumps(dict(arguments))  # the record keeps them
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"training arguments {dict(arguments)}: {error}; expected values that JSON can hold"
        ) from error


def trainer_arguments(
    folder: Path,
    *,
    steps: int,
    batch_size: int,
    gradient_accumulation: int,
    learning_rate: float,
    seed: int,
    on_cpu: bool,
    keep: bool,
    others: Mapping[str, Any],
    stages: bool = False,
) -> TrainingArguments:
    """The Trainer's arguments of one run.

    Args:
        folder: for checkpoints.
        steps: optimiser steps.
        batch_size: examples a step, before accumulation, over all processes.
        gradient_accumulation: batches a step.
        learning_rate: of AdamW.
        seed: of the order of the examples.
        on_cpu: whether the backbone lies on the CPU.
        keep: whether to write checkpoints.
        others: further arguments, as `check_arguments` lets them pass.
        stages: whether the run has a curriculum, whose examples come in order.

    Raises:
        SettingError: if the Trainer refuses a value, a tracker is not installed, or processes
            cannot share a batch evenly.
    """
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": batch_size,
        "gradient_accumulation_steps": gradient_accumulation,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": math.ceil(0.05 * steps) if steps > 1 else 0,  # its first step has rate 0
        "weight_decay": 0.0,
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "steps" if keep else "no",
        "save_steps": max(1, min(50, steps // 5)),
        "save_total_limit": 2,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "run_name": folder.parent.name if keep else None,  # what trackers call it
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,  # every forward pass uses all that trains
        "use_cpu": on_cpu,
    }
    if stages:
        # The draw is at random already. A stage uses its own tables only.
        arguments |= {"train_sampling_strategy": "sequential", "ddp_find_unused_parameters": True}
        arguments["warmup_steps"] = 0.05  # of each stage
    try:
        args = TrainingArguments(**(arguments | dict(others)))
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"training arguments {dict(others)}: {error}; expected values that "
            "transformers.TrainingArguments takes"
        ) from error
    trackers = args.report_to if isinstance(args.report_to, list) else [args.report_to]
    installed = [*get_available_reporting_integrations(), "all", "none"]
    if missing := [name for name in trackers if name not in installed]:
        raise SettingError(
            f"report_to is {', '.join(map(str, missing))}, which is not installed here or which "
            f"Transformers does not know; expected some of {', '.join(installed)}"
        )
    if batch_size % args.world_size:
        raise SettingError(
            f"batch_size is {batch_size}, which {args.world_size} processes cannot share "
            f"out evenly; expected a multiple of {args.world_size}"
        )
    if args.world_size > 1:
        args.per_device_train_batch_size = batch_size // args.world_size
    args._n_gpu = min(args.n_gpu, 1)  # DataParallel would copy the tables without their backbone
    return args


# --- the settings of a run ------------------------------------------------------------------------

#: The split on which the loss is checked: in distribution, and neither trained on nor tested with.
VALIDATION: Final = "validation"
#: The largest seed that NumPy and the Trainer take.
MOST_SEED: Final = 2**32 - 1
#: Checks of the validation loss in a run, where no interval is given.
_CHECKS: Final = 20
#: Examples of a check, where no number is given.
_CHECK_EXAMPLES: Final = 50
_MAY_BE_UNSET: Final = ("patience", "check_every", "check_examples", "snapshots")


def identity_of(model: SteeredModel, task: Task) -> dict[str, Any]:
    """What every run says of its task, backbone and method."""
    return {
        "task": task.name,
        "task_fingerprint": task.fingerprint,
        "backbone": model.backbone.name,
        "backbone_fingerprint": model.backbone.fingerprint,
        "method": model.method,
        "layout": str(model.placement.layout),
    }


@dataclass(frozen=True)
class Settings:
    """What has to be the same for a run to be resumed.

    Attributes:
        task, ..., seed, training_arguments, learning_rate_beside: as in `run.json`.
        patience: checks without a lower validation loss after which the run ends; None for a run
            that takes all its steps and keeps the last.
        check_every: steps between two checks of the validation loss; None for no checks.
        check_examples: validation examples of each check.
        snapshots: steps between two snapshots; None for none.
        curriculum: the stages, with the learning rates of each; None for one stage.
        start_from: of a run that goes on from another one, that run's id and its adapter's hash.
    """

    task: str
    task_fingerprint: str
    backbone: str
    backbone_fingerprint: str
    method: str
    layout: str
    steps: int
    batch_size: int
    gradient_accumulation: int
    learning_rate: float
    seed: int
    training_arguments: dict[str, Any] = field(default_factory=dict)
    learning_rate_beside: float | None = None
    patience: int | None = None
    check_every: int | None = None
    check_examples: int | None = None
    snapshots: int | None = None
    start_from: dict[str, str] | None = None
    curriculum: list[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "gradient_accumulation", *_MAY_BE_UNSET):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole_number(name, value, 1))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0, MOST_SEED))
        for name in ("learning_rate", "learning_rate_beside"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < math.inf:
                raise SettingError(f"{name} is {rate}; expected more than 0")
        check_arguments(self.training_arguments)
        for name in _MAY_BE_UNSET:
            if self.curriculum is not None and getattr(self, name) is not None:
                raise SettingError(
                    f"{name} is {getattr(self, name)}, but a run with a curriculum has neither "
                    "checks nor snapshots: its stages train different layouts. Leave one out"
                )
        for name in ("check_every", "snapshots"):
            if (getattr(self, name) or 0) > self.steps:
                raise SettingError(
                    f"{name} is {getattr(self, name)}, and the run has {self.steps} steps; "
                    f"expected at most {self.steps}"
                )

    @classmethod
    def of(
        cls,
        model: SteeredModel,
        task: Task,
        *,
        steps: int,
        patience: int | None,
        check_every: int | None,
        check_examples: int | None,
        **others: Any,
    ) -> Self:
        """The settings of a run of `model` on `task`, with the defaults of its checks.

        Raises:
            SettingError: for a number out of its range, or settings that contradict each other.
        """
        steps = whole_number("steps", steps, 1)
        checked = patience is not None or check_every is not None
        if checked and VALIDATION not in task.splits:
            raise SettingError(
                f"task {task.name!r} has no split {VALIDATION!r}, on which the loss is checked; "
                f"expected a task with one, or no {'patience' if patience else 'check_every'}. "
                f"Its splits are {', '.join(task.splits)}"
            )
        if checked:
            check_every = max(1, steps // _CHECKS) if check_every is None else check_every
            check_examples = _CHECK_EXAMPLES if check_examples is None else check_examples
        elif check_examples is not None:
            raise SettingError(
                f"check_examples is {check_examples}, and the loss is not checked; expected it "
                "together with patience or check_every"
            )
        return cls(
            **identity_of(model, task),
            steps=steps,
            patience=patience,
            check_every=check_every,
            check_examples=check_examples,
            **others,
        )

    def as_dict(self) -> dict[str, Any]:
        """The settings by name, as `run.json` has them; those that are not set are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}
