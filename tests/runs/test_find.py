"""Finding runs: what is chosen, how runs are named, and what a damaged one costs."""

import shutil
from pathlib import Path

import pytest

import latent_core as lc
from latent_core.adapters import adapter, saved
from latent_core.archives.folders import real_folder
from latent_core.runs.own_files import ADAPTER_FILE, BASELINE_FILE
from tests.runs.samples import add_run, records


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"method": "Start_2"}, ["deep/b"]),
        ({"method": ["Start_1", "Start_3"], "size": 3}, ["a", "deep/c"]),
        ({"seed": range(1, 9), "task": "echo"}, ["deep/b", "deep/c"]),
        (lambda about: about["seed"] > 1, ["d", "deep/c"]),
        ({"method": "Comma_2"}, []),
    ],
)
def test_runs_are_chosen_by_what_they_say_of_themselves(root, where, expected) -> None:
    assert list(dict.fromkeys(lc.load_runs(root, where)["run"])) == expected
    with_records = [name for name in expected if name != "d"]
    assert list(dict.fromkeys(lc.load_runs(root, where, records=True)["run"])) == with_records


@pytest.mark.parametrize("content", ["", '{"status": "fin', "[]", '{"status": "finished"}'])
def test_a_damaged_run_is_named_and_left_out(root: Path, content: str) -> None:
    (root / "a" / "run.json").write_text(content)
    with pytest.warns(UserWarning, match=rf"the run in {root / 'a'} is damaged and left out"):
        frame = lc.load_runs(root)
    assert set(frame["run"]) == {"d", "deep/b", "deep/c"}


def test_several_folders_and_one_run(root: Path) -> None:
    both = lc.load_runs([root / "a", root / "deep"])
    assert set(both["run"]) == {"a", "deep/b", "deep/c"}
    assert set(lc.load_runs(root / "deep" / "b")["run"]) == {"b"}


def test_an_adapter_alone_is_a_run(root: Path, tmp_path: Path) -> None:
    """As of a method without training, saved by an older version."""
    folder = tmp_path / "old" / "zero"
    with real_folder(lc.shipped_adapter("Start_2")) as packed:
        shutil.copytree(packed, folder)
    for name in ("run.json", "records.parquet", "summary.json"):
        (folder / name).unlink(missing_ok=True)
    frame = lc.load_runs(tmp_path / "old")
    assert frame[["run", "status", "task", "backbone", "seed"]].values.tolist() == [
        ["zero", "finished", "repetition", "smollm2-135m", 0]
    ]
    assert (adapter.CONFIG_NAME, saved.BASELINE_FILE) == (ADAPTER_FILE, BASELINE_FILE)


def test_methods_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    add_run(tmp_path / "a", seed=0, learning_rate=0.1)
    add_run(tmp_path / "b", seed=1, learning_rate=0.03)
    add_run(tmp_path / "c", seed=2)  # does not say its rate
    add_run(tmp_path / "d", "End_2", seed=0, learning_rate=0.1)
    assert lc.load_runs(tmp_path)["method"].tolist() == ["Start_2"] * 3 + ["End_2"]
    apart = lc.load_runs(tmp_path, apart=True)["method"]
    names = ["Start_2 (learning_rate=0.1)", "Start_2 (learning_rate=0.03)", "Start_2", "End_2"]
    assert apart.tolist() == names
    chosen = lc.load_runs(tmp_path, {"method": names[1]}, apart=True)
    assert chosen["run"].tolist() == ["b"]


def test_two_spellings_of_a_method_are_one_method(tmp_path: Path) -> None:
    for seed, spelling in enumerate(("Start_1 + Comma_1", "Start_1+Comma_1")):
        folder = add_run(tmp_path / str(seed), spelling, seed=seed)
        lc.write_records(folder, records().assign(method=spelling, seed=seed))
    assert set(lc.load_runs(tmp_path)["method"]) == {"Start_1+Comma_1"}
    assert set(lc.load_runs(tmp_path, records=True)["method"]) == {"Start_1+Comma_1"}
    (row,) = lc.compare([tmp_path]).to_dict("records")
    assert (row["method"], row["seeds"]) == ("Start_1+Comma_1", 2)
    for spelling in ("Start_1+Comma_1", " Start_1 +Comma_1", "Start_1@latent+Comma_1"):
        assert lc.load_runs(tmp_path, {"method": spelling})["run"].nunique() == 2
        assert lc.load_runs(tmp_path, {"method": [spelling]})["run"].nunique() == 2
    assert lc.load_runs(tmp_path, {"method": "Comma_1+Start_1"}).empty


def test_a_name_that_is_no_methods_is_kept(tmp_path: Path) -> None:
    add_run(tmp_path / "a", "my own method")
    assert lc.load_runs(tmp_path, {"method": "my own method"})["run"].tolist() == ["a"]
