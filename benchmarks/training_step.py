"""Time and peak memory of one training step: latent tokens beside PEFT's prompt tuning.

    python benchmarks/training_step.py --backbone smollm2-135m --batch-size 16 --slots 72

Both train two vectors in front of the same prompts and responses (`Start_2`): forward, backward,
AdamW step. Each side runs in a process of its own, so that its peak memory is its own; rounds of
the two alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

import latent_core as lc
from latent_core.slots.batch import LatentBatch

SIDES = ("latent tokens", "PEFT prompt tuning")


def main() -> None:
    """Run both sides and print their figures and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--slots", type=int, default=72, help="slots per example, latents included")
    parser.add_argument(
        "--steps", type=int, default=2, help="timed steps per round, after one other"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--layout", default="Start_2", help="of the latent side")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(_measure(options)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side in SIDES:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[side].append(json.loads(output.splitlines()[-1]))
    seconds = {s: statistics.median(r["seconds"] for r in found[s]) for s in SIDES}
    memory = {s: max(r["peak_gb"] for r in found[s]) for s in SIDES}
    print(f"{options.backbone}, {options.batch_size} x {options.slots} slots, {options.layout}")
    for side in SIDES:
        print(f"{side:20} {seconds[side]:7.2f} s/step {memory[side]:6.2f} GB peak")
    print(f"{'ratio':20} {seconds[SIDES[0]] / seconds[SIDES[1]]:7.2f}")


def _measure(options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step and the process's peak memory in GB, of one side."""
    backbone = lc.load_backbone(options.backbone)
    model = lc.LatentModel(backbone, options.layout)
    batch = _batch(model, options.batch_size, options.slots)
    step = _latent_step(model, batch) if options.side == SIDES[0] else _peft_step(model, batch)
    step()
    times = []
    for _ in range(options.steps):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": statistics.median(times), "peak_gb": peak}


def _batch(model: lc.LatentModel, size: int, slots: int) -> LatentBatch:
    """Repetition examples cut to exactly `slots` slots, latents included."""
    task = lc.load_task("repetition")
    rows = []
    for example in task.examples("ood-15", size, seed=0):
        prompt = model.backbone.encode(example.prompt)
        response = model.backbone.encode_response(example.answer)
        while len(model.place(prompt, response).slots) > slots:
            response = response[:-1]
        rows.append(model.place(prompt, response))
    return model.batch(rows)


def _latent_step(model: lc.LatentModel, batch: LatentBatch) -> Callable[[], None]:
    model.train()
    optimizer = torch.optim.AdamW(model.tables.parameters())

    def step() -> None:
        model(**batch.as_dict())["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _peft_step(model: lc.LatentModel, batch: LatentBatch) -> Callable[[], None]:
    from peft import PromptTuningConfig, TaskType, get_peft_model

    latents = model.layout.num_latents
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=latents)
    tuned = get_peft_model(model.backbone.model, config)
    optimizer = torch.optim.AdamW(p for p in tuned.parameters() if p.requires_grad)
    verbal = slice(latents, None)  # the benchmark's layout puts all latents in front
    input_ids, mask = batch.input_ids[:, verbal], batch.attention_mask[:, verbal]
    # PEFT's labels are shifted by the model: the label of a slot is its own token.
    labels = torch.full_like(input_ids, -100)
    labels[:, 1:] = batch.labels[:, verbal][:, :-1]

    def step() -> None:
        tuned(input_ids=input_ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
