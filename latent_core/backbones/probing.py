"""The probe of a decoder on five tokens: can it carry latent tokens?

Latent tokens need five things. The decoder takes `inputs_embeds`. It obeys `position_ids`. No token
sees those after it. Going on from a cache gives the same as one pass. Its output head can be
applied to single slots. A family that fails is refused with the reason, because it would give wrong
results without a word: ALiBi decoders swallow position ids. `latent_core.invariants.check` checks
far more, on demand.
"""

from __future__ import annotations

import inspect

import torch
from torch import Tensor
from transformers import DynamicCache

from latent_core.backbones.decoder import Decoder
from latent_core.errors import BackboneError

__all__ = ["refuse_unfit"]

PROBE_POSITIONS = ((0, 1, 2, 3, 4), (0, 1, 1, 2, 3))


@torch.no_grad()
def refuse_unfit(decoder: Decoder) -> None:
    """Try on five tokens what latent tokens need; see the module's docstring.

    Raises:
        BackboneError: with the reason.
    """
    model, family = decoder.model, decoder.model.config.model_type
    needed = {"inputs_embeds", "attention_mask", "position_ids", "past_key_values"}
    missing = needed - set(inspect.signature(decoder.trunk.forward).parameters)
    if missing:
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: its forward pass does not "
            f"take {', '.join(sorted(missing))}. Decoders with rotary or learned positions do "
            "(Llama, Qwen, Mistral, Gemma, GPT-2, OPT, ...); ALiBi decoders (Bloom, MPT) do not"
        )
    ids = torch.arange(1, 6, device=decoder.device).unsqueeze(0) % decoder.vocabulary_size
    mask, embeds = torch.ones_like(ids), decoder.embed(ids)
    positions = [torch.tensor([p], device=decoder.device) for p in PROBE_POSITIONS]
    plain, shared = (decoder.hidden_states(embeds, mask, p) for p in positions)
    if torch.equal(plain, shared):
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: it ignores position ids, and "
            "latents share the position of the verbal token after them"
        )
    tolerance = 1e-3 if decoder.dtype == torch.float32 else 0.1
    part = decoder.hidden_states(embeds[:, :3], mask[:, :3], positions[0][:, :3])
    if _apart(part, plain[:, :3]) > tolerance:
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: its tokens see those after "
            "them; expected a decoder, which sees only what came before"
        )
    try:
        cached = _in_two_passes(decoder, embeds, mask, positions[1])
    except (ValueError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: it cannot go on from a cache "
            f"of Transformers' usual kind, whose rows can be let go; {error}"
        ) from error
    if _apart(cached, shared) > tolerance:
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: going on from a cache, it "
            "gives other results than in one pass"
        )
    own = model(input_ids=ids, attention_mask=mask, position_ids=positions[1]).logits
    ours = decoder.logits(shared)
    if _apart(ours, own) > tolerance:
        raise BackboneError(
            f"{decoder.name} ({family}) changes its logits after the output head in a way that is "
            "not known here, so its loss would be wrong; supported: none, logits_scaling, "
            "logit_scale, final_logit_softcapping"
        )


def _in_two_passes(decoder: Decoder, embeds: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
    """Last hidden states (1, T, D), the last two of them from a cache."""
    cache = DynamicCache(config=decoder.model.config)
    first = decoder.hidden_states(embeds[:, :3], mask[:, :3], positions[:, :3], cache)
    rest = decoder.hidden_states(embeds[:, 3:], mask, positions[:, 3:], cache)
    cache.batch_select_indices(torch.zeros(1, dtype=torch.long, device=embeds.device))  # rows end
    return torch.cat([first, rest], dim=1)


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference, relative to that of `theirs`."""
    return float((ours - theirs).float().norm() / theirs.float().norm().clamp(min=1e-9))
