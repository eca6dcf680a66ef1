"""Attention by plain matrix products: for training in bfloat16 on a processor.

PyTorch's fused attention (SDPA) needs little memory. On a processor its backward pass is slow in
half precision. Two batched products and a softmax are faster for short rows, and their gradients
are as exact: `benchmarks/attention_kernels.py` measures both, and the rule in `_suits` follows it.
Everywhere else the attention is SDPA as before. The rule asks for the shape and not for the time,
so a resumed run computes as an uninterrupted one does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from latent_core.attention.hooks import attention_shape
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.layers import switched
from latent_core.errors import BackboneError

__all__ = ["attend_by_products", "products_where_faster"]

#: The name under which Transformers knows this attention.
NAME: Final = "latent_core_products"
#: Keys up to which the products are faster than SDPA.
LONGEST: Final = 256


@contextlib.contextmanager
def products_where_faster(backbone: Backbone) -> Iterator[None]:
    """Inside the block, attention runs by products where they are faster than SDPA.

    Families that use another attention than SDPA, or their own, are left as they are.

    Args:
        backbone: the decoder that trains something.
    """
    own = backbone.model.config.get_text_config()._attn_implementation
    if own != "sdpa" or not _goes_through_the_interface(backbone):
        yield
        return
    with switched(backbone.model, NAME):
        yield


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, scaling: float
) -> Tensor:
    """Compute softmax(Q K^T * scaling) V.

    Args:
        query: (B, H, T, D_head).
        key: (B, H_kv, S, D_head).
        value: (B, H_kv, S, D_value).
        allowed: bool (B or 1, H or 1, T, S), True where a query may look.
        scaling: factor of the logits.

    Returns:
        (B, T, H, D_value).
    """
    rows, heads, length, _ = query.shape
    _, groups, keys, _ = key.shape
    # Heads that share keys go into one product, so that the keys need not be repeated.
    together = (query * scaling).reshape(rows * groups, -1, query.shape[-1])
    logits = torch.bmm(together, key.reshape(rows * groups, keys, -1).mT)
    logits = logits.view(rows, heads, length, keys)
    logits = logits.masked_fill_(~allowed, torch.finfo(logits.dtype).min)
    weights = logits.softmax(dim=-1).view(rows * groups, -1, keys)  # in float32 inside
    output = torch.bmm(weights, value.reshape(rows * groups, keys, -1))
    return output.view(rows, heads, length, -1).transpose(1, 2).contiguous()


def _goes_through_the_interface(backbone: Backbone) -> bool:
    try:
        attention_shape(backbone)
    except BackboneError:
        return False
    return True


def _suits(query: Tensor, key: Tensor) -> bool:
    """Whether products are faster than SDPA."""
    half = query.dtype in (torch.bfloat16, torch.float16) and query.dtype == key.dtype
    trains = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad)
    return trains and half and query.device.type == "cpu" and key.shape[2] <= LONGEST


def _attend(
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
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    square = query.shape[2] == key.shape[2]
    special = any(kwargs.get(name) is not None for name in ("position_bias", "s_aux", "softcap"))
    readable = causal and square if attention_mask is None else attention_mask.dtype == torch.bool
    if dropout or special or not readable or not _suits(query, key):
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
    if attention_mask is None:
        shape = (query.shape[2], key.shape[2])
        attention_mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()[None, None]
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend_by_products(query, key, value, attention_mask, scaling), None


AttentionInterface.register(NAME, _attend)
# Without a mask function of its own, Transformers would pass no mask and padding would count.
AttentionMaskInterface.register(NAME, sdpa_mask)
