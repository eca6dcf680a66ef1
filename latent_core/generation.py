"""Batched decoding that inserts latents as it goes.

One forward pass per verbal token: the latents that stand before or after it ride along. Rows of a
batch are independent of each other: prompts are padded on the left, and the holes that arise when a
row has fewer new slots than its neighbours are masked. On backbones with a sliding window, which
counts cache slots and would count holes too, every row is instead fed exactly one slot per pass, so
that there are no holes; that is exact as well, at the price of a pass per latent.

Knows tables, slots and backbones; nothing of tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from latent_core.batch import collate
from latent_core.errors import PromptError, SettingError
from latent_core.insertion import Slot, SlotStream
from latent_core.layout import LatentLayout
from latent_core.progress import heartbeat

if TYPE_CHECKING:
    from latent_core.model import LatentModel

__all__ = ["Generation", "SlotView", "generate", "view_slot"]


class SlotView(NamedTuple):
    """One slot as a reader wants it.

    Attributes:
        label: `Comma.1` for the second latent of group Comma; the token's text for a verbal token.
        group: name of the latent's group; None for a verbal token.
        occurrence: which occurrence of its group, 0-based; None for a verbal token.
        position_id: what the backbone was told.
        token_id: the verbal token's id; None for a latent.
    """

    label: str
    group: str | None
    occurrence: int | None
    position_id: int
    token_id: int | None


@dataclass(frozen=True)
class Generation:
    """What one prompt gave.

    Attributes:
        prompt, text: prompt and response as text; special tokens are left out of `text`.
        prompt_ids, response_ids: verbal ids; the response includes the end-of-sequence token, if
            any.
        slots: all slots in order, prompt and response, as a teacher-forced pass over both would
            have them. All but those of the last verbal token were fed to the backbone.
        finished: whether an end-of-sequence token ended it, rather than `max_new_tokens`.
    """

    prompt: str
    text: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    slots: tuple[SlotView, ...]
    finished: bool


@dataclass
class _Row:
    """The state of one prompt while it is decoded."""

    index: int
    prompt: str
    prompt_ids: list[int]
    limit: int
    stream: SlotStream
    queue: list[Slot] = field(default_factory=list)
    num_fed: int = 0
    response_ids: list[int] = field(default_factory=list)
    finished: bool = False
    hidden: Tensor | None = None
    """(D,), the hidden state that predicts the next verbal token."""

    def push(self, token_ids: Iterable[int]) -> None:
        """Queue verbal tokens, with the latents before and after each."""
        for token_id in token_ids:
            self.queue += self.stream.push(token_id)
            self.queue += self.stream.look_ahead()

    def take(self, count: int | None) -> list[Slot]:
        """Remove the next slots, all by default, from the queue: they are fed now."""
        chunk, self.queue = self.queue[:count], self.queue[count:] if count else []
        self.num_fed += len(chunk)
        return chunk


@torch.no_grad()
def generate(
    model: LatentModel,
    prompts: Sequence[str],
    max_new_tokens: int | Sequence[int] = 64,
    *,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | None = None,
    batch_size: int = 32,
    on_token: Callable[[int, int, str], None] | None = None,
) -> list[Generation]:
    """Continue prompts with latents in their places.

    Args:
        model: a latent model.
        prompts: plain texts.
        max_new_tokens: verbal tokens per response at most, the end-of-sequence token included; one
            number, or one per prompt.
        do_sample: draw from the distribution instead of taking the likeliest token (greedy).
        temperature, top_k, top_p: as in Transformers; used when sampling.
        seed: of the sampling.
        batch_size: prompts decoded side by side.
        on_token: called with prompt index, token id and the token's text as each token is chosen.

    Returns:
        one `Generation` per prompt, in order.

    Raises:
        PromptError: if a prompt is empty, or leaves no room for `max_new_tokens` in the window.
        SettingError: if a number is out of its range.
    """
    if isinstance(max_new_tokens, Sequence):
        limits = list(max_new_tokens)
    else:
        limits = [max_new_tokens] * len(prompts)
    if len(limits) != len(prompts) or min(limits, default=1) < 1:
        raise SettingError(
            f"max_new_tokens is {max_new_tokens}; expected a whole number of at least 1, or one "
            f"for each of the {len(prompts)} prompts"
        )
    if batch_size < 1:
        raise SettingError(f"batch_size is {batch_size}; expected at least 1")
    choose = _chooser(do_sample, temperature, top_k, top_p, seed, model.backbone.device)
    encoded = [model.backbone.encode(prompt) for prompt in prompts]
    window = model.backbone.context_length
    rows = []
    for index, (prompt, ids, limit) in enumerate(zip(prompts, encoded, limits, strict=True)):
        if window is not None and len(ids) + limit > window:
            raise PromptError(
                f"the prompt {prompt[:40]!r} has {len(ids)} tokens; with max_new_tokens={limit} it "
                f"exceeds the context window of {model.backbone.name}, {window}. Shorten it or "
                "lower max_new_tokens"
            )
        row = _Row(index, prompt, ids, limit, SlotStream(model.placement, len(ids)))
        row.queue += row.stream.look_ahead()
        row.push(ids)
        rows.append(row)
    for start in range(0, len(rows), batch_size):
        _decode(model, rows[start : start + batch_size], choose, on_token)
    return [_result(model, row) for row in rows]


def _decode(
    model: LatentModel,
    rows: Sequence[_Row],
    choose: Callable[[Tensor], Tensor],
    on_token: Callable[[int, int, str], None] | None,
) -> None:
    """Decode one batch of rows side by side to their ends."""
    backbone = model.backbone
    one_slot_a_pass = backbone.has_sliding_window and len(rows) > 1
    cache = DynamicCache(config=backbone.model.config)
    mask = torch.ones(len(rows), 0, dtype=torch.long, device=backbone.device)
    active, width = list(rows), None  # the first pass takes the whole prompts
    while active:
        heartbeat()
        chunks = [row.take(width) for row in active]
        width = 1 if one_slot_a_pass else None
        batch = collate(chunks, "left").to(backbone.device)
        _check_positions(model, active)
        mask = torch.cat([mask, batch.attention_mask], dim=1)
        hidden_states = model.hidden_states(batch, mask, cache)
        for number, (row, chunk) in enumerate(zip(active, chunks, strict=True)):
            from_right = row.num_fed - row.stream.predictor
            if 0 < from_right <= len(chunk):
                row.hidden = hidden_states[number, -from_right]
        ready = [row for row in active if not row.queue]
        if ready:
            _choose_next(model, ready, choose, on_token)
        staying = [number for number, row in enumerate(active) if row.queue]
        if len(staying) < len(active):
            active = [active[number] for number in staying]
            kept = torch.tensor(staying, dtype=torch.long, device=backbone.device)
            mask = mask[kept]
            cache.batch_select_indices(kept)


def _check_positions(model: LatentModel, rows: Sequence[_Row]) -> None:
    """Sequential positions count latents too, whose number is known only while decoding."""
    window = model.backbone.context_length
    if model.placement.layout.positions == "shared" or window is None:
        return
    for row in rows:
        if row.stream.num_slots > window:
            raise PromptError(
                f"the prompt {row.prompt[:40]!r} and its response have {row.stream.num_slots} "
                f"slots, which positions=sequential numbers beyond the context window of "
                f"{model.backbone.name}, {window}. Shorten it, or lower max_new_tokens"
            )


def _choose_next(
    model: LatentModel,
    rows: Sequence[_Row],
    choose: Callable[[Tensor], Tensor],
    on_token: Callable[[int, int, str], None] | None,
) -> None:
    """Choose the next verbal token of every row; rows that go on get it queued."""
    hidden_states = torch.stack([row.hidden for row in rows if row.hidden is not None])
    logits = model.backbone.logits(hidden_states).float()
    for row, token_id in zip(rows, choose(logits).tolist(), strict=True):
        row.response_ids.append(token_id)
        row.finished = token_id in model.backbone.eos_ids
        if on_token is not None:
            on_token(row.index, token_id, model.backbone.decode([token_id]))
        if not row.finished and len(row.response_ids) < row.limit:
            row.push([token_id])


def _chooser(
    do_sample: bool,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    device: torch.device,
) -> Callable[[Tensor], Tensor]:
    """A function from logits (R, V) to token ids (R,)."""
    if not do_sample:
        return lambda logits: logits.argmax(dim=-1)
    if not temperature > 0 or not 0 < top_p <= 1 or top_k < 0:
        raise SettingError(
            f"temperature={temperature}, top_k={top_k}, top_p={top_p}; expected temperature > 0, "
            "top_k >= 0 (0 = off) and 0 < top_p <= 1"
        )
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(temperature))])
    if top_k > 0:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    generator = torch.Generator(device)
    generator.seed() if seed is None else generator.manual_seed(seed)
    no_ids = torch.LongTensor()  # these warpers look at logits only

    def draw(logits: Tensor) -> Tensor:
        probabilities = warpers(no_ids, logits).softmax(dim=-1)
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)

    return draw


def _result(model: LatentModel, row: _Row) -> Generation:
    layout = model.placement.layout
    slots = model.placement.insert(row.prompt_ids, row.response_ids).slots
    return Generation(
        prompt=row.prompt,
        text=model.backbone.decode(row.response_ids),
        prompt_ids=tuple(row.prompt_ids),
        response_ids=tuple(row.response_ids),
        slots=tuple(view_slot(slot, layout, model.backbone.token_text) for slot in slots),
        finished=row.finished,
    )


def view_slot(slot: Slot, layout: LatentLayout, token_text: Callable[[int], str]) -> SlotView:
    """A slot with its label and group name; `token_text` decodes a verbal id."""
    if not slot.is_latent:
        return SlotView(token_text(slot.token_id), None, None, slot.position_id, slot.token_id)
    name = layout.groups[slot.group].name
    return SlotView(f"{name}.{slot.member}", name, slot.occurrence, slot.position_id, None)
