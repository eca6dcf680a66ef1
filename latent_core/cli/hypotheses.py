"""`latent hypotheses | test`: the built-in claims, and what becomes of them here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from latent_core.cli.app import BackboneOption, app, console, table_of
from latent_core.errors import SettingError

if TYPE_CHECKING:
    from latent_core.hypotheses import Hypothesis, Study, StudyVerdict

__all__ = ["hypotheses", "test"]


@app.command()
def hypotheses(
    name: Annotated[str, typer.Argument(help="Explain one of them at length.")] = "",
) -> None:
    """List the built-in hypotheses, or explain one."""
    from latent_core.hypotheses import STUDIES, load_study
    from latent_core.hypotheses.builtin import ELSEWHERE

    if not name:
        table = table_of("name", "question", "claim", "parts")
        for study in STUDIES:
            table.add_row(study.key, study.title, study.claim, str(len(study.parts)))
        console.print(table)
        console.print("latent test H1 --backbone tiny: put one to the test.", highlight=False)
        others = ", ".join(study.key for study in ELSEWHERE)
        console.print(f"Asked of another task: {others}.", highlight=False)
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
    train: Annotated[
        bool, typer.Option("--train", help="Train on the backbone, however long it takes.")
    ] = False,
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

    Trains what it needs on `tiny`, and elsewhere with --train; or takes what is there: --runs
    FOLDER, or the adapters that ship with the package. Stopped at any time, the same command goes
    on where it was.
    Example: latent test H1 --backbone tiny
    """
    from latent_core.hypotheses.studies import FIRST_ANSWER, FULL
    from latent_core.hypotheses.subjects import Source

    study, target, why = _target(name, backbone, runs, train)
    sizes = dict(FULL if full else FIRST_ANSWER)
    if isinstance(target, Source) and not full:
        sizes["examples"] //= 2  # of a backbone that is larger than `tiny`
    chosen = {"seeds": seeds, "examples": examples, "steps": steps}
    sizes |= {key: value for key, value in chosen.items() if value is not None}
    verdict = run_study(study, target, sizes, out, why)
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
    plans = study.plan(
        sizes["seeds"], sizes["examples"], target=target, training=training, measure=False
    )
    console.print(Text(f"{study.key}: {study.claim}\n{why}".strip()))
    console.print(Text(f"\n{study.plan_summary(plans, target, training)}\n"))
    table = table_of("part", "contrast", "on", "expected", "supports", "refutes")
    for part, plan in plans.items():
        h = plan.hypothesis
        where = f"{h.loaded_task.name} {h.split}"
        powers = (f"{plan.power:.0%}", f"{plan.power_refute:.0%}")
        least = f"{h.sign * h.smallest_effect:+g}"
        table.add_row(*map(Text, (part, str(h.contrast), where, least, *powers)))
    console.print(table)
    console.print(
        "supports: chance to, if the effect is twice what is expected; refutes: if there is none\n",
        highlight=False,
    )
    return study.test(target, plans, out, training=training)


def _target(
    name: str, backbone: str, runs: list[Path] | None, train: bool
) -> tuple[Study, Any, str]:
    """The study, what to test it on, and what to say of that."""
    from latent_core.backbones import load_backbone
    from latent_core.hypotheses import load_study
    from latent_core.hypotheses.builtin import ELSEWHERE
    from latent_core.hypotheses.testing import as_source
    from latent_core.shipped import SHIPPED, shipped_adapters

    study = load_study(name)
    if runs:
        return (
            study,
            as_source(list(runs), _task_of(study)),
            f"on the runs in {', '.join(map(str, runs))}",
        )
    if backbone == "tiny" or train:
        return study, load_backbone(backbone), ""
    ship = {a.task for a in shipped_adapters() if a.backbone == backbone}
    others = [s for s in ELSEWHERE if s.key.startswith(f"{study.key}-")]
    for found in (study, *others):
        if ship & {part.loaded_task.name for part in found.parts.values()}:
            why = f"on the adapters that ship for {backbone}; nothing is trained"
            if found is not study:
                why = f"as {found.key}, {why}"
            return found, as_source([SHIPPED / backbone], _task_of(found)), why
    tasks = ", ".join(sorted({part.loaded_task.name for part in study.parts.values()}))
    raise SettingError(
        f"no adapter ships for {backbone} on {tasks}; add --train to train what it takes, which "
        "may be long, or train with `latent train` and give the folder with --runs"
    )


def _task_of(study: Study) -> Hypothesis:
    """A part of a study; those of a built-in one are all on one task."""
    return next(iter(study.parts.values()))
