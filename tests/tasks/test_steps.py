"""Written steps, and tasks whose prompts have an edit that changes the answer."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from latent_core.errors import TaskError
from latent_core.tasks import Example, Task, load_task
from latent_core.tasks.base import bucket_of

WITH_STEPS = ("hops", "reach")
with_steps = pytest.mark.parametrize("task", [load_task(n) for n in WITH_STEPS], ids=WITH_STEPS)

#: Fingerprints of the tasks that shipped runs were made on.
SHIPPED = {
    "generation": "e04ef46b0b1690be",
    "counting": "e9d4bb8373883255",
    "summation": "6c4453efafa20c36",
    "lookup": "8aff7abfb60d7527",
    "repetition": "638b0587a3a27827",
}


def every(task: Task) -> list[Example]:
    return [e for split in task.splits for e in task.examples(split, 60, seed=2)]


def test_tasks_without_steps_keep_their_fingerprints() -> None:
    assert {name: load_task(name).fingerprint for name in SHIPPED} == SHIPPED


@with_steps
def test_steps_are_the_way_from_the_question_to_the_answer(task: Task) -> None:
    for example in every(task):
        listed, asked, _ = example.prompt.split("\n")
        assert len(example.steps) == example.level
        assert example.steps[0][0] == asked[0]
        assert f"{example.steps[-1][-1]}." == example.answer
        assert all(a[-1] == b[0] for a, b in pairwise(example.steps))
        assert set(example.steps) <= set(listed.split(";"))
        assert example.key == ";".join(example.steps)


@with_steps
def test_an_edit_changes_one_entry_and_the_answer(task: Task) -> None:
    for example in every(task):
        other = task.edited(example)
        assert other is not None and other == task.edited(example)
        before, after = (e.prompt.split("\n")[0].split(";") for e in (example, other))
        assert len(before) == len(after)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        assert example.prompt.split("\n")[1:] == other.prompt.split("\n")[1:]
        assert other.answer != example.answer
        assert task.score(other, other.answer).exact
        assert task.score(other, example.answer).graded == 0
        assert other.steps[-1][-1] == other.answer[0]


@with_steps
def test_the_place_of_the_edit_varies(task: Task) -> None:
    places = Counter()
    for example in task.examples("ood-5", 200, seed=0):
        after = task.edited(example).prompt.split("\n")[0].split(";")
        places.update(n for n, step in enumerate(example.steps) if step not in after)
    assert set(places) == set(range(5)) and min(places.values()) >= 10


@with_steps
def test_neither_order_nor_counts_tell_the_answer(task: Task) -> None:
    """The answer of `reach` is named first half of the time, and has as many edges as the other."""
    found = task.examples("ood-5", 300, seed=0)
    if task.name == "reach":
        first = [e.prompt.split("\n")[1][2] == e.answer[0] for e in found]
        assert 0.4 < sum(first) / len(first) < 0.6
        for example in found:
            listed, asked, _ = example.prompt.split("\n")
            ends = [edge[-1] for edge in listed.split(";")]
            assert [ends.count(name) for name in (asked[2], asked[4])] == [1, 1]
            assert not any(edge[0] in (asked[2], asked[4]) for edge in listed.split(";"))
        return
    last = [e.prompt.split("\n")[0].split(";").index(e.steps[-1]) for e in found]
    assert len(set(last)) > 8
    for example in found:
        values = [entry[-1] for entry in example.prompt.split("\n")[0].split(";")]
        digits = [value for value in values if value.isdigit()]
        assert len(digits) == len(set(digits)) == 3


@with_steps
def test_an_answer_counts_with_or_without_steps_before_it(task: Task) -> None:
    example = task.examples("ood-5", 1, seed=0)[0]
    whole = task.written(example)
    assert whole == "".join(f"{step};" for step in example.steps) + example.answer
    assert task.written(example, skipped=3) == ";".join([*example.steps[3:], example.answer])
    assert task.written(example, skipped=9) == example.answer
    for response in (whole, example.answer, f"?;{example.answer}"):
        score = task.score(example, response)
        assert score.exact and score.graded == 1
        (mark,) = score.marks
        assert response[mark.start : mark.end] == example.answer[:-1]
    for response in (whole[:-2], f"{whole};", "".join(f"{s};" for s in example.steps)):
        assert not task.score(example, response).exact
    assert task.score(example, f"{whole}x").graded == 1
    assert not task.score(example, f"{whole}x").exact


@with_steps
def test_roles_are_the_entries_of_the_steps(task: Task) -> None:
    example = task.examples("ood-5", 1, seed=0)[0]
    found = {example.prompt[start:end].rstrip(";\n") for start, end in task.roles(example)["asked"]}
    assert found == set(example.steps)


# ---- JSONL ----


def lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


GSM = {
    "prompt": "Out of 600 employees, 30% got promoted.\n",
    "answer": "180",
    "steps": ["<<600*30/100=180>>", "<<180+0=180>>"],
    "split": "train",
}


def test_a_file_may_give_steps(tmp_path: Path) -> None:
    bare = {name: value for name, value in GSM.items() if name != "steps"} | {"prompt": "x"}
    task = load_task(lines(tmp_path / "gsm.jsonl", GSM, bare))
    found = {example.prompt: example for example in task.examples("train", 2, seed=0)}
    example = found[GSM["prompt"]]
    assert example.steps == tuple(GSM["steps"]) and found["x"].steps == ()
    assert task.written(example, 1) == "<<180+0=180>>\n180"
    score = task.score(example, "<<1>>\n180 ")
    assert score.exact and (score.marks[0].start, score.marks[0].end) == (6, 9)
    assert not task.score(found["x"], "<<1>>\n180").exact


def test_steps_are_part_of_a_file_s_fingerprint_and_no_steps_are_not(tmp_path: Path) -> None:
    bare = {name: value for name, value in GSM.items() if name != "steps"}
    prints = [
        load_task(lines(tmp_path / "a.jsonl", row)).fingerprint
        for row in (bare, bare | {"steps": []}, GSM, GSM | {"steps": ["other"]})
    ]
    assert prints[0] == prints[1] == "c35a91426ea93231"
    assert len(set(prints)) == 3


def test_an_answer_of_several_lines_is_not_taken_for_steps(tmp_path: Path) -> None:
    task = load_task(lines(tmp_path / "a.jsonl", GSM | {"answer": "1\n2"}))
    (example,) = task.examples("train", 1, seed=0)
    assert task.score(example, "1\n2").exact
    assert task.score(example, task.written(example)).exact
    assert not task.score(example, "2").exact


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("a step", "steps must be a list of at most 1,000 texts, got 'a step'"),
        ([1], "a step must be text that is not empty, of whole characters, got 1"),
        (["a", " "], "got ' '"),
        (["a\nb"], "a step must be one line"),
        (["\ud800"], "whole characters"),
        (["a"] * 1001, "at most 1,000"),
    ],
)
def test_steps_that_are_none_are_refused(tmp_path: Path, steps: object, said: str) -> None:
    with pytest.raises(TaskError, match=f"line 1: .*{said}"):
        load_task(lines(tmp_path / "a.jsonl", GSM | {"steps": steps}))


def test_buckets_are_by_the_whole_chain() -> None:
    task = load_task("hops")
    assert {bucket_of("hops", e.key) for e in task.examples("ood-5", 50, seed=0)} == {"test"}
