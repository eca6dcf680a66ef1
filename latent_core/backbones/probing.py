"""The probe of a decoder on five tokens: can it carry latent tokens?

Latent tokens need seven things. The decoder takes `inputs_embeds`. It obeys `position_ids`. No
token sees those after it. Going on from a cache gives the same as one pass. A row of a ragged batch
gives the same as the row alone, also once another row has ended. A token gives the same however far
positions reach after it. The output head can be applied to single slots. A family that fails is
refused with the reason, because it would give wrong results without a word: ALiBi decoders swallow
position ids. `latent_core.invariants.reports` checks far more, on demand.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from latent_core.backbones.decoder import Decoder
from latent_core.backbones.fingerprints import quantisation
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
    # 8-bit products quantise the activations too, and by the whole batch, whatever the dtype is.
    exact = decoder.dtype == torch.float32 and not quantisation(decoder.model)
    tolerance = 1e-3 if exact else 0.1
    part = decoder.hidden_states(embeds[:, :3], mask[:, :3], positions[0][:, :3])
    if _apart(part, plain[:, :3]) > tolerance:
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: its tokens attend to "
            "later tokens; expected a decoder-only model"
        )
    rows = [(embeds[0], positions[1][0]), (embeds[0, [3, 1, 4]], positions[1][0, :3])]
    alone = [shared[0], decoder.hidden_states(rows[1][0][None], mask[:, :3], rows[1][1][None])[0]]
    # With a window, decoding feeds one slot a pass; else latents ride along, which leaves holes.
    longer = (3, 1) if decoder.has_sliding_window else (3, 2)
    try:
        single = _from_cache(decoder, rows[:1], [(3, 2)])
        ragged = _from_cache(decoder, rows, [longer, (1, 1, 1)])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a family raises, it is the reason
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: it cannot go on from a cache "
            f"of Transformers' usual kind with rows of unlike length, of which one ends first. "
            "Decoders that keep a recurrent state (Falcon-H1, Bamba, LFM2, Qwen3-Next, ...) "
            f"cannot; {type(error).__name__}: {error}"
        ) from error
    if _apart(single[0], alone[0]) > tolerance:
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: going on from a cache, it "
            "gives other results than in one pass"
        )
    if (
        max(_apart(row, one[: len(row)]) for row, one in zip(ragged, alone, strict=True))
        > tolerance
    ):
        raise BackboneError(
            f"{decoder.name} ({family}) cannot carry latent tokens: in a batch of rows of unlike "
            "length, a row gives other results than alone (decoders that keep a recurrent state "
            "count padding and cached holes)"
        )
    if decoder.context_length is not None:
        far = positions[0].clone()
        far[0, -1] = decoder.context_length - 1
        beside = decoder.hidden_states(embeds, mask, far)
        if _apart(beside[:, :4], plain[:, :4]) > tolerance:
            raise BackboneError(
                f"{decoder.name} ({family}) cannot carry latent tokens: its tokens depend on how "
                "far positions reach after them, as rotary frequencies do that change with the "
                f"length; expected none that changes within {decoder.context_length} positions"
            )
    own = model(input_ids=ids, attention_mask=mask, position_ids=positions[1]).logits
    ours = decoder.logits(shared)
    if _apart(ours, own) > tolerance:
        raise BackboneError(
            f"{decoder.name} ({family}) changes its logits after the output head in a way that is "
            "not known here, so its loss would be wrong; supported: none, logits_scaling, "
            "logit_scale, final_logit_softcapping"
        )


def _from_cache(
    decoder: Decoder, rows: Sequence[tuple[Tensor, Tensor]], chunks: Sequence[Sequence[int]]
) -> list[Tensor]:
    """Last hidden states (T, D) of each row, decoded side by side as `generation.decoding` does it.

    Args:
        decoder: the decoder.
        rows: embeddings (T, D) and position ids (T,) of each.
        chunks: how many slots of each row a pass feeds, pass by pass. A row with fewer than its
            neighbour is padded on the left; a row without further passes leaves the batch.
    """
    cache = DynamicCache(config=decoder.model.config)
    mask = torch.ones(len(rows), 0, dtype=torch.long, device=decoder.device)
    active, fed = list(range(len(rows))), [0] * len(rows)
    found: list[list[Tensor]] = [[] for _ in rows]
    for step in range(max(map(len, chunks))):
        staying = [place for place, row in enumerate(active) if step < len(chunks[row])]
        if len(staying) < len(active):
            active, kept = [active[place] for place in staying], torch.tensor(staying)
            mask = mask[kept.to(mask.device)]
            cache.batch_select_indices(kept)
        width = max(chunks[row][step] for row in active)
        embeds = rows[0][0][:1].repeat(len(active), width, 1)  # padding is a token like others
        positions, new = (mask.new_zeros(len(active), width) for _ in range(2))
        for place, row in enumerate(active):
            count = chunks[row][step]
            part, last = slice(fed[row], fed[row] + count), slice(width - count, width)
            embeds[place, last], positions[place, last] = (whole[part] for whole in rows[row])
            new[place, last] = 1
            fed[row] += count
        mask = torch.cat([mask, new], dim=1)
        states = decoder.hidden_states(embeds, mask, positions, cache)
        for place, row in enumerate(active):
            found[row].append(states[place, width - chunks[row][step] :])
    return [torch.cat(parts) for parts in found]


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference, relative to that of `theirs`."""
    return float((ours - theirs).float().norm() / theirs.float().norm().clamp(min=1e-9))
