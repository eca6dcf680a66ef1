"""A run that is found twice counts once, and is named."""

import json
import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core.runs import folder as runs
from latent_core.runs.archive import pack_runs
from latent_core.runs.find import find_runs
from tests.runs.samples import add_run, records


def without_id(folder: Path) -> Path:
    """A run as an older version wrote it."""
    path = folder / "run.json"
    record = json.loads(path.read_text())
    del record["id"]
    path.write_text(json.dumps(record))
    return folder


@pytest.fixture
def two(tmp_path: Path) -> Path:
    for seed in (0, 1):
        folder = add_run(tmp_path / "runs" / f"s{seed}", seed=seed)
        lc.LatentModel("tiny", "Start_2", seed=seed).save_pretrained(folder, method="Start_2")
        frame = records(0.1 + 0.5 * seed).assign(seed=seed, method="Start_2")
        lc.write_records(folder, frame)
    return tmp_path / "runs"


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("how", ["twice", "inside", "copied", "packed"])
def test_a_duplicate_neither_narrows_an_interval_nor_adds_records(
    two: Path, tmp_path: Path, how: str, old: bool
) -> None:
    if old:
        for folder in two.iterdir():
            without_id(folder)
    given = {
        "twice": lambda: [two / "s0", two / "s0", two / "s1"],
        "inside": lambda: [two, two / "s0"],
        "copied": lambda: [two, Path(shutil.copytree(two / "s0", tmp_path / "backup" / "s0"))],
        "packed": lambda: [two, pack_runs(two, tmp_path / "packed").path],
    }[how]()
    wanted, alone = lc.compare([two]), lc.load_runs(two, records=True)
    left_out = r"2 copies of runs are left out" if how == "packed" else r"1 copy of a run is left"
    with pytest.warns(UserWarning, match=rf"{left_out}.*s0 \(see "):
        found = lc.compare(given)
    pd.testing.assert_frame_equal(found, wanted)
    with pytest.warns(UserWarning, match=left_out):
        assert len(lc.load_runs(given, records=True)) == len(alone)
    with pytest.warns(UserWarning, match=left_out):
        assert lc.load_runs(given)["examples"].sum() == len(alone)


def test_the_copy_with_more_records_is_kept(two: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(two / "s0", tmp_path / "other" / "s0"))
    lc.write_records(copy, records(0.3, splits=("ood-8",), examples=50).assign(seed=0))
    with pytest.warns(UserWarning, match=rf"{two}/s0 \(see {copy}\)"):
        frame = lc.load_runs([two, tmp_path / "other"])
    assert set(frame.loc[frame["seed"] == 0, "split"]) == {"id", "ood-6", "ood-8"}


def test_runs_that_differ_are_no_copies(two: Path) -> None:
    again = add_run(two / "again", seed=0)  # trained again, to other numbers
    lc.LatentModel("tiny", "Start_2", seed=7).save_pretrained(again, method="Start_2")
    add_run(two / "longer", seed=0, steps=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(find_runs(two)) == 4


def test_a_run_keeps_its_id_from_its_first_moment_on(tmp_path: Path) -> None:
    settings = {"task": "echo", "seed": 0}
    runs.open_run(tmp_path / "a", settings, {})
    first = runs.read_run(tmp_path / "a")["id"]
    runs.close_run(tmp_path / "a", "stopped", settings, {})
    runs.fail_run(tmp_path / "a", settings, {}, "why")
    runs.close_run(tmp_path / "a", "finished", settings, {})
    runs.open_run(tmp_path / "b", settings, {})
    assert runs.read_run(tmp_path / "a")["id"] == first != runs.read_run(tmp_path / "b")["id"]


def test_pruning_sees_every_copy(tmp_path: Path) -> None:
    runs.open_run(tmp_path / "a", {"task": "echo", "seed": 0}, {})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert len(find_runs(tmp_path, copies=True)) == 2
