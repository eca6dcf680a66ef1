"""What goes through the backbone while a model decodes, held against three references."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch

from latent_core.backbones.backbone import Backbone
from latent_core.generation.generate import Generation
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import collate
from latent_core.slots.placement import IGNORE


@dataclass
class Trace:
    """What went through the backbone while a model decoded."""

    rows: list[Generation] = field(default_factory=list)
    logits: dict[int, list[torch.Tensor]] = field(default_factory=lambda: defaultdict(list))
    """By prompt: the logits (V,) that each token was chosen from."""
    fed: list[tuple[int, int, int]] = field(default_factory=list)
    """Input id, table row and position id of every slot, in the order fed; padding left out."""
    shapes: list[tuple[int, int]] = field(default_factory=list)
    """(rows, slots) of each forward pass."""


def traced(model: LatentModel, prompts, limit, **kwargs) -> Trace:
    trace, pending = Trace(), []
    hidden_states, head = LatentModel.hidden_states, Backbone.logits

    def watch_pass(self, batch, *args):
        trace.shapes.append(tuple(batch.input_ids.shape))
        slots = torch.stack([batch.input_ids, batch.latent_rows, batch.position_ids], -1)
        trace.fed.extend(map(tuple, slots[batch.attention_mask == 1].tolist()))
        return hidden_states(self, batch, *args)

    def watch_head(self, hidden):
        logits = head(self, hidden)
        pending.extend(logits)
        return logits

    def on_token(index, token_id, text):
        trace.logits[index].append(pending.pop(0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatentModel, "hidden_states", watch_pass)
        patch.setattr(Backbone, "logits", watch_head)
        trace.rows = model.generate(
            prompts, limit, return_details=True, on_token=on_token, **kwargs
        )
    assert not pending
    return trace


def own_decoding_agrees(backbone: Backbone, prompts: Sequence[str], limit: int) -> list[Generation]:
    """Without latents, a ragged batch decodes as Transformers decodes each prompt alone."""
    rows = LatentModel(backbone, "none").generate(prompts, limit, return_details=True)
    for prompt, row in zip(prompts, rows, strict=True):
        ids = torch.tensor([backbone.encode(prompt)])
        plain = backbone.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=limit,
            do_sample=False,
            pad_token_id=backbone.tokenizer.eos_token_id,
        )
        assert list(row.response_ids) == plain[0, ids.shape[1] :].tolist()
        assert all(slot.group is None for slot in row.slots)
    return rows


def references_agree(
    model: LatentModel, prompts: Sequence[str], limit: int, tolerance: float = 1e-4
) -> int:
    """A ragged batch, each row alone, and one uncached pass over prompt and response agree.

    Compares tokens, logits, and the slots fed with those of training. Returns the number of latents
    that stood inside responses.
    """
    together = traced(model, prompts, limit)
    latents = 0
    for index, row in enumerate(together.rows):
        alone = traced(model, [prompts[index]], limit)
        assert alone.rows[0].response_ids == row.response_ids
        assert alone.rows[0].slots == row.slots

        whole = model.place(row.prompt_ids, row.response_ids)
        batch = model.batch([whole])
        wanted = model.logits(batch)[batch.labels != IGNORE]
        for trace, number in ((together, index), (alone, 0)):
            decoded = torch.stack(trace.logits[number])
            torch.testing.assert_close(decoded, wanted, rtol=tolerance, atol=tolerance)
        assert wanted.argmax(-1).tolist() == list(row.response_ids)

        # Everything but the last token, with the latents before it, was fed: in these very slots.
        columns = collate([whole])
        slots = torch.stack([columns.input_ids, columns.latent_rows, columns.position_ids], -1)
        assert alone.fed == list(map(tuple, slots[0].tolist()))[: len(alone.fed)]
        left = {slot.verbal_index for slot in whole.slots[len(alone.fed) :]}
        assert left == {len(whole.verbal_ids) - 1}
        latents += sum(
            slot.is_latent and slot.verbal_index > len(row.prompt_ids) for slot in whole.slots
        )
    return latents
