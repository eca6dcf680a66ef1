"""How time grows: a training step, attention capture and decoding, by length, batch and latents.

    python benchmarks/scaling.py --backbone tiny     # print the table
    python benchmarks/scaling.py --write             # SmolLM2, minutes: write table and figure

Seconds are those of the processor, with one thread, the least of several tries, so that a busy
machine changes them little. Figure and table of docs/benchmarks.md show them as multiples of
each curve's first point.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import matplotlib
import torch
from matplotlib.figure import Figure

import latent_core as lc
from experiments.readme import write_section
from latent_core.models.steered import SteeredModel

DOCS: Final = Path(__file__).parent.parent / "docs"
LENGTHS: Final = (32, 64, 128, 256, 512)
BATCHES: Final = (1, 2, 4, 8, 16)
COUNTS: Final = (1, 2, 4, 8, 16)
CHAINS: Final = (1, 2, 4, 8)
TEXT: Final = "12,34,56,78,"

Curve = dict[int, float]
"""Seconds by length, batch size or count."""


def least(work: Callable[[], object], tries: int) -> float:
    """Least processor seconds, after one call that is not counted."""
    work()
    seconds = []
    for _ in range(tries):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def step(model: SteeredModel, length: int, batch_size: int) -> Callable[[], object]:
    """Forward and backward of examples whose response is the last quarter, and AdamW."""
    ids = model.backbone.encode(TEXT * (length // 8))[:length]
    cut = max(1, 3 * length // 4)
    batch = model.batch([model.place(ids[:cut], ids[cut:])] * batch_size)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-9)

    def work() -> None:
        optimizer.zero_grad()
        model(**batch.as_dict())["loss"].backward()
        optimizer.step()

    return work


def capture(model: lc.LatentModel, length: int) -> Callable[[], object]:
    """Attention onto latents, of a prompt."""
    prompt = model.backbone.decode(model.backbone.encode(TEXT * (length // 8))[: length - 1])
    return lambda: lc.capture_attention(model, prompt)


def decode(model: SteeredModel, tokens: int = 16) -> Callable[[], object]:
    """So many tokens after a prompt of 64."""
    prompt = model.backbone.decode(model.backbone.encode(TEXT * 12)[:64])
    return lambda: model.generate(prompt, max_new_tokens=tokens)


def measure(backbone: lc.Backbone, tries: int) -> dict[str, Curve]:
    """Every curve, by its name."""

    def of(layout: str) -> lc.LatentModel:
        return lc.LatentModel(backbone, layout, seed=0)

    plain = of("Start_2")
    return {
        "step, by slots": {n: least(step(plain, n, 4), tries) for n in LENGTHS},
        "step of 64 slots, by examples": {n: least(step(plain, 64, n), tries) for n in BATCHES},
        "step of 64 tokens, by latents before the prompt": {
            n: least(step(of(f"Start_{n}"), 64, 4), tries) for n in COUNTS
        },
        "capture, by slots": {n: least(capture(of("Comma_1"), n), tries) for n in LENGTHS},
        "decoding 16 tokens, by latents at each comma": {
            n: least(decode(of(f"Comma_{n}")), tries) for n in COUNTS
        },
        "step of 64 tokens, by computed latents": {
            n: least(step(of(f"Start_1+End_{n}=hidden(norm)"), 64, 4), tries) for n in CHAINS
        },
    }


def table(backbone: str, curves: dict[str, Curve]) -> str:
    """Multiples of each curve's first point."""
    lines = [f"| {backbone} | first | grows |", "|---|---|---|"]
    for name, curve in curves.items():
        (start, first), *rest = curve.items()
        grown = ", ".join(f"{n}: {seconds / first:.1f}" for n, seconds in rest)
        lines.append(f"| {name} | {start}: {1000 * first:.0f} ms | {grown} |")
    return "\n".join(lines) + "\n"


def picture(backbone: str, curves: dict[str, Curve]) -> Figure:
    """A small plot for each curve; the dotted line is growth in proportion."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    figure.suptitle(f"Processor time on {backbone}, by size (first point = 1)", fontsize=11)
    for place, (name, curve) in enumerate(curves.items()):
        axes = figure.add_subplot(2, 3, place + 1)
        sizes, first = list(curve), next(iter(curve.values()))
        axes.plot(sizes, [s / first for s in curve.values()], marker="o", color="#1f6fb4")
        axes.plot(sizes, [n / sizes[0] for n in sizes], ls=":", color="#777777")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(sizes, [str(n) for n in sizes])
        axes.set_title(name, fontsize=8)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.tick_params(labelsize=8)
        axes.minorticks_off()
    return figure


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    backbone = lc.load_backbone(options.backbone, dtype="float32")
    found = table(options.backbone, curves := measure(backbone, options.tries))
    if not options.write:
        print(found)
        return
    name = f"benchmarks-scaling-{options.backbone}.svg"
    with matplotlib.rc_context({"svg.hashsalt": name}):
        picture(options.backbone, curves).savefig(DOCS / name, metadata={"Date": None})
    write_section(f"scaling {options.backbone}", found)


if __name__ == "__main__":
    main()
