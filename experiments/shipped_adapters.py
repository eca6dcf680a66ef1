"""Make the SmolLM2 adapters and records that ship with the package.

    python experiments/shipped_adapters.py [METHOD ...]

Every method is trained on repetition with the same data, steps and learning rate, then answers the
same test examples. A killed run goes on where it was. About 20 minutes a method on one core.
"""

import sys

from readme import accuracy_table, write_section

import latent_core as lc
from latent_core.shipped import SHIPPED

METHODS = ("Start_2", "End_2", "Comma_2", "Start_1+Comma_1")
FOLDER = SHIPPED / "smollm2-135m" / "repetition"
STEPS, BATCH_SIZE, LEARNING_RATE, SEED = 200, 8, 3e-2, 0
EXAMPLES, EVAL_SEED = 100, 1


def main(methods: list[str]) -> None:
    """Train and evaluate what is missing, and put the table into the README."""
    task = lc.load_task("repetition")
    backbone = lc.load_backbone("smollm2-135m")
    for method in methods:
        folder = FOLDER / method / f"seed-{SEED}"
        model = lc.build_model(backbone, method, seed=SEED)
        lc.train(
            model,
            task,
            steps=STEPS,
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            seed=SEED,
            output_dir=folder,
            resume=True,
            notes={"method": method},
        )
        if (folder / "records.parquet").exists():
            continue
        frame = lc.evaluate(model, task, examples=EXAMPLES, seed=EVAL_SEED)
        frame.insert(2, "seed", SEED)
        lc.write_records(folder, frame)
    write_section("shipped-adapters", accuracy_table(lc.load_runs(FOLDER, records=True)))


if __name__ == "__main__":
    main(sys.argv[1:] or list(METHODS))
