"""`latent hypotheses | test`: the built-in claims, and what becomes of them here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from latent_core.cli.app import BackboneOption, app, console, table_of
from latent_core.errors import SettingError

if TYPE_CHECKING:
    from latent_core.hypotheses import Study, StudyVerdict

__all__ = ["hypotheses", "test"]


@app.command()
def hypotheses(
    name: Annotated[str, typer.Argument(help="Explain one of them at length.")] = "",
) -> None:
    """List the built-in hypotheses, or explain one."""
    from latent_core.hypotheses import STUDIES, load_study

    if not name:
        table = table_of("name", "question", "claim", "parts")
        for study in STUDIES:
            table.add_row(study.key, study.title, study.claim, str(len(study.parts)))
        console.print(table)
        console.print("latent test H1 --backbone tiny: put one to the test.", highlight=False)
        return
    study = load_study(name)
    for line in (f"{study.key}: {study.title}", study.claim, study.prediction, study.explanation):
        console.print(Text(line))
    table = table_of("part", "claim", "contrast", "on", "expected")
    for part, h in study.parts.items():
        sign = "+" if h.sign > 0 else "-"
        where = f"{h.loaded_task.name} {h.split}"
        cells = (part, h.claim, str(h.contrast), where, f"{sign}{h.smallest_effect:g}")
        table.add_row(*map(Text, cells))
    console.print(table)


@app.command()
def test(
    name: Annotated[str, typer.Argument(help="A built-in hypothesis (see `latent hypotheses`).")],
    backbone: BackboneOption = "tiny",
    runs: Annotated[
        list[Path] | None, typer.Option(help="Folder of runs to test on; nothing is trained then.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Training seeds.")] = None,
    examples: Annotated[int | None, typer.Option(help="Examples per seed and split.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of each adapter.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="5 seeds, 100 examples, 400 steps, not a first answer.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Keeps adapters, partial results, journal and report.")
    ] = Path("runs/hypotheses"),
) -> None:
    """Plan, run and judge a hypothesis, and write a report.

    Trains what it needs on a backbone, or takes what is there: --runs FOLDER, or the adapters that
    ship with the package. Stopped at any time, the same command goes on where it was.
    Example: latent test H1 --backbone tiny
    """
    from latent_core.hypotheses import load_study
    from latent_core.hypotheses.studies import FIRST_ANSWER, FULL

    study = load_study(name)
    given, why = _given(study, backbone, runs)
    sizes = dict(FULL if full else FIRST_ANSWER)
    if given is not None:
        sizes["seeds"] = 1 if runs is None else sizes["seeds"]
    chosen = {"seeds": seeds, "examples": examples, "steps": steps}
    sizes |= {key: value for key, value in chosen.items() if value is not None}
    verdict = run_study(study, backbone if given is None else given, sizes, out, why)
    console.print(Text(verdict.summary()))
    report = verdict.report(out / f"{study.key}.html")
    console.print(f"report: {report}", highlight=False, soft_wrap=True)


def run_study(
    study: Study, target: Any, sizes: dict[str, int], out: Path, why: str = ""
) -> StudyVerdict:
    """Print the plan of a study and run it."""
    if sizes["steps"] < 1:
        raise SettingError(f"steps is {sizes['steps']}; expected at least 1")
    training = {"steps": sizes["steps"]}
    trains = isinstance(target, str)
    plans = study.plan(
        sizes["seeds"], sizes["examples"], target=target, training=training, measure=trains
    )
    console.print(Text(f"{study.key}: {study.claim}\n{why}".strip()))
    for part, plan in plans.items():
        console.print(Text(f"\n-- plan: {part} --\n{plan.summary()}"))
    console.print()
    return study.test(target, plans, out, training=training)


def _given(study: Study, backbone: str, runs: list[Path] | None) -> tuple[Any, str]:
    """Run folders to test on instead of training, and what to say of them."""
    from latent_core.shipped import SHIPPED, shipped_adapters

    if runs:
        return list(runs), f"on the runs in {', '.join(map(str, runs))}"
    tasks = {part.loaded_task.name for part in study.parts.values()}
    if backbone == "tiny":
        return None, ""
    found = [a for a in shipped_adapters() if a.backbone == backbone and a.task in tasks]
    if found:
        folder = SHIPPED / backbone
        return [
            folder
        ], f"on the {len(found)} adapters that ship for {backbone}; nothing is trained"
    raise SettingError(
        f"no adapter ships for {backbone} on {', '.join(sorted(tasks))}, and training one would "
        "take long; train some with `latent train` and give their folder with --runs"
    )
