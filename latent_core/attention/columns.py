"""Columns of attention, computed in chunks from queries and keys without the full T x T map.

`attention_columns` is the arithmetic of one layer; `ColumnCapture` is the hook that runs it on
every layer of a forward pass. There is one example at a time (B = 1), and M key slots are chosen by
index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from latent_core.backbones.attention import AttentionCall, AttentionHook

__all__ = ["ColumnCapture", "FormulaError", "attention_columns", "value_norms"]

CHUNK_ELEMENTS = 2**20
"""Logits held at a time, over all heads: 4 MB in fp32, small enough to stay near the processor."""

OUTPUT_PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense", "wo")


class FormulaError(Exception):
    """A layer's attention is not softmax(scaling q k + mask) v with softcap and sinks, as here.

    Whoever captures takes the eager route instead.
    """


@torch.no_grad()
def attention_columns(
    call: AttentionCall, keys: Tensor, heads: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Attention weights onto chosen keys, in fp32.

    The softmax needs every key for its denominator. Where the call has no denominators, a row of
    logits at a time suffices: chunks of queries, each with all the keys it may look at, leave their
    chosen columns behind.

    Args:
        call: one layer's attention with B = 1.
        keys: (M,) int64, indices of keys.
        heads: which query heads.

    Returns:
        weights (len(heads), T_query, M), 0 where a query may not look; and their sum over all T_key
        keys (len(heads), T_query): 1, less where a sink takes weight, 0 without any key.
    """
    query, key = _per_head(call, heads)
    query = query * call.scaling
    if call.denominators is not None and call.softcap is None and call.sinks is None:
        return _divided(call, query, key, keys, heads)
    num_queries, num_keys = query.shape[1], key.shape[1]
    weights = query.new_zeros(len(heads), num_queries, len(keys))
    totals = query.new_zeros(len(heads), num_queries)
    step = max(1, CHUNK_ELEMENTS // (len(heads) * num_keys))
    # Fresh memory for every chunk would cost as much time as the softmax.
    scratch = query.new_empty(2, len(heads) * min(step, num_queries) * num_keys)
    for start in range(0, num_queries, step):
        stop = min(start + step, num_queries)
        first, last, bias = _window(call, start, stop, heads)
        shape = (len(heads), stop - start, last - first)
        logits, attention = (part[: math.prod(shape)].view(shape) for part in scratch)
        # Heads that share their keys go into one product.
        together = query[:, start:stop].reshape(len(key), -1, query.shape[2])
        torch.bmm(together, key[:, first:last].mT, out=logits.view(len(key), -1, shape[2]))
        if call.softcap is not None:
            logits.div_(call.softcap).tanh_().mul_(call.softcap)
        if bias is not None:
            logits[:, :, shape[2] - bias.shape[2] :].add_(bias)
        if call.sinks is None:
            torch.softmax(logits, dim=-1, out=attention)
            totals[:, start:stop] = 1.0
        else:
            sinks = call.sinks.float()[list(heads), None, None].expand(-1, stop - start, 1)
            attention = torch.cat([logits, sinks], dim=-1).softmax(dim=-1)
            totals[:, start:stop] = 1.0 - attention[..., -1]
        within = ((keys >= first) & (keys < last)).nonzero().squeeze(1)
        chosen = attention.index_select(2, keys[within] - first)
        weights[:, start:stop].index_copy_(2, within, chosen)
        if call.mask is not None and bias is not None:
            blind = bias.isneginf().all(dim=-1)  # (len(heads) or 1, stop - start)
            weights[:, start:stop].masked_fill_(blind.unsqueeze(-1), 0.0)
            totals[:, start:stop].masked_fill_(blind, 0.0)
    return weights, totals


@torch.no_grad()
def value_norms(call: AttentionCall, keys: Tensor, heads: Sequence[int]) -> Tensor | None:
    """How long each value is once the output projection has taken it into the residual stream.

    Kobayashi et al. 2020 (arXiv 2004.10102), eq. 4 and 5: ||f(x_j)|| with f(x) = (x W_V + b_V) W_O,
    W_O being the head's rows of the output projection.

    Returns:
        (len(heads), M) fp32, or None if the module has no plain output projection.
    """
    width = call.value.shape[-1]
    projection = next(
        (found for name in OUTPUT_PROJECTIONS if (found := getattr(call.module, name, None))), None
    )
    match projection:
        case nn.Linear():
            matrix = projection.weight.mT
        case Conv1D():
            matrix = projection.weight
        case _:
            return None
    if matrix.shape[0] != call.num_heads * width:
        return None
    rows = matrix.view(call.num_heads, width, -1)  # (H, D_head, D)
    group = call.num_heads // call.value.shape[1]
    at_once = max(1, CHUNK_ELEMENTS // max(1, len(keys) * rows.shape[-1]))
    norms = []
    for start in range(0, len(heads), at_once):
        some = list(heads[start : start + at_once])
        values = call.value[0, [head // group for head in some]].index_select(1, keys)
        norms.append(torch.bmm(values.float(), rows[some].float()).norm(dim=-1))
    return torch.cat(norms)


class ColumnCapture(AttentionHook):
    """Keeps chosen columns of every chosen layer's attention during one forward pass of one row.

    Args:
        keys: M indices of key slots.
        layers: layers to keep.
        heads: heads to keep.
        num_queries: T, slots of the pass.
        gradients: keep what `gradients` needs, too.

    Attributes:
        weights: (L, H, T, M) fp32 on the CPU.
        totals: (L, H, T) fp32 on the CPU, sums over all keys.
        norms: (L, H, M) fp32 on the CPU; None if a layer has no plain output projection.
    """

    needs_denominators = True

    def __init__(
        self,
        keys: Sequence[int],
        layers: Sequence[int],
        heads: Sequence[int],
        num_queries: int,
        gradients: bool = False,
    ) -> None:
        shape = (len(layers), len(heads), num_queries, len(keys))
        self.weights = torch.zeros(shape)
        self.totals = torch.zeros(shape[:3])
        self.norms: Tensor | None = torch.zeros(shape[0], shape[1], shape[3])
        self._place = {layer: number for number, layer in enumerate(layers)}
        self._heads = list(heads)
        self._keys = torch.tensor(list(keys), dtype=torch.long)
        self._gradients = gradients
        self._outputs: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    def after(self, call: AttentionCall, output: Tensor) -> None:
        """Compute the columns; the output passes unchanged."""
        number = self._place.get(call.layer)
        if number is None:
            return
        keys = self._keys.to(call.query.device)
        _check_formula(call, output, self._heads)
        weights, totals = attention_columns(call, keys, self._heads)
        self.weights[number].copy_(weights)
        self.totals[number].copy_(totals)
        norms = value_norms(call, keys, self._heads)
        if norms is None or self.norms is None:
            self.norms = None
        else:
            self.norms[number].copy_(norms)
        if self._gradients:
            if not output.requires_grad:
                output.requires_grad_()
            self._outputs[number] = output
            group = call.num_heads // call.value.shape[1]
            values = call.value.detach()[0, [head // group for head in self._heads]]
            self._values[number] = values.index_select(1, keys)

    def gradients(self, target: Tensor) -> Tensor:
        """d target / d weight, (L, H, T, M) fp32 on the CPU; 0 where the weight is.

        A weight enters the layer's output as o_i = sum_j a_ij v_j, so d target / d a_ij is the
        inner product of d target / d o_i and v_j: no map is needed for it. The weight counts as a
        variable of its own, not as a part of its softmax.
        """
        numbers = sorted(self._outputs)
        found = torch.autograd.grad(
            target, [self._outputs[number] for number in numbers], allow_unused=True
        )
        result = torch.zeros_like(self.weights)
        for number, gradient in zip(numbers, found, strict=True):
            if gradient is not None:
                per_head = gradient[0].transpose(0, 1)[self._heads].float()  # (H, T, D_head)
                result[number].copy_(per_head @ self._values[number].float().mT)
        return result.masked_fill_(self.weights == 0, 0.0)


def _divided(
    call: AttentionCall, query: Tensor, key: Tensor, keys: Tensor, heads: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """`attention_columns` where the denominators are known, of `query`, scaled, and `key`."""
    together = query.reshape(len(key), -1, query.shape[2])
    logits = torch.bmm(together, key.index_select(1, keys).mT)
    logits = logits.view(len(heads), call.num_queries, len(keys))
    totals = query.new_ones(logits.shape[:2])
    blind = None
    if call.mask is None:
        if call.is_causal and call.num_queries > 1:
            queries = torch.arange(call.num_queries, device=keys.device)
            logits.masked_fill_(keys > queries[:, None], -torch.inf)
    else:
        mask, allowed = (
            part[0] if part.shape[1] == 1 else part[0, list(heads)]
            for part in (call.mask, call.allowed())
        )
        if mask.dtype != torch.bool:
            logits.add_(mask.index_select(2, keys).float())
        logits.masked_fill_(~allowed.index_select(2, keys), -torch.inf)
        blind = ~allowed.any(dim=-1)  # (len(heads) or 1, T_query)
    assert call.denominators is not None
    weights = logits.sub_(call.denominators[0, list(heads)].unsqueeze(-1)).exp_()
    if blind is not None:
        weights.masked_fill_(blind.unsqueeze(-1), 0.0)
        totals.masked_fill_(blind, 0.0)
    return weights, totals


def _window(
    call: AttentionCall, start: int, stop: int, heads: Sequence[int]
) -> tuple[int, int, Tensor | None]:
    """Which keys queries `start` to `stop` may look at, and what is added to their logits.

    Returns:
        the first key and the one after the last; and a bias (len(heads) or 1, stop - start, N), for
        the last N of those keys, or None.
    """
    num_keys, device = call.num_keys, call.query.device
    if call.mask is None:
        if not call.is_causal or call.num_queries == 1:
            return 0, num_keys, None
        square = torch.full((1, stop - start, min(stop, num_keys) - start), -torch.inf)
        return 0, min(stop, num_keys), square.to(device).triu_(1)
    mask = call.mask[0, :, start:stop]
    mask = mask if mask.shape[0] == 1 else mask[list(heads)]
    is_bool = mask.dtype == torch.bool
    allowed = mask if is_bool else mask > torch.finfo(mask.dtype).min / 2
    # Causal masks and sliding windows leave most keys out for a whole chunk.
    seen = allowed.any(dim=0).any(dim=0).nonzero()
    if len(seen) == 0:
        return 0, 1, torch.full((1, stop - start, 1), -torch.inf, device=device)
    first, last = int(seen[0]), int(seen[-1]) + 1
    mask, allowed = mask[..., first:last], allowed[..., first:last]
    bias = torch.zeros(allowed.shape, device=device) if is_bool else mask.float()
    return first, last, bias.masked_fill(~allowed, -torch.inf)


def _per_head(call: AttentionCall, heads: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Queries (len(heads), T, D_head) of the chosen heads, and keys (N, T, D_head), fp32.

    N is H_kv for all heads, len(heads) for some; head h reads keys h // (len(heads) // N).
    """
    query, key = call.query[0].detach().float(), call.key[0].detach().float()
    if list(heads) == list(range(call.num_heads)):
        return query, key
    group = call.num_heads // call.key.shape[1]
    return query[list(heads)], key[[head // group for head in heads]]


@torch.no_grad()
def _check_formula(call: AttentionCall, output: Tensor, heads: Sequence[int]) -> None:
    """The last query's weights times the values must give the output they are said to explain."""
    mask = None if call.mask is None else call.mask[:, :, -1:]
    last = replace(call, query=call.query[:, :, -1:], mask=mask, is_causal=False, denominators=None)
    keys = torch.arange(call.num_keys, device=call.query.device)
    weights, _ = attention_columns(last, keys, heads)
    group = call.num_heads // call.value.shape[1]
    values = call.value[0, [head // group for head in heads]].float()
    ours = (weights @ values).squeeze(1)
    theirs = output[0, -1, list(heads)].float()
    tolerance = 1e-3 if output.dtype == torch.float32 else 5e-2
    scale = theirs.abs().max().clamp(min=1e-6)
    if ours.shape != theirs.shape or (ours - theirs).abs().max() > tolerance * scale:
        raise FormulaError(f"layer {call.layer} attends in a way that is not known here")
