"""Grids of runs: many methods, tasks and seeds, done by one call that can be killed at any time.

`run_grid` does what is missing of a grid. The trials of a search come first, then the runs; what
is there already is skipped. Knows grids and engines; nothing of how results are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from latent_core.grids.cluster import RayEngine
from latent_core.grids.estimate import Estimate, TimeLeft, estimate_grid
from latent_core.grids.grid import Grid, read_grid
from latent_core.grids.local import LocalEngine, default_workers
from latent_core.grids.spec import Evaluation, RunSpec, Search, Training
from latent_core.grids.work import Outcome, State, do_run, state_of

__all__ = [
    "Engine",
    "Estimate",
    "Evaluation",
    "Grid",
    "LocalEngine",
    "Outcome",
    "Plan",
    "RayEngine",
    "RunSpec",
    "Search",
    "TimeLeft",
    "Training",
    "default_workers",
    "do_run",
    "estimate_grid",
    "plan_grid",
    "read_grid",
    "run_grid",
]


class Engine(Protocol):
    """Does runs somewhere; the order is its own."""

    @property
    def retry_failed(self) -> bool:
        """Whether it tries again what failed before."""

    def outcomes(self, specs: Sequence[RunSpec], root: Path) -> Iterator[Outcome]:
        """One outcome per run, as they come."""


@dataclass(frozen=True)
class Plan:
    """How the runs of a grid stand.

    Attributes:
        runs: every run with its state.
        trials: every trial that a run still needs, with its state.
    """

    runs: list[tuple[RunSpec, State]]
    trials: list[tuple[RunSpec, State]]

    def todo(self, retry_failed: bool) -> tuple[list[RunSpec], list[RunSpec]]:
        """Trials and runs that are to be done, sorted so that a backbone is loaded once."""

        def open_ones(states: list[tuple[RunSpec, State]]) -> list[RunSpec]:
            done = {"finished"} if retry_failed else {"finished", "failed"}
            found = [spec for spec, state in states if state not in done]
            return sorted(found, key=lambda spec: (spec.backbone, spec.dtype))

        return open_ones(self.trials), open_ones(self.runs)


def plan_grid(grid: Grid, out: str | Path, retry_failed: bool = False) -> Plan:
    """How the runs of a grid stand; changes nothing."""
    runs = [(spec, state_of(spec, out)) for spec in grid.specs()]
    done = {"finished"} if retry_failed else {"finished", "failed"}
    wanted = {
        trial.folder: trial for spec, state in runs if state not in done for trial in spec.trials()
    }
    return Plan(runs, [(trial, state_of(trial, out)) for trial in wanted.values()])


def run_grid(
    grid: Grid,
    out: str | Path,
    engine: Engine | None = None,
    on_outcome: Callable[[Outcome, int, int], None] | None = None,
) -> list[Outcome]:
    """Do what is missing of a grid.

    Killed at any time, it is called again with the same grid and folder, and goes on.

    Args:
        grid: what to do.
        out: folder of the runs; read them with `load_runs`.
        engine: where; by default worker processes of this machine.
        on_outcome: called with each outcome, how many are done, and how many there are to do.

    Returns:
        what became of each run that was to be done, trials first. Where `out` cannot be written,
        each has failed, and its error says so.

    Raises:
        SettingError: if there is no such cluster.
    """
    out = Path(out)
    if engine is None:
        engine = LocalEngine(default_workers(grid.specs()))
    trials, runs = plan_grid(grid, out, engine.retry_failed).todo(engine.retry_failed)
    total, outcomes = len(trials) + len(runs), list[Outcome]()

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome, len(outcomes), total)

    for outcome in engine.outcomes(trials, out) if trials else ():
        tell(outcome)
    # The runs read what the trials found; those of another process's trials are left to it.
    busy = {outcome.spec.folder for outcome in outcomes if outcome.status == "busy"}
    able = []
    for spec in runs:
        if busy.isdisjoint(trial.folder for trial in spec.trials()):
            able.append(spec)
        else:
            tell(Outcome(spec, "busy"))
    for outcome in engine.outcomes(able, out) if able else ():
        tell(outcome)
    return outcomes
