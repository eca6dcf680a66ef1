"""Attention on a processor: SDPA beside plain products.

    python benchmarks/attention_kernels.py                # training: forward and backward
    python benchmarks/attention_kernels.py --queries 3    # decoding: three new slots in each row
    python benchmarks/attention_kernels.py --dtype float32 --heads 9 3 --width 64

For each number of slots: seconds of one layer's attention, the ratio, and how far the gradients of
each lie from those in float64; or the outputs, in decoding. `latent_core.backbones.kernels` chooses
by a rule that rests on these figures. The two alternate, and the least time counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from training_step import processor  # type: ignore[import-not-found]

from latent_core.backbones.kernels import attend_by_products

SLOTS = (16, 32, 72, 128, 160, 256, 512)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--heads", type=int, nargs=2, default=(9, 3), help="query heads, key heads")
    parser.add_argument("--width", type=int, default=64, help="of a head")
    parser.add_argument("--queries", type=int, default=0, help="of a row in decoding")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 for its own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    # On one thread the processor's time, so that other work on the machine counts little.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    threads = torch.get_num_threads()
    print(f"{processor()}, {threads} threads, {options.dtype}, {options.rows} rows")
    titles = ("slots", "SDPA ms", "products ms", "ratio", "error SDPA", "products")
    print("".join(f"{title:>13}" for title in titles))
    for slots in SLOTS:
        queries = options.queries or slots
        inputs = _inputs(options, queries, slots, dtype)
        allowed = torch.ones(options.rows, 1, queries, slots, dtype=torch.bool)
        if options.queries:
            results = _outputs
            allowed[::2, :, :, : slots // 5] = False  # every second row is padded
        else:
            results = _gradients
            allowed = allowed.tril()
            allowed[::2, :, :, slots - slots // 5 :] = False
        kernels = {"sdpa": _sdpa, "products": _products}
        times: dict[str, list[float]] = {name: [] for name in kernels}
        for _ in range(options.repeats + 1):
            for name, kernel in kernels.items():
                started = clock()
                results(kernel, inputs, allowed)
                times[name].append(clock() - started)
        exact = results(_sdpa, [one.double() for one in inputs], allowed)
        errors = [_error(results(kernel, inputs, allowed), exact) for kernel in kernels.values()]
        sdpa, products = (1e3 * min(found[1:]) for found in times.values())
        print(
            f"{slots:13}{sdpa:13.2f}{products:13.2f}{products / sdpa:13.2f}"
            f"{errors[0]:13.4f}{errors[1]:13.4f}"
        )


def _inputs(
    options: argparse.Namespace, queries: int, slots: int, dtype: torch.dtype
) -> list[Tensor]:
    """Queries, keys, values, and the derivative by the output."""
    generator = torch.Generator().manual_seed(0)
    heads, groups = options.heads

    def drawn(count: int, slots: int = slots) -> Tensor:  # strided as a model's, (B, H, T, D_head)
        shape = (options.rows, slots, count, options.width)
        return torch.randn(shape, generator=generator).to(dtype).transpose(1, 2)

    derivative = drawn(heads, queries).transpose(1, 2)
    return [drawn(heads, queries), drawn(groups), drawn(groups), derivative]


def _gradients(
    kernel: Callable[..., Tensor], inputs: list[Tensor], allowed: Tensor
) -> tuple[Tensor, ...]:
    *variables, derivative = inputs
    leaves = [one.detach().requires_grad_() for one in variables]
    return torch.autograd.grad(kernel(*leaves, allowed), leaves, derivative)


@torch.no_grad()
def _outputs(
    kernel: Callable[..., Tensor], inputs: list[Tensor], allowed: Tensor
) -> tuple[Tensor, ...]:
    return (kernel(*inputs[:3], allowed),)


def _sdpa(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """As Transformers calls it: keys repeated for their heads."""
    times = query.shape[1] // key.shape[1]
    key, value = (one.repeat_interleave(times, dim=1) for one in (key, value))
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    return output.transpose(1, 2).contiguous()


def _products(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    return attend_by_products(query, key, value, allowed, query.shape[-1] ** -0.5)


def _error(found: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> float:
    """Relative error of all gradients together."""
    ours, theirs = (torch.cat([one.flatten() for one in many]) for many in (found, exact))
    return float((ours - theirs).norm() / theirs.norm())


if __name__ == "__main__":
    main()
