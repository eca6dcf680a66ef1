"""What one more pass costs in a training step, counted in slots: `latent_core.models.loss.PASS`.

    python benchmarks/training_parts.py --backbone smollm2-135m --threads 2

Steps over batches of growing size are timed in turn, and a line is laid through the least times:
seconds = a + b x slots. One more pass costs a / b slots. The share of a forward pass without
gradients is that of `FORWARD`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from training_step import processor  # type: ignore[import-not-found]

import latent_core as lc
from latent_core.backbones.attention import products_where_faster

ROWS = (1, 2, 4, 8, 16)


def main() -> None:
    """Print the times, the cost of a pass, and the share of a pass without gradients."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 for its own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = lc.LatentModel(lc.load_backbone(options.backbone, dtype=options.dtype), "Start_2")
    example = model.insert("1+1=2, " * 6, "1+1=2, " * 3)
    batches = {rows: model.batch([example] * rows) for rows in ROWS}
    steps: dict[int, list[float]] = {rows: [] for rows in ROWS}
    forward: dict[int, list[float]] = {rows: [] for rows in ROWS}
    model.train()

    def step(rows: int) -> None:
        model.hidden_states(batches[rows]).sum().backward()

    def without(rows: int) -> None:
        with torch.no_grad():
            model.hidden_states(batches[rows])

    with products_where_faster(model.backbone):
        for _ in range(options.repeats + 1):
            for rows in ROWS:
                steps[rows].append(_seconds(step, rows))
                forward[rows].append(_seconds(without, rows))
    length = len(example.slots)
    print(f"{processor()}, {torch.get_num_threads()} threads; {options.backbone}, {length} slots")
    slots = [rows * length for rows in ROWS]
    best = [min(steps[rows][1:]) for rows in ROWS]
    slope, fixed = np.polyfit(slots, best, 1)
    share = sum(min(forward[rows][1:]) for rows in ROWS) / sum(best)
    for count, seconds in zip(slots, best, strict=True):
        print(f"  {count:5} slots {seconds:8.3f} s")
    print(f"  a pass costs {fixed / slope:.0f} slots; without gradients {share:.2f} of one with")


def _seconds(call: Callable[[int], None], rows: int) -> float:
    started = time.perf_counter()
    call(rows)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
