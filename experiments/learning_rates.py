"""Which multiple of the size of a backbone's embeddings is a good learning rate for latents.

    python experiments/learning_rates.py --backbone tiny --backbone smollm2-135m
    python experiments/learning_rates.py --backbone FOLDER --name gemma-3-270m
    python experiments/learning_rates.py --show

Each backbone trains a layout on `repetition` with several multiples of the root mean square of its
input embeddings. The loss on the validation split after the training is what counts. Results
are kept in `experiments/learning_rates.json`; `--show` prints them as the table of
docs/methods.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import torch

import latent_core as lc
from latent_core.tasks.base import Task

RESULTS: Final = Path(__file__).with_suffix(".json")
MULTIPLES: Final = (0.03, 0.1, 0.25, 0.5, 1.0, 3.0)


def main() -> None:
    """Train what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", action="append", default=[], help="as load_backbone takes it")
    parser.add_argument("--name", help="to keep a single backbone's results under")
    parser.add_argument("--layout", default="Start_2")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print the table alone")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for source in [] if options.show else options.backbone:
        backbone = lc.load_backbone(source)
        name = options.name or source
        setting = f"{name}, {options.layout}, {options.steps} steps of {options.batch_size}"
        kept = results.setdefault(setting, {"scale": backbone.embedding_rms, "losses": {}})
        for multiple in MULTIPLES:
            losses = kept["losses"].setdefault(f"{multiple:g}", [])
            for seed in range(len(losses), options.seeds):
                losses.append(_loss(backbone, multiple, seed, options))
                print(f"{setting}: {multiple:g}, seed {seed}: {losses[-1]:.3f}", flush=True)
                RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    _show(results)


def _loss(backbone: lc.Backbone, multiple: float, seed: int, options: argparse.Namespace) -> float:
    """Mean cross-entropy of validation responses after a training."""
    model, task = lc.LatentModel(backbone, options.layout, seed=seed), lc.load_task("repetition")
    try:
        lc.train(
            model,
            task,
            options.steps,
            options.batch_size,
            seed,
            learning_rate=multiple * backbone.embedding_rms,
            progress=False,
        )
    except lc.errors.TrainingDivergedError:
        return float("inf")
    return validation_loss(model, task)


@torch.no_grad()
def validation_loss(model: lc.LatentModel, task: Task, examples: int = 32) -> float:
    """Mean cross-entropy of the response tokens of validation examples."""
    backbone = model.backbone
    rows = []
    for example in task.examples("validation", examples, seed=1):
        response = backbone.encode_response(example.answer)
        rows.append(model.place(backbone.encode(example.prompt), response))
    found = [model(**model.batch(rows[i : i + 8]).as_dict()) for i in range(0, examples, 8)]
    return float(torch.cat([one["token_losses"] for one in found]).mean())


def _show(results: dict[str, Any]) -> None:
    """Print a row for each backbone: the mean loss at each multiple, the least in bold."""
    print("| backbone | RMS | " + " | ".join(f"{multiple:g}" for multiple in MULTIPLES) + " |")
    print("|---|---|" + "---|" * len(MULTIPLES))
    for setting, kept in results.items():
        means = {m: sum(losses) / len(losses) for m, losses in kept["losses"].items()}
        best = min(means.values())
        cells = [
            f"**{mean:.2f}**" if mean == best else f"{mean:.2f}"
            for mean in (means[f"{multiple:g}"] for multiple in MULTIPLES)
        ]
        print(f"| {setting} | {kept['scale']:.3g} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
