"""How long it takes to read many runs, and how much memory.

python benchmarks/run_store.py [--runs 2000] [--records 500] [--entries 10000] [--tries 5]

Makes run folders as `latent train` and `latent evaluate` leave them, each with an adapter's
description and records of its own, and a journal of tests. Then it runs commands in fresh
processes: `latent compare`, `latent runs list` (into a pipe and on a terminal), `lc.load_runs`, and
a hypothesis test with and without the journal. Each is tried several times; the least wall time,
the least processor time (of all threads) and the largest peak of memory are printed. The time to
start Python and import packages is included, but for the test. The disk's cache is warm.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import latent_core as lc
from latent_core.hypotheses.journal import JOURNAL_FILE, Journal
from latent_core.runs import own_files

ROOT = Path(__file__).parents[1]
SHIPPED = "shipped:tiny/repetition/Start_6/seed-0"
#: What a terminal is told besides text.
COLOURS = re.compile("\x1b\\[[0-9;]*m")
#: The family of the test that is measured.
FAMILY = "benchmark"
METHODS = ("Comma_2", "Start_6")
#: Runs a module or a statement, and tells at the end how much memory it had at most.
WATCHED = """
import runpy, sys, time
from pathlib import Path
out, what, *sys.argv[1:] = sys.argv[1:]
try:
    if what == "latent_core":
        runpy.run_module(what, run_name="__main__")
    else:
        exec(what)
finally:
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    seconds = globals().get("seconds", (0, 0))
    Path(out).write_text(" ".join(map(str, [peak, *seconds])))
"""
LOADED = """
import latent_core as lc
frame = lc.load_runs(sys.argv[1])
print(f"{frame['run'].nunique()} runs, {len(frame)} rows")
"""
TESTED = """
import latent_core as lc
records = lc.load_runs(sys.argv[2:], records=True)
contrast = lc.Contrast("Comma_2", "Start_6")
claim = lc.Hypothesis("commas", "repetition", contrast, "greater", 0.1, family="benchmark")
lc.lab.run(claim, records, folder=sys.argv[1] + "/first", progress=False)
started = time.perf_counter(), time.process_time()
verdict = lc.lab.run(claim, records, folder=sys.argv[1], progress=False)
seconds = time.perf_counter() - started[0], time.process_time() - started[1]
print(f"{verdict.tests} tests in its family")
"""


class Cost(NamedTuple):
    """What a process took: seconds by the clock, processor seconds, and megabytes at most."""

    wall: float
    processor: float
    megabytes: float


#: What can be measured.
MEASURED = ["compare", "list", "load", "journal"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--records", type=int, default=500, help="per run")
    parser.add_argument("--entries", type=int, default=10_000, help="of the journal")
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keep the runs here, or use those of a call")
    parser.add_argument("--only", nargs="+", choices=MEASURED, default=MEASURED)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="latent-store-") as scratch:
        runs = options.folder or Path(scratch) / "runs"
        started = time.perf_counter()
        if not runs.exists():
            make_runs(runs, options.runs, options.records)
            print(f"{options.runs} runs made in {time.perf_counter() - started:.0f} s")

        def told(what: str, *arguments: object, terminal: bool = False) -> None:
            best(what, options.tries, lambda: cost([*arguments], Path(scratch), terminal))

        if "compare" in options.only:
            told("latent compare", "latent_core", "compare", runs)
        if "list" in options.only:
            told("latent runs list, piped", "latent_core", "runs", "list", runs)
            told("latent runs list, terminal", "latent_core", "runs", "list", runs, terminal=True)
        if "load" in options.only:
            told("lc.load_runs", LOADED, runs)
            of_archive("shipped:")
        if "journal" not in options.only:
            return
        shipped = [f"shipped:tiny/repetition/{method}" for method in METHODS]
        example = Path(scratch) / "example"
        for family, entries in (("", 0), ("another", options.entries), (FAMILY, options.entries)):
            content = journal(entries, family, example) if entries else b""

            def tested(content: bytes = content) -> tuple[Cost, str]:
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    (Path(folder) / JOURNAL_FILE).write_bytes(content)
                    return cost([TESTED, folder, *shipped], Path(scratch))

            of = f" of family {family}" if family else ""
            best(f"a test, {entries} entries{of} in its journal", options.tries, tested)


def best(what: str, tries: int, measure: Callable[[], tuple[Cost, str]]) -> None:
    """Print the least of several tries."""
    found = [measure() for _ in range(tries)]
    costs, said = [one for one, _ in found], COLOURS.sub("", found[-1][1].split("\n")[-2].strip())
    wall, processor = (min(one[number] for one in costs) for number in (0, 1))
    peak = max(one.megabytes for one in costs)
    print(f"{what}: {wall:.2f} s, processor {processor:.2f} s, {peak:.0f} MB ({said})", flush=True)


def cost(arguments: list[object], scratch: Path, terminal: bool = False) -> tuple[Cost, str]:
    """Run a module or a statement in a fresh process; what it took, and what it printed."""
    out = scratch / "told"
    command = [sys.executable, "-c", WATCHED, str(out), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    reading, writing = pty.openpty() if terminal else os.pipe()
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=writing, env=environment)
    os.close(writing)
    printed: list[bytes] = []
    reader = threading.Thread(target=read_all, args=(reading, printed))
    reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    reader.join()
    os.close(reading)
    if status:
        raise SystemExit(f"{arguments[:3]} ended with {os.waitstatus_to_exitcode(status)}")
    peak, *inner = map(float, out.read_text().split())
    seconds = inner if any(inner) else (wall, usage.ru_utime + usage.ru_stime)
    return Cost(*seconds, peak * 1024 / 1e6), b"".join(printed).decode()


def read_all(file: int, into: list[bytes]) -> None:
    """Read until the other side is closed, which a terminal tells by an error."""
    try:
        while block := os.read(file, 2**16):
            into.append(block)
    except OSError:
        pass


def of_archive(packed: str) -> None:
    for records in (False, True):
        started = time.perf_counter()
        found = lc.load_runs(packed, records=records)
        seconds = time.perf_counter() - started
        what = "records" if records else "rows"
        print(f"{found['path'].nunique()} packed runs, {len(found)} {what}: {seconds:.2f} s")


def make_runs(root: Path, count: int, records: int) -> None:
    """Run folders of ten seeds a method, as `train` and `evaluate` leave them."""
    (path,) = lc.load_runs(SHIPPED)["path"].unique()
    shipped = lc.load_runs(SHIPPED, records=True).drop(columns=["run", "path"])
    frame = shipped.iloc[np.arange(records) * len(shipped) // records].reset_index(drop=True)
    adapter = json.loads(own_files_of(path, own_files.ADAPTER_FILE))
    run = json.loads(own_files_of(path, own_files.RUN_FILE))
    rng = np.random.default_rng(0)
    for number in range(count):
        method, seed = f"Start_{number // 10 + 1}", number % 10
        folder = root / "repetition" / method / f"seed-{seed}"
        folder.mkdir(parents=True)
        settings = run["settings"] | {"method": method, "layout": method, "seed": seed}
        said: dict[str, Any] = {"settings": settings, "notes": run["notes"] | {"method": method}}
        described = adapter | {"weights_sha256": hashlib.sha256(str(folder).encode()).hexdigest()}
        write(folder / own_files.RUN_FILE, run | said)
        write(folder / own_files.ADAPTER_FILE, described | {"layout": method})
        for name in ("adapter_model.safetensors", own_files.LOG_FILE):
            (folder / name).write_text("x" * 3000)
        graded = np.round(rng.beta(2, 1 + number % 7, records), 4)
        own = frame.assign(
            **{"method": method, "layout": method, "seed": seed, "graded": graded},
            **{"exact": graded > 0.9, "seconds": frame["seconds"] * rng.uniform(0.9, 1.1, records)},
        )
        own.attrs["evaluation"] = {
            "splits": {s: {"examples": 100, "seed": 1} for s in own["split"].unique()}
        }
        lc.write_records(folder, own)


def own_files_of(path: str, name: str) -> bytes:
    from latent_core.archives.folders import read_file

    return read_file(path, name)


def write(path: Path, body: object) -> None:
    path.write_text(json.dumps(body, indent=2))


def journal(entries: int, family: str, folder: Path) -> bytes:
    """A journal of plans and tests of one family, each of another claim."""
    records = lc.load_runs([f"shipped:tiny/repetition/{m}" for m in METHODS], records=True)
    contrast = lc.Contrast(*METHODS)
    claim = lc.Hypothesis("commas", "repetition", contrast, "greater", 0.1, family=family)
    lc.lab.run(claim, records, folder=folder / family, progress=False)
    pair = Journal(folder / family).entries()
    lines, previous = [], ""
    for number in range(entries):
        entry = pair[number % 2] | {"digest": f"{number // 2:016x}", "previous": previous}
        if "outcome" in entry:
            entry["outcome"] = entry["outcome"] | {"p": (number + 1) / entries}
        lines.append(json.dumps(entry).encode())
        previous = hashlib.sha256(lines[-1]).hexdigest()[:16]
    return b"\n".join(lines) + b"\n"


if __name__ == "__main__":
    main()
