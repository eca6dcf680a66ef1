"""Levels and splits are called alike everywhere."""

import pytest

from workbench.levels import level_words, split_words


@pytest.mark.parametrize(
    ("split", "words"),
    [("id", "ID"), ("ood-20", "OOD 20"), ("validation", "validation"), ("ood-names", "OOD names")],
)
def test_a_split_in_words_keeps_names_that_only_hold_id(split: str, words: str) -> None:
    assert split_words(split) == words


@pytest.mark.parametrize(
    ("level", "name", "words"),
    [(1, "repeats", "1 repeat"), (5, "repeats", "5 repeats"), (3, "level", "level 3")],
)
def test_a_level_in_words_counts_what_its_task_counts(level: int, name: str, words: str) -> None:
    assert level_words(level, name) == words
