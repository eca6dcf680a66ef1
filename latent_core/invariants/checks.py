"""What has to hold of latent tokens on a backbone, one function each.

Every check computes the same thing in two ways, or the same way twice, and says how far the two
were apart. Knows a `Subject`; nothing of how findings are shown.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, GenerationConfig, StaticCache
from transformers.utils import logging

from latent_core.backbones.fingerprints import weights_fingerprint
from latent_core.invariants.subject import Finding, Subject
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
    "fed_slots",
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

PRECISION_TOLERANCE = 0.2
"""Of the norm of logits, between bf16 and fp32: 8 bits of mantissa, through all layers."""


def own_generate(subject: Subject) -> Finding:
    """Without latents, decoding is the model's own `generate`."""
    backbone = subject.backbone
    plain = Subject(LatentModel(backbone, "none"), subject.prompts, subject.new_tokens)
    settings = GenerationConfig(
        max_new_tokens=subject.new_tokens,
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
    for prompt in subject.prompts:
        ids = torch.tensor([backbone.encode(prompt)], device=backbone.device)
        output = generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        for step, logits in enumerate(output.logits):
            own[tuple(output.sequences[0, : ids.shape[1] + step].tolist())] = logits[0]
    return subject.compare_steps(plain.together, own)


def row_alone(subject: Subject) -> Finding:
    """A row of a ragged, left-padded batch decodes as it does alone."""
    alone = {ids: step for decoded in subject.alone for ids, step in decoded.logits.items()}
    return subject.compare_steps(subject.together, alone)


def padded_row(subject: Subject) -> Finding:
    """A row of a right-padded training batch equals the row alone."""
    findings = []
    for number, example in enumerate(subject.examples):
        alone = subject.model.logits(subject.model.batch([example]))[0]
        findings.append(subject.compare(subject.logits[number, : len(alone)], alone))
    return max(findings, key=lambda finding: finding.difference)


def decoding_slots(subject: Subject) -> Finding:
    """Each decoded token comes from the very slot that training asks for it."""
    slots = subject.batch.labels != IGNORE
    trained = subject.logits[slots].float()
    steps = []
    for row in subject.together.rows:
        for count in range(len(row.response_ids)):
            ids = (*row.prompt_ids, *row.response_ids[:count])
            steps.append(subject.together.logits[ids])
    return subject.compare(torch.stack(steps), trained, f"{len(steps)} steps")


def fed_slots(subject: Subject) -> Finding:
    """Decoding feeds the vectors and position ids of training, slot by slot."""
    (row,), fed = subject.alone[0].rows, subject.alone[0].fed
    batch = subject.model.batch([subject.model.place(row.prompt_ids, row.response_ids)])
    embeds = torch.cat([vectors[0] for vectors, _ in fed])
    positions = torch.cat([ids[0] for _, ids in fed])
    wanted = subject.model.slot_embeddings(batch)[0, : len(embeds)]
    same = torch.equal(positions, batch.position_ids[0, : len(embeds)])
    same &= torch.equal(embeds, wanted)
    left = batch.input_ids.shape[1] - len(embeds)
    return Finding(same and left > 0, note=f"{len(embeds)} slots")


def dynamic_cache(subject: Subject) -> Finding:
    """Slots fed in parts, with a dynamic cache, give what one pass over all gives."""
    return _in_parts(subject, DynamicCache(config=subject.backbone.model.config))


def static_cache(subject: Subject) -> Finding:
    """The same with a static cache; generation uses dynamic ones only."""
    finding = _with_static_cache(subject)
    if not finding.holds:
        base = LatentModel(subject.backbone, "none")
        plain = _with_static_cache(Subject(base, subject.prompts, subject.new_tokens))
        if not plain.holds:
            note = "it cannot use static caches, with latents or without"
            return Finding(None, plain.difference, plain.tolerance, note)
    return finding


def _with_static_cache(subject: Subject) -> Finding:
    config = subject.backbone.model.config
    return _in_parts(subject, StaticCache(config=config, max_cache_len=_length(subject.batch)))


def _in_parts(subject: Subject, cache: Cache) -> Finding:
    model = subject.model
    batch = collate(subject.examples, "left").to(subject.backbone.device)
    length, shortest = _length(batch), min(len(e.slots) for e in subject.examples)
    ends = [length - min(shortest - 1, sum(CHUNKS))]  # from here on, no row has padding
    for size in CHUNKS:
        ends.append(min(length, ends[-1] + size))
    parts, start = [], 0
    with torch.no_grad():
        for end in dict.fromkeys(ends):
            part = LatentBatch(**{k: v[:, start:end] for k, v in batch.as_dict().items()})
            parts.append(model.hidden_states(part, batch.attention_mask[:, :end], cache))
            start = end
        logits = subject.backbone.logits(torch.cat(parts, dim=1))
    mask = batch.attention_mask[:, :start].bool()
    fed = subject.batch.attention_mask.bool()
    # Left- and right-padded, the slots come in the same order; the last ones may not be fed.
    counts = mask.sum(1).tolist()
    ours = torch.cat([logits[i, -n:] for i, n in enumerate(counts)])
    theirs = torch.cat([subject.logits[i][fed[i]][:n] for i, n in enumerate(counts)])
    return subject.compare(ours, theirs, f"{len(parts)} parts")


def mask_forms(subject: Subject) -> Finding:
    """No mask, a 2-D mask and a 4-D mask drawn by hand give the same, padding included."""
    backbone, model = subject.backbone, subject.model
    alone = collate(subject.examples[:1]).to(backbone.device)
    # Drawn by hand, a mask goes to all layers alike; within the window, it is right for all.
    window = backbone.sliding_window
    batch = collate([example.slots[:window] for example in subject.examples]).to(backbone.device)
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
    pairs = [subject.compare(drawn[real], plain[real]), subject.compare(without, whole)]
    return max(pairs, key=lambda finding: finding.difference)


def attention_implementations(subject: Subject) -> Finding:
    """Eager attention and SDPA agree."""
    model = subject.backbone.model
    own = model.config._attn_implementation
    logits = []
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        for name in ("eager", "sdpa"):
            model.set_attn_implementation(name)
            if model.config._attn_implementation != name:
                return Finding(None, note="it cannot be switched once it is loaded")
            logits.append(subject.model.logits(subject.batch))
    except ValueError:
        return Finding(None, note=f"it knows no {name}")
    finally:
        model.set_attn_implementation(own)
        logging.set_verbosity(verbosity)
    real = subject.batch.attention_mask.bool()
    return subject.compare(logits[0][real], logits[1][real])


def precision(subject: Subject) -> Finding:
    """A bf16 backbone gives what an fp32 one gives, but for rounding; latents stay fp32."""
    other = torch.bfloat16 if subject.backbone.dtype == torch.float32 else torch.float32
    try:
        twin = subject.clone(lambda w: w.to(other) if w.is_floating_point() else w)
    except RuntimeError as error:
        return Finding(None, note=f"it cannot be converted once it is loaded: {error}")
    real = subject.batch.attention_mask.bool()
    ours = twin.logits(subject.batch)[real].float()
    theirs = subject.logits[real].float()
    difference = float((ours - theirs).norm() / theirs.norm().clamp(min=1e-9))
    kept = all(table.dtype == torch.float32 for table in twin.tables.parameters())
    holds = kept and difference <= PRECISION_TOLERANCE
    return Finding(
        holds, difference, PRECISION_TOLERANCE, f"{other} against {subject.backbone.dtype}"
    )


def checkpointing(subject: Subject) -> Finding:
    """Recomputing activations changes neither the loss nor its gradients."""
    if not subject.backbone.model.supports_gradient_checkpointing:
        return Finding(None, note="it cannot recompute activations")
    twin = subject.clone()
    with _training(twin):
        plain = _gradients(twin, subject.batch)
        twin.activation_checkpointing_enable()
        recomputed = _gradients(twin, subject.batch)
    return subject.compare(recomputed, plain)


def backbone_untouched(subject: Subject) -> Finding:
    """A step of training moves the latents, and no bit and no gradient of the backbone."""
    twin = subject.clone()
    before, start = weights_fingerprint(twin.backbone.model), twin.tables.rows().detach().clone()
    with _training(twin):
        _gradients(twin, subject.batch)
        torch.optim.AdamW(twin.tables.parameters(), lr=0.1).step()
    same = all(weight.grad is None for weight in twin.backbone.model.parameters())
    same &= weights_fingerprint(twin.backbone.model) == before
    moved = (twin.tables.rows() - start).abs().amax(-1)
    return Finding(bool(same and (moved > 0).all()), note=f"{len(moved)} latents moved")


def saved(subject: Subject) -> Finding:
    """Saved and loaded, the adapter gives the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        subject.model.save_pretrained(folder)
        loaded = LatentModel.from_pretrained(folder, subject.backbone)
    same = torch.equal(loaded.tables.rows(), subject.model.tables.rows())
    return Finding(same and torch.equal(loaded.logits(subject.batch), subject.logits))


def detached(subject: Subject) -> Finding:
    """Detached, the model is the backbone, bit by bit; attached again, it is itself."""
    model, base = subject.model, LatentModel(subject.backbone, "none")
    ids = [(row.prompt_ids, row.response_ids) for row in subject.together.rows]
    wanted = base.batch([base.place(*pair) for pair in ids])
    with model.detached():
        batch = model.batch([model.place(*pair) for pair in ids])
        same = torch.equal(model.logits(batch), base.logits(wanted))
    again = model.batch([model.place(*pair) for pair in ids])
    return Finding(same and torch.equal(model.logits(again), subject.logits))


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
