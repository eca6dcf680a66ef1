"""The run of a grid: what is missing is done, the trials of searches first.

Trials come first because a run takes its learning rate and steps from them. A run that is finished
is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from latent_core.grids.engines import LocalEngine, default_workers
from latent_core.grids.grid import Grid
from latent_core.grids.spec import RunSpec
from latent_core.grids.work import RunOutcome, RunState, state_of

__all__ = ["Engine", "GridPlan", "plan_grid", "run_grid"]


class Engine(Protocol):
    """Processes or machines that do runs, in an order of their own."""

    @property
    def retry_failed(self) -> bool:
        """Whether it tries failed runs again."""

    def outcomes(self, specs: Sequence[RunSpec], root: Path) -> Iterator[RunOutcome]:
        """Do runs and yield one outcome for each as it comes."""


@dataclass(frozen=True)
class GridPlan:
    """The state of every run of a grid.

    Attributes:
        runs: every run with its state.
        trials: every trial that a run still needs, with its state.
    """

    runs: list[tuple[RunSpec, RunState]]
    trials: list[tuple[RunSpec, RunState]]

    def todo(self, retry_failed: bool) -> tuple[list[RunSpec], list[RunSpec]]:
        """Return the trials and the runs to do, sorted so that a backbone is loaded once."""

        def open_ones(states: list[tuple[RunSpec, RunState]]) -> list[RunSpec]:
            done = {"finished"} if retry_failed else {"finished", "failed"}
            found = [spec for spec, state in states if state not in done]
            return sorted(found, key=lambda spec: (spec.backbone, spec.dtype))

        return open_ones(self.trials), open_ones(self.runs)


def plan_grid(grid: Grid, out: str | Path, retry_failed: bool = False) -> GridPlan:
    """Read the state of every run of a grid; change nothing.

    Args:
        grid: the grid.
        out: folder of the runs.
        retry_failed: whether a failed run counts as one to do, and so needs its trials.
    """
    runs = [(spec, state_of(spec, out)) for spec in grid.specs()]
    done = {"finished"} if retry_failed else {"finished", "failed"}
    wanted = {
        trial.folder: trial for spec, state in runs if state not in done for trial in spec.trials()
    }
    return GridPlan(runs, [(trial, state_of(trial, out)) for trial in wanted.values()])


def run_grid(
    grid: Grid,
    out: str | Path,
    engine: Engine | None = None,
    on_outcome: Callable[[RunOutcome, int, int], None] | None = None,
) -> list[RunOutcome]:
    """Do the runs of a grid that are not done.

    After a kill, the same call goes on where it was.

    Args:
        grid: the grid.
        out: folder of the runs; read them with `load_runs`.
        engine: where the runs are done; by default worker processes of this machine.
        on_outcome: called with each outcome, how many are done, and how many there are to do.

    Returns:
        one outcome for each run that was to do, trials first. Where `out` cannot be written, each
        has failed, and its error says so.

    Raises:
        SettingError: if the engine finds no cluster.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> asked = {"splits": ["id"], "examples": 2}
        >>> grid = lc.Grid(["tiny"], ["repetition"], ["zero-shot"], evaluation=asked)
        >>> [outcome.status for outcome in lc.run_grid(grid, tempfile.mkdtemp())]
        ['finished']
    """
    out = Path(out)
    if engine is None:
        engine = LocalEngine(default_workers(grid.specs()))
    trials, runs = plan_grid(grid, out, engine.retry_failed).todo(engine.retry_failed)
    total, outcomes = len(trials) + len(runs), list[RunOutcome]()

    def tell(outcome: RunOutcome) -> None:
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome, len(outcomes), total)

    for outcome in engine.outcomes(trials, out) if trials else ():
        tell(outcome)
    # A run reads its trials. Where another process does the trials, it will do the run, too.
    busy = {outcome.spec.folder for outcome in outcomes if outcome.status == "busy"}
    able = []
    for spec in runs:
        if busy.isdisjoint(trial.folder for trial in spec.trials()):
            able.append(spec)
        else:
            tell(RunOutcome(spec, "busy"))
    for outcome in engine.outcomes(able, out) if able else ():
        tell(outcome)
    return outcomes
