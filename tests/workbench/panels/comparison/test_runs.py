"""Collections of runs: what is read, and the code that reads it again."""

from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from tests.workbench.panels.comparison.made_runs import make_runs, records
from workbench.panels.comparison import runs as run_collection
from workbench.panels.comparison.runs import RunCollection


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
