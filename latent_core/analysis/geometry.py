"""What was learned, as geometry: latents among the vocabulary, and their slots layer by layer.

Every function gives a tidy pandas frame, one row per thing measured. Layers count from 0, and mean
the hidden states after that layer. Inside an intervention's block, `logit_lens` and `slot_pca` look
at the model under that intervention; the others look at the tables themselves.

Knows models; no tasks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent_core.adapters.saved import read_latents
from latent_core.backbones.layers import decoder_layers, final_norm, hidden_output, pick
from latent_core.errors import AdapterError, SettingError
from latent_core.models.latent import LatentModel
from latent_core.slots.filling import Learned
from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import Slots
from latent_core.tasks.base import Example

__all__ = ["latent_norms", "latent_similarity", "logit_lens", "nearest_tokens", "slot_pca"]


@torch.no_grad()
def nearest_tokens(model: LatentModel, count: int = 10) -> pd.DataFrame:
    """The vocabulary tokens nearest to each latent, by cosine in embedding space.

    Args:
        model: its tables are compared with the vocabulary.
        count: tokens per latent.

    Returns:
        `label`, `group`, `member`, `rank` (from 0), `token_id`, `token`, `cosine`.

    Raises:
        SettingError: if `count` is less than 1 or more than the vocabulary has.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1", init="text:7")
        >>> lc.nearest_tokens(model, count=1)["token"].item()
        '7'
    """
    ids, embeddings = _vocabulary(model)
    if not 1 <= count <= len(ids):
        raise SettingError(f"count is {count}; expected 1 to {len(ids)} tokens")
    latents = model.tables.rows().to(embeddings.device)
    cosine = F.normalize(latents, dim=-1) @ F.normalize(embeddings, dim=-1).T
    rows = []
    for row, name in _names(model.layout):
        values, places = cosine[row].topk(count)
        for rank, (value, place) in enumerate(zip(values, places, strict=True)):
            token_id = int(ids[int(place)])
            token = model.backbone.token_texts[token_id]
            rows.append(
                {**name, "rank": rank, "token_id": token_id, "token": token, "cosine": float(value)}
            )
    columns = ["label", "group", "member", "rank", "token_id", "token", "cosine"]
    return pd.DataFrame(rows, columns=columns)


@torch.no_grad()
def latent_norms(model: LatentModel) -> pd.DataFrame:
    """Each latent's length beside the lengths of the vocabulary's embeddings.

    Args:
        model: its tables are measured.

    Returns:
        `label`, `group`, `member`, `norm`, `vocabulary_median`, `ratio` (norm to that median),
        `share_shorter` (of the vocabulary's tokens, 0 to 1).

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_2")
        >>> lc.latent_norms(model)["label"].tolist()
        ['Start.0', 'Comma.0', 'Comma.1']
    """
    norms = _vocabulary(model)[1].norm(dim=-1)
    median = float(norms.median())
    rows = []
    for (_, name), norm in zip(_names(model.layout), _own(model).norm(dim=-1), strict=True):
        shorter = float((norms < norm.to(norms.device)).float().mean())
        rows.append(
            name
            | {
                "norm": float(norm),
                "vocabulary_median": median,
                "ratio": float(norm) / median,
                "share_shorter": shorter,
            }
        )
    columns = ["label", "group", "member", "norm", "vocabulary_median", "ratio", "share_shorter"]
    return pd.DataFrame(rows, columns=columns)


@torch.no_grad()
def latent_similarity(
    models: LatentModel | Mapping[str, LatentModel | str | Path],
) -> pd.DataFrame:
    """Cosine of every pair of latents, within a model and across adapters or seeds.

    Args:
        models: a model, or models and adapter folders by a name of your choice. All have to be on
            one backbone: elsewhere directions mean other things.

    Returns:
        a row per unordered pair, in order of appearance: `model_a`, `label_a`, `group_a`,
        `member_a`, the same for `b`, and `cosine`.

    Raises:
        AdapterError: if they are not on one backbone.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> frame = lc.latent_similarity(model)
        >>> frame[["label_a", "label_b"]].values.tolist()
        [['Start.0', 'Comma.0']]
    """
    named = {"model": models} if isinstance(models, LatentModel) else dict(models)
    entries: list[dict[str, Any]] = []
    vectors: list[Tensor] = []
    fingerprints: dict[str, str] = {}
    for title, source in named.items():
        if isinstance(source, LatentModel):
            fingerprints[title], layout = source.backbone.fingerprint, source.layout
            rows = source.tables.rows().cpu()
        else:
            config, layout, tables = read_latents(source)
            fingerprints[title] = config.backbone_fingerprint
            stored = [tables[name] for name in layout.table_sizes]
            rows = torch.cat([torch.zeros(0, config.hidden_size), *stored])
        for row, name in _names(layout):
            entries.append({"model": title, **name})
            vectors.append(F.normalize(rows[row].float(), dim=-1))
    if len(set(fingerprints.values())) > 1:
        raise AdapterError(
            "latents of different backbones cannot be compared; expected one, got "
            + ", ".join(f"{title}: {mark}" for title, mark in fingerprints.items())
        )
    columns = [f"{key}_{side}" for side in "ab" for key in ("model", "label", "group", "member")]
    pairs = [
        {f"{key}_a": value for key, value in a.items()}
        | {f"{key}_b": value for key, value in b.items()}
        | {"cosine": float(vectors[i] @ vectors[j])}
        for i, a in enumerate(entries)
        for j, b in enumerate(entries)
        if i < j
    ]
    return pd.DataFrame(pairs, columns=[*columns, "cosine"])


@torch.no_grad()
def logit_lens(
    model: LatentModel,
    prompt: str,
    response: str | None = None,
    *,
    count: int = 5,
    layers: Sequence[int] | int | None = None,
) -> pd.DataFrame:
    """What each latent slot would say at each layer: its hidden state, read by the output head.

    nostalgebraist 2020 (the logit lens), with the backbone's own final norm. At the last layer it
    is what the slot does say.

    Args:
        model: the model.
        prompt, response: one example; without a response, the prompt alone.
        count: likeliest tokens per slot and layer.
        layers: by default all.

    Returns:
        `slot`, `label`, `group`, `member`, `occurrence`, `layer`, `rank`, `token_id`, `token`,
        `probability`; no rows if the example has no latents.

    Raises:
        SettingError: for a layer that does not exist, or a `count` out of its range.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> frame = lc.logit_lens(model, "1+1=", count=1, layers=[0, 1])
        >>> frame[["label", "layer"]].values.tolist()
        [['Start.0', 0], ['Start.1', 0], ['Start.0', 1], ['Start.1', 1]]
    """
    size = model.backbone.vocabulary_size
    if not 1 <= count <= size:
        raise SettingError(f"count is {count}; expected 1 to {size} tokens")
    slots = model.insert(prompt, response)
    places = _latent_places(slots)
    norm = final_norm(model.backbone)
    rows = []
    for layer, states in _hidden_states(model, slots, places, layers).items():
        probabilities = model.backbone.logits(norm(states)).float().softmax(dim=-1)
        values, ids = probabilities.topk(count)
        for number, place in enumerate(places):
            for rank in range(count):
                token_id = int(ids[number, rank])
                rows.append(
                    _slot_name(model, slots, place)
                    | {
                        "layer": layer,
                        "rank": rank,
                        "token_id": token_id,
                        "token": model.backbone.token_texts[token_id],
                        "probability": float(values[number, rank]),
                    }
                )
    columns = ["layer", "rank", "token_id", "token", "probability"]
    return pd.DataFrame(rows, columns=[*_SLOT_COLUMNS, *columns])


@torch.no_grad()
def slot_pca(
    model: LatentModel,
    examples: Sequence[Example | tuple[str, str] | str],
    layers: Sequence[int] | int | None = None,
    components: int = 2,
) -> pd.DataFrame:
    """Principal components of the latent slots' hidden states, over all their occurrences.

    Each layer has components of its own. A component's sign is chosen so that its largest loading
    is positive.

    Args:
        model: the model.
        examples: of a task, pairs of prompt and response, or prompts alone.
        layers: by default all.
        components: how many.

    Returns:
        `example`, `slot`, `label`, `group`, `member`, `occurrence`, `layer`, `pc1`, `pc2`, ...,
        and `explained1`, ...: the share of the layer's variance, the same in all its rows.

    Raises:
        SettingError: for a layer that does not exist, or fewer latent slots than components.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Comma_1")
        >>> frame = lc.slot_pca(model, ["1,2,3,", "4,5,6,"], layers=0)
        >>> frame["occurrence"].tolist()
        [0, 1, 2, 0, 1, 2]
    """
    found: dict[int, list[Tensor]] = {}
    names: list[dict[str, Any]] = []
    for number, example in enumerate(examples):
        match example:
            case Example():
                slots = model.insert(example.prompt, example.answer)
            case str():
                slots = model.insert(example)
            case prompt, response:
                slots = model.insert(prompt, response)
        places = _latent_places(slots)
        names += [{"example": number, **_slot_name(model, slots, place)} for place in places]
        for layer, states in _hidden_states(model, slots, places, layers).items():
            found.setdefault(layer, []).append(states.float().cpu())
    if not 1 <= components < len(names):
        raise SettingError(
            f"{len(names)} latent slots in these examples do not give {components} principal "
            "components; expected more slots than components, and at least 1"
        )
    frames = []
    for layer, parts in found.items():
        matrix = torch.cat(parts).double().numpy()
        left, lengths, right = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
        largest = np.abs(right).argmax(axis=1)
        scores = left * lengths * np.sign(right[np.arange(len(right)), largest])
        shares = lengths**2 / max(float((lengths**2).sum()), np.finfo(float).tiny)
        columns = {f"pc{c + 1}": scores[:, c] for c in range(components)}
        columns |= {f"explained{c + 1}": shares[c] for c in range(components)}
        frames.append(pd.DataFrame(names).assign(layer=layer, **columns))
    return pd.concat(frames, ignore_index=True)


_SLOT_COLUMNS = ["slot", "label", "group", "member", "occurrence"]


def _vocabulary(model: LatentModel) -> tuple[Tensor, Tensor]:
    """Ids (V,) of ordinary tokens, and their embeddings (V, D) in fp32."""
    texts = model.backbone.token_texts[: model.backbone.vocabulary_size]
    ids = torch.tensor([token_id for token_id, text in enumerate(texts) if text])
    return ids, model.backbone.embed(ids.to(model.backbone.device)).float()


def _names(layout: LatentLayout) -> list[tuple[int, dict[str, Any]]]:
    """Row and name of every learned latent, by group; tied groups share rows."""
    return [
        (first + m, {"label": f"{group.name}.{m}", "group": group.name, "member": m})
        for group, first in zip(layout.groups, layout.first_rows, strict=True)
        if isinstance(group.filling, Learned)
        for m in range(group.count)
    ]


def _own(model: LatentModel) -> Tensor:
    """A vector per latent, in the order of `_names`."""
    rows = model.tables.rows()
    return rows[[row for row, _ in _names(model.layout)]]


def _latent_places(slots: Slots) -> list[int]:
    return [place for place, slot in enumerate(slots.slots) if slot.is_latent]


def _slot_name(model: LatentModel, slots: Slots, place: int) -> dict[str, Any]:
    slot = slots.slots[place]
    group = model.placement.layout.groups[slot.group].name
    values = (place, f"{group}.{slot.member}", group, slot.member, slot.occurrence)
    return dict(zip(_SLOT_COLUMNS, values, strict=True))


def _hidden_states(
    model: LatentModel, slots: Slots, places: list[int], layers: Sequence[int] | int | None
) -> dict[int, Tensor]:
    """Hidden states (len(places), D) after each layer, of one teacher-forced pass."""
    stack = decoder_layers(model.backbone)
    chosen = pick("layer", layers, range(len(stack)), model.backbone.name)
    found: dict[int, Tensor] = {}

    def keep(number: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            found[number] = hidden_output(output)[0, places]

        return hook

    batch = model.batch([slots])
    embeds = model.slot_embeddings(batch)  # computed latents take passes, which no hook shall see
    with contextlib.ExitStack() as hooks:
        for number in chosen:
            hooks.callback(stack[number].register_forward_hook(keep(number)).remove)
        model.run_slots(embeds, batch.attention_mask, batch.position_ids)
    return found
