"""Two tasks of one name have two names in a table."""

import pandas as pd

import latent_core as lc
from latent_core.statistics.task_names import distinct_task_names, tell_tasks_apart

ONE, OTHER = "a" * 16, "b" * 16


def test_only_names_that_two_tasks_share_get_a_fingerprint() -> None:
    names = ["data", "data", "lookup", "data"]
    told = distinct_task_names(names, [ONE, OTHER, ONE, None])
    assert told == ["data (aaaaaaaa)", "data (bbbbbbbb)", "lookup", "data"]
    assert distinct_task_names(["data", "data"], [ONE, None]) == ["data", "data"]
    assert distinct_task_names(told, [ONE, OTHER, ONE, None]) == told, "twice is as once"
    assert distinct_task_names(["data (aaaaaaaa)", "data"], [ONE, ONE]) == ["data", "data"]


def records(fingerprint: str | None, graded: float) -> pd.DataFrame:
    row = {"task": "data", "task_fingerprint": fingerprint, "method": "Start_2", "split": "id"}
    rows = [row | {"seed": 0, "key": f"k{n}", "example": n, "graded": graded} for n in range(4)]
    return pd.DataFrame(rows)


def test_records_of_two_files_of_one_name_are_not_averaged() -> None:
    frame = pd.concat([records(ONE, 0.0), records(OTHER, 1.0)], ignore_index=True)
    rows = lc.summarise(frame, ("task", "method"))
    assert rows[["task", "mean"]].values.tolist() == [
        ["data (aaaaaaaa)", 0.0],
        ["data (bbbbbbbb)", 1.0],
    ]


def test_records_without_fingerprints_stay_as_they_are() -> None:
    old = records(None, 0.5)
    assert tell_tasks_apart(old) is old
    bare = old.drop(columns="task_fingerprint")
    assert tell_tasks_apart(bare) is bare
    unnamed = old.assign(task=float("nan"))
    assert tell_tasks_apart(unnamed) is unnamed


def test_records_of_two_files_and_of_an_older_version_are_three_tasks() -> None:
    new = pd.concat([records(ONE, 0.0), records(OTHER, 1.0)])[["task", "task_fingerprint"]]
    old = new[:4].drop(columns="task_fingerprint")
    told = tell_tasks_apart(pd.concat([old, new]))["task"].tolist()
    assert told == ["data"] * 4 + ["data (aaaaaaaa)"] * 4 + ["data (bbbbbbbb)"] * 4
    one = tell_tasks_apart(pd.concat([old, new[:4]]))["task"].tolist()
    assert one == ["data"] * 8


def test_texts_that_are_categories_are_told_apart_as_others_are() -> None:
    parts = [records(one, 0.0)[["task", "task_fingerprint"]] for one in (ONE, OTHER, None)]
    frame = pd.concat(parts, ignore_index=True)
    wanted = ["data (aaaaaaaa)"] * 4 + ["data (bbbbbbbb)"] * 4 + ["data"] * 4
    assert tell_tasks_apart(frame)["task"].tolist() == wanted
    assert tell_tasks_apart(frame.astype("category"))["task"].tolist() == wanted
