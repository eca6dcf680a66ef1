"""Is a decoder fit for latent tokens? Tried out on five tokens when it is loaded.

Latent tokens need four things: the decoder takes `inputs_embeds`, it obeys `position_ids`, no token
sees those after it, and its output head can be applied to single slots. A family that fails (ALiBi
decoders swallow position ids without a word) is refused with the reason instead of giving quietly
wrong results. `latent_core.invariants` checks far more, on demand.

Knows nothing of latents beyond that.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import torch

from latent_core.errors import BackboneError

if TYPE_CHECKING:
    from latent_core.backbones import Backbone

__all__ = ["refuse_unfit"]

PROBE_POSITIONS = ((0, 1, 2, 3, 4), (0, 1, 1, 2, 3))


@torch.no_grad()
def refuse_unfit(backbone: Backbone) -> None:
    """Try on five tokens what latent tokens need; see the module's docstring.

    Raises:
        BackboneError: with the reason.
    """
    model, family = backbone.model, backbone.model.config.model_type
    needed = {"inputs_embeds", "attention_mask", "position_ids", "past_key_values"}
    missing = needed - set(inspect.signature(model.base_model.forward).parameters)
    if missing:
        raise BackboneError(
            f"{backbone.name} ({family}) cannot carry latent tokens: its forward pass does not "
            f"take {', '.join(sorted(missing))}. Decoders with rotary or learned positions do "
            "(Llama, Qwen, Mistral, Gemma, GPT-2, OPT, ...); ALiBi decoders (Bloom, MPT) do not"
        )
    ids = torch.arange(1, 6, device=backbone.device).unsqueeze(0) % backbone.vocabulary_size
    mask, embeds = torch.ones_like(ids), backbone.embed(ids)
    positions = [torch.tensor([p], device=backbone.device) for p in PROBE_POSITIONS]
    plain, shared = (backbone.hidden_states(embeds, mask, p) for p in positions)
    if torch.equal(plain, shared):
        raise BackboneError(
            f"{backbone.name} ({family}) cannot carry latent tokens: it ignores position ids, and "
            "latents share the position of the verbal token after them"
        )
    part = backbone.hidden_states(embeds[:, :3], mask[:, :3], positions[0][:, :3])
    change = (part - plain[:, :3]).float().norm() / plain[:, :3].float().norm()
    if change > (1e-3 if backbone.dtype == torch.float32 else 0.1):
        raise BackboneError(
            f"{backbone.name} ({family}) cannot carry latent tokens: its tokens see those after "
            "them; expected a decoder, which sees only what came before"
        )
    own = model(input_ids=ids, attention_mask=mask, position_ids=positions[1]).logits
    ours = backbone.logits(shared)
    if not torch.allclose(own.float(), ours.float(), rtol=1e-2, atol=1e-2):
        raise BackboneError(
            f"{backbone.name} ({family}) changes its logits after the output head in a way that is "
            "not known here, so its loss would be wrong; supported: none, logits_scaling, "
            "logit_scale, final_logit_softcapping"
        )
