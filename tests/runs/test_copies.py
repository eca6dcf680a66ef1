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
from latent_core.runs.copies import find_copies, warn_of_copies
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


# --- which runs are one, by what they say and hold ------------------------------------------------


def held(folder: Path, weights: object = None, records: int = 0, whole: bool = False) -> str:
    """A folder with an adapter's numbers, or those of a whole model, and records of some size."""
    folder.mkdir()
    if weights is not None:
        name = "baseline.json" if whole else "adapter_config.json"
        body = {"sha256" if whole else "weights_sha256": weights}
        (folder / name).write_text(json.dumps(body))
    if records:
        (folder / "records.parquet").write_bytes(b"x" * records)
    return str(folder)


def test_of_several_copies_the_largest_records_are_kept_and_else_the_first(tmp_path: Path) -> None:
    sizes = (5, 9, 9, 0)
    runs_found = [(held(tmp_path / str(n), "w", size), {}) for n, size in enumerate(sizes)]
    assert find_copies(runs_found) == {0: 1, 2: 1, 3: 1}


def test_runs_are_one_by_place_id_or_content_and_by_one_of_them_in_common(tmp_path: Path) -> None:
    a, b, c, d = (held(tmp_path / name, name) for name in "abcd")
    assert find_copies([(a, {}), (b, {}), (a, {})]) == {2: 0}
    assert find_copies([(a, {"id": "1"}), (b, {"id": "2"}), (c, {"id": "1"})]) == {2: 0}
    assert find_copies([(a, {"id": 1}), (b, {"id": 1})]) == {}, "an id is a text"
    same = held(tmp_path / "same", "a")
    chain = [(a, {"id": "1"}), (same, {"id": "2"}), (d, {"id": "2"}), (b, {"id": "3"})]
    assert find_copies(chain) == {1: 0, 2: 0}
    (tmp_path / "link").symlink_to(a)
    assert find_copies([(b, {}), (str(tmp_path / "link"), {}), (a, {})]) == {2: 1}


@pytest.mark.parametrize(
    "field", ["task_name", "layout", "seed", "steps", "learning_rate", "dtype"]
)
def test_runs_that_say_something_else_are_not_one(tmp_path: Path, field: str) -> None:
    paths = [held(tmp_path / name, "w") for name in "ab"]
    assert find_copies([(paths[0], {field: 1}), (paths[1], {field: 2})]) == {}
    assert find_copies([(paths[0], {field: 1, "x": 1}), (paths[1], {field: 1, "x": 2})]) == {1: 0}


def test_what_was_trained_tells_runs_apart_and_else_their_records_do(tmp_path: Path) -> None:
    whole = [held(tmp_path / f"whole{n}", {"m": n}, 4, whole=True) for n in (1, 2)]
    for path in whole:  # the same beside it, which says nothing of a whole model
        (Path(path) / "adapter_config.json").write_text('{"weights_sha256": "w"}')
    assert find_copies([(path, {}) for path in whole]) == {}
    (Path(whole[1]) / "baseline.json").write_text('{"sha256": {"m": 1}}')
    assert find_copies([(path, {}) for path in whole]) == {1: 0}
    for path, hashes in zip(whole, ({"m": 1, "n": 2}, {"n": 2, "m": 1}), strict=True):
        (Path(path) / "baseline.json").write_text(json.dumps({"sha256": hashes}))
    assert find_copies([(path, {}) for path in whole]) == {1: 0}, "in whatever order"
    by_records = [held(tmp_path / f"records{n}", None, size) for n, size in enumerate((3, 4, 3))]
    assert find_copies([(path, {}) for path in by_records]) == {2: 0}
    neither = [held(tmp_path / name) for name in ("x", "y")]
    assert find_copies([(path, {}) for path in neither]) == {}
    for path in neither:
        (Path(path) / "adapter_config.json").write_text("{")
    assert find_copies([(path, {}) for path in neither]) == {}, "damaged, and not alike"


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 copy of a run is left out: r1 (see r0)"),
        (2, "2 copies of runs are left out: r1 (see r0); r2 (see r0)"),
        (5, "5 copies of runs are left out: " + "; ".join(f"r{n} (see r0)" for n in range(1, 6))),
        (
            1007,
            "1,007 copies of runs are left out: "
            + "; ".join(f"r{n} (see r0)" for n in range(1, 6))
            + "; and 1,002 more",
        ),
    ],
)
def test_at_most_five_copies_are_named(count: int, said: str) -> None:
    found = [(f"r{n}", {}) for n in range(count + 1)]
    with pytest.warns(UserWarning) as warned:
        warn_of_copies(found, dict.fromkeys(range(1, count + 1), 0))
    assert [str(one.message) for one in warned] == [said]


def test_without_copies_there_is_no_warning(recwarn) -> None:
    warn_of_copies([("a", {})], {})
    assert not recwarn.list
