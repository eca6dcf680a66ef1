"""The memory and time that a method takes, estimated before anything is allocated.

A layout such as `Start_100000` is legal, and a backbone of a few megabytes does not make it cheap:
each slot attends to all others. A method that cannot fit is refused with the number, and one whose
single pass is slow is announced.
"""

from __future__ import annotations

import time
import warnings
from typing import Final

import psutil
import torch

from latent_core.backbones.decoder import Decoder
from latent_core.errors import SettingError
from latent_core.wording import duration

__all__ = ["SlowMethodWarning", "check_layout_size", "check_numbers", "free_memory"]

#: Latents up to which nothing is checked: no machine has trouble with them.
_UNCHECKED: Final = 1024
#: Bytes a trained number takes: itself, its gradient and two moments of AdamW, in float32.
_BYTES_PER_NUMBER: Final = 16
#: Bytes that attention takes for a pair of slots: its mask, in float32.
_BYTES_PER_PAIR: Final = 4
#: Seconds of one pass above which a method is announced.
_SLOW: Final = 5.0


class SlowMethodWarning(UserWarning):
    """A method of which a single forward pass takes long."""


def free_memory(decoder: Decoder) -> int:
    """Bytes that are free where a decoder lies."""
    if decoder.device.type == "cuda":
        return int(torch.cuda.mem_get_info(decoder.device)[0])
    return int(psutil.virtual_memory().available)


def check_numbers(decoder: Decoder, method: str, numbers: int) -> None:
    """Refuse a method whose trainable numbers do not fit in memory.

    Raises:
        SettingError: with the estimate.
    """
    needed, free = numbers * _BYTES_PER_NUMBER, free_memory(decoder)
    if needed > free:
        raise SettingError(
            f"{method} has {numbers:,} trainable numbers, which take {needed / 1e9:,.1f} GB, but "
            f"{free / 1e9:.1f} GB are free on {decoder.device}; expected a smaller number in the "
            "method's name"
        )


def check_layout_size(decoder: Decoder, method: str, latents: int) -> None:
    """Refuse a layout whose latents do not fit, and announce one that is slow.

    Args:
        decoder: computes.
        method: for the message.
        latents: of all groups, each placed once.

    Raises:
        SettingError: if the vectors, or the attention of one prompt, need more memory than is free.

    Warns:
        SlowMethodWarning: if a forward pass of one prompt takes more than a few seconds.
    """
    if latents <= _UNCHECKED:
        return
    check_numbers(decoder, method, latents * decoder.hidden_size)
    needed, free = latents**2 * _BYTES_PER_PAIR, free_memory(decoder)
    if needed > free:
        raise SettingError(
            f"{method} places {latents:,} latents, whose attention to one another takes "
            f"{needed / 1e9:,.1f} GB for one prompt, but {free / 1e9:.1f} GB are free on "
            f"{decoder.device}; expected fewer latents"
        )
    if (seconds := _seconds_of_pass(decoder, latents)) > _SLOW:
        warnings.warn(
            f"{method} places {latents:,} latents: one forward pass of one prompt takes about "
            f"{duration(seconds)} on {decoder.device}, and {needed / 1e9:.1f} GB for attention",
            SlowMethodWarning,
            stacklevel=4,
        )


@torch.no_grad()
def _seconds_of_pass(decoder: Decoder, slots: int) -> float:
    """Seconds of a pass over so many slots, from two short passes: linear and quadratic parts."""
    short, long = 256, 512
    times = []
    for count in (short, short, long):  # the first pass of a process is slow
        embeds = torch.zeros(1, count, decoder.hidden_size, device=decoder.device)
        positions = torch.zeros(1, count, dtype=torch.long, device=decoder.device)
        started = time.perf_counter()
        decoder.hidden_states(embeds.to(decoder.dtype), None, positions).sum().item()
        times.append(time.perf_counter() - started)
    # a * n + b * n^2 through both points, neither part below zero.
    quadratic = max(0.0, (times[2] - 2 * times[1]) / (long**2 - 2 * short**2))
    linear = max(0.0, (times[1] - quadratic * short**2) / short)
    return linear * slots + quadratic * slots**2
