"""Arguments of the Hugging Face Trainer: which ones a training run passes on, and which it refuses.

A run records what it was asked for, so every argument either has the effect that the record states,
or is refused by name before the run begins.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from transformers import TrainingArguments
from transformers.integrations.integration_utils import get_available_reporting_integrations

from latent_core.errors import SettingError
from latent_core.wording import did_you_mean

__all__ = ["INSTEAD", "PASSED_ON", "check_arguments", "trainer_arguments"]

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
_CHECKED: Final = "Use check_every=..., which checks the loss on the validation split"
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
        _CHECKED,
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
