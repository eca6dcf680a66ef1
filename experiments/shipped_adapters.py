"""Make the SmolLM2 adapters and records that ship with the package.

    python experiments/shipped_adapters.py [METHOD ...]

Every method is trained on repetition with the same data, steps and learning rate (not tuned for any
of them), then answers the same test examples. A killed run goes on where it was. About 20 minutes a
method on one core.
"""

import sys
from pathlib import Path

import latent_core as lc

METHODS = ("Start_1+Comma_1", "Start_2", "Comma_2", "End_2")
FOLDER = Path(lc.__file__).parent / "assets" / "adapters" / "smollm2-135m" / "repetition"
STEPS, BATCH_SIZE, LEARNING_RATE, SEED = 200, 8, 1e-2, 0
EXAMPLES, EVAL_SEED = 100, 1


def main(methods: list[str]) -> None:
    task = lc.load_task("repetition")
    backbone = lc.load_backbone("smollm2-135m")
    for method in methods:
        folder = FOLDER / method
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
        frame.insert(1, "method", method)
        frame.insert(2, "seed", SEED)
        frame.to_parquet(folder / "records.parquet", index=False)
        print(method, frame.groupby("split")[["exact", "graded"]].mean().round(3), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(METHODS))
