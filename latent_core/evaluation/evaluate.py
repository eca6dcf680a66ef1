"""Records of answers: one per example, with the score that the task's verifier gives it.

`latent_core.statistics` compares records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Never

import pandas as pd

from latent_core.errors import SettingError, whole_number
from latent_core.generation.generate import Generation
from latent_core.models.steered import SteeredModel
from latent_core.progress import progress_bar
from latent_core.tasks.base import Example, Task, resolve_splits
from latent_core.tasks.donors import answering

__all__ = ["BATCH_SIZE", "Asking", "evaluate", "longest_first", "response_limit"]

#: Prompts decoded side by side.
BATCH_SIZE: Final = 32

_Numbered = tuple[int, Example]


def evaluate(
    model: SteeredModel,
    task: Task,
    splits: str | Iterable[str] = ("id", "ood"),
    examples: int = 100,
    eval_seed: int = 1,
    *,
    shots: int | None = None,
    batch_size: int | None = None,
    deterministic: bool = False,
    progress: bool = True,
    on_records: Callable[[pd.DataFrame], None] | None = None,
    **renamed: Never,
) -> pd.DataFrame:
    """Answer examples of a task greedily and score them.

    Args:
        model: the model, with whatever latents it has.
        task: examples and verifier.
        splits: split names; `ood` stands for every OOD level.
        examples: per split.
        eval_seed: draws the examples; the same seed gives every model the same ones, so records
            pair up. `seed` is the training seed everywhere else, and is refused here.
        shots: solved training examples in front of each prompt; by default as many as the model's
            method has.
        batch_size: prompts decoded side by side, 32 by default. When some responses have ended,
            waiting prompts take their places; long answers begin first. In float32 a response does
            not depend on this. In bfloat16 and float16 rounding does, so a few responses differ
            with another number, or with other examples beside them.
        deterministic: answer one prompt at a time, in whatever precision, so that no response can
            depend on the batch. Slower; an alternative is a backbone loaded in float32.
        progress: show a bar with the time left.
        on_records: called with records as responses end, about as many as a batch has.

    Returns:
        one row per example: task, task_fingerprint, backbone, method, layout, shots, split, level,
        example, key, prompt, answer, response, exact (bool), graded (0 to 1), response_tokens,
        latent_slots (latents processed), extra_slots (those, the virtual tokens of a prefix, and
        the tokens of solved examples), decode_steps (forward passes), trainable (numbers of the
        method), seconds (the time of the records that came together, shared equally), eval_seed,
        dtype (of the backbone's weights), batch_size. `attrs["evaluation"]` says what was asked of
        each split; `write_records` keeps it.

    Raises:
        TaskError: for a split the task does not have.
        SettingError: for a number out of its range.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> frame = lc.evaluate(model, lc.load_task("repetition"), "id", examples=2, progress=False)
        >>> frame[["split", "method"]].values.tolist()
        [['id', 'Start_2'], ['id', 'Start_2']]
    """
    if "seed" in renamed:
        raise SettingError(
            "evaluate takes no seed, which is a training seed; use eval_seed, which draws the "
            "examples"
        )
    if renamed:
        raise TypeError(f"evaluate takes no argument {', '.join(renamed)}")
    if batch_size is None:
        batch_size = 1 if deterministic else BATCH_SIZE
    batch_size = whole_number("batch_size", batch_size, 1)
    if deterministic and batch_size != 1:
        raise SettingError(
            f"batch_size is {batch_size}; expected 1, or none, with deterministic=True, which "
            "answers one prompt at a time"
        )
    asking = Asking(model, task, examples, eval_seed, model.shots if shots is None else shots)
    return asking.ask(splits, batch_size, progress, on_records)


@dataclass(frozen=True)
class Asking:
    """What a model is asked.

    Attributes:
        model, task, examples, eval_seed, shots: as in `evaluate`.
        samples: responses to each prompt.
        settings: of `LatentModel.generate`.

    Raises:
        SettingError: for a number out of its range.
    """

    model: SteeredModel
    task: Task
    examples: int
    eval_seed: int
    shots: int
    samples: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("examples", "samples"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 1))

    def ask(
        self,
        splits: str | Iterable[str],
        batch_size: int,
        progress: bool,
        on_records: Callable[[pd.DataFrame], None] | None = None,
    ) -> pd.DataFrame:
        """Records by split and example; with several samples, those of an example side by side."""
        names = resolve_splits(self.task, splits)
        drawn = [(name, self.task.examples(name, self.examples, self.eval_seed)) for name in names]
        dtype = str(self.model.backbone.dtype).removeprefix("torch.")
        frames: list[pd.DataFrame] = []
        total = sum(len(found) for _, found in drawn)

        def keep(records: dict[int, dict[str, Any]]) -> None:
            frame = pd.DataFrame(list(records.values()), index=list(records))
            frames.append(frame.assign(dtype=dtype, batch_size=batch_size))
            if on_records is not None:
                on_records(frames[-1].reset_index(drop=True))

        with progress_bar(total, "evaluate", "example", progress) as bar:
            for name, found in drawn:
                bar.set_description(f"evaluate {name}")
                for part in self._parts(found, batch_size):
                    self._answer(part, batch_size, keep, bar.update)
        frame = pd.concat(frames).sort_index(kind="stable")  # an example's samples in order
        ranks = frame["split"].map({name: rank for rank, name in enumerate(names)})
        frame = frame.assign(rank=ranks).sort_values(
            ["rank", "example"], ignore_index=True, kind="stable"
        )
        frame = frame.drop(columns="rank")
        asked = {"examples": self.examples, "seed": self.eval_seed}
        frame.attrs["evaluation"] = {"splits": {name: dict(asked) for name in names}}
        return frame

    def _parts(self, found: Sequence[Example], batch_size: int) -> list[list[_Numbered]]:
        """Examples that go to the model together; the records keep the drawn order.

        An intervention knows the examples by their rows in a batch, so it gets batch by batch.
        """
        order = longest_first(self.model, self.task, found)
        size = batch_size if self.model.placement.is_edited else len(order)
        whole = [(number, found[number]) for number in order]
        return [whole[start : start + size] for start in range(0, len(whole), size)]

    def _answer(
        self,
        part: Sequence[_Numbered],
        batch_size: int,
        keep: Callable[[dict[int, dict[str, Any]]], None],
        done: Callable[[int], object],
    ) -> None:
        """Answer examples; `keep` gets records by row, a batch at a time, as responses end."""
        model, task, shots = self.model, self.task, self.shots
        prompts = [
            task.few_shot(example, shots, self.eval_seed) if shots else example.prompt
            for _, example in part
        ]
        limits = [response_limit(model, task, example) for _, example in part]
        asked = [one for one in part for _ in range(self.samples)]
        side_by_side = batch_size * self.samples
        ended: list[tuple[int, Generation]] = []
        total, since = 0, time.perf_counter()

        def on_response(number: int, answer: Generation) -> None:
            nonlocal total, since
            ended.append((number, answer))
            total += 1
            done(total // self.samples - (total - 1) // self.samples)
            if len(ended) == side_by_side or total == len(asked):
                seconds = (time.perf_counter() - since) / len(ended)
                cost = {"seconds": seconds, "eval_seed": self.eval_seed}
                keep({place: self._record(*asked[place], one) | cost for place, one in ended})
                ended.clear()
                since = time.perf_counter()

        with answering(task, [example for _, example in asked], shots, self.eval_seed):
            model.generate(
                prompts,
                limits,
                return_details=True,
                batch_size=side_by_side,
                on_response=on_response,
                **self.settings,
            )

    def _record(self, number: int, example: Example, answer: Generation) -> dict[str, Any]:
        model, task = self.model, self.task
        latent_slots = sum(slot.group is not None for slot in answer.slots)
        solved = 0
        if self.shots:
            solved = len(answer.prompt_ids) - len(model.backbone.encode(example.prompt))
        score = task.score(example, answer.text)
        return {
            "task": task.name,
            "task_fingerprint": task.fingerprint,
            "backbone": model.backbone.name,
            "method": model.method,
            "layout": str(model.placement.layout),
            "shots": self.shots,
            "split": example.split,
            "level": example.level,
            "example": number,
            "key": example.key,
            "prompt": example.prompt,
            "answer": example.answer,
            "response": answer.text,
            "exact": score.exact,
            "graded": score.graded,
            "response_tokens": len(answer.response_ids),
            "latent_slots": latent_slots,
            "extra_slots": latent_slots + model.virtual_tokens + solved,
            "decode_steps": answer.decode_steps,
            "trainable": model.num_trainable,
        }


def longest_first(model: SteeredModel, task: Task, examples: Sequence[Example]) -> list[int]:
    """The order in which examples begin: by the length of the response, then of the prompt.

    Long responses begin first, so that short ones fill the places that become free, and the last
    rows end at about the same time.

    Args:
        model, task: which answers what.
        examples: of one split.

    Returns:
        their numbers.
    """
    lengths = [(response_limit(model, task, one), len(one.prompt)) for one in examples]
    return sorted(range(len(examples)), key=lambda number: lengths[number], reverse=True)


def response_limit(model: SteeredModel, task: Task, example: Example) -> int:
    """Verbal tokens a response may have: the answer's, plus a quarter and 8 where it can overrun.

    An open-ended task is cut at the answer's length, since nothing tells a model to stop. Written
    steps count as part of the answer, whether a model writes them or not.
    """
    text = task.written(example)
    length = len(model.backbone.encode_response(text, not task.open_ended, example.prompt))
    return length if task.open_ended else length + length // 4 + 8
