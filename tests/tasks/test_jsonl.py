"""Tasks from JSONL: splits, scoring, and errors that name file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latent_core.errors import TaskError
from latent_core.tasks import load_task
from latent_core.tasks.base import resolve_splits


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def pair(number: int, **fields: Any) -> dict[str, Any]:
    return {"prompt": f"p{number}\n", "answer": f"{number},{number}", **fields}


def test_lines_without_a_split_are_split_by_hash(tmp_path: Path) -> None:
    task = load_task(write(tmp_path / "own.jsonl", *(pair(i) for i in range(200))))
    assert task.name == "own"
    assert task.splits == ("train", "validation", "id")
    keys = {s: {e.key for e in task.examples(s, 1000, seed=0)} for s in task.splits}
    assert sum(len(k) for k in keys.values()) == 200
    assert len(keys["train"]) > len(keys["id"]) > len(keys["validation"]) > 0


def test_given_splits_and_levels(tmp_path: Path) -> None:
    lines = (pair(1, split="train"), pair(2, split="id", level=7), pair(3, split="ood-12"))
    task = load_task(str(write(tmp_path / "own.jsonl", *lines, pair(4, split="ood-9"))))
    assert task.splits == ("train", "id", "ood-9", "ood-12")
    assert task.ood_levels == (9, 12)
    assert [task.examples(s, 1, 0)[0].level for s in task.splits] == [2, 7, 9, 12]
    assert len(task.examples("train", 5, seed=0)) == 5  # goes round again
    assert len(task.examples("id", 5, seed=0)) == 1  # all there is


def test_an_ood_split_may_have_a_name_and_stands_after_those_of_levels(tmp_path: Path) -> None:
    lines = (pair(1, split="ood-names"), pair(2, split="id"), pair(3, split="ood-12"))
    more = (pair(4, split="ood-Old_names-2"), pair(5, split="ood-names", level=7))
    task = load_task(write(tmp_path / "own.jsonl", *lines, *more))
    assert task.splits == ("id", "ood-12", "ood-Old_names-2", "ood-names")
    assert task.ood_levels == (12,) and task.id_levels == (2,)
    assert {e.level for e in task.examples("ood-names", 2, 0)} == {2, 7}  # items, and as given
    assert resolve_splits(task, "ood") == ("ood-12", "ood-Old_names-2", "ood-names")
    with pytest.raises(TaskError, match="name one of ood-12, ood-Old_names-2, ood-names"):
        task.examples("ood", 1, 0)


@pytest.mark.parametrize("split", ["ood-", "ood-a b", "ood--a", "ood-a-", "ood-1a", "names"])
def test_a_name_of_a_split_that_is_none_is_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(TaskError, match=r"ood-<level> or ood-<name>, got .*begins with a letter"):
        load_task(write(tmp_path / "own.jsonl", pair(1, split=split)))


def test_a_split_that_is_missing_says_where_splits_come_from(tmp_path: Path) -> None:
    path = write(tmp_path / "small.jsonl", pair(1))
    task = load_task(path)
    (only,) = task.splits
    (other, _) = {"train", "validation", "id"} - {only}
    said = rf"no split '{other}'; it has {only}\. small.jsonl has 1 line and no .* 70 % train"
    with pytest.raises(TaskError, match=f"{said}.*About 50 lines are enough for all three"):
        task.examples(other, 1, seed=0)
    task = load_task(write(path, pair(1, split="id"), pair(2, split="ood-9")))
    said = "small.jsonl has 2 lines and each line names its split; to add a split"
    with pytest.raises(TaskError, match=said):
        task.examples("train", 1, seed=0)


def test_order_is_fixed_by_seed_and_count_is_a_prefix(tmp_path: Path) -> None:
    task = load_task(write(tmp_path / "own.jsonl", *(pair(i, split="train") for i in range(20))))
    many = task.examples("train", 50, seed=1)
    assert task.examples("train", 25, seed=1) == many[:25]
    assert task.examples("train", 20, seed=2) != many[:20]


def test_scoring(tmp_path: Path) -> None:
    line = {"prompt": "abc", "answer": "a, b,c", "split": "id"}
    task = load_task(write(tmp_path / "own.jsonl", line))
    example = task.examples("id", 1, seed=0)[0]
    assert task.score(example, " a, b,c\n").exact
    assert task.score(example, "a,b,x").graded == pytest.approx(2 / 3)
    assert task.score(example, "a,b,c,d").graded == pytest.approx(3 / 4)
    score = task.score(example, "a, b,c")
    assert [(mark.start, mark.end) for mark in score.marks] == [(0, 1), (3, 4), (5, 6)]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"prompt": "a", ', "not valid JSON"),
        ("[1, 2]", "expected a JSON object, got list"),
        ('{"prompt": "a"}', "the field 'answer' is missing"),
        ('{"prompt": "", "answer": "b"}', "'prompt' must be text that is not empty"),
        ('{"prompt": "a", "answer": 5}', "'answer' must be text"),
        ('{"prompt": "a", "answer": "b", "splitt": "id"}', "unknown field 'splitt'"),
        ('{"prompt": "a", "answer": "b", "split": "test"}', "split must be train, validation"),
        ('{"prompt": "a", "answer": "b", "level": -1}', "level must be a whole number"),
        ('{"prompt": "a", "answer": "b", "split": "id"}', "some lines have a 'split'"),
        (
            '{"prompt": "a", "answer": "b", "demand": "H2"}',
            "demand is 'H2'; expected one of self-prompting, retrieval, instruction",
        ),
        ('{"prompt": "a", "answer": "b", "demand": ["retrieval"]}', "demand is ['retrieval']; "),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = write(tmp_path / "own.jsonl", pair(1), "", line)
    with pytest.raises(TaskError, match=r"own\.jsonl, line 3: ") as raised:
        load_task(path)
    assert complaint in str(raised.value)


def test_a_file_states_its_demand_once_for_all_lines(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    assert load_task(write(path, pair(1), pair(2))).demand == "self-prompting"
    assert load_task(write(path, pair(1, demand="retrieval"), pair(2))).demand == "retrieval"
    assert load_task(write(path, pair(1), pair(2, demand="instruction"))).demand == "instruction"
    write(path, pair(1, demand="retrieval"), pair(2), pair(3, demand="instruction"))
    with pytest.raises(
        TaskError, match=r"line 3: demand is .instruction. .* .retrieval. at line 1"
    ):
        load_task(path)


def test_a_prompt_in_two_splits_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", pair(1, split="train"), pair(1, split="id"))
    with pytest.raises(TaskError, match=r"line 2: .* at line 1, in 'train'"):
        load_task(path)


def test_missing_empty_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no task file at"):
        load_task(tmp_path / "none.jsonl")
    with pytest.raises(TaskError, match="is empty"):
        load_task(write(tmp_path / "empty.jsonl", ""))
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"prompt": "a", "answer": "b"}\n{"prompt": "\xe9"}\n')
    with pytest.raises(TaskError, match="line 2: not UTF-8"):
        load_task(path)


def test_a_fingerprint_tells_files_of_one_name_apart_by_their_lines_alone(tmp_path: Path) -> None:
    lines = [pair(number, split="id") for number in range(9)]
    paths = [tmp_path / name / "data.jsonl" for name in ("a", "b", "c", "d")]
    for path in paths:
        path.parent.mkdir()
    write(paths[0], *lines)
    write(paths[1], *lines[:-1], pair(8, split="id", level=5))
    write(paths[2], *lines, "")
    paths[2].write_text("\ufeff" + paths[2].read_text().replace(": ", ":   "), encoding="utf-8")
    write(paths[3], *(line | {"demand": "retrieval"} for line in lines))
    tasks = [load_task(path) for path in paths]
    assert {task.name for task in tasks} == {"data"}
    assert tasks[0].fingerprint == tasks[2].fingerprint, "spaces and a byte order mark say nothing"
    assert len({task.fingerprint for task in tasks}) == 3


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"prompt": "a", "answer": 5}', "'answer' must be text that is not empty, got 5"),
        ('{"prompt": "a", "answer": "b", "level": 1' + "0" * 20 + "}", "999,999,999, got 1000"),
        ('{"prompt": "a", "answer": "b", "level": 1' + "0" * 5000 + "}", "not valid JSON"),
        ("[" * 10_000 + "]" * 10_000, "not valid JSON"),
        (r'{"prompt": "\ud800", "answer": "b"}', "'prompt' has half of a surrogate pair"),
        ('{"prompt": "a", "answer": "b", "split": "ood-007"}', "split must be train"),
        ('{"prompt": "a", "answer": "b", "split": "ood-٣"}', "split must be train"),
    ],
)
def test_a_line_that_would_break_something_later_is_refused(
    tmp_path: Path, line: str, complaint: str
) -> None:
    path = write(tmp_path / "own.jsonl", pair(1), line)
    with pytest.raises(TaskError, match=r"own\.jsonl, line 2: ") as raised:
        load_task(path)
    assert complaint in str(raised.value) and len(str(raised.value)) < 500
