"""A training run that is watched, and the time that it takes, estimated before it starts.

Watched are its loss at every step, and its accuracy at some. Watching changes nothing: the trained
vectors are bit-identical to those of `latent_core.train` alone. The table may be read from another
thread while the run is under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from latent_core.backbones.backbone import Backbone
from latent_core.evaluation.evaluate import evaluate
from latent_core.evaluation.timing import STOPWATCH
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.progress import heartbeats_only
from latent_core.runs.checkpoints import LOSS_COLUMN
from latent_core.slots.methods import Method
from latent_core.training.parent import Parent
from latent_core.training.result import Kept
from latent_core.training.train import train
from latent_core.wording import counted, duration_range
from workbench.panels.code import task_source
from workbench.panels.training.plan import TrainingPlan

__all__ = ["CHECKED_SPLIT", "RunCost", "WatchedRun", "estimate"]

#: In distribution, yet neither trained on nor tested with.
CHECKED_SPLIT: Final = "validation"


class WatchedRun:
    """One run of a plan.

    Attributes:
        plan: its settings.
        losses: (step, mean cross-entropy per response token in nats), in order.
        checks: (step, exact, graded), means over the examples of `CHECKED_SPLIT`, in order.
        examples: the number of these examples.
        far_split: an out-of-distribution split that is checked as well; empty for none.
        far: (step, graded), means over examples of `far_split`, in order.
        validation: (step, mean cross-entropy on validation examples), in order; empty without
            patience.
        kept: with patience, once the run has ended, the step whose vectors it keeps.
        stop: set it to True to end the run after its next step and keep the adapter.
    """

    def __init__(
        self, plan: TrainingPlan, check_every: int = 0, examples: int = 8, far_split: str = ""
    ) -> None:
        """Accuracy is measured every `check_every` steps and after the last; 0 for never."""
        self.plan = plan
        self.check_every = check_every if CHECKED_SPLIT in plan.task.splits else 0
        self.examples = examples
        self.losses: list[tuple[int, float]] = []
        self.checks: list[tuple[int, float, float]] = []
        self.far_split = far_split if far_split in plan.task.splits else ""
        self.far: list[tuple[int, float]] = []
        self.validation: list[tuple[int, float]] = []
        self.kept: Kept | None = None
        self.stop = False

    @property
    def name(self) -> str:
        """Method and seed."""
        return f"{self.plan.method}, seed {self.plan.seed}"

    @property
    def checked_splits(self) -> list[str]:
        """The splits on which accuracy is measured."""
        return [CHECKED_SPLIT, *([self.far_split] if self.far_split else [])]

    def run(self, backbone: Backbone) -> LatentModel:
        """Train, and return the model; see `latent_core.train` for what it raises."""
        plan = self.plan
        folder, outlook = plan.where(backbone), plan.outlook(backbone)
        model = build_model(backbone, plan.parsed(backbone), plan.seed, task=plan.task)
        assert isinstance(model, LatentModel)  # a plan has no other methods
        if outlook.action == "start":
            if plan.start_from is not None:
                Parent.read(plan.start_from, model).give(model)
            self._check(model, 0)

        def on_step(step: int, loss: float) -> bool:
            self.losses.append((step, loss))
            last = self.stop or step == plan.steps
            if self.check_every and (last or step % self.check_every == 0):
                self._check(model, step)
            return self.stop

        result = train(
            model,
            plan.task,
            **plan.arguments(),
            output_dir=folder,
            resume=True,
            progress=False,
            on_step=on_step,
            on_check=lambda step, loss: self.validation.append((step, loss)),
            notes={"method": Method.parse(plan.method).name, "task_source": task_source(plan.task)},
        )
        self.losses = [
            (int(step), float(loss)) for step, loss in result.log[["step", "loss"]].to_numpy()
        ]
        if LOSS_COLUMN in result.log:
            checked = result.log.dropna(subset=LOSS_COLUMN)
            self.validation = [
                (int(step), float(loss)) for step, loss in checked[["step", LOSS_COLUMN]].to_numpy()
            ]
        self.kept = result.kept
        return model

    def table(self) -> pd.DataFrame:
        """One row per step: step, loss; and where measured, exact, graded, far, validation_loss."""
        losses = pd.DataFrame(list(self.losses), columns=["step", "loss"])
        checks = pd.DataFrame(list(self.checks), columns=["step", "exact", "graded"])
        far = pd.DataFrame(list(self.far), columns=["step", "far"])
        both = losses.merge(checks, on="step", how="outer").merge(far, on="step", how="outer")
        if self.validation:
            found = pd.DataFrame(list(self.validation), columns=["step", LOSS_COLUMN])
            both = both.merge(found, on="step", how="outer")
        return both.sort_values("step", ignore_index=True)

    def _check(self, model: LatentModel, step: int) -> None:
        if not self.check_every:
            return
        with heartbeats_only():  # the bar is the training's
            frame = evaluate(model, self.plan.task, CHECKED_SPLIT, self.examples, progress=False)
            self.checks.append((step, float(frame["exact"].mean()), float(frame["graded"].mean())))
            if self.far_split:
                task, count = self.plan.task, self.examples
                frame = evaluate(model, task, self.far_split, count, progress=False)
                self.far.append((step, float(frame["graded"].mean())))


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
