"""`latent grid`: a grid of runs from a YAML file, done by one command that can be killed."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from latent_core.cli.app import ThreadsOption, app, console, table_of_numbers
from latent_core.errors import SettingError
from latent_core.wording import counted, duration, duration_range

if TYPE_CHECKING:
    from latent_core.grids.run import GridPlan
    from latent_core.grids.spec import RunSpec
    from latent_core.grids.work import RunOutcome

__all__ = ["grid"]


@app.command()
def grid(
    file: Annotated[
        Path, typer.Argument(help="YAML file of the grid; for examples, see experiments/*.yaml.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the runs; default: runs/NAME_OF_THE_FILE.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the runs and their estimated time.")
    ] = False,
    engine: Annotated[
        str, typer.Option(help="local (processes on this machine) or ray (a Ray cluster).")
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(help="Number of processes; default: chosen by the size of the backbones."),
    ] = None,
    address: Annotated[str, typer.Option(help="Address of the Ray cluster.")] = "auto",
    gpus: Annotated[
        float | None,
        typer.Option(help="GPUs per run on Ray, such as 0.25; default: 1 if there is one."),
    ] = None,
    cpus: Annotated[float, typer.Option(help="CPU cores per run on Ray.")] = 1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run again the runs that failed before.")
    ] = False,
    threads: ThreadsOption = None,
) -> None:
    """Train and evaluate every run of a grid that is not finished yet.

    You can stop it at any time; the same command continues. If a run fails, its error is recorded,
    the other runs continue, and the exit code is 1. To see the results: latent runs list DIR.
    """
    if engine not in ("local", "ray"):
        raise SettingError(f"unknown engine {engine!r}; expected local or ray")
    from latent_core.grids.engines import LocalEngine, RayEngine, default_workers
    from latent_core.grids.estimate import TimeLeft
    from latent_core.grids.grid import read_grid
    from latent_core.grids.run import plan_grid, run_grid

    asked = read_grid(file)
    folder = out if out is not None else Path("runs") / file.stem
    plan = plan_grid(asked, folder, retry_failed)
    processes = workers if workers is not None else default_workers(asked.specs())
    if dry_run:
        _show_plan(plan, folder, retry_failed, processes if engine == "local" else None)
        return
    chosen = (
        LocalEngine(processes, retry_failed, threads)
        if engine == "local"
        else RayEngine(address, cpus, gpus, retry_failed)
    )
    trials, runs = plan.todo(retry_failed)
    left = TimeLeft(trials + runs)

    def tell(outcome: RunOutcome, done: int, total: int) -> None:
        seconds = left.after(outcome.spec)
        line = f"{done}/{total} {outcome.status} {outcome.spec.folder} ({outcome.seconds:.0f} s)"
        if outcome.error:
            line += f": {outcome.error}"
        console.print(Text(line + (f"  about {duration(seconds)} left" if done < total else "")))

    outcomes = run_grid(asked, folder, chosen, tell)
    states = Counter(state for _, state in plan_grid(asked, folder).runs)
    console.print(Text(f"{folder}: " + ", ".join(f"{n} {state}" for state, n in states.items())))
    if busy := sum(outcome.status == "busy" for outcome in outcomes):
        console.print(f"another process is working on {counted(busy, 'run')}")
    if states["failed"]:
        listing = f"latent runs list {shlex.quote(str(folder))} --where status=failed"
        console.print(Text(f"to see the errors: {listing}; to run them again: --retry-failed"))
    # A run that could not even be written is recorded nowhere. A trial that failed is a result.
    unwritten = any(o.status == "failed" and not o.spec.trial for o in outcomes)
    if states["failed"] or unwritten:
        raise typer.Exit(1)


def _show_plan(plan: GridPlan, folder: Path, retry_failed: bool, workers: int | None) -> None:
    """Runs, states and costs: a table for each backbone and task, a row for each method."""
    from latent_core.grids.estimate import estimate_grid

    trials, runs = plan.todo(retry_failed)
    finished = [spec for spec, state in plan.trials + plan.runs if state == "finished"]
    estimates = estimate_grid(trials + runs, finished, folder)
    columns = ("method", "runs", "finished", "failed", "to do", "trials first", "slots", "time")
    rows: dict[tuple[str, str], dict[str, Counter[str]]] = {}

    def row(spec: RunSpec) -> Counter[str]:
        methods = rows.setdefault((spec.task_name, spec.backbone), {})
        return methods.setdefault(spec.method, Counter())

    for spec, state in plan.runs:
        row(spec).update(["runs", state])
    for estimate in estimates:
        kind = "trials first" if estimate.spec.trial else "to do"
        slots = estimate.cost.train_slots + estimate.cost.eval_slots
        row(estimate.spec).update({kind: 1, "slots": slots, "time": math.ceil(estimate.seconds)})
    for (task, backbone), methods in rows.items():
        table = table_of_numbers(*columns, texts=1, title=f"{task} on {backbone}")
        for method, of_method in methods.items():
            numbers = [f"{of_method[name]:,}" for name in columns[1:-1]]
            table.add_row(Text(method), *numbers, duration(of_method["time"]))
        console.print(table)
    for basis in dict.fromkeys(estimate.basis for estimate in estimates):
        console.print(f"Times are estimated from {basis}.", highlight=False)
    seconds = sum(estimate.seconds for estimate in estimates)
    where = f"with {counted(workers, 'worker')}" if workers else "on one node"
    if workers:
        # Workers share the cores, so more of them help only where a run cannot use them all.
        seconds /= workers
    console.print(
        f"{counted(len(runs), 'run')} and {counted(len(trials), 'trial')} to do, "
        f"about {duration_range(seconds)} {where}: {folder}"
    )
