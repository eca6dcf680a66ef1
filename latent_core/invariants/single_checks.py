"""The single invariants, one function each.

A check takes an `ExaminedModel`. It computes the same thing in two ways, or the same way twice, and
returns in a `CheckResult` how far the two were apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, GenerationConfig, StaticCache
from transformers.utils import logging

from latent_core.backbones.fingerprints import weights_fingerprint
from latent_core.invariants.examined import CheckResult, ExaminedModel
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import LatentBatch, collate
from latent_core.slots.placement import IGNORE

__all__ = [
    "attention_implementations",
    "backbone_untouched",
    "checkpointing",
    "decoding_slots",
    "detached",
    "dynamic_cache",
    "far_neighbour",
    "fed_slots",
    "from_scratch",
    "mask_forms",
    "own_generate",
    "padded_row",
    "precision",
    "row_alone",
    "saved",
    "static_cache",
]

CHUNKS = (1, 3, 2)
"""Slots of the passes that follow the first one, when a cache is tried."""

NOTHING_TRAINS = "nothing trains"

PRECISION_TOLERANCE = 0.2
"""Of the norm of logits, between bf16 and fp32: 8 bits of mantissa, through all layers."""


def own_generate(examined: ExaminedModel) -> CheckResult:
    """Without latents, decoding is the model's own `generate`."""
    backbone = examined.backbone
    plain = ExaminedModel(LatentModel(backbone, "none"), examined.prompts, examined.new_tokens)
    settings = GenerationConfig(
        max_new_tokens=examined.new_tokens,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=sorted(backbone.eos_ids) or None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    generate: Any = backbone.model.generate
    own: dict[tuple[int, ...], Tensor] = {}
    for prompt in examined.prompts:
        ids = torch.tensor([backbone.encode(prompt)], device=backbone.device)
        output = generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        for step, logits in enumerate(output.logits):
            own[tuple(output.sequences[0, : ids.shape[1] + step].tolist())] = logits[0]
    return examined.compare_steps(plain.together, own)


def row_alone(examined: ExaminedModel) -> CheckResult:
    """A row of a ragged, left-padded batch decodes as it does alone."""
    alone = {ids: step for decoded in examined.alone for ids, step in decoded.logits.items()}
    return examined.compare_steps(examined.together, alone)


@torch.no_grad()
def from_scratch(examined: ExaminedModel) -> CheckResult:
    """One example, slot by slot: a pass without cache over all slots before, and what they fill."""
    model, backbone = examined.model, examined.backbone
    batch = model.batch(examined.examples[:1])
    numbers = model.tables.fillers_at(batch.latent_rows) if model.tables.computes else None
    embeds = model.tables.mix(backbone.embed(batch.input_ids), batch.latent_rows)
    states: list[Tensor] = []
    for slot in range(_length(batch)):
        one, until = slice(slot, slot + 1), slice(0, slot + 1)
        if numbers is not None and bool(numbers[0, slot] >= 0):
            embeds[:, one] = model.tables.fill(embeds[:, one], numbers[:, one], states[-1])
        mask, positions = batch.attention_mask[:, until], batch.position_ids[:, until]
        states.append(backbone.hidden_states(embeds[:, until], mask, positions)[:, -1])
    logits = backbone.logits(torch.cat(states))
    return examined.compare(examined.logits[0, : len(logits)], logits, f"{len(logits)} passes")


def padded_row(examined: ExaminedModel) -> CheckResult:
    """A row of a right-padded training batch equals the row alone."""
    results = []
    for number, example in enumerate(examined.examples):
        alone = examined.model.logits(examined.model.batch([example]))[0]
        results.append(examined.compare(examined.logits[number, : len(alone)], alone))
    return max(results, key=lambda result: result.difference)


@torch.no_grad()
def far_neighbour(examined: ExaminedModel) -> CheckResult:
    """A row is as it is alone beside one that reaches the end of the context window.

    The other row jumps there with its last slot, so that even a long window costs no more. What is
    tried is whether rotary frequencies change with the largest position of a batch, and whether
    cached slots then keep the old ones.
    """
    limit = examined.backbone.context_length
    if limit is None:
        return CheckResult(None, note="its config sets no context window")
    model, backbone = examined.model, examined.backbone
    example = examined.examples[0]
    alone = model.batch([example])
    pair = model.batch([example, example])
    far = pair.position_ids.clone()
    far[1, -1] = limit - 1
    pair = replace(pair, position_ids=far)
    wanted, together = model.logits(alone)[0], model.logits(pair)
    cache = DynamicCache(config=backbone.model.config)
    embeds, cut = model.slot_embeddings(pair), _length(pair) - 1
    states = [
        backbone.hidden_states(
            embeds[:, part], pair.attention_mask[:, : part.stop], far[:, part], cache
        )
        for part in (slice(0, cut), slice(cut, cut + 1))
    ]
    cached = backbone.logits(torch.cat(states, dim=1))
    return max(
        examined.compare(together[0], wanted, "side by side"),
        examined.compare(cached, together, "from a cache"),
        key=lambda result: result.difference,
    )


def decoding_slots(examined: ExaminedModel) -> CheckResult:
    """Each decoded token comes from the very slot that training asks for it."""
    slots = examined.batch.labels != IGNORE
    trained = examined.logits[slots].float()
    steps = []
    for row in examined.together.rows:
        for count in range(len(row.response_ids)):
            ids = (*row.prompt_ids, *row.response_ids[:count])
            steps.append(examined.together.logits[ids])
    return examined.compare(torch.stack(steps), trained, f"{len(steps)} steps")


@torch.no_grad()
def fed_slots(examined: ExaminedModel) -> CheckResult:
    """Decoding feeds the vectors and position ids of training, slot by slot.

    Of computed latents, the vectors agree but for rounding.
    """
    (row,), fed = examined.alone[0].rows, examined.alone[0].fed
    batch = examined.model.batch([examined.model.place(row.prompt_ids, row.response_ids)])
    embeds = torch.cat([vectors[0] for vectors, _ in fed])
    positions = torch.cat([ids[0] for _, ids in fed])
    wanted = examined.model.slot_embeddings(batch)[0, : len(embeds)]
    same = torch.equal(positions, batch.position_ids[0, : len(embeds)])
    rows = batch.latent_rows[0, : len(embeds)].tolist()
    computed = torch.tensor([examined.model.placement.computes(row) for row in rows])
    same &= torch.equal(embeds[~computed], wanted[~computed])
    left = batch.input_ids.shape[1] - len(embeds)
    note = f"{len(embeds)} slots"
    if not computed.any():
        return CheckResult(same and left > 0, note=note)
    found = examined.compare(embeds[computed], wanted[computed], note)
    return found._replace(holds=bool(found.holds) and same and left > 0)


def dynamic_cache(examined: ExaminedModel) -> CheckResult:
    """Slots fed in parts, with a dynamic cache, give what one pass over all gives."""
    return _in_parts(examined, DynamicCache(config=examined.backbone.model.config))


def static_cache(examined: ExaminedModel) -> CheckResult:
    """The same with a static cache; generation uses dynamic ones only."""
    result = _with_static_cache(examined)
    if not result.holds:
        base = LatentModel(examined.backbone, "none")
        plain = _with_static_cache(ExaminedModel(base, examined.prompts, examined.new_tokens))
        if not plain.holds:
            note = "it cannot use static caches, with latents or without"
            return CheckResult(None, plain.difference, plain.tolerance, note)
    return result


def _with_static_cache(examined: ExaminedModel) -> CheckResult:
    config = examined.backbone.model.config
    return _in_parts(examined, StaticCache(config=config, max_cache_len=_length(examined.batch)))


def _in_parts(examined: ExaminedModel, cache: Cache) -> CheckResult:
    model = examined.model
    batch = collate(examined.examples, "left").to(examined.backbone.device)
    length, shortest = _length(batch), min(len(e.slots) for e in examined.examples)
    ends = [length - min(shortest - 1, sum(CHUNKS))]  # from here on, no row has padding
    for size in CHUNKS:
        ends.append(min(length, ends[-1] + size))
    parts: list[Tensor] = []
    start = 0
    with torch.no_grad():
        for end in dict.fromkeys(ends):
            part = LatentBatch(**{k: v[:, start:end] for k, v in batch.as_dict().items()})
            before = parts[-1][:, -1] if parts else None
            parts.append(model.hidden_states(part, batch.attention_mask[:, :end], cache, before))
            start = end
        logits = examined.backbone.logits(torch.cat(parts, dim=1))
    mask = batch.attention_mask[:, :start].bool()
    fed = examined.batch.attention_mask.bool()
    # Left- and right-padded, the slots come in the same order; the last ones may not be fed.
    counts = mask.sum(1).tolist()
    ours = torch.cat([logits[i, -n:] for i, n in enumerate(counts)])
    theirs = torch.cat([examined.logits[i][fed[i]][:n] for i, n in enumerate(counts)])
    return examined.compare(ours, theirs, f"{len(parts)} parts")


def mask_forms(examined: ExaminedModel) -> CheckResult:
    """No mask, a 2-D mask and a 4-D mask drawn by hand give the same, padding included."""
    backbone, model = examined.backbone, examined.model
    alone = collate(examined.examples[:1]).to(backbone.device)
    # Drawn by hand, a mask goes to all layers alike; within the window, it is right for all.
    window = backbone.sliding_window
    batch = collate([example.slots[:window] for example in examined.examples]).to(backbone.device)
    length = _length(batch)
    causal = torch.ones(length, length, dtype=torch.bool, device=backbone.device).tril()
    allowed = causal & batch.attention_mask.bool()[:, None, None, :]
    by_hand = torch.zeros(allowed.shape, dtype=backbone.dtype, device=backbone.device)
    by_hand.masked_fill_(~allowed, torch.finfo(backbone.dtype).min)
    with torch.no_grad():
        without = backbone.hidden_states(model.slot_embeddings(alone), None, alone.position_ids)
        plain = model.hidden_states(batch)
        drawn = model.hidden_states(batch, by_hand)
        whole = model.hidden_states(alone)
    real = batch.attention_mask.bool()
    pairs = [examined.compare(drawn[real], plain[real]), examined.compare(without, whole)]
    return max(pairs, key=lambda result: result.difference)


def attention_implementations(examined: ExaminedModel) -> CheckResult:
    """Eager attention and SDPA agree."""
    model = examined.backbone.model
    own = model.config._attn_implementation
    logits = []
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        for name in ("eager", "sdpa"):
            model.set_attn_implementation(name)
            if model.config._attn_implementation != name:
                return CheckResult(None, note="it cannot be switched once it is loaded")
            logits.append(examined.model.logits(examined.batch))
    except ValueError:
        return CheckResult(None, note=f"it knows no {name}")
    finally:
        model.set_attn_implementation(own)
        logging.set_verbosity(verbosity)
    real = examined.batch.attention_mask.bool()
    return examined.compare(logits[0][real], logits[1][real])


def precision(examined: ExaminedModel) -> CheckResult:
    """A bf16 backbone gives what an fp32 one gives, but for rounding; latents stay fp32."""
    other = torch.bfloat16 if examined.backbone.dtype == torch.float32 else torch.float32
    try:
        twin = examined.clone(lambda w: w.to(other) if w.is_floating_point() else w)
    except RuntimeError as error:
        return CheckResult(None, note=f"it cannot be converted once it is loaded: {error}")
    real = examined.batch.attention_mask.bool()
    ours = twin.logits(examined.batch)[real].float()
    theirs = examined.logits[real].float()
    difference = float((ours - theirs).norm() / theirs.norm().clamp(min=1e-9))
    kept = all(table.dtype == torch.float32 for table in twin.tables.parameters())
    holds = kept and difference <= PRECISION_TOLERANCE
    return CheckResult(
        holds, difference, PRECISION_TOLERANCE, f"{other} against {examined.backbone.dtype}"
    )


def checkpointing(examined: ExaminedModel) -> CheckResult:
    """Recomputing activations changes neither the loss nor its gradients."""
    if not examined.backbone.model.supports_gradient_checkpointing:
        return CheckResult(None, note="it cannot recompute activations")
    if not examined.model.num_trainable:
        return CheckResult(None, note=NOTHING_TRAINS)
    twin = examined.clone()
    with _training(twin):
        plain = _gradients(twin, examined.batch)
        twin.activation_checkpointing_enable()
        recomputed = _gradients(twin, examined.batch)
    return examined.compare(recomputed, plain)


def backbone_untouched(examined: ExaminedModel) -> CheckResult:
    """A step of training moves the latents, and no bit and no gradient of the backbone."""
    if not examined.model.num_trainable:
        return CheckResult(None, note=NOTHING_TRAINS)
    twin = examined.clone()
    before, start = weights_fingerprint(twin.backbone.model), twin.tables.named()
    with _training(twin):
        _gradients(twin, examined.batch)
        torch.optim.AdamW(twin.tables.parameters(), lr=0.1).step()
    same = all(weight.grad is None for weight in twin.backbone.model.parameters())
    same &= weights_fingerprint(twin.backbone.model) == before
    moved = [
        (weight - start[name]).abs().amax(-1)
        for name, weight in twin.tables.named().items()
        if not name.endswith(".down")  # its map is zero at first, and so is its gradient
    ]
    return CheckResult(same and bool((torch.cat(moved) > 0).all()), note=f"{len(moved)} tables")


def saved(examined: ExaminedModel) -> CheckResult:
    """Saved and loaded, the adapter gives the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        examined.model.save_pretrained(folder)
        loaded = LatentModel.from_pretrained(folder, examined.backbone)
    same = torch.equal(loaded.tables.rows(), examined.model.tables.rows())
    return CheckResult(same and torch.equal(loaded.logits(examined.batch), examined.logits))


def detached(examined: ExaminedModel) -> CheckResult:
    """Detached, the model is the backbone, bit by bit; attached again, it is itself."""
    model, base = examined.model, LatentModel(examined.backbone, "none")
    ids = [(row.prompt_ids, row.response_ids) for row in examined.together.rows]
    wanted = base.batch([base.place(*pair) for pair in ids])
    with model.detached():
        batch = model.batch([model.place(*pair) for pair in ids])
        same = torch.equal(model.logits(batch), base.logits(wanted))
    again = model.batch([model.place(*pair) for pair in ids])
    return CheckResult(same and torch.equal(model.logits(again), examined.logits))


def _length(batch: LatentBatch) -> int:
    """T."""
    return batch.input_ids.shape[1]


@contextmanager
def _training(model: LatentModel) -> Iterator[None]:
    model.train()
    try:
        yield
    finally:
        model.train(False)


def _gradients(model: LatentModel, batch: LatentBatch) -> Tensor:
    """The loss and its gradients, as one vector."""
    model.zero_grad()
    with torch.enable_grad():
        loss = model(**batch.as_dict())["loss"]
        loss.backward()
    grads = [table.grad for table in model.tables.parameters()]
    return torch.cat([loss.detach()[None], *(grad.flatten() for grad in grads if grad is not None)])
