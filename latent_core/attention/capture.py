"""Capture of attention onto latents, or onto any slots, of one prompt and response of any length.

    record = lc.capture_attention(model, "3, 1, 2 sorted:", "1, 2, 3")
    record.mass()

The result is (L, H, T, M) for M chosen key slots. It is computed in chunks beside the model's own
attention (`attention_columns`). The full maps are made only if `of="all"` asks for them.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedConfig

from latent_core.attention.columns import ColumnCapture, FormulaError
from latent_core.attention.record import AttentionRecord
from latent_core.backbones.attention import attention_shape, hooked
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.layers import pick
from latent_core.backbones.turns import turn
from latent_core.errors import BackboneError, SettingError
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import LatentBatch
from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import IGNORE, Slot
from latent_core.slots.selection import PassSlots, Selection
from latent_core.slots.views import view_slots

__all__ = ["AttentionRecord", "capture_attention"]


def capture_attention(
    model: LatentModel,
    prompt: str,
    response: str | Sequence[int] | None = None,
    of: str | int | Sequence[int | str] = "latents",
    layers: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    max_new_tokens: int = 64,
    gradient: Literal["loss"] | int | None = None,
    **generation: Any,
) -> AttentionRecord:
    """Attention of every slot of a prompt and its response onto chosen key slots.

    Args:
        model: a latent model.
        prompt: plain text.
        response: plain text, closed by the end-of-sequence token; or token ids, taken as they are;
            None: the model generates one.
        of: the key slots: `latents`, `all` (T x T maps), or slot indices and selections as
            interventions have them, such as `Comma`, `Comma.1@2`, `prompt`; one or several.
        layers, heads: an index or several; None for all.
        max_new_tokens: verbal tokens to generate at most, if there is no response.
        gradient: also keep derivatives by each weight: of the `loss`, the mean cross-entropy of the
            response's verbal tokens; or of the logit of response token i, at the slot that predicts
            it. See `AttentionRecord.gradient_weighted`. The inputs of computed latents stand still.
        generation: further arguments of `LatentModel.generate`, such as `do_sample`.

    Raises:
        LayoutError: for a group that the layout lacks.
        SettingError: for a slot, layer, head or response token that does not exist, or a model
            with a prefix.
        PromptError: for a prompt that is empty or too long.
        BackboneError: if the family shows its attention neither way, or has no gradients to show.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> record = lc.capture_attention(model, "a=1,b=2,", "1.")
        >>> [record.slots[key].label for key in record.keys]
        ['Start.0', 'Comma.0', 'Comma.0']
    """
    if model.virtual_tokens:
        raise SettingError(
            f"attention of {model.method} cannot be captured: its prefix has keys for which no "
            "slot stands. Expected a layout alone, or beside LoRA"
        )
    with turn(model.backbone.model, f"capture of attention in {model.method}"):
        backbone = model.backbone
        if response is None:
            # Decoding and a teacher-forced pass over prompt and response hold the same slots with
            # the same positions. So one more pass shows the very weights that decoding had.
            # Capturing on the way would need the weights of ragged chunks stitched together.
            details = model.generate(
                prompt, max_new_tokens=max_new_tokens, return_details=True, **generation
            )
            response_ids = list(details[0].response_ids)
        elif isinstance(response, str):
            response_ids = backbone.encode_response(response, prompt=prompt)
        else:
            response_ids = list(response)
        prompt_ids = backbone.encode(prompt)
        example = model.place(prompt_ids, response_ids)
        layout = model.placement.layout
        slots = view_slots(example.slots, layout, backbone.token_text)
        keys = _choose_keys(of, example.slots, len(prompt_ids), layout)
        batch = model.batch([example])
        training = model.training
        model.train(False)  # layers that recompute would call the hooks twice
        try:
            found, route = _run(model, batch, keys, layers, heads, gradient, len(response_ids))
        finally:
            model.train(training)
        last = len(prompt_ids) - 1
        prompt_length = 1 + next(
            t for t, s in enumerate(example.slots) if not s.is_latent and s.verbal_index == last
        )
        note = ""
        if not any(slot.group is not None for slot in slots):
            note = (
                f"no latents were placed: layout {layout} has no place in this prompt and response"
            )
        elif not keys:
            note = f"of={of!r} means no slot of this prompt and response"
        return AttentionRecord(
            slots=slots,
            keys=keys,
            prompt_length=prompt_length,
            layout=str(layout),
            backbone=backbone.name,
            gradient_of=_describe(gradient),
            route=route,
            note=note,
            **found,
        )


def _choose_keys(
    of: str | int | Sequence[int | str],
    slots: Sequence[Slot],
    prompt_length: int,
    layout: LatentLayout,
) -> tuple[int, ...]:
    """The slots that `of` means, each once, in the order asked."""
    here = PassSlots.of(slots, prompt_length)
    keys: list[int] = []
    for wanted in [of] if isinstance(of, str | int) else of:
        if isinstance(wanted, str):
            keys += Selection.parse(wanted, layout).mask(here)[0].nonzero().flatten().tolist()
        elif operator.index(wanted) in range(len(slots)):
            keys.append(int(wanted))
        else:
            raise SettingError(
                f"slot {wanted} does not exist; the example has {len(slots)} slots, 0 to "
                f"{len(slots) - 1}"
            )
    return tuple(dict.fromkeys(keys))


def _run(
    model: LatentModel,
    batch: LatentBatch,
    keys: tuple[int, ...],
    layers: Sequence[int] | int | None,
    heads: Sequence[int] | int | None,
    gradient: Literal["loss"] | int | None,
    num_targets: int,
) -> tuple[dict[str, Any], str]:
    """Everything that depends on the route, and which one it was."""
    token = isinstance(gradient, int) and not isinstance(gradient, bool)
    if gradient not in (None, "loss") and not (token and gradient in range(num_targets)):
        raise SettingError(
            f"gradient={gradient!r}; expected 'loss' or the index of a response token, 0 to "
            f"{num_targets - 1}"
        )
    if gradient == "loss" and not num_targets:
        raise SettingError("the response has no tokens, so there is no loss to derive")
    try:
        shape = attention_shape(model.backbone)
    except BackboneError as error:
        return _eager(model, batch, keys, layers, heads, gradient, error), "eager"
    chosen = pick("layer", layers, shape.layers, model.backbone.name)
    shown = pick("head", heads, range(shape.heads), model.backbone.name)
    wants_gradient = gradient is not None
    capture = ColumnCapture(keys, chosen, shown, batch.input_ids.shape[1], wants_gradient)
    gradients = None
    try:
        with torch.set_grad_enabled(wants_gradient):
            # What fills computed latents is known before the one pass that is looked at.
            embeds = model.slot_embeddings(batch)
            with hooked(model.backbone, capture):
                hidden_states = model.run_slots(embeds, batch.attention_mask, batch.position_ids)
    except FormulaError as error:
        return _eager(model, batch, keys, layers, heads, gradient, error), "eager"
    if gradient is not None:
        with torch.enable_grad():
            gradients = capture.gradients(_target(model, batch, hidden_states, gradient))
    found = {
        "weights": capture.weights,
        "totals": capture.totals,
        "norms": capture.norms,
        "gradients": gradients,
        "layers": chosen,
        "heads": shown,
        "num_layers": len(shape.layers),
        "num_heads": shape.heads,
    }
    return found, "columns"


def _target(
    model: LatentModel, batch: LatentBatch, hidden_states: Tensor, gradient: Literal["loss"] | int
) -> Tensor:
    """The scalar whose derivatives are wanted."""
    labelled = batch.labels != IGNORE
    labels = batch.labels[labelled]
    logits = model.backbone.logits(hidden_states[labelled]).float()
    if gradient == "loss":
        return F.cross_entropy(logits, labels)
    return logits[gradient, labels[gradient]]


def _describe(gradient: Literal["loss"] | int | None) -> str | None:
    if gradient is None or gradient == "loss":
        return gradient
    return f"logit of response token {gradient}"


# --- the eager route, for families that do not attend through Transformers' interface -------------


@torch.no_grad()
def _eager(
    model: LatentModel,
    batch: LatentBatch,
    keys: tuple[int, ...],
    layers: Sequence[int] | int | None,
    heads: Sequence[int] | int | None,
    gradient: Literal["loss"] | int | None,
    reason: Exception,
) -> dict[str, Any]:
    backbone = model.backbone
    if gradient is not None:
        raise BackboneError(
            f"no gradients by attention weights on {backbone.name}: {reason}"
        ) from reason
    inputs: dict[str, Any] = {
        "inputs_embeds": model.slot_embeddings(batch),
        "attention_mask": batch.attention_mask,
        "position_ids": batch.position_ids,
    }
    own = backbone.hidden_states(**inputs)
    with _eager_attention(backbone):
        output = backbone.trunk(**inputs, use_cache=False, output_attentions=True)
    maps = output.attentions or ()
    tolerance = 1e-3 if backbone.dtype == torch.float32 else 5e-2
    error = (output.last_hidden_state.float() - own.float()).abs().max()
    num_slots = batch.input_ids.shape[1]
    if (
        not maps
        or any(m is None or m.shape[-2:] != (num_slots, num_slots) for m in maps)
        or error > tolerance * own.float().abs().max()
    ):
        raise BackboneError(
            f"attention of {backbone.name} ({backbone.model.config.model_type}) cannot be "
            f"captured: {reason}; and output_attentions=True does not give its maps either"
        )
    chosen = pick("layer", layers, range(len(maps)), backbone.name)
    shown = pick("head", heads, range(maps[0].shape[1]), backbone.name)
    full = [maps[layer][0, list(shown)].float().cpu() for layer in chosen]  # each (H, T, T)
    return {
        "weights": torch.stack([m[:, :, list(keys)] for m in full]),
        "totals": torch.stack([m.sum(dim=-1) for m in full]),
        "norms": None,
        "gradients": None,
        "layers": chosen,
        "heads": shown,
        "num_layers": len(maps),
        "num_heads": maps[0].shape[1],
    }


@contextlib.contextmanager
def _eager_attention(backbone: Backbone) -> Iterator[None]:
    """The backbone's config says eager inside the block; these families read it as they run."""
    config: PreTrainedConfig = backbone.model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = before
