"""Damaged run folders against every command: no bare exception, nothing lost that is not the run's.

Each case is a folder with a whole run, a damaged one, and a link to a run outside. After all
commands, every foreign file is as it was, the whole run has its records, and the damaged run's
records are there, or their damaged file is.

The damage is drawn at random: what disks, kills, users and strangers do.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from transformers.utils import logging
from typer.testing import CliRunner

import latent_core as lc
from latent_core.backbones import loading
from latent_core.cli import app
from latent_core.errors import LatentError
from latent_core.runs.removal import holds_results
from tests.torture.world import Report, make_world

__all__ = ["HARMS", "harm", "torture"]

#: What stands in place of a value in a JSON file.
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, -1, 1.5, 10**30, "text", "", [], {}, [1, "a"], {"a": None}),
    *("\udcff", "[/]\x1b[31m", "../../up"),
)


def harm(folder: Path, outside: Path, rng: random.Random) -> str:
    """Damage a run folder in one way, chosen at random; what was done to what."""
    name = rng.choice(list(HARMS))
    return f"{name}: {HARMS[name](folder, outside, rng)}"


def _some_file(folder: Path, rng: random.Random, ending: str = "") -> Path | None:
    paths = [p for p in sorted(folder.rglob(f"*{ending}")) if p.is_file() and not p.is_symlink()]
    paths = [p for p in paths if p.name != "mine.txt"]
    return rng.choice(paths) if paths else None


def _to_file(change: Callable[[Path, random.Random], None]) -> Any:
    def done(folder: Path, outside: Path, rng: random.Random) -> str:
        path = _some_file(folder, rng)
        if path is None:
            return "nothing"
        change(path, rng)
        return str(path.relative_to(folder))

    return done


def _truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 20))):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _zeros(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def _delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def _become_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("mine")


def _dangle(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice((path.name, "/nowhere/at/all", "../..")))


def _link_outside(folder: Path, outside: Path, rng: random.Random) -> str:
    target = rng.choice((outside, outside / "run", outside / "notes.txt"))
    link = folder / rng.choice(("link", "checkpoints", "log.csv", "records.parquet", ".lock"))
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return f"{link.name} -> {target.name}"


def _wrong_json(folder: Path, outside: Path, rng: random.Random) -> str:
    path = _some_file(folder, rng, ".json")
    if path is None:
        return "nothing"
    try:
        body = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return "nothing"
    places = list(_places(body))
    value = rng.choice(_VALUES)
    if not places or rng.random() < 0.1:
        body = value
    else:
        where, key = rng.choice(places)
        where[key] = value
    path.write_text(json.dumps(body))
    return f"{path.relative_to(folder)}: {value!r}"


def _places(body: Any) -> Any:
    """Every place in nested JSON that a value can be put into."""
    items = body.items() if isinstance(body, dict) else enumerate(body)
    if isinstance(body, dict | list):
        for key, value in list(items):
            yield body, key
            if isinstance(value, dict | list):
                yield from _places(value)


def _deep_json(folder: Path, outside: Path, rng: random.Random) -> str:
    path = _some_file(folder, rng, ".json")
    if path is None:
        return "nothing"
    path.write_text(rng.choice(("[" * 100_000, '{"a":' * 100_000, "9" * 5_000)))
    return str(path.relative_to(folder))


def _foreign(folder: Path, outside: Path, rng: random.Random) -> str:
    names = ("mine.txt", "figures/mine.txt", "checkpoints/mine.txt", ".hidden/mine.txt")
    path = folder / rng.choice((*names, "checkpoints/checkpoint-9/mine.txt"))
    if path.parent.exists() and not path.parent.is_dir():
        return "nothing"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return str(path.relative_to(folder))


def _swap(folder: Path, outside: Path, rng: random.Random) -> str:
    """The content of one file in another."""
    one, other = _some_file(folder, rng), _some_file(folder, rng)
    if one is None or other is None:
        return "nothing"
    other.write_bytes(one.read_bytes())
    return f"{one.name} in {other.name}"


def _staged(folder: Path, outside: Path, rng: random.Random) -> str:
    """As a killed writer leaves it."""
    for name in (".run.json.0123abcd.part", "checkpoints/.start.safetensors.0123abcd.part"):
        with_parent = folder / name
        if with_parent.parent.is_dir():
            with_parent.write_bytes(os.urandom(20))
    return "files"


HARMS: Final[dict[str, Callable[[Path, Path, random.Random], str]]] = {
    "truncated": _to_file(_truncate),
    "bits flipped": _to_file(_flip),
    "zeros": _to_file(_zeros),
    "deleted": _to_file(_delete),
    "a folder instead": _to_file(_become_folder),
    "dangling link": _to_file(_dangle),
    "link outside": _link_outside,
    "wrong JSON": _wrong_json,
    "deep JSON": _deep_json,
    "foreign file": _foreign,
    "another's content": _swap,
    "leftovers": _staged,
}


CASES: Final = 500
SAMPLE: Final = 12
#: Method and last step of each run that is damaged; a run is whole after step 4.
_RUNS: Final = (("Start_2", 4), ("lora-r1", 4), ("Start_1", 3), ("prefix-1", 4), ("zero-shot", 4))
_SETTINGS: Final[dict[str, Any]] = {"steps": 4, "batch_size": 2, "seed": 1, "progress": False}


def torture(sample: bool) -> Report:
    """Damage 500 run folders, of a sample 12, and call every command on each."""
    logging.set_verbosity_error()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="torture-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = Path(name)
        backbone, task = make_world(root)
        loaded = lc.load_backbone(str(backbone))
        kept, loading.load_backbone = loading.load_backbone, functools.cache(lambda *a, **k: loaded)
        try:
            for method, last in _RUNS:
                _make_run(root / "made" / method, loaded, task, method, last)
            for number in range(SAMPLE if sample else CASES):
                _Case(report, root, loaded, task, number).work()
                if number % 50 == 49:
                    report.tell(f"{number + 1} folders")
        finally:
            loading.load_backbone = kept
    return report


def _make_run(folder: Path, backbone: Any, task: Path, method: str, last: int) -> None:
    model, known = lc.build_model(backbone, method, seed=1), lc.load_task(task)
    _trained(model, known, folder, task, on_step=lambda step, loss: step == last < 4)
    frame = lc.evaluate(model, known, "id", 2, progress=False)
    lc.write_records(folder, frame.assign(seed=1))


def _trained(model: Any, task: Any, folder: Path, source: Path, **settings: Any) -> None:
    from latent_core.training.untrained import keep_untrained

    notes = {"method": model.method, "task_source": str(source)}
    if model.num_trainable:
        lc.train(model, task, output_dir=folder, notes=notes, **_SETTINGS, **settings)
    else:
        keep_untrained(model, task, 1, folder, resume=settings.get("resume", False), notes=notes)


class _Case:
    """One damaged folder, and what is called on it."""

    def __init__(self, report: Report, root: Path, backbone: Any, task: Path, number: int) -> None:
        rng = random.Random(number)
        self.report, self.root, self.backbone, self.task = report, root / "case", backbone, task
        self.method = _RUNS[number % len(_RUNS)][0]
        self.whole, self.run = self.root / "runs" / "whole", self.root / "runs" / "harmed"
        self.outside = self.root / "outside"
        shutil.copytree(root / "made" / "Start_2", self.whole)
        shutil.copytree(root / "made" / self.method, self.run)
        shutil.copytree(root / "made" / "Start_1", self.outside / "run")
        (self.outside / "notes.txt").write_text("mine")
        (self.root / "runs" / "linked").symlink_to(self.outside)
        harms = [harm(self.run, self.outside, rng) for _ in range(rng.choice((1, 1, 2, 3)))]
        self.name = f"case {number}, {self.method}, {'; '.join(harms)}"
        for one in harms:
            report.count(one.split(":")[0])
        self.report.count("folders")

    def work(self) -> None:
        """Call everything, and look at what is left."""
        runs, run = self.root / "runs", self.run
        foreign, records = self._foreign(), self._records()
        self._call("load_runs", lambda: lc.load_runs(runs))
        self._call("load_runs(records)", lambda: lc.load_runs(runs, records=True))
        self._command("runs", "list", runs)
        self._command("runs", "show", run)
        self._command("compare", runs)
        self._command("runs", "export", runs, "--out", self.root / "table.csv")
        said = self._command("runs", "export", runs, "--out", self.whole / "records.parquet")
        self._check(isinstance(said, LatentError), "an export into a run is not refused")
        self._command("runs", "pack", runs, "--out", self.root / "packed")
        kept = holds_results(run)
        self._command("runs", "prune", runs, "--yes")
        self._check(run.exists() or not kept, "a run with results was pruned")
        self._command("evaluate", run, "--examples", 1, "--splits", "id")
        self._call("resume", self._resume)
        self._command("runs", "list", runs)
        self._check_foreign(foreign)
        self._check_records(records)
        shutil.rmtree(self.root)

    def _resume(self) -> None:
        model = lc.build_model(self.backbone, self.method, seed=1)
        _trained(model, lc.load_task(self.task), self.run, self.task, resume=True)

    def _command(self, *arguments: object) -> BaseException | None:
        outcome: list[BaseException | None] = []

        def invoke() -> None:
            command = [str(argument) for argument in arguments]
            outcome.append(CliRunner().invoke(app, command).exception)
            if outcome[0] is not None and not isinstance(outcome[0], SystemExit):
                raise outcome[0]

        self._call(f"latent {arguments[0]} {arguments[1]}".replace(str(self.root), ""), invoke)
        return outcome[0] if outcome else None

    def _call(self, what: str, work: Callable[[], object]) -> None:
        self.report.count("calls")
        signal.alarm(120)
        try:
            work()
        except LatentError:
            self.report.count("refusals")
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(last.filename)}:{last.lineno}"
            ours = [f for f in traceback.extract_tb(error.__traceback__) if "latent_core" in f[0]]
            if ours:
                place = f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}, {place}"
            self._check(False, f"{what}: {type(error).__name__}: {str(error)[:150]} ({place})")
        finally:
            signal.alarm(0)

    def _check(self, holds: object, failure: str) -> None:
        self.report.check(holds, f"{self.name}: {failure}")

    def _foreign(self) -> dict[Path, str]:
        """The files that nothing may change, and their hashes."""
        files = [path for path in (self.run, self.outside) if path.exists()]
        found = [p for top in files for p in top.rglob("*") if p.is_file() and not p.is_symlink()]
        return {
            path: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in found
            if path.name == "mine.txt" or self.outside in path.parents
        }

    def _check_foreign(self, foreign: dict[Path, str]) -> None:
        for path, digest in foreign.items():
            there = path
            if not there.exists():  # set aside together with the run's own files
                moved = list(self.run.glob(f"damaged-*/{path.name}"))
                there = moved[0] if moved else path
            same = there.is_file() and hashlib.sha256(there.read_bytes()).hexdigest() == digest
            self._check(same, f"{path.relative_to(self.root)} was changed or deleted")

    def _records(self) -> tuple[pd.DataFrame | None, bytes | None]:
        path = self.run / "records.parquet"
        if path.is_symlink() or not path.is_file():
            return None, None
        try:
            return pd.read_parquet(path), path.read_bytes()
        except (OSError, ValueError, TypeError, KeyError, pa.ArrowException):
            return None, path.read_bytes()

    def _check_records(self, before: tuple[pd.DataFrame | None, bytes | None]) -> None:
        whole = lc.load_runs(self.whole, records=True)
        self._check(len(whole) == 2, "the whole run lost records")
        frame, content = before
        if content is None:
            return
        kept = [path.read_bytes() for path in self.run.rglob("records.parquet") if path.is_file()]
        if content in kept:
            return
        after = pd.read_parquet(self.run / "records.parquet") if frame is not None else None
        enough = after is not None and len(after) >= len(frame)
        self._check(enough, "records were lost")
