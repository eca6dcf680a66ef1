"""The cost of the paper's comparison at the paper's size, in GPU hours: a model, fitted here.

    python experiments/paper_cost.py                 # from the fit below
    python experiments/paper_cost.py --fit           # fit again on this machine: about 3 minutes

The model: training on a slot takes four floating-point operations a weight (two forward, two for
the gradient of the activations; frozen weights need none of their own), at the rate of the
machine's matrix products, and each layer of each pass takes a fixed time on top. `--fit` times
random Llamas of growing size here and predicts each from the others. What it cannot know is the
rate that a GPU reaches. It assumes 35 % of the bfloat16 peak in training and a decoding step that
reads all weights at 60 % of the memory's bandwidth and spends 30 microseconds a layer.

Slots are counted with the tokenizer of SmolLM2, which writes digits one by one. Llama 3's writes up
to three as one token, so the count is an upper bound.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import transformers as hf

from latent_core.grids.estimate import RunCost, count_work
from latent_core.grids.grid import read_grid
from latent_core.grids.spec import RunSpec

GRID: Final = Path(__file__).parent / "paper-llama-1b.yaml"
STAND_IN: Final = "smollm2-135m"


class Shape(NamedTuple):
    """A Llama.

    Attributes:
        width, layers, inner: hidden size, decoder layers, width of the feed-forward part.
        keys: width of the keys of a token.
        vocabulary: words.
    """

    width: int
    layers: int
    inner: int
    keys: int
    vocabulary: int

    @property
    def weights(self) -> int:
        """In the layers; embeddings are looked up, and the head runs on few slots."""
        attention = 2 * self.width**2 + 2 * self.width * self.keys
        return self.layers * (attention + 3 * self.width * self.inner)

    @property
    def all_weights(self) -> int:
        """With the tied embeddings."""
        return self.weights + self.width * self.vocabulary


LLAMA_1B: Final = Shape(2048, 16, 8192, 512, 128_256)


class Device(NamedTuple):
    """A GPU.

    Attributes:
        name: what it is called.
        peak: floating-point operations a second, bfloat16, dense.
        bandwidth: bytes of memory a second.
    """

    name: str
    peak: float
    bandwidth: float


DEVICES: Final = (
    Device("RTX 4090, 24 GB", 165e12, 1.01e12),
    Device("A100, 40 GB", 312e12, 1.56e12),
    Device("H100, 80 GB", 989e12, 3.35e12),
)
USED, READ, LAYER = 0.35, 0.6, 30e-6


def gpu_hours(costs: Sequence[RunCost], device: Device, shape: Shape = LLAMA_1B) -> float:
    """Hours on one GPU."""
    slots = sum(cost.train_slots for cost in costs)
    read = sum(cost.eval_slots for cost in costs)
    steps = sum(cost.decode_steps for cost in costs)
    training = slots * 4 * shape.weights / (USED * device.peak)
    prefill = read * 2 * shape.weights / (USED * device.peak)
    step = 2 * shape.all_weights / (READ * device.bandwidth) + shape.layers * LAYER
    return (training + prefill + steps * step) / 3600


def runs_of(grid: Path = GRID, backbone: str = STAND_IN) -> list[RunSpec]:
    """All runs and trials of the grid, on a stand-in for its backbone."""
    specs = replace(read_grid(grid), backbones=[backbone]).specs()
    trials = [trial for spec in specs for trial in (spec.trials() if spec.search else ())]
    return [*specs, *{trial.folder: trial for trial in trials}.values()]


def timed(shape: Shape, slots: int = 2048) -> float:
    """Seconds of one core for training on so many slots, forward and back, of a random Llama."""
    torch.set_num_threads(1)
    config = hf.LlamaConfig(
        vocab_size=64,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        intermediate_size=shape.inner,
        num_attention_heads=shape.width // 64,
        num_key_value_heads=shape.keys // 64,
    )
    model = hf.LlamaModel(config).requires_grad_(False)
    embeds = torch.randn(slots // 128, 128, shape.width, requires_grad=True)
    seconds = []
    for _ in range(4):
        started = time.process_time()
        model(inputs_embeds=embeds, use_cache=False).last_hidden_state.sum().backward()
        seconds.append(time.process_time() - started)
    return min(seconds[1:])


SHAPES: Final = tuple(
    Shape(width, layers, 4 * width, width // 4, 0)
    for width, layers in ((256, 8), (512, 4), (512, 8), (768, 6), (1024, 4), (1024, 8))
)


def fit(shapes: Sequence[Shape], seconds: Sequence[float], slots: int = 2048) -> np.ndarray:
    """Seconds per operation and per layer, by least squares on relative errors."""
    columns = np.array([[slots * 4 * one.weights, one.layers] for one in shapes])
    found, *_ = np.linalg.lstsq(columns / np.array(seconds)[:, None], np.ones(len(shapes)))
    return found


def left_out(shapes: Sequence[Shape], seconds: Sequence[float], slots: int = 2048) -> list[float]:
    """Predicted over measured seconds of each shape, fitted without it."""
    ratios = []
    for number, shape in enumerate(shapes):
        others = [i for i in range(len(shapes)) if i != number]
        rate, layer = fit([shapes[i] for i in others], [seconds[i] for i in others], slots)
        predicted = rate * slots * 4 * shape.weights + layer * shape.layers
        ratios.append(float(predicted / seconds[number]))
    return ratios


def main() -> None:
    """Print the fit, if it is asked for, and the cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="time random Llamas on this machine")
    parser.add_argument("--backbone", default=STAND_IN, help="whose tokenizer counts the slots")
    options = parser.parse_args()
    if options.fit:
        seconds = [timed(shape) for shape in SHAPES]
        rate, layer = fit(SHAPES, seconds)
        print(f"{1e-9 / rate:.0f} GFLOP/s, {1e3 * layer:.1f} ms a layer and pass")
        ratios = zip(SHAPES, seconds, left_out(SHAPES, seconds), strict=True)
        for shape, second, ratio in ratios:
            print(f"{shape.width:5} x {shape.layers}: {second:.2f} s, predicted {ratio:.2f} times")
    specs = runs_of(backbone=options.backbone)
    costs = count_work(specs)
    slots, steps = sum(c.train_slots for c in costs), sum(c.decode_steps for c in costs)
    print(f"{len(specs)} runs and trials, {slots / 1e6:.0f} M slots trained, {steps:,} steps")
    for device in DEVICES:
        print(f"{device.name}: {gpu_hours(costs, device):.0f} GPU hours")


if __name__ == "__main__":
    main()
