"""The training panel's chart: loss and accuracy against steps."""

from __future__ import annotations

from typing import Final

import pandas as pd

from latent_core.wording import counted
from workbench.pictures.chart import Chart, Curve, Plot
from workbench.pictures.palette import colours_of

__all__ = ["training_chart"]

#: The share of the steps so far over which the bold loss line averages.
_SMOOTHED: Final = 0.1
_STYLES: Final = {"graded": ("solid", "circle"), "exact": ("dash", "square")}
_COLOURS: Final = colours_of(("loss", "graded", "exact"))


def training_chart(table: pd.DataFrame, steps: int, title: str, examples: int) -> Chart:
    """Describe two plots: the training loss, and the accuracy on validation examples.

    Args:
        table: of `WatchedRun.table`.
        steps: how many there will be; the axes are that long from the start.
        title: plain text.
        examples: how many the accuracy rests on.
    """
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
    across = (0.0, steps * 1.02)
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
