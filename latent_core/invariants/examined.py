"""A model under examination: its decoding, its logits, and comparisons of two results."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor

from latent_core.backbones.backbone import Backbone
from latent_core.generation.generate import Generation
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import LatentBatch
from latent_core.slots.placement import Slots

__all__ = ["CheckResult", "Decoded", "ExaminedModel"]

TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}


class CheckResult(NamedTuple):
    """What one check gave.

    Attributes:
        holds: None where it does not apply to this backbone.
        difference: between two ways of computing the same; 0 where bits were compared.
        tolerance: how far they may be apart.
        note: why it does not apply, or what was compared.
    """

    holds: bool | None
    difference: float = 0.0
    tolerance: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Decoded:
    """What prompts gave, and how.

    Attributes:
        rows: the responses.
        logits: (V,) of each step, by the verbal ids before it.
        fed: input embeddings (B, T, D) and position ids (B, T) of each pass.
    """

    rows: list[Generation]
    logits: dict[tuple[int, ...], Tensor]
    fed: list[tuple[Tensor, Tensor]]


class _Recorder(LogitsProcessor):
    """Keeps what each step of decoding was chosen from."""

    def __init__(self) -> None:
        self.logits: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        for ids, row in zip(input_ids.tolist(), scores, strict=True):
            self.logits[tuple(ids)] = row.clone()
        return scores


@dataclass(frozen=True, eq=False)
class ExaminedModel:
    """A model under examination; what several checks need is computed once.

    Attributes:
        model: the backbone with a layout.
        prompts: at least two, of different lengths.
        new_tokens: how far to decode.
    """

    model: LatentModel
    prompts: tuple[str, ...]
    new_tokens: int

    @property
    def backbone(self) -> Backbone:
        """The model's."""
        return self.model.backbone

    @property
    def tolerance(self) -> float:
        """How far logits may be apart, relative to the largest."""
        return TOLERANCES[self.backbone.dtype]

    def decode(self, prompts: Sequence[str]) -> Decoded:
        """Greedily, with the logits of every step."""
        recorder, fed = _Recorder(), []

        def watch(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            fed.append((kwargs["inputs_embeds"], kwargs["position_ids"]))

        hook = self.backbone.trunk.register_forward_pre_hook(watch, with_kwargs=True)
        try:
            rows = self.model.generate(
                prompts, self.new_tokens, logits_processor=[recorder], return_details=True
            )
        finally:
            hook.remove()
        return Decoded(rows, recorder.logits, fed)

    @cached_property
    def together(self) -> Decoded:
        """All prompts as one ragged batch, padded on the left."""
        return self.decode(self.prompts)

    @cached_property
    def alone(self) -> list[Decoded]:
        """Each prompt by itself."""
        return [self.decode([prompt]) for prompt in self.prompts]

    @cached_property
    def examples(self) -> list[Slots]:
        """What was decoded, as training places it."""
        return [self.model.place(r.prompt_ids, r.response_ids) for r in self.together.rows]

    @cached_property
    def batch(self) -> LatentBatch:
        """The examples, padded on the right as in training."""
        return self.model.batch(self.examples)

    @cached_property
    def logits(self) -> Tensor:
        """(B, T, V) of one pass over that batch."""
        return self.model.logits(self.batch)

    def compare(self, ours: Tensor, theirs: Tensor, note: str = "") -> CheckResult:
        """Logits or losses against others of the same shape."""
        scale = theirs.float().abs().max().clamp(min=1e-9)
        difference = float((ours.float() - theirs.float()).abs().max() / scale)
        return CheckResult(difference <= self.tolerance, difference, self.tolerance, note)

    def compare_steps(self, ours: Decoded, theirs: dict[tuple[int, ...], Tensor]) -> CheckResult:
        """Steps of decoding at which the same verbal ids stood before.

        Two near-equal logits may be told apart by rounding, after which two responses differ; so
        what is compared is what each step was chosen from.
        """
        shared = [ids for ids in ours.logits if ids in theirs]
        if not shared:
            return CheckResult(False, note="no step in common")
        return self.compare(
            torch.stack([ours.logits[ids] for ids in shared]),
            torch.stack([theirs[ids] for ids in shared]),
            f"{len(shared)} of {len(ours.logits)} steps",
        )

    def clone(self, convert: Callable[[Tensor], Tensor] = lambda weight: weight) -> LatentModel:
        """The same latents on another copy of the backbone, which shares its weights.

        Args:
            convert: changes each weight on the way.
        """
        model = self.backbone.model
        known: dict[int, object] = {
            id(weight): nn.Parameter(convert(weight.detach()), requires_grad=False)
            for weight in model.parameters()
        }
        twin = Backbone(self.backbone.name, copy.deepcopy(model, known), self.backbone.tokenizer)
        cloned = LatentModel(twin, self.model.layout)
        cloned.tables.assign(self.model.tables.named())
        return cloned
