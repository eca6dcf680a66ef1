"""Make the SmolLM2 adapters and records that ship with the package.

    python experiments/shipped_adapters.py [METHOD ...]

Every method is trained on repetition with the same data and steps, then answers the same test
examples. Learning rates differ: the higher one was found later to be far better, and the methods of
the lower one have not been trained anew. A killed run goes on where it was. About 20 minutes a
method on one core.
"""

import sys
from pathlib import Path

import pandas as pd
from readme import accuracy_table, write_section

import latent_core as lc

LEARNING_RATES = {"Start_1+Comma_1": 3e-2, "Start_2": 3e-2, "Comma_2": 1e-2, "End_2": 1e-2}
FOLDER = Path(lc.__file__).parent / "assets" / "adapters" / "smollm2-135m" / "repetition"
STEPS, BATCH_SIZE, SEED = 200, 8, 0
EXAMPLES, EVAL_SEED = 100, 1


def main(methods: list[str]) -> None:
    """Train and evaluate what is missing, and put the table into the README."""
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
            learning_rate=LEARNING_RATES[method],
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
    kept = [adapter.path / "records.parquet" for adapter in lc.shipped_adapters()]
    frames = [pd.read_parquet(path) for path in kept if path.exists()]
    write_section("shipped-adapters", accuracy_table(pd.concat(frames, ignore_index=True)))


if __name__ == "__main__":
    main(sys.argv[1:] or list(LEARNING_RATES))
