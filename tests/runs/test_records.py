"""Records that join others: what they answer, what would be lost, and in which order they stand."""

import re

import pandas as pd
import pytest

from latent_core.errors import SettingError
from latent_core.runs.records import (
    asked_of,
    by_split,
    check_loss,
    hold_answers_to,
    joined,
    seed_of,
)
from latent_core.tasks.base import Example

EXAMPLES = [Example(f"prompt {n}", f"answer {n}", "id", 1, f"k{n}") for n in range(3)]


def answers(**change) -> pd.DataFrame:
    """Answers to the examples, and one of another split; the last example comes first."""
    rows = [(n, f"prompt {n}", f"answer {n}", "id") for n in (2, 0, 1)]
    rows.append((0, "other", "other", "ood-6"))
    frame = pd.DataFrame(rows, columns=["example", "prompt", "answer", "split"])
    return frame.assign(**{"eval_seed": 7, "shots": 2, "batch_size": 1} | change)


def test_records_answer_the_examples_of_which_they_hold_prompt_and_answer() -> None:
    assert hold_answers_to(answers(), EXAMPLES, 7, 2)
    assert hold_answers_to(answers(), EXAMPLES, 7, 2, deterministic=True)
    assert hold_answers_to(answers(batch_size=4), EXAMPLES, 7, 2)
    assert hold_answers_to(answers().drop(columns="batch_size"), EXAMPLES, 7, 2)


@pytest.mark.parametrize(
    ("frame", "seed", "shots", "deterministic"),
    [
        (answers(), 8, 2, False),
        (answers(), 7, 0, False),
        (answers(shots=[2, 2, 0, 2]), 7, 2, False),
        (answers().drop(columns="eval_seed"), 7, 2, False),
        (answers().drop(columns="prompt"), 7, 2, False),
        (answers().drop(columns="answer"), 7, 2, False),
        (answers().drop(columns="shots"), 7, 2, False),
        (answers().drop(columns="example"), 7, 2, False),
        (answers(prompt="another"), 7, 2, False),
        (answers(answer="another"), 7, 2, False),
        (answers(example=[2, 1, 0, 0]), 7, 2, False),
        (answers()[1:], 7, 2, False),
        (answers(split="ood-8"), 7, 2, False),
        (answers(batch_size=4), 7, 2, True),
        (answers(batch_size=[1, 4, 1, 1]), 7, 2, True),
        (answers().drop(columns="batch_size"), 7, 2, True),
    ],
)
def test_records_of_other_questions_answer_nothing(frame, seed, shots, deterministic) -> None:
    assert not hold_answers_to(frame, EXAMPLES, seed, shots, deterministic)


def test_the_seed_is_known_where_all_records_name_one() -> None:
    assert seed_of(answers()) == 7 and isinstance(seed_of(answers()), int)
    assert seed_of(answers(eval_seed=[7, None, 7, 7])) == 7
    assert seed_of(answers(eval_seed=[7, 8, 7, 7])) is None
    assert seed_of(answers(eval_seed=None)) is None
    assert seed_of(answers().drop(columns="eval_seed")) is None


@pytest.mark.parametrize(
    ("change", "count", "seed", "says"),
    [
        ({}, 3, 7, ""),
        ({}, 4, 7, ""),
        ({}, 3, None, ""),
        ({"eval_seed": None}, 3, 8, ""),
        ({"split": "ood-6"}, 1, 8, ""),
        ({}, 2, 7, "X has records of 3 examples (seed 7) of split 'id', and 2 new ones (seed 7)"),
        ({}, 4, 8, "of 3 examples (seed 7) of split 'id', and 4 new ones (seed 8) would replace"),
        ({"eval_seed": None}, 2, None, "of 3 examples of split 'id', and 2 new ones would replace"),
    ],
)
def test_fewer_answers_or_those_to_other_draws_replace_none(change, count, seed, says) -> None:
    frame = answers(**change)
    if not says:
        check_loss(frame, "id", count, seed, "X")
        return
    with pytest.raises(SettingError, match=re.escape(says)):
        check_loss(frame, "id", count, seed, "X")


def test_what_was_asked_is_said_by_split() -> None:
    new = {"splits": {"id": {"examples": 3, "seed": 1}}}
    assert by_split(new) == new and by_split(new) is not new
    old = {"splits": ["id", "ood-6"], "examples": 5, "seed": 2}
    both = {"examples": 5, "seed": 2}
    assert by_split(old) == {"splits": {"id": both, "ood-6": both}}
    assert by_split({"splits": ["id"]}) == {"splits": {"id": {"examples": None, "seed": None}}}
    assert by_split(None) is None and by_split({"examples": 5}) is None
    frame = answers()
    assert asked_of(frame) == {}
    frame.attrs["evaluation"] = {"splits": {"ood-6": both, "ood-8": both}}
    assert asked_of(frame) == {"ood-6": both}


def of(*splits: str, value: int = 0, **attrs) -> pd.DataFrame:
    """Two records of each split."""
    frame = pd.DataFrame({"split": [split for split in splits for _ in range(2)], "value": value})
    frame["example"] = [0, 1] * len(splits)
    asked = {split: {"examples": 2, "seed": value} for split in splits}
    frame.attrs = {"evaluation": {"splits": asked}} | attrs
    return frame


def test_new_records_take_the_place_of_those_of_their_splits() -> None:
    before = of("ood-10", "id", "ood-6", value=1, made="then", kept="yes")
    whole = joined(before, of("id", "ood-hard", value=2, made="now"))
    assert whole["split"].tolist()[::2] == ["id", "ood-6", "ood-10", "ood-hard"]
    assert whole["value"].tolist()[::2] == [2, 1, 1, 2]
    assert list(whole.columns) == ["split", "value", "example"]
    assert whole["example"].tolist() == [0, 1] * 4 and whole.index.tolist() == list(range(8))
    assert whole.attrs == {
        "made": "now",
        "kept": "yes",
        "evaluation": {
            "splits": {
                "id": {"examples": 2, "seed": 2},
                "ood-6": {"examples": 2, "seed": 1},
                "ood-10": {"examples": 2, "seed": 1},
                "ood-hard": {"examples": 2, "seed": 2},
            }
        },
    }
    assert next(iter(whole.attrs["evaluation"]["splits"])) == "id"
    assert before.attrs["made"] == "then", "what was given stays as it was"


def test_records_that_join_nothing_stay_in_their_order() -> None:
    alone = of("ood-6", "id", value=2)
    for before in (None, of("id", "ood-6", value=1)):
        whole = joined(before, alone)
        assert whole["split"].tolist()[::2] == ["ood-6", "id"] and set(whole["value"]) == {2}
    later = of("id", value=2).set_index(pd.Index([7, 9]))
    assert joined(None, later).index.tolist() == [0, 1]
    unasked = of("id")
    unasked.attrs = {"evaluation": "nonsense"}
    assert "evaluation" not in joined(None, unasked).attrs
