"""`generate`: prompts become responses, with latents in their places.

The settings are those of Transformers' `generate`; they count, see and stream verbal tokens only.
`latent_core.generation.decoding` has the loop over tokens; `latent_core.generation.writer` chooses
tokens and ends rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.chat import Prompt
from latent_core.errors import PromptError, SettingError, whole_number
from latent_core.generation.decoding import DecodingModel, Row, decode
from latent_core.generation.sampling import read_settings
from latent_core.generation.writer import OnToken, ResponseWriter
from latent_core.slots.placement import Placement, SlotStream
from latent_core.slots.views import SlotView, view_slots

__all__ = ["Generation", "generate"]

DEFAULT_NEW_TOKENS = 64


@dataclass(frozen=True)
class Generation:
    """What one prompt gave.

    Attributes:
        prompt, text: prompt and response as text; special tokens are left out of `text`. The
            prompt of a conversation is what the chat template makes of it.
        prompt_ids, response_ids: verbal ids; the response includes the end-of-sequence token, if
            any.
        slots: all slots in order, prompt and response, as a teacher-forced pass over both would
            have them. All but those of the last verbal token were fed to the backbone.
        finished: whether the response ended by itself (an end-of-sequence token, a stop string, a
            stopping criterion), rather than at `max_new_tokens`.
        decode_steps: forward passes that its tokens took, that of the prompt included. A cost, not
            a result: a batch beside it may need more, so two equal answers may differ in it.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> (answer,) = model.generate("1+1=", max_new_tokens=3, return_details=True)
        >>> [slot.label for slot in answer.slots[:3]]
        ['Start.0', 'Start.1', '1']
        >>> answer.prompt
        '1+1='
    """

    prompt: str
    text: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    slots: tuple[SlotView, ...]
    finished: bool
    decode_steps: int = field(default=0, compare=False)


def generate(
    model: DecodingModel,
    prompts: Sequence[Prompt],
    max_new_tokens: int | Sequence[int] | None = None,
    *,
    generation_config: GenerationConfig | None = None,
    logits_processor: Sequence[LogitsProcessor] = (),
    stopping_criteria: Sequence[StoppingCriteria] = (),
    seed: int | None = None,
    batch_size: int = 32,
    on_token: OnToken | None = None,
    on_response: Callable[[int, Generation], None] | None = None,
    streamer: BaseStreamer | None = None,
    placements: Sequence[Placement] | None = None,
    **settings: Any,
) -> list[Generation]:
    """Continue prompts with latents in their places.

    Args:
        model: a backbone with latents, or what else steers it.
        prompts: plain texts; conversations: lists of messages `{"role": ..., "content": ...}`,
            which go through the tokenizer's chat template (the model answers, or continues a last
            message of its own); or lists of verbal ids, fed as they are.
        max_new_tokens: verbal tokens per response at most, the end-of-sequence token included; one
            number, or one per prompt. 64 if no setting says otherwise.
        generation_config: settings as an object of Transformers. Fields that are not set are off.
        logits_processor, stopping_criteria: Transformers' or your own. They are called for one row
            at a time, with its verbal ids (1, L), prompt and response without latents or padding,
            and its scores (1, V).
        seed: of the sampling. The same seed draws the same for a prompt wherever it stands in the
            list, whatever stands beside it. A prompt that is given twice draws anew the second
            time, as with `num_return_sequences=2`. None draws something new each time.
        batch_size: responses decoded side by side. When some have ended, waiting prompts take
            their places, in the order given. In float32 no response depends on the others; in
            bfloat16 and float16 rounding depends on the batch, that is, on the prompts, on their
            order and on this number.
        on_token: called with the response's index, the token's id and the new text as each token is
            chosen. A character of several tokens comes with its last.
        on_response: called with the index of a response and its `Generation` as soon as it has
            ended.
        streamer: a `TextStreamer` or the like, for a single response.
        placements: that of each prompt, where these differ; by default the model's. Prompts of
            different placements draw as if each were alone.
        settings: fields of `GenerationConfig` by name, which win over `generation_config`:
            `do_sample`, `temperature`, `top_k`, `top_p`, `min_p`, `repetition_penalty`,
            `no_repeat_ngram_size`, `num_return_sequences`, `stop_strings`, ... Greedy by default.
            What is not available (beam search, for one) is refused.

    Returns:
        one `Generation` per prompt and returned sequence, those of one prompt side by side.

    Raises:
        PromptError: if a prompt is empty, or leaves no room for `max_new_tokens` in the window.
        SettingError: if a setting is unknown, not available, or out of its range.
    """
    per_prompt = isinstance(max_new_tokens, Sequence)
    one_limit = None if per_prompt else max_new_tokens
    options = read_settings(generation_config, max_new_tokens=one_limit, **settings)
    given = options.num_return_sequences
    copies = 1 if given is None else whole_number("num_return_sequences", given, 1)
    if copies > 1 and not options.do_sample:
        raise SettingError(
            f"num_return_sequences is {copies}; expected 1 unless do_sample=True, since greedy "
            "responses to one prompt are all the same"
        )
    batch_size = whole_number("batch_size", batch_size, 1)
    if streamer is not None and len(prompts) * copies != 1:
        raise SettingError(
            f"a streamer shows one response; got {len(prompts)} prompts with {copies} responses "
            "each. Use on_token, which is told whose token it gets"
        )
    encoded = [model.backbone.read_prompt(prompt) for prompt in prompts]
    limits = _limits(max_new_tokens, options, [len(ids) for _, ids in encoded])
    _check_window(model.backbone, encoded, limits)
    writer = ResponseWriter(
        model.backbone, options, logits_processor, stopping_criteria, seed, on_token
    )
    rows = []
    placed = [model.placement] * len(encoded) if placements is None else placements
    for (prompt, ids), limit, placement in zip(encoded, limits, placed, strict=True):
        for _ in range(copies):
            rows.append(Row(prompt, ids, limit, SlotStream(placement, len(ids))))
            writer.add(rows[-1], streamer)
    found: dict[int, Generation] = {}
    numbers = {id(row): number for number, row in enumerate(rows)}

    def on_end(row: Row) -> None:
        number = numbers[id(row)]
        found[number] = _result(model, row, writer.has_ended(row))
        if on_response is not None:
            on_response(number, found[number])

    try:
        with torch.no_grad():
            decode(model, rows, writer.extend, batch_size, on_end)
    finally:
        if streamer is not None:
            streamer.end()  # also after an error, lest a thread that reads waits for ever
    return [found[number] for number in range(len(rows))]


def _limits(
    max_new_tokens: int | Sequence[int] | None, options: GenerationConfig, lengths: list[int]
) -> list[int]:
    """Verbal tokens of each response at most."""
    if isinstance(max_new_tokens, Sequence):
        if len(max_new_tokens) != len(lengths):
            raise SettingError(
                f"max_new_tokens is {max_new_tokens}; expected a whole number, or a list of "
                f"{len(lengths)}, one for each prompt"
            )
        return [whole_number("max_new_tokens", limit, 1) for limit in max_new_tokens]
    if options.max_new_tokens is None and options.max_length is not None:
        whole = whole_number("max_length", options.max_length, 1)
        if whole <= max(lengths, default=0):
            raise SettingError(
                f"max_length is {whole}, prompt included, but a prompt has {max(lengths)} tokens; "
                "set max_new_tokens instead"
            )
        return [whole - length for length in lengths]
    given = options.max_new_tokens
    limit = DEFAULT_NEW_TOKENS if given is None else whole_number("max_new_tokens", given, 1)
    return [limit] * len(lengths)


def _check_window(
    backbone: Backbone, encoded: Sequence[tuple[str, list[int]]], limits: Sequence[int]
) -> None:
    window = backbone.context_length
    for (prompt, ids), limit in zip(encoded, limits, strict=True):
        if window is not None and len(ids) + limit > window:
            raise PromptError(
                f"the prompt {prompt[:40]!r} has {len(ids)} tokens; with max_new_tokens={limit} it "
                f"exceeds the context window of {backbone.name}, {backbone.context_limit}. "
                "Shorten it or lower max_new_tokens"
            )


def _result(model: DecodingModel, row: Row, finished: bool) -> Generation:
    placement = row.stream.placement
    slots = placement.insert(row.prompt_ids, row.response_ids, row.best).slots
    return Generation(
        prompt=row.prompt,
        text=model.backbone.decode(row.response_ids),
        prompt_ids=tuple(row.prompt_ids),
        response_ids=tuple(row.response_ids),
        slots=view_slots(slots, placement.layout, model.backbone.token_text),
        finished=finished,
        decode_steps=row.num_passes,
    )
