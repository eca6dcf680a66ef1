"""A prompt with its latents as one tensor, for servers that take embeddings in place of tokens.

Such a server, vLLM for one, runs the plain backbone. It numbers the positions from 0 on and inserts
nothing while it generates. So only some layouts give the same responses there; others are refused.
"""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from latent_core.backbones.chat import Prompt
from latent_core.backbones.turns import turn
from latent_core.errors import SettingError
from latent_core.files import write_file
from latent_core.models.baselines.prompt import PromptModel
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.slots.placement import SlotStream
from latent_core.slots.places import End, Start

__all__ = ["export_prompt_embeddings", "write_prompt_embeddings"]


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
