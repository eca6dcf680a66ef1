"""The work of one run: it goes on where it was, and its failures are recorded."""

import errno
import os
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core.grids import work as work_module
from latent_core.grids.run import run_grid
from latent_core.grids.work import RunOutcome, do_run, give_up, state_of
from latent_core.runs import folder as runs
from latent_core.runs.checkpoints import last_checkpoint
from latent_core.runs.evaluation_file import read_evaluation, write_records
from latent_core.runs.folder import read_run
from tests.grids.engine import FEWER, SEARCH, Here, done, grid, snapshot


def test_more_examples_are_asked_without_training_again(finished, monkeypatch) -> None:
    root, _ = finished
    monkeypatch.setattr("latent_core.training.train.Trainer", None)
    more = grid(search=SEARCH, methods=["Start_2"], evaluation={"splits": ["id"], "examples": 3})
    assert done(run_grid(more, root, Here())) == [
        ("Start_2", 0, "finished"),
        ("Start_2", 1, "finished"),
    ]
    frame = lc.load_runs(root, {"method": "Start_2"}, records=True)
    assert frame.groupby("run").size().tolist() == [5, 5]
    assert frame.groupby("split").size().to_dict() == {"id": 6, "ood-6": 4}


def test_a_split_that_was_asked_more_has_been_asked(finished) -> None:
    root, _ = finished
    before = snapshot(root)
    fewer = grid(search=SEARCH, methods=["zero-shot", "Start_2"], **FEWER)
    assert run_grid(fewer, root, Here()) == []
    assert snapshot(root) == before


def test_evaluation_goes_on_with_the_split_it_was_at(finished, monkeypatch) -> None:
    root, asked = finished
    spec = asked.specs()[1]
    before = pd.read_parquet(root / spec.folder / "records.parquet")
    frame = before[before["split"] == "id"].copy()
    (root / spec.folder / "records.parquet").unlink()
    write_records(root / spec.folder, frame)
    asked_for, evaluate = [], work_module.evaluate
    monkeypatch.setattr(
        work_module, "evaluate", lambda *a, **k: asked_for.append(a[2]) or evaluate(*a, **k)
    )
    assert done(run_grid(asked, root, Here())) == [("Start_2", 0, "finished")]
    assert asked_for == ["ood-6"]
    after = pd.read_parquet(root / spec.folder / "records.parquet")
    same = [c for c in before.columns if c != "seconds"]
    pd.testing.assert_frame_equal(after[same], before[same])


@pytest.mark.parametrize("damage", ["run.json", "records.parquet", "adapter_model.safetensors"])
def test_a_damaged_run_is_done_again(finished, damage: str) -> None:
    root, asked = finished
    spec = asked.specs()[1]
    path = root / spec.folder / damage
    path.write_bytes(path.read_bytes()[:20])
    harmed = path.read_bytes()
    (root / spec.folder / ".run.json.12345678.part").write_text("{")
    (root / spec.folder / "notes.txt").write_text("mine")
    if damage == "adapter_model.safetensors":
        assert run_grid(asked, root, Here()) == []  # the records are whole, and nothing is missing
        return
    with pytest.warns(UserWarning, match=r"damaged-1"):
        outcomes = run_grid(asked, root, Here())
    assert (root / spec.folder / "damaged-1" / damage).read_bytes() == harmed
    assert (root / spec.folder / "notes.txt").read_text() == "mine"
    assert done(outcomes) == [("Start_2", 0, "finished")]
    assert not list((root / spec.folder).glob(".*.part"))
    assert state_of(spec, root) == "finished"
    assert len(lc.load_runs(root / spec.folder, records=True)) == 4


def test_a_failed_run_stops_no_other_and_is_tried_again_when_asked(tmp_path, monkeypatch) -> None:
    asked = grid(methods=["Before[🦉]_1", "Start_2"], seeds=1)
    outcomes = run_grid(asked, tmp_path, Here())
    assert [o.status for o in outcomes] == ["failed", "finished"]
    frame = lc.load_runs(tmp_path, {"status": "failed"})
    assert "no token of tiny's vocabulary contains '🦉'" in frame["error"].iloc[0]
    assert frame["method"].tolist() == ["Before[🦉]_1"]
    assert run_grid(asked, tmp_path, Here()) == []
    assert done(run_grid(asked, tmp_path, Here(retry_failed=True))) == [
        ("Before[🦉]_1", 0, "failed")
    ]


def test_a_run_that_failed_on_the_way_goes_on_from_its_checkpoint(tmp_path, monkeypatch) -> None:
    asked = grid(methods=["Start_2"], seeds=1, training={"steps": 5, "batch_size": 2})
    with monkeypatch.context() as patch:

        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        patch.setattr("latent_core.training.train._keep", full)
        (outcome,) = run_grid(asked, tmp_path, Here())
    assert outcome.status == "failed" and "No space left" in outcome.error
    (spec,) = asked.specs()
    assert last_checkpoint(tmp_path / spec.folder) is not None
    steps = []
    monkeypatch.setattr(
        "latent_core.training.watcher.Watcher.on_log",
        lambda self, *a, **k: steps.append(a[1].global_step),
    )
    (outcome,) = run_grid(asked, tmp_path, Here(retry_failed=True))
    assert outcome.status == "finished"
    assert "error" not in runs.read_run(tmp_path / spec.folder)
    assert [step for step in steps if step <= 4] == []


def test_a_run_that_failed_while_it_was_judged_keeps_what_it_trained(tmp_path, monkeypatch) -> None:
    asked = grid(methods=["Start_2"], seeds=1)
    with monkeypatch.context() as patch:
        patch.setattr(work_module, "evaluate", lambda *a, **k: 1 / 0)
        (outcome,) = run_grid(asked, tmp_path, Here())
    assert outcome.status == "failed"
    folder = tmp_path / asked.specs()[0].folder
    weights = (folder / "adapter_model.safetensors").read_bytes()
    monkeypatch.setattr(
        "latent_core.training.train.Trainer", lambda **_: pytest.fail("trained again")
    )
    (outcome,) = run_grid(asked, tmp_path, Here(retry_failed=True))
    assert outcome.status == "finished"
    assert (folder / "adapter_model.safetensors").read_bytes() == weights
    assert "error" not in runs.read_run(folder) and read_evaluation(folder)


def test_an_unexpected_error_says_where_it_came_from(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(work_module, "evaluate", lambda *a, **k: 1 / 0)
    (outcome,) = run_grid(grid(methods=["zero-shot"]), tmp_path, Here())
    assert outcome.error.startswith("ZeroDivisionError: division by zero (test_work.py, line ")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_run_that_cannot_be_read_is_left_as_it_is(finished, monkeypatch, number: int) -> None:
    """A disk that fails for a moment costs no run."""
    root, asked = finished
    spec = asked.specs()[1]
    before = snapshot(root)

    def broken(folder: str | Path, name: str, read=runs.read_json) -> object:
        if str(folder) == str(root / spec.folder):
            raise OSError(number, os.strerror(number))
        return read(folder, name)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "read_json", broken)
        assert state_of(spec, root) == "unreadable"
        (outcome,) = run_grid(asked, root, Here())
    assert (outcome.status, outcome.spec) == ("failed", spec)
    assert os.strerror(number) in outcome.error and "cannot read" in outcome.error
    assert snapshot(root) == before and state_of(spec, root) == "finished"


def test_a_lock_that_cannot_be_had_is_a_failed_run(tmp_path: Path) -> None:
    """As one that belongs to another user; it kills no worker."""
    (spec,) = grid(methods=["zero-shot"], seeds=1).specs()
    (tmp_path / spec.folder / ".lock").mkdir(parents=True)
    outcome = do_run(spec, tmp_path)
    assert outcome.status == "failed"
    assert "cannot write the run to" in outcome.error and "Is a directory" in outcome.error


def test_a_death_that_cannot_be_recorded_stops_no_other_run(tmp_path: Path) -> None:
    (spec,) = grid(methods=["zero-shot"]).specs()
    (tmp_path / "file").write_text("")
    assert give_up(spec, tmp_path / "file", "it died") == RunOutcome(spec, "failed", 0.0, "it died")
    give_up(spec, tmp_path / "runs", "it died")
    assert runs.read_run(tmp_path / "runs" / spec.folder)["error"] == "it died"


def test_a_users_files_in_the_folder_of_a_run_are_in_nobodys_way(tmp_path: Path) -> None:
    """The folder is the run's by its name, so the run goes on, and the files stay."""
    (spec,) = grid(methods=["zero-shot"], seeds=1, **FEWER).specs()
    folder = tmp_path / spec.folder
    (folder / "figures").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    assert do_run(spec, tmp_path).status == "finished"
    assert (folder / "notes.txt").read_text() == "mine" and (folder / "figures").is_dir()


@pytest.mark.parametrize("method", ["lora-r1", "prefix-1", "prompt-tuning-1", "Start_1"])
def test_a_run_that_died_before_it_was_judged_is_judged(
    tmp_path: Path, monkeypatch, method: str
) -> None:
    asked = grid(methods=[method], seeds=1, **FEWER)
    (spec,) = asked.specs()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(work_module, "evaluate", die)
        run_grid(asked, tmp_path, Here())
    assert state_of(spec, tmp_path) == "begun"
    monkeypatch.setattr("latent_core.training.train.Trainer", None)
    for examples in (1, 2):  # and when more is asked of it later
        more = grid(methods=[method], seeds=1, evaluation={"splits": ["id"], "examples": examples})
        assert [o.status for o in run_grid(more, tmp_path, Here())] == ["finished"]
    assert len(lc.load_runs(tmp_path, records=True)) == 2


def test_a_grid_ends_runs_early_and_keeps_snapshots_those_of_a_search_too(tmp_path: Path) -> None:
    checks = {"patience": 1, "check_every": 2, "check_examples": 2, "snapshots": 1}
    training = {"steps": 2, "batch_size": 2, **checks}
    asked = grid(methods=["Start_2", "zero-shot"], seeds=1, training=training, search=SEARCH)
    assert {outcome.status for outcome in run_grid(asked, tmp_path, Here())} == {"finished"}
    (spec,) = (spec for spec in asked.specs() if spec.method == "Start_2")
    assert list(lc.load_snapshots(tmp_path / spec.folder)) == [0, 1, 2]
    assert read_run(tmp_path / spec.folder)["kept"]["step"] == 2
    for trial in spec.trials():  # of one step
        assert read_run(tmp_path / trial.folder)["kept"]["step"] == 1


def test_every_method_of_a_grid_takes_the_rate_of_what_peft_trains(tmp_path: Path) -> None:
    asked = grid(
        methods=["End_1=hidden & lora-r2", "End_1 & lora-r2"],
        seeds=[0],
        training={"steps": 1, "batch_size": 1, "learning_rate_beside": 0.02},
    )
    outcomes = done(run_grid(asked, tmp_path, Here()))
    assert [state for _, _, state in outcomes] == ["finished", "finished"]
    kept = [read_run(path.parent)["settings"] for path in sorted(tmp_path.rglob("run.json"))]
    rates = {(s["learning_rate"] == 0.02, s.get("learning_rate_beside")) for s in kept}
    assert rates == {(True, None), (False, 0.02)}
