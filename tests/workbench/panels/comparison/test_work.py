"""The comparison without a widget: methods of one task and backbone, averaged and subtracted."""

import numpy as np
import pandas as pd
import pytest

from latent_core.tasks.table import load_task
from tests.workbench.panels.comparison.made_runs import METHODS, make_runs
from workbench.panels.comparison import runs as run_collection
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.comparison.view import empty_note, note_on
from workbench.panels.comparison.work import compare_methods


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
