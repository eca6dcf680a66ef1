"""The engines of a grid: worker processes of this machine, or an existing Ray cluster.

A worker loads a backbone once for all its runs. If a worker dies, its run is tried once more, then
recorded as failed; other runs are not affected. When the driver dies, its workers die too.

When a node of a cluster dies, Ray starts its run again on another one. The run's folder, on a disk
that all nodes share, lets it continue where it was. Needs the extra `ray`, and latent_core on every
node.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final

from latent_core.backbones.known import BACKBONES
from latent_core.errors import SettingError, needs_extra, whole_number
from latent_core.grids.spec import RunSpec
from latent_core.grids.work import RunOutcome, do_run, give_up

__all__ = ["LocalEngine", "RayEngine", "default_workers"]

#: Bytes of weights up to which a backbone gains nothing from a second thread.
SMALL: Final = 60e6
#: Deaths of a worker after which its run counts as failed.
PATIENCE: Final = 2


def default_workers(specs: Sequence[RunSpec]) -> int:
    """Return the number of workers that suits the backbones.

    Small backbones get one worker per core. Others get one worker with all cores, or with the GPU.
    """
    import torch

    from latent_core.threads import usable_cores

    if torch.cuda.is_available():
        return 1
    small = all(_bytes_of(name) <= SMALL for name in {spec.backbone for spec in specs})
    return usable_cores() if small else 1


def _bytes_of(backbone: str) -> float:
    """Return the size of a backbone's weights; infinity if they would have to be fetched."""
    if backbone != "tiny" and backbone in BACKBONES:
        return float("inf")
    folder = BACKBONES[backbone].locate() if backbone in BACKBONES else Path(backbone)
    if not folder.is_dir():
        return float("inf")
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


@dataclass
class _Worker:
    """A process and its current run."""

    process: SpawnProcess
    pipe: connection.Connection
    run: RunSpec | None = field(default=None)


@dataclass(frozen=True)
class LocalEngine:
    """Runs on this machine.

    Each worker computes with its share of the cores, less those that other processes keep busy.
    Call it from a script under `if __name__ == "__main__"`, as every use of processes needs.

    Attributes:
        workers: number of processes.
        retry_failed: whether to try failed runs again.
        threads: of each worker, whatever is free; by default OMP_NUM_THREADS if that is set.
    """

    workers: int
    retry_failed: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SettingError(f"workers is {self.workers}; expected at least 1")
        if self.threads is not None:
            whole_number("threads", self.threads, 1)

    def outcomes(self, specs: Sequence[RunSpec], root: Path) -> Iterator[RunOutcome]:
        """Do the runs, in about their order, and yield one outcome for each as it comes."""
        waiting, deaths = deque(specs), Counter[str]()
        workers = [self._start(root) for _ in range(min(self.workers, len(specs)))]
        try:
            while waiting or any(worker.run for worker in workers):
                for number, worker in enumerate(workers):
                    if worker.run is None and waiting:
                        if not worker.process.is_alive():
                            workers[number] = worker = self._start(root)
                        worker.run = waiting.popleft()
                        worker.pipe.send(worker.run)
                busy = {worker.pipe: worker for worker in workers if worker.run is not None}
                for pipe in connection.wait(list(busy)):
                    worker = busy[pipe]  # type: ignore[index]
                    spec, worker.run = worker.run, None
                    assert spec is not None
                    try:
                        yield worker.pipe.recv()
                    except (EOFError, OSError):
                        worker.process.join()
                        deaths[spec.folder] += 1
                        if deaths[spec.folder] < PATIENCE:
                            waiting.appendleft(spec)
                        else:
                            yield give_up(spec, root, death(worker.process.exitcode))
        finally:
            for worker in workers:
                worker.process.kill() if worker.run else worker.pipe.close()
            for worker in workers:
                worker.process.join()

    def _start(self, root: Path) -> _Worker:
        from latent_core.threads import usable_cores

        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        share = max(1, usable_cores() // self.workers)
        threads = self.threads or int(os.environ.get("OMP_NUM_THREADS", share))
        process = context.Process(
            target=_serve,
            args=(theirs, str(root), threads, self.threads is not None, self.retry_failed),
            daemon=True,
        )
        process.start()
        theirs.close()  # so that the pipe ends with the process
        return _Worker(process, ours)


def death(exitcode: int | None) -> str:
    """Return the error of a run whose worker died `PATIENCE` times."""
    said = f"its process died {PATIENCE} times (exit code {exitcode})"
    if exitcode in (-signal.SIGKILL, 128 + signal.SIGKILL):
        said += (
            "; the machine may have run out of memory: lower batch_size or the number of workers"
        )
    return said


def _serve(
    pipe: connection.Connection, root: str, threads: int, fixed: bool, retry_failed: bool
) -> None:
    """Do run after run, until the driver closes the pipe or dies."""
    threading.Thread(target=_die_with_the_driver, daemon=True).start()
    from transformers.utils import logging

    from latent_core.threads import fix_threads, limit_threads

    (fix_threads if fixed else limit_threads)(threads)
    logging.set_verbosity_error()  # errors are in the outcome
    warnings.simplefilter("ignore", FutureWarning)
    while True:
        try:
            spec = pipe.recv()
        except EOFError:
            return
        pipe.send(do_run(spec, root, retry_failed))


def _die_with_the_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        connection.wait([driver.sentinel])
        os._exit(1)


# --- a Ray cluster --------------------------------------------------------------------------------

#: Seconds that a restarted run waits for the lock: its former process may still be dying.
WAIT: Final = 60.0


@dataclass(frozen=True)
class RayEngine:
    """Runs on a Ray cluster.

    Attributes:
        address: the cluster's address, as in `ray.init`; `auto` finds the cluster of this machine.
        cpus: cores per run.
        gpus: GPUs per run, also a fraction (0.25); None for one if the cluster has any.
        retry_failed: whether to try failed runs again.
    """

    address: str = "auto"
    cpus: float = 1
    gpus: float | None = None
    retry_failed: bool = False

    def outcomes(self, specs: Sequence[RunSpec], root: Path) -> Iterator[RunOutcome]:
        """Do the runs and yield one outcome for each as it comes."""
        here, root = Path.cwd(), Path(root).absolute()
        with needs_extra("ray", "the engine ray"):
            import ray
        ours = not ray.is_initialized()
        if ours:
            try:
                ray.init(address=self.address, log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise SettingError(
                    f"no Ray cluster at {self.address!r}: {error}; start one (`ray start --head`) "
                    "or give its --address"
                ) from error
        gpus = self.gpus
        if gpus is None:
            gpus = min(1, ray.cluster_resources().get("GPU", 0))
        remote = ray.remote(num_cpus=self.cpus, num_gpus=gpus, max_retries=3)(_do)
        try:
            runs: dict[Any, RunSpec] = {
                remote.remote(spec, here, root, self.retry_failed, max(1, int(self.cpus))): spec
                for spec in specs
            }
            while runs:
                (ready,), _ = ray.wait(list(runs), num_returns=1)
                spec = runs.pop(ready)
                try:
                    yield ray.get(ready)
                except ray.exceptions.RayError as error:
                    said = f"Ray failed: {type(error).__name__}: {str(error).splitlines()[0]}"
                    yield give_up(spec, root, said)
        finally:
            if ours:
                ray.shutdown()


def _do(spec: RunSpec, here: Path, root: Path, retry_failed: bool, threads: int) -> RunOutcome:
    """Do one run on any node; a worker process keeps its backbone from run to run."""
    import torch

    torch.set_num_threads(threads)
    with contextlib.suppress(OSError):  # a backbone may be a folder, relative to the driver's
        os.chdir(here)
    return do_run(spec, root, retry_failed, WAIT)
