"""The probability of each token of a response, and the tokens that were likely in its place."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from latent_core.errors import SettingError
from latent_core.models.latent import LatentModel
from latent_core.slots.placement import IGNORE
from latent_core.slots.views import token_labels

__all__ = ["token_probabilities"]


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
