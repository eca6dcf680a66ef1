"""Latents for other programs: a checkpoint of Transformers, or the input embeddings of a prompt.

In a checkpoint, the latents become added tokens with embeddings of their own. What the checkpoint
cannot hold, the rule that inserts them and their shared positions, its card says.

A server that takes embeddings, vLLM for one, runs the plain backbone. It numbers the positions from
0 on and inserts nothing while it generates. So only some layouts give the same responses there;
others are refused.
"""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Final, cast

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from latent_core.backbones.chat import Prompt
from latent_core.backbones.turns import turn
from latent_core.errors import SettingError
from latent_core.files import new_folder, refuse_filled, write_file
from latent_core.models.baselines.virtual_tokens import PromptModel
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.progress import without_loading_bars
from latent_core.slots.filling import Learned
from latent_core.slots.layout import LatentGroup, LatentLayout
from latent_core.slots.placement import SlotStream
from latent_core.slots.places import After, Before, End, Every, Start

__all__ = ["export_model", "export_prompt_embeddings", "token_of", "write_prompt_embeddings"]

CARD_NAME: Final = "README.md"


def token_of(table: str, row: int) -> str:
    """The added token that stands for one latent: `<|latent Comma.1|>`."""
    return f"<|latent {table}.{row}|>"


def export_model(model: SteeredModel, folder: str | Path) -> Path:
    """Write backbone and latents as a checkpoint that `AutoModelForCausalLM` loads.

    The latents' rows of the output head are the mean of all others, so that their logit is the mean
    of the others' and never the highest; a tied head is untied for that. `generation_config` also
    suppresses them.

    Args:
        model: a model with latents.
        folder: must not exist yet.

    Raises:
        SettingError: if the model has no latents.
        BackboneError: if the family's embeddings are not a table times a number.
        LatentError: if the folder cannot be written, or is not empty.
    """
    if isinstance(model, LatentModel) and model.companion is not None:
        raise SettingError(
            f"{model.method} cannot be exported: {model.companion.method} changes the backbone. "
            "Expected a layout alone"
        )
    if not isinstance(model, LatentModel) or not model.layout.groups:
        raise SettingError(
            f"{model.method} has no latents to export. What `latent train --method full` saves is "
            "a checkpoint already, and PEFT merges its own adapters (merge_and_unload)"
        )
    groups = model.layout.groups
    unwritten = [str(group) for group in groups if not isinstance(group.filling, Learned)]
    if unwritten:
        raise SettingError(
            f"{', '.join(unwritten)} cannot be exported: a checkpoint holds learned vectors only, "
            "and what fills these slots is made by code. Expected a layout of learned groups"
        )
    if model.placement.thresholds:
        raise SettingError(
            f"{model.method} cannot be exported: Unsure stands where the model is not sure, which "
            "no text says. Expected groups at other places"
        )
    what = f"the checkpoint to {folder}"
    refuse_filled(folder, what)  # before the copy
    backbone = model.backbone
    tokenizer = copy.deepcopy(backbone.tokenizer)
    tables = model.tables.named()
    tokens = [token_of(name, row) for name, table in tables.items() for row in range(len(table))]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])
    ids = cast(list[int], tokenizer.convert_tokens_to_ids(tokens))
    exported = copy.deepcopy(backbone.model)
    _add_rows(exported, ids, torch.cat(list(tables.values())), backbone.embedding_scale)
    with new_folder(folder, what) as staging, without_loading_bars():
        exported.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
        (staging / CARD_NAME).write_text(_card(model, tokenizer))
    return Path(folder)


@torch.no_grad()
def _add_rows(model: PreTrainedModel, ids: list[int], vectors: Tensor, scale: float) -> None:
    """Give the ids these embeddings, and rows of the head that are never chosen."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert isinstance(embeddings, nn.Embedding) and isinstance(head, nn.Linear)
    if head.weight is embeddings.weight:
        _untie(model, head)
    rows = len(embeddings.weight)
    if max(ids) >= rows:
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert isinstance(embeddings, nn.Embedding) and isinstance(head, nn.Linear)
    embeddings.weight[ids] = (vectors / scale).to(embeddings.weight)
    others = [row for row in range(rows) if row not in set(ids)]
    for parameter in (head.weight, head.bias):
        if parameter is not None:
            parameter[ids] = parameter[others].float().mean(0).to(parameter.dtype)
    if model.generation_config is not None:
        model.generation_config.suppress_tokens = list(ids)


def _untie(model: PreTrainedModel, head: nn.Linear) -> None:
    """Give the head weights of its own; its bias, if it has one, it keeps."""
    head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    model.config.tie_word_embeddings = False
    model.config.get_text_config().tie_word_embeddings = False


def _card(model: LatentModel, tokenizer: PreTrainedTokenizerBase) -> str:
    layout, backbone = model.layout, model.backbone
    places = [f"- {_where(group)}: {_tokens(layout, group)}" for group in layout.groups]
    exact = layout.positions == "sequential"
    lost = [
        "- **Insertion.** The model does not insert the latents; the caller writes them in their "
        "places. A latent in the response has to be inserted during decoding.",
        "- **Positions.** Nothing is lost: every latent has its own position id, as in training."
        if exact
        else "- **Positions.** Latents were trained to share the position id of the verbal token "
        "after them. In this checkpoint every token has its own position id, so the results "
        "differ. For equal results, pass `position_ids` in which they are shared, and an "
        "`attention_mask`. Layouts with `positions=sequential` do not lose this.",
        "- **Precision.** The latents were trained in float32 and are stored as "
        f"{str(backbone.dtype).removeprefix('torch.')}, like the weights.",
    ]
    bos = tokenizer.bos_token
    note = (
        f"\n\nThe tokenizer begins each text with `{bos}`, but `Start` latents come before that: "
        f"pass `add_special_tokens=False` and write `{bos}` after them."
        if bos and backbone.encode("a")[0] == tokenizer.bos_token_id
        else ""
    )
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags:
- latent-tokens
---

# {backbone.name} with `{layout}` as added tokens

This checkpoint is the unchanged backbone `{backbone.name}` (fingerprint `{backbone.fingerprint}`)
with {layout.num_latents} latent tokens ([arXiv 2505.12629](https://arxiv.org/abs/2505.12629)). They
are added to its vocabulary. Write the latents in these places:

{chr(10).join(places)}{note}

The latents are never predicted: their logit is the mean of all others, so it is never the highest,
and `generation_config.json` suppresses them. A server that samples without reading that file gives
each of them a probability of at most 1 / V.

## Differences from the trained model

{chr(10).join(lost)}
"""


def _tokens(layout: LatentLayout, group: LatentGroup) -> str:
    table = "tied" if layout.tied else group.name
    return "`" + "".join(token_of(table, row) for row in range(group.count)) + "`"


def _where(group: LatentGroup) -> str:
    match group.place:
        case Start():
            return "before the prompt"
        case End():
            return "after the prompt"
        case Every(k):
            return f"after every {k} tokens, latents not counted"
        case Before(texts):
            return f"before every token that contains one of {list(texts)}"
        case After(texts):
            return f"after every token that contains one of {list(texts)}"
    raise AssertionError(group)


def export_prompt_embeddings(model: SteeredModel, prompt: Prompt) -> Tensor:
    """The input embeddings of a prompt with its latents, for a server of the plain backbone.

    vLLM takes them as `prompt_embeds`, and Transformers' `generate` as `inputs_embeds[None]`. In
    float32, greedy responses are those of `model.generate`. Computed latents (`End_6=hidden`) are
    filled in; they belong to this prompt.

    Args:
        model: latents at `Start` and `End` alone, with `positions=sequential`; or PEFT's prompt
            tuning.
        prompt: a text, a conversation or verbal ids.

    Returns:
        (T, D) on the CPU, in the backbone's dtype; T counts verbal tokens and latents. The tensor
        holds the special tokens too, so the server must not add any.

    Raises:
        SettingError: if the responses would differ, and why.
        PromptError: if the prompt is empty, or longer than the context window.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2; positions=sequential")
        >>> embeddings = lc.export_prompt_embeddings(model, "1+1=")
        >>> embeddings.shape  # two latents and four tokens, of width 128
        torch.Size([6, 128])
        >>> ids = model.backbone.model.generate(
        ...     inputs_embeds=embeddings[None], max_new_tokens=3, do_sample=False
        ... )
        >>> [model.backbone.decode(ids[0].tolist())] == model.generate("1+1=", max_new_tokens=3)
        True
    """
    _refuse_inexact(model)
    _, ids = model.backbone.read_prompt(prompt)
    slots = model.place(ids)
    with turn(model.backbone.model, f"embeddings of {model.method}"), torch.no_grad():
        embeddings = model.slot_embeddings(model.batch([slots]))
    return embeddings[0].cpu().clone()


def write_prompt_embeddings(model: SteeredModel, prompt: Prompt, path: str | Path) -> torch.Size:
    """Write what `export_prompt_embeddings` gives, as `torch.load(path, weights_only=True)` reads.

    Args:
        model, prompt: as there.
        path: the file; its folder is made if missing.

    Returns:
        the shape (T, D).

    Raises:
        SettingError, PromptError: as there.
        LatentError: if the file cannot be written.
    """
    embeddings = export_prompt_embeddings(model, prompt)
    content = io.BytesIO()
    torch.save(embeddings, content)
    write_file(path, content.getvalue())
    return embeddings.shape


def _refuse_inexact(model: SteeredModel) -> None:
    """Refuse a model whose responses depend on more than the embeddings of the prompt.

    Raises:
        SettingError: with the reason, and what to use instead.
    """
    reason = _what_differs(model)
    if reason is not None:
        raise SettingError(
            f"{model.method} cannot be exported as prompt embeddings: {reason}. Expected latents "
            "at Start and End alone with `positions=sequential`, such as `Start_2; "
            "positions=sequential`, or prompt-tuning-2"
        )


def _what_differs(model: SteeredModel) -> str | None:
    """Why a server that is given embeddings would respond otherwise; None if it would not."""
    if not isinstance(model, LatentModel | PromptModel):
        return "it changes the backbone, not the prompt. PEFT and Transformers load what it saves"
    if isinstance(model, LatentModel) and model.companion is not None:
        return f"{model.companion.method} changes the backbone"
    placement = model.placement
    if placement.rows is not None:
        return "an intervention is on; export outside of its block"
    others = [str(g) for g in placement.layout.groups if not isinstance(g.place, Start | End)]
    if others:
        return (
            f"{', '.join(others)} may stand in the response too, where the server inserts nothing"
        )
    stream = SlotStream(placement, prompt_length=1)
    slots = [*stream.look_ahead(), *stream.push(0), *stream.look_ahead()]
    positions = [*(slot.position_id for slot in slots), stream.next_position]
    if positions != list(range(len(slots) + 1)):
        return (
            "its latents share the position ids of verbal tokens, and a server numbers all "
            "embeddings from 0 on"
        )
    if stream.predictor != len(slots) - 1:
        return "its last latent does not predict the response (@verbal), and in a server it would"
    scale = model.backbone.embedding_scale
    if scale != 1:
        return (
            f"{model.backbone.name} multiplies embeddings by {scale:g}, and servers differ in "
            "whether that is done already (vLLM: not for Gemma 2)"
        )
    return None
