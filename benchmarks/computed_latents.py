"""Time and peak memory of a training step, by the count of computed latents beside learned ones.

    python benchmarks/computed_latents.py --backbone tiny --batch-size 16 --counts 1 2 4 8

Both sides train `Start_1` beside m latents after the prompt: `End_m`, or `End_m=hidden(norm)`.
Forward, backward, AdamW step. Each measurement has a process of its own, so that its peak memory is
its own. Seconds are those of the processor, so that a busy machine changes them little.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

import latent_core as lc

SIDES = {"learned": "Start_1+End_{}", "computed": "Start_1+End_{}=hidden(norm)"}


def main() -> None:
    """Measure every count on both sides and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one other")
    parser.add_argument("--layout", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.layout:
        print(json.dumps(_measure(options)))
        return
    print(f"{options.backbone}, {options.batch_size} examples of repetition a step")
    for count in options.counts:
        for side, form in SIDES.items():
            layout = form.format(count)
            command = [sys.executable, __file__, *sys.argv[1:], "--layout", layout]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(output.splitlines()[-1])
            print(
                f"{count:3} {side:9} {found['passes']:3.0f} passes {found['seconds']:7.3f} s/step "
                f"{found['peak_mb']:6.0f} MB above the backbone",
                flush=True,
            )


def _measure(options: argparse.Namespace) -> dict[str, float]:
    """Passes and least processor seconds of a step, and the memory it adds, of one layout."""
    model = lc.LatentModel(options.backbone, options.layout)
    drawn = lc.load_task("repetition").examples("id", options.batch_size, seed=0)
    batch = model.batch([model.insert(example.prompt, example.answer) for example in drawn])
    model.train()
    optimizer = torch.optim.AdamW(model.tables.parameters())
    passes = 0

    def count(module: torch.nn.Module, args: object) -> None:
        nonlocal passes
        passes += 1

    hook = model.backbone.trunk.register_forward_pre_hook(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    times = []
    for _ in range(options.steps + 1):
        passes, started = 0, time.process_time()
        model(**batch.as_dict())["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.process_time() - started)
    hook.remove()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"passes": passes, "seconds": min(times[1:]), "peak_mb": peak - before}


if __name__ == "__main__":
    main()
