"""Training examples of a run as slots, and how often each latent group occurs in them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Final

from torch.utils.data import Dataset

from latent_core.errors import SettingError
from latent_core.models.steered import SteeredModel
from latent_core.slots.placement import Slots
from latent_core.tasks.base import Task
from latent_core.training.staged import StagedModel

__all__ = ["TrainingExamples", "TrainingWarning"]

#: Examples that are looked at first; all of them, if a group does not occur in these.
_SAMPLE: Final = 64


class TrainingWarning(UserWarning):
    """Part of what should train does not, or part of the text is unknown to the tokenizer."""


class TrainingExamples(Dataset[Slots]):
    """The training examples as slots, placed when asked for.

    The longest is placed at once, so that one which does not fit is refused before the run begins.

    Args:
        model: places the latents.
        task: gives the examples.
        count: how many.
        seed: draws them.
        stages: of a curriculum, and how many examples a step takes; None where answers are trained
            without written steps.

    Attributes:
        occurrences: mean number of occurrences of each latent group in an example, by name.

    Raises:
        SettingError: if no latent group occurs in any example, so that nothing would be trained;
            if steps are to be left out, and no example has any.

    Warns:
        TrainingWarning: if one of several groups occurs in no example, or the tokenizer has no
            token for some of the text.
    """

    def __init__(
        self,
        model: SteeredModel,
        task: Task,
        count: int,
        seed: int,
        stages: tuple[StagedModel, int] | None = None,
    ) -> None:
        self.model, self.task, self.stages = model, task, stages
        self.examples = task.examples("train", count, seed)
        self._refuse_missing_steps()
        sizes = [len(e.prompt) + len(self._answer(n)[1]) for n, e in enumerate(self.examples)]
        self[sizes.index(max(sizes))]
        self.occurrences = self._count_groups()
        self._warn_of_unknown_text()

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Slots:
        model, answer = self._answer(index)
        return self._placed(model, index, answer)

    def _answer(self, index: int) -> tuple[SteeredModel, str]:
        """The model that an example trains, and the text of its response."""
        example = self.examples[index]
        if self.stages is None:
            return self.model, example.answer
        staged, per_step = self.stages
        number = staged.curriculum.stage_of(index // per_step)
        skipped = staged.curriculum.stages[number].skipped(len(example.steps))
        return staged.of_stage(number), self.task.written(example, skipped)

    def _placed(self, model: SteeredModel, index: int, answer: str) -> Slots:
        backbone = model.backbone
        prompt, end = self.examples[index].prompt, not self.task.open_ended
        return model.place(*backbone.encode_example(prompt, answer, end))

    def _refuse_missing_steps(self) -> None:
        if self.stages is None or any(example.steps for example in self.examples):
            return
        stages = self.stages[0].curriculum.stages
        if any(stage.replaced not in (0, "all") for stage in stages):
            raise SettingError(
                f"the examples of {self.task.name} have no written steps, so that none can be left "
                "out; expected a task with steps, such as hops, or stages with replaced: all"
            )

    def _count_groups(self) -> Mapping[str, float]:
        names = [group.name for group in self.model.placement.layout.groups]
        seen = 0
        found: Counter[str] = Counter()
        for index in range(len(self)):
            if index >= _SAMPLE and all(found[name] for name in names):
                break
            seen += 1
            found.update(
                names[slot.group]
                for slot in self._last(index).slots
                if slot.is_latent and slot.member == 0
            )
        absent = [name for name in names if not found[name]]
        if names and absent == names:
            raise SettingError(
                f"no latent of {self.model.method} occurs in any of the {len(self)} training "
                f"examples of {self.task.name}, so nothing would be trained. Expected a layout "
                "whose triggers occur in the prompts or answers, or with Start or End"
            )
        if absent:
            warnings.warn(
                f"{', '.join(absent)} of {self.model.method} occurs in none of the {len(self)} "
                f"training examples of {self.task.name}, so its latents keep their initial values",
                TrainingWarning,
                stacklevel=4,
            )
        return {name: found[name] / seen for name in names}

    def _last(self, index: int) -> Slots:
        """An example as the last stage has it."""
        example, stages = self.examples[index], self.stages
        if stages is None:
            return self[index]
        skipped = stages[0].curriculum.stages[-1].skipped(len(example.steps))
        return self._placed(self.model, index, self.task.written(example, skipped))

    def _warn_of_unknown_text(self) -> None:
        backbone = self.model.backbone
        unknown = backbone.tokenizer.unk_token_id
        if unknown is None:
            return
        sample = self.examples[:_SAMPLE]
        counts = [
            sum(ids.count(unknown) for ids in backbone.encode_example(e.prompt, e.answer))
            for e in sample
        ]
        if total := sum(counts):
            warnings.warn(
                f"{backbone.name} has no token for some of the text of {self.task.name}: {total} "
                f"unknown tokens in {sum(map(bool, counts))} of the first {len(sample)} training "
                "examples. The model sees each of them as the unknown token",
                TrainingWarning,
                stacklevel=4,
            )
