"""Each metric of a task file by its rule, and what a file may say of metrics."""

import json
from pathlib import Path

import numpy as np
import pytest

import latent_core as lc
from latent_core.errors import TaskError
from latent_core.tasks.metrics import METRICS


@pytest.mark.parametrize(
    ("metric", "answer", "response", "right"),
    [
        ("exact", "Paris", " Paris \n", True),
        ("exact", "Paris", "Paris.", False),
        ("contains", "Paris", "It is Paris, of course.", True),
        ("contains", "Paris", "It is paris.", False),
        ("numeric", "42", "6 * 7 is 42.0", True),
        ("numeric", "#### 1,234", "so 1000 + 234 = 1234", True),
        ("numeric", "1234", "1,234", True),
        ("numeric", "-7", "it is -7.", True),
        ("numeric", "2", "that is 5-2", True),
        ("numeric", "0.5", "a half, .5", True),
        ("numeric", "30000", "3e4", True),
        ("numeric", "7", "seven", False),
        ("numeric", "7", "7 or 8", False),
        ("regex", r"[Yy]es\b.*", "Yes, it is", True),
        ("regex", r"[Yy]es", "Yes, it is", False),
        ("items", "1,2,3", "1,2,3", True),
        ("items", "1,2,3", "1,2", False),
    ],
)
def test_a_metric_judges_by_its_rule(metric: str, answer: str, response: str, right: bool) -> None:
    score = METRICS[metric].score(answer, response)
    assert score.exact is right
    assert all(0 <= mark.start < mark.end <= len(response) for mark in score.marks)
    if metric != "items":
        assert score.graded == float(right)
        assert all(mark.correct is right for mark in score.marks)


def written(folder: Path, *lines: dict) -> Path:
    path = folder / "task.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


LINE = {"prompt": "2+3=", "answer": "5", "split": "id"}


def test_a_file_states_its_metric_on_one_line(tmp_path: Path) -> None:
    plain = lc.load_task(written(tmp_path, LINE))
    task = lc.load_task(written(tmp_path, LINE | {"metric": "numeric"}, LINE))
    (example, _) = task.examples("id", 2, seed=0)
    assert task.score(example, "the sum is 5.0").exact and not plain.score(example, "5.0").exact
    assert task.graded_metric == METRICS["numeric"].graded
    assert plain.exact_metric == METRICS["items"].exact


def test_another_metric_is_another_task(tmp_path: Path) -> None:
    plain, numeric = written(tmp_path, LINE), "numeric"
    before = lc.load_task(plain).fingerprint
    assert lc.load_task(plain, metric="items").fingerprint == before
    assert lc.load_task(plain, metric=numeric).fingerprint != before
    stated = lc.load_task(written(tmp_path, LINE | {"metric": numeric})).fingerprint
    assert lc.load_task(written(tmp_path, LINE), metric=numeric).fingerprint == stated


def half(answer: str, response: str) -> float:
    return np.float32(0.5)


def test_a_function_scores_and_says_its_name(tmp_path: Path) -> None:
    task = lc.load_task(written(tmp_path, LINE), metric=half)
    (example,) = task.examples("id", 1, seed=0)
    score = task.score(example, "anything")
    assert (score.exact, score.graded) == (False, 0.5) and "half" in task.graded_metric


@pytest.mark.parametrize("value", [2, -0.1, float("nan"), None, "1.5"])
def test_a_function_that_leaves_its_range_is_told(tmp_path: Path, value: object) -> None:
    task = lc.load_task(written(tmp_path, LINE), metric=lambda answer, response: value)
    (example,) = task.examples("id", 1, seed=0)
    with pytest.raises(TaskError, match="expected a number from 0 to 1"):
        task.score(example, "5")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([LINE | {"metric": "numerik"}], "line 1: metric is 'numerik'; expected one of items"),
        ([LINE | {"metric": ["exact"]}], r"metric is \['exact'\]"),
        ([LINE | {"metric": "exact"}, LINE | {"metric": "items"}], "keep one of them"),
        ([LINE | {"answer": "five", "metric": "numeric"}], "'five' holds no number"),
        ([LINE | {"answer": "(", "metric": "regex"}], "is no regular expression"),
    ],
)
def test_what_a_metric_cannot_judge_is_refused_at_loading(tmp_path, lines, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        lc.load_task(written(tmp_path, *lines))


def test_a_built_in_task_keeps_its_metric() -> None:
    with pytest.raises(TaskError, match="a metric of its own"):
        lc.load_task("lookup", metric="exact")
