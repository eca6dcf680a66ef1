"""Another example of the same split, as like an example as can be, with another answer."""

import re

import pytest

import latent_core as lc
from latent_core.errors import SettingError, TaskError
from latent_core.tasks.donors import answering, asked_now, donor_of, other_examples


@pytest.mark.parametrize("name", sorted(lc.tasks.TASKS))
@pytest.mark.parametrize("split", ["id", "ood"])
def test_a_donor_has_another_answer_and_the_same_form(name: str, split: str) -> None:
    task = lc.load_task(name)
    split = task.splits[-1] if split == "ood" else split
    unlike = 0
    for example in task.examples(split, 20, seed=1):
        donor = donor_of(task, example)
        assert donor.answer != example.answer and donor.prompt != example.prompt
        assert (donor.split, donor.level) == (example.split, example.level)
        marks = [re.sub(r"[\w ]", "", one.prompt) for one in (example, donor)]
        unlike += marks[0] != marks[1]
    assert unlike <= 2


def test_donors_differ_between_examples_and_draws_and_are_the_same_each_time() -> None:
    task = lc.load_task("lookup")
    examples = task.examples("ood-20", 20, seed=1)
    first, again, other = ([donor_of(task, e, draw) for e in examples] for draw in (1, 1, 2))
    assert first == again
    assert len({donor.prompt for donor in first}) > 10
    assert sum(a != b for a, b in zip(first, other, strict=True)) > 15


def test_no_two_answers_is_an_error(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "same.jsonl"
    file.write_text(
        "".join(f'{{"prompt": "{i}>", "answer": "x", "split": "id"}}\n' for i in range(9))
        + '{"prompt": "a>", "answer": "x", "split": "train"}\n'
    )
    task = lc.load_task(str(file))
    (example,) = task.examples("id", 1, seed=0)
    with pytest.raises(TaskError, match="no example in split 'id' with another answer"):
        donor_of(task, example)


def test_a_small_file_gives_what_it_has(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "few.jsonl"
    file.write_text(
        "".join(f'{{"prompt": "{i}>", "answer": "{i}", "split": "id"}}\n' for i in range(9))
        + '{"prompt": "a>", "answer": "x", "split": "train"}\n'
    )
    task = lc.load_task(str(file))
    (example,) = task.examples("id", 1, seed=0)
    assert donor_of(task, example).answer != example.answer
    assert 4 <= len(other_examples(task, "id", 64, 1)) <= 9


def test_who_asks_outside_an_evaluation_is_told_so() -> None:
    task = lc.load_task("lookup")
    examples = task.examples("id", 2, seed=1)
    with answering(task, examples):
        assert asked_now("this").examples == tuple(examples)
    with pytest.raises(SettingError, match="this needs other examples of a task"):
        asked_now("this")


def test_a_task_needs_no_hash_and_equal_tasks_keep_their_own_examples() -> None:
    """As of a dataclass: equal by its fields, and without a hash unless it is frozen."""

    class Digits(lc.Task):
        name, description, hypothesis = "digits", "for tests", "none"
        exact_metric = graded_metric = "the same digit"
        level_name, id_levels, ood_levels = "digits", (1,), ()

        def __init__(self, first: int) -> None:
            self.first = first

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Digits)

        def examples(self, split: str, count: int, seed: int) -> list[lc.Example]:
            numbers = range(self.first, self.first + count)
            return [lc.Example(f"{i}>", f"{i}", split, 1, f"{i}") for i in numbers]

        def score(self, example: lc.Example, response: str) -> lc.Score:
            return lc.Score(False, 0.0, ())

    few, many = Digits(0), Digits(5000)
    assert few == many
    for task in (few, many):
        (example,) = task.examples("id", 1, 0)
        assert abs(int(donor_of(task, example).answer) - task.first) < 256
