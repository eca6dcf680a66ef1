"""What computes attention: SDPA, or plain matrix products where these are faster.

PyTorch's fused attention (SDPA) needs little memory. On a processor its backward pass is slow in
half precision. For short rows, two batched products and a softmax are faster in training, and
their gradients are as exact. While a model decodes, a pass has few queries and many keys. Where
heads share keys, Transformers repeats all keys for SDPA in each pass; products read them where
they are. `benchmarks/attention_kernels.py` measures both, and the rule in `_suits` follows it.
Everywhere else the attention is SDPA as before. The rule asks for the shape and not for the time,
so a resumed run computes as an uninterrupted one does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = [
    "Denominators",
    "attend_by_products",
    "attend_where_faster",
    "fit_mask",
    "products_allowed",
    "tell_room",
]

#: The name under which Transformers knows this attention.
NAME: Final = "latent_core_products"
#: Keys up to which the products are faster than SDPA in training.
LONGEST: Final = 256
#: Queries up to which the products are faster than SDPA without gradients.
FEW: Final = 16

#: Under which a tensor of keys keeps the tensor that it lies in.
_ROOM: Final = "latent_core_room"

_ALLOWED: Final = ContextVar("products_allowed", default=False)


@contextlib.contextmanager
def products_allowed() -> Iterator[None]:
    """Inside the block, and in its thread, `attend_where_faster` may take products."""
    token = _ALLOWED.set(True)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def tell_room(keys: Tensor, room: Tensor) -> None:
    """Say that keys (B, H, S, D) are the first columns of a contiguous tensor (B, H, capacity, D).

    `attend_by_products` then reads them there. By itself, `torch.bmm` would copy them all in every
    pass, since they have gaps between them.
    """
    keys.__dict__[_ROOM] = room


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, scaling: float
) -> Tensor:
    """Compute softmax(Q K^T * scaling) V.

    Args:
        query: (B, H, T, D_head).
        key: (B, H_kv, S, D_head).
        value: (B, H_kv, S, D_value).
        allowed: bool (B or 1, H or 1, T, S), True where a query may look; None for everywhere.
        scaling: factor of the logits.

    Returns:
        (B, T, H, D_value).
    """
    rows, heads, length, _ = query.shape
    _, groups, keys, _ = key.shape
    # Heads that share keys go into one product, so that the keys need not be repeated.
    together = (query * scaling).reshape(rows * groups, -1, query.shape[-1])
    room = key.__dict__.get(_ROOM, key)
    logits = torch.bmm(together, room.reshape(rows * groups, room.shape[2], -1).mT)
    logits = logits.view(rows, heads, length, -1)[..., :keys]
    if allowed is not None:
        logits = logits.masked_fill_(~allowed, torch.finfo(logits.dtype).min)
    weights = logits.softmax(dim=-1).view(rows * groups, -1, keys)  # in float32 inside
    output = torch.bmm(weights, value.reshape(rows * groups, keys, -1))
    return output.view(rows, heads, length, -1).transpose(1, 2).contiguous()


def _suits(query: Tensor, key: Tensor) -> bool:
    """Whether products are faster than SDPA."""
    rows, heads, length, _ = query.shape
    _, groups, keys, _ = key.shape
    half = query.dtype in (torch.bfloat16, torch.float16)
    if query.device.type != "cpu" or query.dtype != key.dtype:
        return False
    if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad):
        return half and keys <= LONGEST
    if half:
        return length <= FEW and groups < heads and (rows > 1 or keys > LONGEST)
    return length <= FEW


def attend_where_faster(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as Transformers calls it: by products where these are faster and allowed, or SDPA.

    Args:
        module, query, key, value, attention_mask, dropout, scaling, is_causal, kwargs: as
            `sdpa_attention_forward` takes them.

    Returns:
        the output (B, T, H, D_value), and no weights.
    """
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    length, keys = query.shape[2], key.shape[2]
    special = any(kwargs.get(name) is not None for name in ("position_bias", "s_aux", "softcap"))
    if attention_mask is None:
        readable = causal and length in (1, keys)  # the last of the slots sees all of them
    else:
        readable = attention_mask.dtype == torch.bool
    allowed = _ALLOWED.get() and readable and not dropout and not special
    if not allowed or not _suits(query, key):
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=is_causal,
            **kwargs,
        )
    if attention_mask is None and length > 1:
        square = torch.ones(length, keys, dtype=torch.bool, device=query.device)
        attention_mask = square.tril()[None, None]
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend_by_products(query, key, value, attention_mask, scaling), None


def fit_mask(mask: Tensor, query: Tensor, keys: int, eager: bool) -> Tensor:
    """A mask in the form that the stock attention takes.

    Args:
        mask: bool or float, broadcastable to (B, H, T_query, T_key).
        query: (B, H, T_query, D_head).
        keys: T_key.
        eager: whether it is for eager attention, which adds it to the logits.
    """
    batch, heads = (mask.shape[0], mask.shape[1]) if mask.dim() == 4 else (1, 1)
    mask = mask.to(query.device).expand(batch, heads, query.shape[2], keys)
    if mask.dtype != torch.bool:
        return mask.to(query.dtype)
    if eager:
        lowest = torch.finfo(query.dtype).min
        return torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, lowest)
    return mask


class Denominators(TorchDispatchMode):
    """Keeps what SDPA's kernel for processors computes beside its output, and SDPA drops.

    Attributes:
        found: (B, H, T_query) fp32, logarithms of the softmax's denominators; None before any.
    """

    found: Tensor | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default:
            self.found = result[1].detach()
        return result


AttentionInterface.register(NAME, attend_where_faster)
# Without a mask function of its own, Transformers would pass no mask and padding would count.
AttentionMaskInterface.register(NAME, sdpa_mask)
