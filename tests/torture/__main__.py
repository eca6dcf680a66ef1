"""Torture: `python -m tests.torture [PART ...] [--sample]` runs parts, by default all of them.

Prints what was tried and what went wrong; exit code 1 if anything did. The suite runs a sample.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from typing import Final

#: The parts, and the modules whose `torture(sample)` does them and returns a `Report`.
PARTS: Final = {
    "kills": "tests.torture.kills",
    "folders": "tests.torture.folders",
    "inputs": "tests.torture.inputs",
}


def main() -> int:
    """Run the parts that the command line names."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.torture")
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--sample", action="store_true", help="a few cases of each part")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown parts {', '.join(sorted(unknown))}; expected {', '.join(PARTS)}")
    failed = 0
    for name in asked.parts or PARTS:
        started = time.process_time()
        report = importlib.import_module(PARTS[name]).torture(asked.sample)
        counts = ", ".join(f"{number:,} {what}" for what, number in report.counts.items())
        seconds = time.process_time() - started
        print(f"{name}: {counts}; {len(report.failures)} failures ({seconds:.0f} s)", flush=True)
        failed += len(report.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
