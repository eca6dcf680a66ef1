"""The comparison without a widget: runs that are read, methods averaged and subtracted, tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.tasks.table import load_task
from tests.workbench.panels.comparison.made_runs import METHODS, make_runs, records
from workbench.panels.comparison import runs as run_collection
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.comparison.view import differences_html, empty_note, note_on
from workbench.panels.comparison.work import (
    compare_methods,
    difference_table,
    method_table,
    split_order,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_runs(tmp_path_factory.mktemp("place"))


def test_a_code_of_files_gives_the_same_records(tmp_path: Path, monkeypatch) -> None:
    frame = records("tiny", "repetition", (1.0, 0.75)).assign(method="Start_2", seed=3)
    frame.to_parquet(tmp_path / "some.parquet")
    runs = RunCollection()
    runs.add(tmp_path / "some.parquet")
    scope: dict = {"pd": pd, "lc": lc}
    exec(runs.code("repetition", "tiny", ["Start_2"]), scope)
    assert scope["frame"]["graded"].tolist() == frame["graded"].tolist()


def test_too_many_records_are_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = RunCollection()
    runs.add(place / "runs")
    runs.add(place / "runs" / "Start_2-0")  # known already: counted once
    with pytest.warns(UserWarning, match="1 copy of a run is left out"):
        whole, every = runs.records("repetition", "tiny")
    assert every
    assert len(whole) == 3 * 2 * 3 * 12
    runs.forget()
    monkeypatch.setattr(run_collection, "MOST_RECORDS", 100)
    with pytest.warns(UserWarning, match="1 copy of a run is left out"):
        means, every = runs.records("repetition", "tiny")
    assert not every
    assert len(means) == 3 * 2 * 7  # method, seed, level
    expected = whole.groupby(["method", "seed", "split", "level"])["graded"].mean()
    got = means.set_index(["method", "seed", "split", "level"])["graded"]
    pd.testing.assert_series_equal(
        got.sort_index(),
        expected.sort_index(),
        check_dtype=False,
        check_index_type=False,
        atol=1e-6,
    )
    assert len(runs.examples("repetition", "tiny", "Start_2", 6, {"ood-6"})) == 24


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> RunCollection:
    runs = RunCollection()
    runs.add(make_runs(tmp_path_factory.mktemp("place")) / "runs")
    return runs


def test_methods_are_averaged_and_one_subtracted(collection: RunCollection) -> None:
    task = load_task("repetition")
    arguments = (collection, "repetition", task, "tiny", "graded", "Start_2")
    found, tasks = compare_methods(*arguments)
    assert found is not None and tasks == ("repetition",)
    assert (found.task, found.backbone, found.backbones) == (task, "tiny", ("tiny", "other"))
    assert set(found.methods) == set(METHODS) and found.runs == 6
    means = found.by_method.set_index("method")["id"].to_dict()
    assert means == {method: mean for method, (mean, _) in METHODS.items()}
    assert isinstance(found.differences, pd.DataFrame)
    for row in found.differences.to_dict("records"):
        inside, outside = np.subtract(METHODS[row["method"]], METHODS["Start_2"])
        assert (row["id"], row["ood-6"]) == pytest.approx((inside, outside))
    assert note_on(found, found.points).startswith("6 runs. Intervals are over seeds and examples.")


def test_a_backbone_without_runs_gives_way_to_the_first(collection: RunCollection) -> None:
    found, _ = compare_methods(collection, "repetition", None, "gpt9", "exact", None)
    assert found is not None and found.backbone == "tiny"
    assert found.task.id_levels == (1, 2, 3, 4, 5), "as the records say"
    assert found.reference is None and found.differences is None
    assert note_on(found, found.points).startswith("6 runs. Intervals are over seeds")


def test_a_task_without_records_is_none(collection: RunCollection) -> None:
    found, tasks = compare_methods(collection, "lookup", None, "tiny", "graded", None)
    assert found is None and tasks == ("repetition",)
    assert "no records of lookup yet" in empty_note("lookup")


def test_means_of_runs_have_no_differences(
    collection: RunCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_collection, "MOST_RECORDS", 100)
    collection.forget()
    found, _ = compare_methods(collection, "repetition", None, "tiny", "graded", "8_1")
    collection.forget()
    assert found is not None and not found.every_record
    assert "they need every record" in str(found.differences)
    assert "over the means of the runs" in note_on(found, found.points)


def test_what_cannot_be_paired_is_missing_or_said() -> None:
    frame = pd.DataFrame(
        [
            {"method": m, "seed": s, "split": split, "example": 0, "key": "k", "graded": 0.5}
            for m, splits in {"a": ("id", "ood-6"), "b": ("id",)}.items()
            for split in splits
            for s in (0, 1)
        ]
    )
    (row,) = difference_table(frame, "a").to_dict("records")
    assert row["id"] == 0 and "gap" not in row and "ood-6" not in row
    table = difference_table(frame, "a").assign(id=-0.001)
    html = differences_html(table, "<a>")
    assert "OOD" not in html and "&lt;a&gt;" in html
    assert "<td>+0.00<" in html, "what rounds to zero has no minus"
    assert list(difference_table(frame[frame["method"] == "a"], "a").columns) == [
        *("method", "seeds", "records")
    ]
    with pytest.raises(SettingError, match="no column key"):
        difference_table(frame.drop(columns="key"), "a")


def test_the_gap_is_paired_by_seed_and_needs_every_ood_split() -> None:
    rows = [
        ("Start_2", seed, split, value)
        for seed, values in ((0, (1.0, 0.5, 0.1)), (1, (0.8, 0.6, 0.2)), (2, (0.9, 0.5, None)))
        for split, value in zip(("id", "ood-10", "ood-6"), values, strict=True)
        if value is not None
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "split", "graded"])
    (row,) = method_table(frame).to_dict("records")
    assert row["gap"] == pytest.approx((0.7 + 0.4) / 2)
    assert (row["gap low"], row["gap high"]) == (-1.0, 1.0), "of two seeds"
    assert list(row)[3::3][:3] == ["id", "ood-6", "ood-10"]
    one = method_table(frame[frame["seed"] == 0])
    assert "gap low" not in one.columns


#: Mean accuracy by split, in no order.
MEANS = {"ood-names": 0.2, "other": 1.0, "ood-20": 0.4, "ood-6": 0.6, "id": 1.0}


def test_named_ood_splits_have_columns_after_levels_and_count_in_the_gap() -> None:
    rows = [
        ("Start_2", seed, split, 1, f"{split}{number}", number, value)
        for seed in (0, 1)
        for split, value in MEANS.items()
        for number in range(3)
    ]
    columns = ["method", "seed", "split", "level", "key", "example", "graded"]
    frame = pd.DataFrame(rows, columns=columns)
    assert split_order(frame["split"]) == ["id", "ood-6", "ood-20", "ood-names", "other"]
    (row,) = method_table(frame).to_dict("records")
    assert row["ood-names"] == pytest.approx(0.2)
    assert row["gap"] == pytest.approx(1.0 - (0.2 + 0.4 + 0.6) / 3)
