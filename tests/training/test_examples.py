"""Training examples: how often latent groups occur in them, and text that the tokenizer lacks."""

import json
import warnings
from pathlib import Path

import pytest

from latent_core.errors import SettingError
from latent_core.tasks.base import Example
from latent_core.training.examples import TrainingExamples, TrainingWarning
from latent_core.training.train import train
from tests.training.test_train import Echo, run, shared


class NoCommas(Echo):
    """The prompt's letter once, so that no comma occurs."""

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        return [Example("1a=", "a", split, 1, str(number)) for number in range(count)]


class LateComma(NoCommas):
    """A comma in the last of many examples alone."""

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        *most, _ = super().examples(split, count, seed)
        return [*most, Example("1a=", "a,a", split, 1, "last")]


class Foreign(Echo):
    """Text with a character that the tests' tokenizer does not know, in every second example."""

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        return [
            Example(f"1a{'世' if number % 2 else 'b'}=", "a,a", split, 1, str(number))
            for number in range(count)
        ]


def test_latents_that_occur_nowhere_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    said = "no latent of Comma_1 occurs in any of the 40 training examples of echo"
    with pytest.raises(SettingError, match=said):
        train(shared("Comma_1"), NoCommas(), 10, 4, 3, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_group_that_occurs_nowhere_is_named() -> None:
    with pytest.warns(TrainingWarning, match=r"Comma of Start_2\+Comma_1 occurs in none of the 8"):
        result = train(shared(), NoCommas(), 2, 4, 3, progress=False)
    assert result.occurrences == {"Start": 1.0, "Comma": 0.0}


def test_a_group_that_occurs_late_is_found() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingWarning)
        examples = TrainingExamples(shared(), LateComma(), 100, 0)
    assert examples.occurrences == {"Start": 1.0, "Comma": 0.01}


def test_how_often_each_group_occurs_is_recorded(tmp_path: Path) -> None:
    result = run(shared(), tmp_path, steps=2)
    assert result.occurrences["Start"] == 1.0
    assert 0 < result.occurrences["Comma"] < 3
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["occurrences"] == result.occurrences


def test_text_that_the_tokenizer_does_not_know_is_counted() -> None:
    with pytest.warns(TrainingWarning, match="echo: 4 unknown tokens in 4 of the first 8"):
        train(shared(), Foreign(), 2, 4, 3, progress=False)
