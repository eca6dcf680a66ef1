"""How long a trial has to be for its ranking of learning rates to last.

    python experiments/rate_ranks.py            # train what is missing, write the table
    python experiments/rate_ranks.py --show

Methods of three kinds train on `summation` with `tiny`, at each rate, for a part of the steps and
for all of them. Spearman's correlation of the validation losses, over the rates of a method, says
whether a trial ranks the rates as the whole training does. The regret is what the trial's choice
costs: its final loss minus that of the best rate. Results are kept in experiments/rate_ranks.json;
the table is in docs/methods.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Final

import torch
from scipy.stats import spearmanr

import latent_core as lc
from experiments.readme import write_section
from latent_core.models.steered import SteeredModel
from latent_core.tasks.base import Task

RESULTS: Final = Path(__file__).with_suffix(".json")
METHODS: Final = ("Comma_2", "Start_2", "lora-256p")
RATES: Final = (0.003, 0.01, 0.03, 0.1)
STEPS: Final = (20, 40, 100, 200, 400)
EXAMPLES: Final = (8, 50, 200)
"""Validation examples on which a trial is judged; the whole training is judged on the most."""

Losses = dict[str, list[float]]
"""By `method|rate|steps`, the loss on the first 8, 50 and 200 validation examples."""


def key(method: str, rate: float, steps: int) -> str:
    """Where the losses of a training are kept."""
    return f"{method}|{rate:g}|{steps}"


@torch.no_grad()
def example_losses(model: SteeredModel, task: Task, examples: int) -> list[float]:
    """Mean cross-entropy of the response of each validation example."""
    found = []
    for example in task.examples("validation", examples, seed=1):
        row = model.insert(example.prompt, example.answer)
        found.append(float(model(**model.batch([row]).as_dict())["loss"]))
    return found


def losses_of(method: str, rate: float, steps: int, task: Task) -> list[float]:
    """Train once; the losses of `EXAMPLES`."""
    model = lc.build_model("tiny", method, seed=0, task=task)
    try:
        lc.train(model, task, steps, 8, 0, learning_rate=rate, progress=False)
    except lc.errors.TrainingDivergedError:
        return [float("inf")] * len(EXAMPLES)
    each = example_losses(model, task, max(EXAMPLES))
    return [fmean(each[:count]) for count in EXAMPLES]


def table(found: Losses) -> str:
    """For each length of a trial: correlation with the whole training, and regret, over methods."""
    whole = {
        method: [found[key(method, rate, STEPS[-1])][-1] for rate in RATES] for method in METHODS
    }
    heads = [f"{count} validation examples" for count in EXAMPLES]
    lines = [f"| steps of a trial | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for steps in STEPS[:-1]:
        cells = []
        for place in range(len(EXAMPLES)):
            ranks, regrets = [], []
            for method in METHODS:
                trial = [found[key(method, rate, steps)][place] for rate in RATES]
                ranks.append(float(spearmanr(trial, whole[method]).statistic))
                chosen = trial.index(min(trial))
                regrets.append(whole[method][chosen] - min(whole[method]))
            cells.append(f"{fmean(ranks):.2f} (least {min(ranks):.2f}); {fmean(regrets):.3f}")
        share = steps / STEPS[-1]
        lines.append(f"| {steps} ({share:.0%}) | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="print the table alone")
    options = parser.parse_args()
    found: Losses = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    task = lc.load_task("summation")
    asked = [(m, rate, steps) for m in METHODS for rate in RATES for steps in STEPS]
    for one in [] if options.show else asked:
        if key(*one) not in found:
            found[key(*one)] = losses_of(*one, task)
            RESULTS.write_text(json.dumps(found, indent=0) + "\n")
            print(f"{key(*one)}: {found[key(*one)]}", flush=True)
    if options.show:
        print(table(found))
    else:
        write_section("rate-ranks", table(found))


if __name__ == "__main__":
    main()
