"""A kill at every step: SIGKILL before each change of the disk and after each step of training.

A child process does a run and kills itself before its Nth event. The next call, in another process,
has to finish, and to leave what an uninterrupted run leaves. This is done for every event of every
method, for `train` and for the run of a grid.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file
from transformers.utils import logging

import latent_core as lc
from latent_core.grids.grid import Grid
from latent_core.grids.work import do_run
from latent_core.training.train import train
from latent_core.training.untrained import keep_untrained
from tests.torture.world import METHODS, STEPS, Report, make_world

__all__ = ["torture"]

#: Audit events of Python that come before a change of the disk.
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "torture.step"}
#: Events of a sample, as shares of all events of a run.
_SAMPLE = (0.45, 0.97)
_KILLED = -signal.SIGKILL

Doing = Callable[[Path], None]


def torture(sample: bool) -> Report:
    """Kill runs of every method at every event; of a sample, at two events each."""
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    report = Report()
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        root = Path(name)
        backbone, task = make_world(root)
        loaded = lc.load_backbone(str(backbone))
        for number, method in enumerate(METHODS):
            doings = {"train": _training(loaded, lc.load_task(task), method)}
            doings["grid"] = _grid(backbone, task, method)
            if sample:  # each method once, in either way
                doings = dict([list(doings.items())[number % 2]])
            for kind, doing in doings.items():
                _kill_everywhere(report, root, f"{kind} of {method}", doing, sample)
    return report


def _training(backbone: Any, task: Any, method: str) -> Doing:
    def doing(folder: Path) -> None:
        model = lc.build_model(backbone, method, seed=1)
        if not lc.Method.parse(method).trained:
            keep_untrained(model, task, 1, folder, resume=True)
            return
        settings = {"steps": STEPS, "batch_size": 2, "seed": 1, "resume": True, "progress": False}
        train(
            model,
            task,
            output_dir=folder,
            on_step=lambda step, loss: sys.audit("torture.step", step),
            **settings,
        )

    return doing


def _grid(backbone: Path, task: Path, method: str) -> Doing:
    (spec,) = Grid(
        [str(backbone)],
        [str(task)],
        [method],
        seeds=1,
        training={"steps": STEPS, "batch_size": 2},
        evaluation={"splits": ["id"], "examples": 2},
    ).specs()

    def doing(folder: Path) -> None:
        outcome = do_run(spec, folder)
        assert outcome.status == "finished", outcome.error

    return doing


def _kill_everywhere(report: Report, root: Path, name: str, doing: Doing, sample: bool) -> None:
    whole, tally = root / "whole", root / "tally"
    for work in (lambda: _counted(doing, whole, tally), lambda: doing(whole)):
        code, said = _child(work)  # the second one finds a finished run
        if code:
            report.check(False, f"{name}: uninterrupted: {said}")
            return
    events = int(tally.read_text())
    wanted = _left(whole)
    chosen = range(1, events + 1)
    for at in [max(1, int(events * share)) for share in _SAMPLE] if sample else chosen:
        folder = root / "run"
        code, _ = _child(lambda at=at, folder=folder: _killed(doing, folder, at))
        report.count("kills" if code == _KILLED else "runs that ended before their kill")
        code, said = _child(lambda folder=folder: doing(folder))
        report.check(code == 0, f"{name}, event {at} of {events}: the next call: {said}")
        if code == 0:
            said = _difference(_left(folder), wanted)
            report.check(not said, f"{name}, event {at}: {said}")
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(whole)
    report.tell(f"{name}, {events} events")


def _counted(doing: Doing, folder: Path, tally: Path) -> None:
    seen = [0]
    _hook(lambda: seen.__setitem__(0, seen[0] + 1), folder)
    doing(folder)
    count = seen[0]
    tally.write_text(str(count))


def _killed(doing: Doing, folder: Path, at: int) -> None:
    left = [at]

    def event() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _hook(event, folder)
    doing(folder)


def _hook(event: Callable[[], None], folder: Path) -> None:
    """Call `event` before every change of the disk below a folder, and after every step."""

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            path, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR) or set(mode or "r") & set("wxa+")
            if not writes:
                return
        elif name not in _CHANGES:
            return
        else:
            path = arguments[0]
        if name == "torture.step" or str(folder) in str(path):
            event()

    sys.addaudithook(audit)


def _child(work: Callable[[], None]) -> tuple[int, str]:
    """Do something in a child process; its exit code, and the last line of its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            work()
            code = 0
        except BaseException:
            os.write(writer, traceback.format_exc()[-1500:].encode())
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def _left(root: Path) -> dict[str, Any]:
    """What a finished run leaves: names, weights, log, status and records."""
    (run,) = list(root.rglob("run.json"))
    folder, found = run.parent, dict[str, Any]()
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    # A kill after the records leaves a finished run without its summary, which is made of them.
    found["names"] = sorted(name for name in names if "summary.json" not in name)
    found["status"] = lc.load_runs(root)["status"].iloc[0]
    for path in sorted(folder.glob("*.safetensors")):
        found[path.name] = {n: w.flatten().tolist() for n, w in load_file(path).items()}
    if (folder / "log.csv").is_file():
        found["log"] = pd.read_csv(folder / "log.csv").round(12).to_csv()
    records = lc.load_runs(root, records=True)
    found["records"] = records.drop(columns=["seconds", "path", "run"], errors="ignore").to_csv()
    return found


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """What differs from what an uninterrupted run leaves; empty if nothing does."""
    other = [name for name in {*found, *wanted} if found.get(name) != wanted.get(name)]
    return f"other {', '.join(other)}: {str(found.get(other[0]))[:300]}" if other else ""
