"""Look into, and cut, the attention of a backbone while it runs: one place where both happen.

Transformers calls attention through a registry of functions by name. `hooked` points a model at
functions registered here, which run the stock attention (SDPA or eager, whichever the model had)
and call the hooks before and after it:

    class NoHeadThree(AttentionHook):
        def before(self, call):
            if call.layer == 5:
                edges = torch.zeros(1, call.num_heads, 1, 1, dtype=torch.bool)
                edges[:, 3] = True
                return call.without(edges)

    with hooked(backbone, NoHeadThree()):
        model.generate(...)

Without an edit the results are bit-identical to the model's own. Families that do not attend
through the registry are refused, so that nothing is ever captured or cut in name only.

Axes: B rows, H heads, H_kv key-value heads, T_query new slots, T_key cached and new slots, D_head.
Knows no latents, no slots and no records.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.kernels import (
    NAME,
    Denominators,
    attend_where_faster,
    fit_mask,
    products_allowed,
)
from latent_core.backbones.layers import switched
from latent_core.errors import BackboneError

__all__ = [
    "AttentionCall",
    "AttentionHook",
    "AttentionShape",
    "attention_shape",
    "hooked",
    "products_where_faster",
]


@dataclass(frozen=True, slots=True, eq=False)
class AttentionCall:
    """One layer's attention, about to run or just run.

    Attributes:
        layer: index of the layer, from 0.
        query: (B, H, T_query, D_head), with positions already rotated in.
        key, value: (B, H_kv, T_key, D_head). The keys end at the newest slot: where a cache holds
            T slots in all, key j is slot T - T_key + j (a sliding layer keeps only the last ones).
        mask: (B or 1, H or 1, T_query, T_key): bool, True where a query may look; or float, added
            to the logits; or None, for causal attention or, with `is_causal` false, for none.
        scaling: factor of the logits before the softmax.
        is_causal: what `mask=None` means when there is more than one query.
        softcap: logits become `softcap * tanh(logits / softcap)` (Gemma 2).
        sinks: (H,), one more logit per head, which takes weight and gives nothing (GPT-OSS).
        module: the attention module that called.
        extra: whatever else the family passes to its attention function.
        denominators: after the attention, (B, H, T_query) fp32, logarithms of the softmax's
            denominators; or None, where no hook needs them or the kernel gives none.

    Example:
        >>> import latent_core as lc
        >>> backbone = lc.load_backbone("tiny")
        >>> shapes = set()
        >>> class Look(lc.AttentionHook):
        ...     def before(self, call):
        ...         shapes.add((call.num_heads, call.num_queries, call.num_keys))
        >>> with lc.hooked(backbone, Look()):
        ...     _ = lc.LatentModel(backbone, "Start_2").generate("1+1=", max_new_tokens=1)
        >>> sorted(shapes)
        [(4, 6, 6)]
    """

    layer: int
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scaling: float
    is_causal: bool
    softcap: float | None
    sinks: Tensor | None
    module: nn.Module
    extra: dict[str, Any]
    denominators: Tensor | None = None

    @property
    def num_heads(self) -> int:
        """H."""
        return self.query.shape[1]

    @property
    def num_queries(self) -> int:
        """T_query."""
        return self.query.shape[2]

    @property
    def num_keys(self) -> int:
        """T_key."""
        return self.key.shape[2]

    def allowed(self) -> Tensor:
        """Edges that carry weight, bool (B or 1, H or 1, T_query, T_key); made new if need be."""
        if self.mask is None:
            shape = (1, 1, self.num_queries, self.num_keys)
            edges = torch.ones(shape, dtype=torch.bool, device=self.query.device)
            return edges.tril() if self.is_causal and self.num_queries > 1 else edges
        if self.mask.dtype == torch.bool:
            return self.mask
        return self.mask > torch.finfo(self.mask.dtype).min / 2

    def without(self, edges: Tensor) -> Tensor:
        """The call's mask less `edges`, as `AttentionHook.before` returns it.

        Args:
            edges: bool, broadcastable to (B, H, T_query, T_key), True where an edge is cut.

        Returns:
            a new mask of the same kind as `mask`; bool where that is None.
        """
        edges = edges.to(self.query.device)
        if self.mask is None or self.mask.dtype == torch.bool:
            return self.allowed() & ~edges
        # torch.where, because masked_fill does not broadcast the mask it fills.
        return torch.where(edges, torch.finfo(self.mask.dtype).min, self.mask)


class AttentionHook(Protocol):
    """Called around every attention of a hooked model; subclass it and override what is needed.

    Example:
        >>> import latent_core as lc
        >>> import torch
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> class NoLatents(lc.AttentionHook):
        ...     def before(self, call):
        ...         edges = torch.zeros(1, 1, 1, call.num_keys, dtype=torch.bool)
        ...         edges[..., :2] = True  # the two latents come first
        ...         return call.without(edges)
        >>> with lc.hooked(model.backbone, NoLatents()):
        ...     texts = model.generate("1+1=", max_new_tokens=4)
    """

    needs_denominators: ClassVar[bool] = False
    """Whether `after` reads `AttentionCall.denominators`."""

    def before(self, call: AttentionCall) -> Tensor | None:
        """Return the mask to use instead of `call.mask`, or None to leave it.

        Bool or float as in `AttentionCall.mask`, broadcastable to (B, H, T_query, T_key). A query
        that is left without any key gets the output zero.
        """
        return None

    def after(self, call: AttentionCall, output: Tensor) -> Tensor | None:
        """Return the output to use instead of `output` (B, T_query, H, D_head), or None.

        `call.mask` is the mask that was used.
        """
        return None


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """What of a backbone's attention goes through the hooks.

    Attributes:
        layers: indices of the layers that attend.
        heads: H, query heads of each of them.
        key_value_heads: H_kv of each layer.
    """

    layers: tuple[int, ...]
    heads: int
    key_value_heads: tuple[int, ...]


@contextlib.contextmanager
def hooked(backbone: Backbone, *hooks: AttentionHook) -> Iterator[None]:
    """Call `hooks` around every attention of the backbone inside the block.

    Blocks nest: `before` runs from the outermost hook to the innermost, each seeing the mask the
    last one left, and `after` runs back out, each seeing the output the last one left. A backbone
    with flash or flex attention runs SDPA inside the block, since those take no such
    masks. On leaving, also by an exception, the model is as it was. One model serves one thread
    at a time.

    Args:
        backbone: the decoder whose attention is watched.
        hooks: called in this order before an attention, and in the reverse order after it.

    Raises:
        BackboneError: if the family's attention cannot be hooked.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> layers = []
        >>> class Count(lc.AttentionHook):
        ...     def after(self, call, output):
        ...         layers.append(call.layer)
        >>> with lc.hooked(model.backbone, Count()):
        ...     texts = model.generate("1+1=", max_new_tokens=1)
        >>> layers
        [0, 1, 2, 3]
    """
    attention_shape(backbone)
    with _attached(backbone, hooks):
        yield


@contextlib.contextmanager
def products_where_faster(backbone: Backbone) -> Iterator[None]:
    """Inside the block, attention runs by products where they are faster than SDPA.

    Families that use another attention than SDPA, or their own, are left as they are.

    Args:
        backbone: the decoder that trains something, or decodes.
    """
    own = backbone.model.config.get_text_config()._attn_implementation
    # Asked of Transformers and not by a pass, which whoever watches the model would see.
    switches = own == "sdpa" and backbone.model._can_set_attn_implementation()
    switch = switched(backbone.model, NAME) if switches else contextlib.nullcontext()
    with switch, products_allowed():
        yield


def attention_shape(backbone: Backbone) -> AttentionShape:
    """The layers and heads that hooks see, found once per model by a pass over five tokens.

    Raises:
        BackboneError: if the family's attention cannot be hooked.
    """
    known = _SHAPES.get(backbone.model)
    if known is None:
        known = _SHAPES[backbone.model] = _probe(backbone)
    if isinstance(known, str):
        raise BackboneError(known)
    return known


# --- how it works ---------------------------------------------------------------------------------


_MASKS: dict[str, Callable[..., Tensor | None]] = {"sdpa": sdpa_mask, "eager": eager_mask}
"""Mask functions of the stock attentions."""

_NAMES = {stock: f"latent_core_{stock}" for stock in _MASKS}
"""The names under which their hooked forms are registered."""

_HOOKS: dict[int, list[AttentionHook]] = {}
"""Active hooks by id of a module, for every module of a hooked model: two models may share one
config, so the config says that attention is hooked, but not by whom."""

_SHAPES: WeakKeyDictionary[nn.Module, AttentionShape | str] = WeakKeyDictionary()
"""What the probe of each model found: a shape, or why there is none."""


def _attention_function(stock: str) -> Callable[..., tuple[Tensor, Tensor | None]]:
    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        hooks = _HOOKS.get(id(module), ())
        asked = any(hook.needs_denominators for hook in hooks)
        forward = sdpa_attention_forward if asked else attend_where_faster
        if stock == "eager":  # every family keeps its own in its file; it is not in the registry
            file = sys.modules[type(module).__module__]
            forward = getattr(file, "eager_attention_forward", forward)
        is_causal = kwargs.get("is_causal")
        call = AttentionCall(
            layer=getattr(module, "layer_idx", 0),
            query=query,
            key=key,
            value=value,
            mask=attention_mask,
            scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
            is_causal=getattr(module, "is_causal", True) if is_causal is None else is_causal,
            softcap=kwargs.get("softcap"),
            sinks=kwargs.get("s_aux"),
            module=module,
            extra=kwargs,
        )
        for hook in hooks:
            mask = hook.before(call)
            if mask is not None:
                mask = fit_mask(mask, query, call.num_keys, eager=stock == "eager")
                call = replace(call, mask=mask)
        with Denominators() if asked else contextlib.nullcontext() as kernel:
            output, weights = forward(
                module, query, key, value, call.mask, scaling=scaling, **kwargs
            )
        if kernel is not None:
            call = replace(call, denominators=kernel.found)
        if call.mask is not attention_mask:
            blind = ~call.allowed().any(dim=-1)  # (B or 1, H or 1, T_query)
            output = output.masked_fill(blind.transpose(1, 2).unsqueeze(-1), 0.0)
        for hook in reversed(hooks):
            edited = hook.after(call, output)
            output = output if edited is None else edited
        return output, weights

    return attend


for _stock, _name in _NAMES.items():
    AttentionInterface.register(_name, _attention_function(_stock))
    # Without a mask function of its own, Transformers would pass no mask and padding would count.
    AttentionMaskInterface.register(_name, _MASKS[_stock])


@contextlib.contextmanager
def _attached(backbone: Backbone, hooks: tuple[AttentionHook, ...]) -> Iterator[None]:
    model = backbone.model
    ids = [id(module) for module in model.modules()]
    if ids[0] in _HOOKS:
        active = _HOOKS[ids[0]]
        active.extend(hooks)
        try:
            yield
        finally:
            del active[len(active) - len(hooks) :]
        return
    own = model.config.get_text_config()._attn_implementation
    shared = list(hooks)
    try:
        with switched(model, _NAMES["eager" if own == "eager" else "sdpa"]):
            _HOOKS.update(dict.fromkeys(ids, shared))
            yield
    finally:
        for number in ids:
            _HOOKS.pop(number, None)


class _Counter(AttentionHook):
    """Remembers which layers called, with H and H_kv."""

    def __init__(self) -> None:
        self.heads: dict[int, tuple[int, int]] = {}

    def after(self, call: AttentionCall, output: Tensor) -> None:
        self.heads[call.layer] = (call.num_heads, call.key.shape[1])


@torch.no_grad()
def _probe(backbone: Backbone) -> AttentionShape | str:
    family = backbone.model.config.model_type
    refusal = (
        f"attention of {backbone.name} ({family}) cannot be looked into or cut: its layers do not "
        "attend through Transformers' attention interface, so hooks would see nothing"
    )
    ids = torch.arange(5, device=backbone.device).unsqueeze(0)
    counter = _Counter()
    with _attached(backbone, (counter,)):
        # Transformers itself declines, with a warning, for families that it knows do not.
        if backbone.model.config.get_text_config()._attn_implementation not in _NAMES.values():
            return refusal
        backbone.hidden_states(backbone.embed(ids), torch.ones_like(ids), position_ids=ids)
    if not counter.heads:
        return refusal
    layers = tuple(sorted(counter.heads))
    heads = {counter.heads[layer][0] for layer in layers}
    if len(heads) > 1:
        return (
            f"attention of {backbone.name} ({family}) has layers with {sorted(heads)} heads; "
            "expected the same number in every layer"
        )
    return AttentionShape(layers, heads.pop(), tuple(counter.heads[layer][1] for layer in layers))
