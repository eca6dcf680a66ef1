"""Time of decoding: beside Transformers' `generate`, and with waiting prompts in freed places.

    python benchmarks/decoding.py                        # SmolLM2 in bfloat16, two threads
    python benchmarks/decoding.py --backbone tiny --rounds 2

Two questions, each answered by ratios within one run:

- How long does a batch take beside Transformers' `generate` on the same prompts, without latents,
  for as many tokens? No response ends by itself. Prompts and responses have commas.
  Beside it stand the products with all weights, and nothing else: less time it cannot take.
- How long do 100 responses of 4 to 64 tokens take, 32 side by side, beside batch after batch as
  responses were decoded before? Either their lengths are known: before, the shortest came first;
  now, the longest do. Or they are not, and responses come in any order.

Rounds of the sides alternate. A ratio is that of the least times, so that other work on the
machine counts little; `--processor` counts the seconds of the processor instead of the clock's.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from typing import Final
from unittest.mock import patch

import torch

import latent_core as lc
from latent_core.generation import decoding
from latent_core.models.steered import SteeredModel

LAYOUTS: Final = ("none", "Start_2", "Comma_2")
BATCHES: Final = (1, 16)
NEVER: Final = 10**9
"""An end-of-sequence token that does not exist."""

Side = Callable[[], object]


def prompts_of(count: int, seed: int = 0) -> list[str]:
    """Lists of numbers, from three to nine of them, which a model continues as a list."""
    source = random.Random(seed)
    return [
        "".join(f"{source.randint(1, 99)}," for _ in range(source.randint(3, 9)))
        for _ in range(count)
    ]


def least(sides: dict[str, Side], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Least seconds of each side, after one call of each that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            started = clock()
            side()
            if number:
                seconds[name].append(clock() - started)
    return {name: min(found) for name, found in seconds.items()}


def transformers_side(backbone: lc.Backbone, prompts: Sequence[str], tokens: int) -> Side:
    """Transformers' own decoding, padded on the left."""
    ids = [backbone.encode(prompt) for prompt in prompts]
    width = max(map(len, ids))
    inputs = torch.tensor([[0] * (width - len(row)) + row for row in ids])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])

    def work() -> None:
        backbone.model.generate(
            inputs,
            attention_mask=mask,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )

    return work


def weights_side(backbone: lc.Backbone, rows: int, tokens: int) -> Side:
    """The products of each token with every matrix of the model, and nothing else."""
    layers = [one for one in backbone.model.modules() if isinstance(one, torch.nn.Linear)]
    dtype = backbone.dtype
    inputs = {one.in_features: torch.randn(rows, one.in_features, dtype=dtype) for one in layers}

    @torch.no_grad()
    def work() -> None:
        for _ in range(tokens):
            for layer in layers:
                torch.nn.functional.linear(inputs[layer.in_features], layer.weight)

    return work


def refilling_sides(
    model: SteeredModel, known: bool, count: int, longest: int, batch_size: int
) -> dict[str, Side]:
    """Responses of 4 to `longest` tokens: batch after batch, and with places that are refilled."""
    source = random.Random(1)
    prompts = prompts_of(count, seed=1)
    lengths = [source.randint(4, longest) for _ in prompts]
    order = list(range(count))
    if known:
        order.sort(key=lambda n: (lengths[n], len(prompts[n])))

    def answer(numbers: Sequence[int]) -> list[str]:
        return model.generate(
            [prompts[n] for n in numbers],
            [lengths[n] for n in numbers],
            batch_size=batch_size,
            eos_token_id=NEVER,
        )

    def before() -> None:
        with patch.object(decoding, "can_refill", lambda *_: False):
            answer(order)

    return {"before": before, "refilled": lambda: answer(order[::-1])}


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--longest", type=int, default=64)
    parser.add_argument("--processor", action="store_true", help="count processor seconds")
    parser.add_argument("--only", choices=("beside", "refill"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.processor else time.perf_counter
    backbone = lc.load_backbone(options.backbone, dtype=options.dtype)
    models = {layout: lc.LatentModel(backbone, layout, seed=0) for layout in LAYOUTS}

    def ours(model: SteeredModel, prompts: Sequence[str]) -> Side:
        return lambda: model.generate(prompts, options.tokens, eos_token_id=NEVER)

    if options.only != "refill":
        print(f"| batch | Transformers, s | weights alone | {' | '.join(LAYOUTS)} |")
        for size in BATCHES:
            prompts = prompts_of(size)
            sides = {"": transformers_side(backbone, prompts, options.tokens)}
            sides["weights"] = weights_side(backbone, size, options.tokens)
            sides |= {layout: ours(model, prompts) for layout, model in models.items()}
            found = least(sides, options.rounds, clock)
            beside = ("weights", *LAYOUTS)
            ratios = " | ".join(f"{found[name] / found['']:.2f}" for name in beside)
            print(f"| {size} | {found['']:.2f} | {ratios} |", flush=True)
    if options.only != "beside":
        print("| lengths | layout | before, s | refilled, s | times as fast |")
        for known in (True, False):
            for layout in ("Start_2", "Comma_2"):
                sides = refilling_sides(
                    models[layout], known, options.examples, options.longest, 32
                )
                found = least(sides, options.rounds, clock)
                before, after = found["before"], found["refilled"]
                name = "known" if known else "unknown"
                print(
                    f"| {name} | {layout} | {before:.2f} | {after:.2f} | {before / after:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
