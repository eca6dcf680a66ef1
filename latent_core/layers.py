"""A backbone's stack of decoder layers, found in any family, and what it does after the last one.

Knows no latents.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from latent_core.backbones import Backbone
from latent_core.errors import BackboneError, SettingError

__all__ = ["check_layers", "decoder_layers", "final_norm", "hidden_output"]


def decoder_layers(backbone: Backbone) -> list[nn.Module]:
    """The decoder layers in order.

    Raises:
        BackboneError: if they are not kept in one list of `num_hidden_layers` modules.
    """
    number = backbone.model.config.get_text_config().num_hidden_layers
    for module in backbone.decoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return list(module)
    raise BackboneError(
        f"{backbone.name} keeps its layers in a way that is not known here; expected one list of "
        f"{number} layers"
    )


def check_layers(backbone: Backbone, layers: Sequence[int]) -> None:
    """Check that layers exist.

    Raises:
        SettingError: if one does not.
    """
    number = len(decoder_layers(backbone))
    missing = [layer for layer in layers if not 0 <= layer < number]
    if missing:
        raise SettingError(
            f"{backbone.name} has no layer {', '.join(map(str, missing))}; its {number} layers are "
            f"0 to {number - 1}"
        )


def hidden_output(output: Any) -> Tensor:
    """The hidden states (B, T, D) among what a layer returns: they come first."""
    hidden_states = output[0] if isinstance(output, tuple) else output
    assert isinstance(hidden_states, Tensor)
    return hidden_states


@torch.no_grad()
def final_norm(backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """What the backbone does between its last layer and its output head: (..., D) -> (..., D).

    Found by a pass over five tokens: the innermost modules that run after the last layer.

    Raises:
        BackboneError: if running those gives something else than the backbone's own result.
    """
    layers = decoder_layers(backbone)
    called: list[nn.Module] = []
    last: list[Tensor] = []

    def remember_last(module: nn.Module, args: Any, output: Any) -> None:
        last.append(hidden_output(output))

    def remember(module: nn.Module, args: Any, output: Any) -> None:
        if last:
            called.append(module)

    ids = torch.arange(5, device=backbone.device).unsqueeze(0)
    with contextlib.ExitStack() as stack:
        stack.callback(layers[-1].register_forward_hook(remember_last).remove)
        inside = {id(module) for layer in layers for module in layer.modules()}
        for module in backbone.decoder.modules():
            if id(module) not in inside and not any(True for _ in module.children()):
                stack.callback(module.register_forward_hook(remember).remove)
        wanted = backbone.hidden_states(backbone.embed(ids), torch.ones_like(ids), ids)

    def norm(hidden_states: Tensor) -> Tensor:
        for module in called:
            hidden_states = module(hidden_states)
        return hidden_states

    if not torch.allclose(norm(last[0]).float(), wanted.float(), rtol=1e-3, atol=1e-3):
        raise BackboneError(
            f"what {backbone.name} does after its last layer is not known here; expected a norm"
        )
    return norm
