"""Compare layouts on `tiny` over several training seeds, and put the table into docs/tiny.md.

    python experiments/tiny_comparison.py                 # train, evaluate, keep records, table
    python experiments/tiny_comparison.py --table-only    # the table again, from the kept records

Every method gets the same data, steps and learning rate. Runs lie in runs/tiny_comparison and are
not repeated; a killed comparison goes on where it was.
"""

from __future__ import annotations

import argparse

import pandas as pd
from readme import ROOT, accuracy_table, write_section

import latent_core as lc

RECORDS = ROOT / "experiments" / "records" / "tiny_comparison.parquet"
METHODS = ("Start_2", "Start_1+Comma_1")
PAIRS = (("Start_1+Comma_1", "Start_2"),)  # of one size
KEPT = ["task", "method", "seed", "split", "level", "example", "key", "response", "exact", "graded"]


def main() -> None:
    """Read the options, run what is missing, write records and table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["repetition"])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=0.1, help="of every method")
    parser.add_argument("--examples", type=int, default=100, help="per split")
    parser.add_argument("--table-only", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.table_only:
        frames = [
            _run(task, method, seed, options)
            for seed in range(options.seeds)
            for task in options.tasks
            for method in options.methods
        ]
        RECORDS.parent.mkdir(exist_ok=True)
        pd.concat(frames, ignore_index=True)[KEPT].to_parquet(RECORDS, index=False)
    frame = pd.read_parquet(RECORDS)
    write_section("tiny-comparison", f"{accuracy_table(frame)}\n{_differences(frame)}")


def _differences(frame: pd.DataFrame) -> str:
    """Markdown: what each mixed layout gains over Start alone, with as many trained numbers."""
    lines = []
    for task, records in frame.groupby("task", sort=False):
        for treatment, control in PAIRS:
            if {treatment, control} <= set(records["method"]):
                parts = []
                for split, rows in records.groupby("split", sort=False):
                    gain = lc.paired_difference(rows, treatment, control)
                    parts.append(f"{split} {gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]")
                gains = "; ".join(parts)
                lines.append(f"{task}: `{treatment}` minus `{control}`, same examples: {gains}.\n")
    return "\n".join(lines)


def _run(task_name: str, method: str, seed: int, options: argparse.Namespace) -> pd.DataFrame:
    """Train and evaluate one run, or read what was kept of it."""
    folder = ROOT / "runs" / "tiny_comparison" / task_name / f"{method}-{seed}"
    records = folder / "records.parquet"
    if records.exists():
        return pd.read_parquet(records)
    task = lc.load_task(task_name)
    model = lc.build_model("tiny", method, seed)
    lc.train(
        model,
        task,
        steps=options.steps,
        learning_rate=options.learning_rate,
        seed=seed,
        output_dir=folder,
        resume=True,
        notes={"method": method},
    )
    frame = lc.evaluate(model, task, examples=options.examples).assign(method=method, seed=seed)
    lc.write_records(folder, frame)
    return frame


if __name__ == "__main__":
    main()
