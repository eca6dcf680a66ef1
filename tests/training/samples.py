"""A small task, models for it, and runs of a few steps, for the tests of training."""

from pathlib import Path

import torch

from latent_core.backbones.backbone import Backbone
from latent_core.errors import TaskError
from latent_core.models.latent import LatentModel
from latent_core.tasks import Task
from latent_core.tasks.base import Example, Score
from latent_core.training.result import TrainingResult
from latent_core.training.train import train
from tests.families import character_tokenizer, random_model, tiny_backbone

LAYOUT = "Start_2+Comma_1"


class Echo(Task):
    """Write the prompt's letter as often as its digit says, between commas; lengths vary."""

    name = "echo"
    description = hypothesis = exact_metric = graded_metric = "for tests"
    level_name = "repeats"
    id_levels = (1, 2, 3, 4)
    ood_levels = (6,)

    def __init__(self, open_ended: bool = False, prompt: str = "") -> None:
        self.open_ended, self.prompt = open_ended, prompt

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        found = []
        for number in range(count):
            level = self.id_levels[(number * 7 + seed + len(split)) % 4]
            letter = "abcdefghijklmnop"[(number * 5 + seed) % 16]
            prompt = self.prompt or f"{level}{letter}="
            found.append(Example(prompt, ",".join(letter * level), split, level, prompt))
        return found

    def score(self, example: Example, response: str) -> Score:
        return Score(response == example.answer, float(response == example.answer), ())


class Barren(Echo):
    """A task of someone who forgot the training examples."""

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        raise TaskError("this task has no training examples")


def fresh(layout: str = LAYOUT, family: str = "llama", seed: int = 0, **changes) -> LatentModel:
    backbone = Backbone(family, random_model(family, **changes), character_tokenizer())
    return LatentModel(backbone, layout, seed=seed)


def shared(layout: str = LAYOUT, family: str = "llama") -> LatentModel:
    return LatentModel(tiny_backbone(family), layout)


def run(model: LatentModel, folder: Path | None = None, **kwargs) -> TrainingResult:
    settings = {"steps": 10, "batch_size": 4, "seed": 3, "progress": False}
    return train(model, Echo(), output_dir=folder, **(settings | kwargs))


def same(first: LatentModel, second: LatentModel) -> bool:
    return torch.equal(first.tables.rows(), second.tables.rows())
