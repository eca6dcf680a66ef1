"""The parts of any decoder that others reach into: its layers, its last norm, its attention."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from latent_core.backbones.decoder import Decoder
from latent_core.backbones.turns import turn
from latent_core.errors import BackboneError, SettingError

__all__ = ["decoder_layers", "final_norm", "hidden_output", "pick", "switched"]


def decoder_layers(decoder: Decoder) -> list[nn.Module]:
    """The decoder layers in order.

    Raises:
        BackboneError: if they are not kept in one list of `num_hidden_layers` modules.
    """
    number = decoder.model.config.get_text_config().num_hidden_layers
    for module in decoder.trunk.modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return list(module)
    raise BackboneError(
        f"{decoder.name} stores its layers in an unknown way; expected one list of {number} layers"
    )


def pick(
    what: str, wanted: int | Iterable[int] | None, have: Sequence[int], name: str
) -> tuple[int, ...]:
    """The layers or heads that are asked for, each once, in the order asked.

    Args:
        what: `layer` or `head`.
        wanted: one, several, or None for all.
        have: those there are.
        name: of what has them.

    Raises:
        SettingError: if one does not exist, or none is asked for.
    """
    if wanted is None:
        return tuple(have)
    found = tuple(dict.fromkeys((wanted,) if isinstance(wanted, int) else wanted))
    missing = [str(number) for number in found if number not in have]
    without_gaps = tuple(have) == tuple(range(have[0], have[-1] + 1))
    those = f"{have[0]} to {have[-1]}" if without_gaps else ", ".join(map(str, have))
    if missing:
        raise SettingError(
            f"{name} has no {what} {', '.join(missing)}; its {len(have)} {what}s are {those}"
        )
    if not found:
        raise SettingError(f"no {what} is chosen; expected one of {those} or more, or None for all")
    return found


def hidden_output(output: Any) -> Tensor:
    """The hidden states (B, T, D) among what a layer returns: they come first."""
    hidden_states = output[0] if isinstance(output, tuple) else output
    assert isinstance(hidden_states, Tensor)
    return hidden_states


@torch.no_grad()
def final_norm(decoder: Decoder) -> Callable[[Tensor], Tensor]:
    """The step between the last layer and the output head: (..., D) -> (..., D).

    Found by a pass over five tokens: the innermost modules that run after the last layer.

    Raises:
        BackboneError: if running those gives something else than the decoder's own result.
    """
    layers = decoder_layers(decoder)
    called: list[nn.Module] = []
    last: list[Tensor] = []

    def remember_last(module: nn.Module, args: Any, output: Any) -> None:
        last.append(hidden_output(output))

    def remember(module: nn.Module, args: Any, output: Any) -> None:
        if last:
            called.append(module)

    ids = torch.arange(5, device=decoder.device).unsqueeze(0)
    with contextlib.ExitStack() as stack:
        stack.enter_context(turn(decoder.model, "a look at the final norm"))
        stack.callback(layers[-1].register_forward_hook(remember_last).remove)
        inside = {id(module) for layer in layers for module in layer.modules()}
        for module in decoder.trunk.modules():
            if id(module) not in inside and not any(True for _ in module.children()):
                stack.callback(module.register_forward_hook(remember).remove)
        wanted = decoder.hidden_states(decoder.embed(ids), torch.ones_like(ids), ids)

    def norm(hidden_states: Tensor) -> Tensor:
        for module in called:
            hidden_states = module(hidden_states)
        return hidden_states

    if not torch.allclose(norm(last[0]).float(), wanted.float(), rtol=1e-3, atol=1e-3):
        raise BackboneError(
            f"what {decoder.name} does after its last layer is not known here; expected a norm"
        )
    return norm


@contextlib.contextmanager
def switched(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Inside the block, the model attends by the registered function of a name.

    On leaving, also by an exception, every configuration says what it said before.

    Args:
        model: the model. A family that does not attend through the registry stays as it is.
        name: as it was registered.
    """
    # Outer configs first: setting one sets its sub-configs too, whose own value then follows.
    before = [(config, config._attn_implementation) for config in _configs(model)]
    try:
        model.set_attn_implementation(name)
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation


def _configs(model: nn.Module) -> list[PreTrainedConfig]:
    """Every config that the model's modules read, outer ones first."""
    found: dict[int, PreTrainedConfig] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        if isinstance(config, PreTrainedConfig):
            found.setdefault(id(config), config)
    return list(found.values())
