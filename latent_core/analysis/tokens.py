"""Tokens that a model has in mind: nearest to its latents, and likely at a place of a response.

What a learned latent holds is the same in every text. What a computed one holds is its state: `mix`
holds the mean embedding of the predicted tokens, `hidden` a state that the output head reads as
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import torch
from torch.nn import functional as F

from latent_core.errors import SettingError
from latent_core.models.latent import LatentModel
from latent_core.slots.fillers import token_weights
from latent_core.slots.filling import Fused, Mix
from latent_core.slots.placement import IGNORE
from latent_core.slots.views import token_labels

__all__ = ["latent_contents", "token_probabilities"]

_COLUMNS: Final = [
    *("slot", "label", "group", "member", "occurrence", "filling", "norm", "vocabulary_median"),
    *("measure", "rank", "token_id", "token", "value"),
]


@torch.no_grad()
def latent_contents(
    model: LatentModel,
    prompt: str,
    response: str | Sequence[int] | None = None,
    *,
    count: int = 5,
    max_new_tokens: int = 0,
) -> pd.DataFrame:
    """What each latent of an example holds, in words.

    Args:
        model: the model; an intervention's block counts.
        prompt: plain text.
        response: plain text, which ends in the end-of-sequence token, or token ids, taken as they
            are. Without a response, the prompt alone.
        count: tokens per latent and measure.
        max_new_tokens: without a response, let the model write one of so many tokens at most, to
            see what its latents hold as it decodes.

    Returns:
        a row for each token: `slot`, `label`, `group`, `member`, `occurrence`; `filling`, in its
        notation; `norm` of what the slot holds, and `vocabulary_median`, the median norm of the
        embeddings; `measure`, which is `cosine` (of the embedding with what the slot holds) or
        `probability` (by the slot before; of a mixture, its weights; computed latents only);
        `rank`, from 0; `token_id`, `token`, `value`.

    Raises:
        SettingError: for a `count` out of its range.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "End_2=mix")
        >>> frame = lc.latent_contents(model, "1+1=", count=1)
        >>> frame[["label", "measure"]].values.tolist()[:2]
        [['End.0', 'cosine'], ['End.0', 'probability']]
    """
    backbone = model.backbone
    texts = backbone.token_texts[: backbone.vocabulary_size]
    ids = torch.tensor([token_id for token_id, text in enumerate(texts) if text])
    if not 1 <= count <= len(ids):
        raise SettingError(f"count is {count}; expected 1 to {len(ids)} tokens")
    if response is None and max_new_tokens:
        (written,) = model.generate(prompt, max_new_tokens, return_details=True)
        slots = model.place(written.prompt_ids, written.response_ids)
    else:
        if isinstance(response, str):
            response = backbone.encode_response(response, prompt=prompt)
        slots = model.place(backbone.encode(prompt), response)
    batch = model.batch([slots])
    held = model.slot_embeddings(batch)
    states = model.run_slots(held, batch.attention_mask, batch.position_ids)[0]
    held, computed = held[0].float(), (model.tables.fillers_at(batch.latent_rows) >= 0)[0].tolist()
    embeddings = F.normalize(backbone.embed(ids.to(backbone.device)).float(), dim=-1)
    rows: list[dict[str, Any]] = []
    for place, slot in enumerate(slots.slots):
        if not slot.is_latent:
            continue
        group = model.placement.layout.groups[slot.group]
        about = {
            "slot": place,
            "label": f"{group.name}.{slot.member}",
            "group": group.name,
            "member": slot.member,
            "occurrence": slot.occurrence,
            "filling": str(group.filling),
            "norm": float(held[place].norm()),
            "vocabulary_median": backbone.embedding_norm,
        }
        values, places = (embeddings @ F.normalize(held[place], dim=-1)).topk(count)
        found = [("cosine", values.tolist(), ids[places.cpu()].tolist())]
        if computed[place]:
            mix = group.filling.mix if isinstance(group.filling, Fused) else group.filling
            logits = backbone.logits(states[place - 1])[None]
            weights = token_weights(logits, mix if isinstance(mix, Mix) else Mix())[0]
            values, places = weights.topk(count)
            found.append(("probability", values.tolist(), places.tolist()))
        for measure, scores, tokens in found:
            rows += [
                about
                | {"measure": measure, "rank": rank, "token_id": token, "token": texts[token]}
                | {"value": value}
                for rank, (value, token) in enumerate(zip(scores, tokens, strict=True))
            ]
    return pd.DataFrame(rows, columns=_COLUMNS)


@torch.no_grad()
def token_probabilities(
    model: LatentModel, prompt: str, response: str | Sequence[int], top: int = 5
) -> pd.DataFrame:
    """Read a response with teacher forcing, and look up each of its tokens.

    Args:
        model: the model; inside an intervention's block, the model under that intervention.
        prompt: plain text.
        response: plain text, or token ids, taken as they are.
        top: the number of likely tokens at each place.

    Returns:
        one row per token: token (its number), token_id, token_text, log_probability (natural),
        rank (from 1), and alternatives, the `top` likeliest tokens, pairs of text and probability.

    Raises:
        PromptError: for a prompt that is empty or too long.
        SettingError: if `top` is below 1, or the response is empty.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> frame = lc.token_probabilities(model, "1+1=", "2.", top=3)
        >>> frame["token_text"].tolist(), len(frame["alternatives"][0])
        (['2', '.'], 3)
    """
    backbone = model.backbone
    ids = (
        backbone.encode_response(response, end=False)
        if isinstance(response, str)
        else [int(token_id) for token_id in response]
    )
    if top < 1 or not ids:
        raise SettingError(f"{len(ids)} response tokens and top={top}; expected at least 1 of each")
    batch = model.batch([model.place(backbone.encode(prompt), ids)])
    labelled = batch.labels != IGNORE
    logits = backbone.logits(model.hidden_states(batch)[labelled]).float()
    chances = logits.log_softmax(dim=-1).cpu()
    targets = batch.labels[labelled].cpu()
    own = chances.gather(1, targets[:, None])
    ranks = (chances > own).sum(dim=1) + 1
    best = chances.topk(min(top, chances.shape[1]), dim=-1)
    return pd.DataFrame(
        {
            "token": range(len(targets)),
            "token_id": targets.tolist(),
            "token_text": token_labels(targets.tolist(), backbone.token_text),
            "log_probability": own.squeeze(1).tolist(),
            "rank": ranks.tolist(),
            "alternatives": [
                tuple(
                    (token_labels([int(t)], backbone.token_text)[0], float(p))
                    for t, p in zip(row, values.exp(), strict=True)
                )
                for row, values in zip(best.indices, best.values, strict=True)
            ],
        }
    )
