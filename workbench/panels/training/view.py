"""What the training panel says and draws: its hints, and the chart of loss and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from latent_core.runs.checkpoints import LOSS_COLUMN
from latent_core.slots.methods import EXAMPLE_LAYOUTS
from latent_core.wording import counted
from workbench.panels.training.plan import Outlook, TrainingPlan
from workbench.panels.training.work import CHECKED_SPLIT, WatchedRun
from workbench.pictures.chart import DASHES, Chart, Curve, Plot
from workbench.pictures.theme import INK, colours_of

__all__ = ["ending_words", "plan_words", "running_words", "training_chart"]

#: The share of the steps so far over which the bold loss line averages.
_SMOOTHED: Final = 0.1
_STYLES: Final = {"graded": ("solid", "circle"), "exact": ("dash", "square")}
_COLOURS: Final = colours_of(("loss", "graded", "exact", "far", "validation loss"))


def training_chart(run: WatchedRun, title: str, earlier: Sequence[WatchedRun] = ()) -> Chart:
    """Describe two plots: the training loss, and the accuracy on validation and OOD examples.

    Args:
        run: the run; the axes are as long as all its steps from the start.
        title: plain text.
        earlier: runs that are drawn in grey behind it.
    """
    table, examples = run.table(), run.examples
    loss = table.dropna(subset="loss")
    smooth = loss["loss"].rolling(max(1, int(len(loss) * _SMOOTHED)), min_periods=1).mean()
    checks = table.dropna(subset="graded")
    few = "circle" if len(loss) < 3 else ""  # a line needs two points to be seen
    losses = [
        Curve(
            "loss of one step",
            loss["step"],
            loss["loss"],
            _COLOURS["loss"],
            symbol=few,
            width=1,
            opacity=0.4,
            listed=False,
        ),
        Curve(
            "loss",
            loss["step"],
            smooth,
            _COLOURS["loss"],
            width=2.5,
            listed=False,
            tip="step {x}: loss {customdata[0]:.3f}, smoothed {y:.3f}",
            customdata=loss[["loss"]],
        ),
    ]
    if run.validation:
        checked = table.dropna(subset=LOSS_COLUMN)
        losses.append(
            Curve(
                "validation loss",
                checked["step"],
                checked[LOSS_COLUMN],
                _COLOURS["validation loss"],
                dash="dash",
                symbol="triangle-up",
                tip="step {x}: validation loss {y:.3f}",
            )
        )
    accuracies = [
        Curve(
            metric,
            checks["step"],
            checks[metric],
            _COLOURS[metric],
            dash=dash,
            symbol=symbol,
            tip=f"step {{x}}: {metric} {{y:.2f}}",
        )
        for metric, (dash, symbol) in _STYLES.items()
    ]
    if run.far_split:
        far = table.dropna(subset="far")
        accuracies.append(
            Curve(
                f"graded, {run.far_split}",
                far["step"],
                far["far"],
                _COLOURS["far"],
                dash="dot",
                symbol="diamond",
                tip="step {x}: graded on " + run.far_split + " {y:.2f}",
            )
        )
    for number, other in enumerate(earlier):
        before = other.table()
        style: dict[str, Any] = {"dash": DASHES[number % len(DASHES)], "width": 1.5}
        known = before.dropna(subset="loss")
        mean = known["loss"].rolling(max(1, int(len(known) * _SMOOTHED)), min_periods=1).mean()
        tip = f"{other.name}, step {{x}}: {{y:.3f}}"
        losses.append(Curve(other.name, known["step"], mean, INK, listed=False, tip=tip, **style))
        known = before.dropna(subset="graded")
        accuracies.append(
            Curve(f"earlier: {other.name}", known["step"], known["graded"], INK, tip=tip, **style)
        )
    across = (0.0, max([run.plan.steps, *(other.plan.steps for other in earlier)]) * 1.02)
    return Chart(
        [
            Plot(losses, "step", "nats per response token", "Training loss", across, (0.0, None)),
            Plot(
                accuracies,
                "step",
                "accuracy",
                f"Accuracy on {counted(examples, 'validation example')}",
                across,
                (-0.03, 1.05),
            ),
        ],
        title,
        height=354,
        legend="above",
    )


def running_words(plan: TrainingPlan) -> str:
    """Say what is being trained, and how it can be ended."""
    return (
        f"Training {plan.method} on {plan.task.name} in {plan.folder}.\n"
        "'Cancel job' ends the run after this step; its folder keeps the adapter, and the run can "
        "be resumed. 'Finish training now' also offers the adapter to every panel."
    )


def plan_words(
    plan: TrainingPlan,
    outlook: Outlook,
    folder: Path,
    vectors: tuple[int, int],
    checks: tuple[int, int],
) -> list[str]:
    """Say what a plan trains, where, and what its checks measure.

    Args:
        plan: the run that the fields describe.
        outlook: whether it is started, resumed or loaded.
        folder: the run folder.
        vectors: number of latents, and the width of each.
        checks: steps between two checks, 0 for none, and examples of each.
    """
    count, size = vectors
    parameters = f"{count * size:,} trainable parameters: {counted(count, 'latent')} of {size}."
    explained = EXAMPLE_LAYOUTS.get(plan.method.strip())
    if explained:
        parameters = f"{explained[0].upper()}{explained[1:]}. {parameters}"
    lines = [parameters, _outlook_words(outlook, folder)]
    if plan.start_from is not None:
        lines.append(f"It starts with the vectors of {plan.start_from}.")
    if plan.patience is not None:
        lines.append(
            f"It ends when {counted(plan.patience, 'check')} in a row find no lower validation "
            "loss, and keeps the vectors with the lowest one."
        )
    every, examples = checks
    if every and CHECKED_SPLIT not in plan.task.splits:
        lines.append(f"Task {plan.task.name} has no {CHECKED_SPLIT} split: no accuracy is checked.")
    elif every:
        often = "after every step" if every == 1 else f"every {every} steps"
        lines.append(
            f"Accuracy is measured on {counted(examples, f'{CHECKED_SPLIT} example')} {often}."
        )
    return lines


def ending_words(run: WatchedRun, state: str, name: str, is_a: bool) -> list[str]:
    """Say how a run ended; nothing if it failed, which the status line explains.

    Args:
        run: the run.
        state: of its job.
        name: of its model in the session.
        is_a: whether that is adapter A.
    """
    plan = run.plan
    if state == "done" and run.kept is not None:
        ended = "fell no more" if run.kept.early else "was checked to the last step"
        return [
            f"{plan.method} is trained: the validation loss {ended}. The vectors of step "
            f"{run.kept.step} are kept, where it was {run.kept.validation_loss:.3f}. Every "
            f"panel offers it as {name}{', which is now adapter A' if is_a else ''}. It is saved "
            f"in {plan.folder}."
        ]
    if state == "done":
        loss = f"loss {run.losses[-1][1]:.3f}" if run.losses else "no steps"
        return [
            f"{plan.method} is trained: {loss} after {counted(len(run.losses), 'step')}. Every "
            f"panel offers it as {name}{', which is now adapter A' if is_a else ''}. It is saved "
            f"in {plan.folder}."
        ]
    if state == "cancelled":
        if not run.losses:
            return ["Cancelled before the first step."]
        step = run.losses[-1][0]
        kept = f"{plan.folder} keeps the adapter of this step."
        return [f"Cancelled at step {step} of {plan.steps}. {kept}"]
    return []


def _outlook_words(outlook: Outlook, folder: Path) -> str:
    if outlook.action == "load":
        return f"{folder} holds this run, finished: 'Load adapter' loads it."
    if outlook.action == "resume" and outlook.step:
        return (
            f"{folder} holds this run, unfinished: 'Resume training' continues from step "
            f"{outlook.step}."
        )
    if outlook.action == "resume":
        return (
            f"{folder} holds this run without a checkpoint: 'Resume training' starts again from "
            "the same initial vectors."
        )
    return f"The run will be saved in {folder}."
