"""The Ray engine: runs on an existing Ray cluster.

When a node dies, Ray starts its run again on another one. The run's folder, on a disk that all
nodes share, lets it continue where it was. Needs the extra `ray`, and latent_core on every node.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from latent_core.errors import SettingError, needs_extra
from latent_core.grids.spec import RunSpec
from latent_core.grids.work import RunOutcome, do_run, give_up

__all__ = ["RayEngine"]

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
