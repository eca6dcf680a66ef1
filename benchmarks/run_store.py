"""How long a summary of many runs takes to open.

python benchmarks/run_store.py [--runs 10000] [--records 1000]

Makes the run folders in a temporary folder (their record files are links to one, since a summary
does not read them), then opens the summary in fresh processes. The disk's cache is warm. At last it
reads what ships, which is packed, and its records.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import latent_core as lc
from latent_core.runs import own_files

LEVELS = (("id", 1), ("id", 2), ("id", 3), ("ood-6", 6), ("ood-10", 10), ("ood-15", 15))
MEASURE = """
import sys, time
import latent_core as lc
lc.load_runs
import pandas
started = time.perf_counter()
frame = lc.load_runs(sys.argv[1])
print(time.perf_counter() - started, frame["run"].nunique(), len(frame))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=1_000, help="per run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="latent-store-") as folder:
        started = time.perf_counter()
        make(Path(folder), options.runs, options.records)
        print(f"{options.runs} runs made in {time.perf_counter() - started:.0f} s")
        for _ in range(3):
            command = [sys.executable, "-c", MEASURE, folder]
            seconds, count, rows = subprocess.check_output(command, text=True).split()
            print(f"{count} runs, {rows} rows: {float(seconds):.2f} s")
        started = time.perf_counter()
        chosen = lc.load_runs(folder, {"method": "Start_1", "seed": 3}, records=True)
        seconds = time.perf_counter() - started
        print(f"{len(chosen)} records of {chosen['run'].nunique()} of the runs: {seconds:.2f} s")
    for records in (False, True):
        started = time.perf_counter()
        shipped = lc.load_runs("shipped:", records=records)
        seconds = time.perf_counter() - started
        what = "records" if records else "rows"
        print(f"{shipped['path'].nunique()} packed runs, {len(shipped)} {what}: {seconds:.2f} s")


def make(root: Path, count: int, records: int) -> None:
    """Run folders as `train` and `evaluate` leave them."""
    rows = [
        {"split": LEVELS[i % 6][0], "level": LEVELS[i % 6][1], "example": i, "key": f"k{i}"}
        | {"prompt": f"Repeat {i} times", "response": "12+34=46, " * LEVELS[i % 6][1]}
        | {"exact": i % 3 == 0, "graded": i / records, "latent_slots": 2, "seconds": 0.1}
        for i in range(records)
    ]
    first = root / "repetition" / "Start_0" / "seed-0"
    lc.write_records(first, pd.DataFrame(rows))
    summary = (first / own_files.SUMMARY_FILE).read_bytes()
    for number in range(count):
        method, seed = f"Start_{number // 10}", number % 10
        folder = root / "repetition" / method / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"task": "repetition", "backbone": "tiny", "backbone_fingerprint": "0" * 32}
        settings |= {"layout": method, "steps": 300, "batch_size": 16, "gradient_accumulation": 1}
        settings |= {"learning_rate": 0.1, "seed": seed, "training_arguments": {}}
        versions = {"torch": "2.13.0", "transformers": "5.23.0", "latent-workbench": "0.1.0"}
        search = {"rule": "best graded on validation", "trials": [{"learning_rate": 0.1}] * 4}
        record = {"status": "finished", "settings": settings, "versions": versions}
        record |= {"notes": {"method": method, "search": search}, "loss": 0.07, "seconds": 94.0}
        (folder / own_files.RUN_FILE).write_text(json.dumps(record, indent=2))
        for name in (own_files.ADAPTER_FILE, "adapter_model.safetensors", own_files.LOG_FILE):
            (folder / name).write_text("x" * 400)
        if folder != first:
            os.link(first / own_files.RECORDS_FILE, folder / own_files.RECORDS_FILE)
            (folder / own_files.SUMMARY_FILE).write_bytes(summary)


if __name__ == "__main__":
    main()
