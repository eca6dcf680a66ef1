"""Time and peak memory of one training step: latent tokens beside PEFT's prompt tuning.

    python benchmarks/training_step.py                       # SmolLM2, every case, one table
    python benchmarks/training_step.py --case Start_2 --dtype bfloat16 --threads 2
    python benchmarks/training_step.py --backbone tiny --rounds 5

A step is a forward pass, a backward pass and a step of AdamW. Three sides train on the same
examples:

- latent tokens, as `lc.train` computes a step;
- latent tokens, the whole batch in one pass with the backbone's own attention;
- PEFT's prompt tuning with two virtual tokens, on the same prompts and responses.

Each side runs in a process of its own, so that its peak memory is its own. Rounds of the sides
alternate, and the least time of each counts, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

import latent_core as lc
from latent_core.backbones.attention import products_where_faster

LATENT, PLAIN, PEFT = "latent tokens", "latent tokens, one pass", "PEFT prompt tuning"
SIDES = (LATENT, PLAIN, PEFT)


class Case(NamedTuple):
    """A layout and the examples that it trains on.

    Attributes:
        layout: of the latents.
        task: whose examples.
        slots: cut every example to exactly so many slots; 0 to leave them as they are.
    """

    layout: str
    task: str
    slots: int


CASES = {
    "Start_2": Case("Start_2", "repetition", 72),
    "Comma_2": Case("Comma_2", "repetition", 0),
    "End_2": Case("End_2", "summation", 0),
    "8_2": Case("8_2", "lookup", 0),
}


def main() -> None:
    """Run all sides of the cases and print one table of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto", help="of the weights (default: %(default)s)")
    parser.add_argument("--case", choices=CASES, action="append", help="default: all of them")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--slots", type=int, default=72, help="per example of the case Start_2")
    parser.add_argument("--steps", type=int, default=2, help="timed per round, after one other")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 for its own choice")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(_measure(options)))
        return
    print(f"{processor()}, {options.threads or torch.get_num_threads()} threads")
    results = {}
    for name in options.case or CASES:
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(options.rounds):
            for side in SIDES:
                command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--case", name]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[side].append(json.loads(output.splitlines()[-1]))
        results[name] = _show(name, found, options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def processor() -> str:
    """The processor's name and what it has for half precision."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    able = torch.cpu.get_capabilities()
    has = [name for name in ("amx_bf16", "avx512_bf16") if able.get(name)]
    return f"{names[0] if names else platform.processor()} ({', '.join(has) or 'no bf16'})"


def _show(
    name: str, found: dict[str, list[dict[str, float]]], options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Print a case's table; return the least times and the most memory of each side."""
    best = {
        side: {
            "seconds": min(one["seconds"] for one in rounds),
            "processor_seconds": min(one["processor_seconds"] for one in rounds),
            "peak_gb": max(one["peak_gb"] for one in rounds),
            "loss": rounds[0]["loss"],
        }
        for side, rounds in found.items()
    }
    shape = found[LATENT][0]
    print(
        f"\n{name}: {options.backbone} in {options.dtype}, {options.batch_size} examples of "
        f"{CASES[name].task}, {shape['slots']:.0f} slots in {shape['padded']:.0f} with padding"
    )
    print(f"{'':26}{'s/step':>8}{'ratio':>7}{'CPU s':>8}{'ratio':>7}{'GB peak':>9}{'loss':>9}")
    reference = best[PEFT]
    for side, row in best.items():
        ratios = [row[k] / reference[k] for k in ("seconds", "processor_seconds")]
        print(
            f"{side:26}{row['seconds']:8.2f}{ratios[0]:7.2f}{row['processor_seconds']:8.2f}"
            f"{ratios[1]:7.2f}{row['peak_gb']:9.2f}{row['loss']:9.4f}"
        )
    return best


def _measure(options: argparse.Namespace) -> dict[str, float]:
    """Least seconds of a step and the process's peak memory in GB, of one side."""
    if options.threads:
        torch.set_num_threads(options.threads)
    case = CASES[options.case[-1]]
    model = lc.LatentModel(lc.load_backbone(options.backbone, dtype=options.dtype), case.layout)
    pairs = _examples(model, case, options)
    batch = model.batch([model.place(*pair) for pair in pairs])
    step = _peft_step(model, pairs) if options.side == PEFT else _latent_step(model, batch)
    model.train(options.side == LATENT)
    with products_where_faster(model.backbone) if options.side == LATENT else nullcontext():
        loss = step()
        seconds, processor_seconds = [], []
        for _ in range(options.steps):
            started, spent = time.perf_counter(), time.process_time()
            step()
            seconds.append(time.perf_counter() - started)
            processor_seconds.append(time.process_time() - spent)
    return {
        "seconds": min(seconds),
        "processor_seconds": min(processor_seconds),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "loss": loss,
        "slots": float(batch.attention_mask.sum()),
        "padded": float(batch.attention_mask.numel()),
    }


def _examples(
    model: lc.LatentModel, case: Case, options: argparse.Namespace
) -> list[tuple[list[int], list[int]]]:
    """Verbal ids of prompts and responses."""
    task = lc.load_task(case.task)
    # Long responses, where examples are cut to one length.
    split, slots = ("ood-15", options.slots) if case.slots else ("train", 0)
    pairs = []
    for example in task.examples(split, options.batch_size, seed=0):
        prompt = model.backbone.encode(example.prompt)
        response = model.backbone.encode_response(example.answer)
        while slots and len(model.place(prompt, response).slots) > slots:
            response = response[:-1]
        pairs.append((prompt, response))
    return pairs


def _latent_step(model: lc.LatentModel, batch: lc.LatentBatch) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(model.tables.parameters())

    def step() -> float:
        loss = model(**batch.as_dict())["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def _peft_step(
    model: lc.LatentModel, pairs: Sequence[tuple[list[int], list[int]]]
) -> Callable[[], float]:
    from peft import PromptTuningConfig, TaskType, get_peft_model

    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2)
    tuned = get_peft_model(model.backbone.model, config)
    optimizer = torch.optim.AdamW(p for p in tuned.parameters() if p.requires_grad)
    ids = [torch.tensor(prompt + response) for prompt, response in pairs]
    # PEFT's labels are shifted by the model: the label of a slot is its own token.
    own = [torch.tensor([-100] * len(p) + r) for p, r in pairs]
    inputs = {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
        "labels": pad_sequence(own, batch_first=True, padding_value=-100),
    }

    def step() -> float:
        loss = tuned(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


if __name__ == "__main__":
    main()
