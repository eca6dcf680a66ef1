"""LoRA (Hu et al. 2021), through PEFT: low-rank changes to the attention's projections.

Knows how many numbers a rank costs, and so which LoRA has about as many as a layout of latents.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from peft import LoraConfig, TaskType
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.models.baselines.peft_baseline import PeftBaseline, PeftCompanion
from latent_core.models.size import check_numbers

__all__ = ["LoraModel", "LoraSize", "lora_companion", "lora_of_rank", "lora_of_size"]


class LoraSize(NamedTuple):
    """Which LoRA.

    Attributes:
        rank: of every change.
        modules: names of the modules that are changed.
        trainable: numbers that train.
    """

    rank: int
    modules: tuple[str, ...]
    trainable: int


class LoraModel(PeftBaseline):
    """LoRA on the modules that PEFT changes by default in this family (`q_proj` and `v_proj`).

    See `lora_companion` for the arguments.
    """

    def __init__(
        self,
        backbone: Backbone | str | Path,
        rank: int | None = 4,
        trainable: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(lora_companion(backbone, rank, trainable, seed))


def lora_companion(
    backbone: Backbone | str | Path, rank: int | None = 4, trainable: int = 0, seed: int = 0
) -> PeftCompanion:
    """LoRA on a copy of a backbone, on the modules that PEFT changes by default in its family.

    For a family that PEFT has no default for, on every linear module but the output head. Alpha is
    twice the rank, without dropout.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes; it is never touched.
        rank: r; or None, to come as close to `trainable` as rank and modules allow.
        trainable: numbers to train, where there is no rank.
        seed: of the initial values.
    """
    name = f"lora-{trainable}p" if rank is None else f"lora-r{rank}"

    def config(own: Backbone) -> LoraConfig:
        size = lora_of_size(own, trainable) if rank is None else lora_of_rank(own, rank)
        check_numbers(own, name, size.trainable)
        return LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=size.rank,
            lora_alpha=2 * size.rank,
            target_modules=list(size.modules),
            fan_in_fan_out=_is_conv1d(own.model, size.modules[0]),
        )

    return PeftCompanion(backbone, config, name, 1e-3, seed)


def lora_of_rank(backbone: Backbone, rank: int) -> LoraSize:
    """LoRA of one rank on all its modules.

    Raises:
        SettingError: if the rank is below 1.
    """
    if rank < 1:
        raise SettingError(f"LoRA's rank is {rank}; expected at least 1")
    costs = _costs(backbone.model)
    return LoraSize(rank, tuple(costs), rank * sum(costs.values()))


def lora_of_size(backbone: Backbone, trainable: int) -> LoraSize:
    """The LoRA whose number of trainable numbers is nearest to `trainable`.

    Where rank 1 on all modules is too much already, only the last of them are changed; of equally
    near ones, that with the most modules.

    Raises:
        SettingError: if `trainable` is below 1.
    """
    if trainable < 1:
        raise SettingError(f"LoRA is to train {trainable} numbers; expected at least 1")
    costs = list(_costs(backbone.model).items())
    found: list[LoraSize] = []
    for start in range(len(costs)):
        names, numbers = zip(*costs[start:], strict=True)
        rank = max(1, round(trainable / sum(numbers)))
        found.append(LoraSize(rank, names, rank * sum(numbers)))
    return min(found, key=lambda size: (abs(size.trainable - trainable), -len(size.modules)))


def _costs(model: PreTrainedModel) -> dict[str, int]:
    """Names of the modules that LoRA changes, with the numbers that rank 1 costs on each."""
    family = model.config.model_type
    suffixes = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(family)
    if isinstance(suffixes, str):  # a pattern, for a family of several towers
        suffixes = None
    head = model.get_output_embeddings()
    return {
        name: sum(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and (suffixes is None or name.split(".")[-1] in suffixes)
    }


def _is_conv1d(model: PreTrainedModel, name: str) -> bool:
    """GPT-2 keeps its weights transposed; PEFT wants to be told."""
    return isinstance(model.get_submodule(name), Conv1D)
