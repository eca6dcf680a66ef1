"""`latent hypotheses | test`: the built-in claims, and their tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from latent_core.cli.app import BackboneOption, app, console, table_of
from latent_core.errors import SettingError

if TYPE_CHECKING:
    from latent_core.hypotheses.study import Study
    from latent_core.hypotheses.study_verdict import StudyVerdict

__all__ = ["hypotheses", "test"]


@app.command()
def hypotheses(
    name: Annotated[
        str, typer.Argument(help="Name of the hypothesis to explain; leave it out to list all.")
    ] = "",
) -> None:
    """List the built-in hypotheses, or explain one.

    Example: latent hypotheses H2
    """
    from latent_core.hypotheses.studies.outlines import OUTLINES, other_keys

    if not name:  # without torch, which takes seconds
        table = table_of("name", "question", "claim", "parts")
        for outline in OUTLINES:
            table.add_row(outline.key, outline.title, outline.claim, str(outline.size))
        console.print(table)
        console.print("To test one: latent test H1 --backbone tiny", highlight=False)
        console.print(
            f"The same hypotheses on other tasks: {', '.join(other_keys())}", highlight=False
        )
        return
    from latent_core.hypotheses.studies.table import load_study

    study = load_study(name)
    for line in (f"{study.key}: {study.title}", study.claim, study.prediction, study.explanation):
        console.print(Text(line))
    table = table_of("part", "claim", "contrast", "task and split", "expected")
    for part, h in study.parts.items():
        sign = "+" if h.sign > 0 else "-"
        where = f"{h.loaded_task.name} {h.split}"
        cells = (part, h.claim, str(h.contrast), where, f"{sign}{h.smallest_effect:g}")
        table.add_row(*map(Text, cells))
    console.print(table)


@app.command()
def test(
    name: Annotated[str, typer.Argument(help="A built-in hypothesis (see `latent hypotheses`).")],
    layout: Annotated[
        str,
        typer.Option(help="Layout to test instead of the study's own, such as Start_2+Comma_2."),
    ] = "",
    group: Annotated[
        str, typer.Option(help="Group of the layout to ask about; default: the last.")
    ] = "",
    backbone: BackboneOption = "tiny",
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of trained runs to test; nothing is trained then."),
    ] = None,
    shipped: Annotated[
        bool,
        typer.Option(
            "--shipped",
            help="Test the adapters that ship with the package; nothing is trained then.",
        ),
    ] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Train adapters on the backbone. This may take long.")
    ] = False,
    seeds: Annotated[int | None, typer.Option(help="Number of training seeds.")] = None,
    examples: Annotated[int | None, typer.Option(help="Examples per seed and split.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of each adapter.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Full test (5 seeds, 100 examples, 400 steps).")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for adapters, partial results, journal and report.")
    ] = Path("runs/hypotheses"),
) -> None:
    """Test a hypothesis: show the plan, run it, give the verdict and write a report.

    By default this is a quick test (1 seed). On `tiny` it trains the adapters it needs. On other
    backbones it tests the adapters that ship, unless --train or --runs is given. A test that was
    stopped continues when the same command is run again.
    Example: latent test H1 --backbone tiny
    """
    from latent_core.hypotheses import lab
    from latent_core.hypotheses.sources import Source

    train = train or (backbone == "tiny" and not shipped)
    study, target, why = _target((name, layout, group), backbone, runs, train)
    sizes = dict(lab.FULL_TEST if full else lab.QUICK_TEST)
    if isinstance(target, Source) and not full:
        sizes["examples"] //= 2  # such adapters are mostly of a backbone larger than `tiny`
    chosen = {"seeds": seeds, "examples": examples, "steps": steps}
    sizes |= {key: value for key, value in chosen.items() if value is not None}
    verdict = run_study(study, target, sizes, out, why)
    console.print(Text(verdict.summary()))
    report = lab.report(verdict, out / f"{study.key}.html")
    console.print(f"report: {report}", highlight=False, soft_wrap=True)


def run_study(
    study: Study, target: Any, sizes: dict[str, int], out: Path, why: str = ""
) -> StudyVerdict:
    """Print the plans of a study and run it."""
    from latent_core.hypotheses import lab

    if sizes["steps"] < 1:
        raise SettingError(f"steps is {sizes['steps']}; expected at least 1")
    training = {"steps": sizes["steps"]}
    plans = lab.plan(study, sizes["seeds"], sizes["examples"], target=target, training=training)
    console.print(Text(f"{study.key}: {study.claim}\n{why}".strip()))
    console.print(Text(f"\n{plans.summary()}\n"))
    table = table_of("part", "contrast", "task and split", "expected", "support", "refute")
    for part, plan in plans.items():
        h = plan.hypothesis
        where = f"{h.loaded_task.name} {h.split}"
        powers = (f"{plan.power:.0%}", f"{plan.power_refute:.0%}")
        least = f"{h.sign * h.smallest_effect:+g}"
        table.add_row(*map(Text, (part, str(h.contrast), where, least, *powers)))
    console.print(table)
    console.print(
        "support: power to support the part if the effect is twice the expected one; "
        "refute: power to refute it if there is no effect\n",
        highlight=False,
    )
    return lab.run(study, target, plans, out, training=training)


def _target(
    asked: tuple[str, str, str], backbone: str, runs: list[Path] | None, train: bool
) -> tuple[Study, Any, str]:
    """Return the study, its target, and a sentence about the target."""
    from latent_core.backbones.loading import load_backbone
    from latent_core.hypotheses.studies.forms import on_runs
    from latent_core.hypotheses.studies.table import load_study
    from latent_core.runs.shipped import SHIPPED

    study = load_study(*asked)
    if train and not runs:
        return study, load_backbone(backbone), ""
    folders = list(runs) if runs else [SHIPPED / backbone]
    where = f"the shipped adapters for {backbone}"
    if runs:
        where = f"the runs in {', '.join(map(str, runs))}"
    try:
        chosen, given = on_runs(study, folders, exactly=any(asked[1:]))
    except SettingError as error:
        raise SettingError(
            f"on {where}: {error}; add --train to train the adapters here, which may take long, or "
            "train with `latent train` and give the folder with --runs"
        ) from error
    form = "" if chosen is study else f"as {chosen.key} with layout {chosen.layout}, "
    return chosen, given, f"tested {form}on {where}; nothing is trained"
