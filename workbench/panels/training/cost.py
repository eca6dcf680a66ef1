"""The time that a run takes, estimated before it starts: its steps, and its checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from latent_core.backbones.backbone import Backbone
from latent_core.evaluation.timing import STOPWATCH
from latent_core.models.build import build_model
from latent_core.wording import counted, duration_range
from workbench.panels.training.plan import TrainingPlan
from workbench.panels.training.work import WatchedRun

__all__ = ["RunCost", "estimate"]

#: A forward pass takes about a third of a step, which also goes backward.
_FORWARD: Final = 1 / 3


@dataclass(frozen=True)
class RunCost:
    """What a run takes.

    Attributes:
        examples: that it is trained on.
        training: seconds of its steps.
        checks: how often accuracy or validation loss is measured.
        checking: seconds of these checks.
    """

    examples: int
    training: float
    checks: int
    checking: float

    def __str__(self) -> str:
        whole = duration_range(self.training + self.checking)
        trained = f"{counted(self.examples, 'training example')}"
        said = f"Estimated time on this machine: {whole}, for {trained}"
        if not self.checks:
            return f"{said}."
        share = round(100 * self.checking / (self.training + self.checking))
        return f"{said} and {counted(self.checks, 'check')} ({share} % of the time)."


def estimate(run: WatchedRun, backbone: Backbone, steps: int | None = None) -> RunCost:
    """Estimate by a sample of the work, which takes a second or more; see `STOPWATCH`.

    Args:
        run: the run, with its checks.
        backbone: what it is trained on.
        steps: those that are left of a run that goes on; by default all.
    """
    plan: TrainingPlan = run.plan
    task, left = plan.task, plan.steps if steps is None else steps
    training = STOPWATCH.seconds_of_training(
        backbone, plan.method, task, left, batch_size=plan.batch_size
    )
    checks, checking = 0, 0.0
    if run.check_every:
        checks = left // run.check_every + (steps is None) + bool(left % run.check_every)
        model = build_model(backbone, plan.method, to_train=False)
        for split in run.checked_splits:
            checking += STOPWATCH.seconds_of_answers(model, task, split, run.examples, times=checks)
    settings = plan.settings(backbone)
    if settings.check_every is not None and settings.check_examples is not None:
        own = -(-left // settings.check_every)
        passes = own * settings.check_examples / plan.batch_size
        checking += passes * _FORWARD * training / left
        checks = max(checks, own)
    return RunCost(left * plan.batch_size, training, checks, checking)
