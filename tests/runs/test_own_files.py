"""The files of a run: which ones are deleted, and what stays whatever happens."""

import json
import os
from pathlib import Path

import pytest

from latent_core import files
from latent_core.errors import LatentError
from latent_core.runs import own_files
from tests.runs.samples import add_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with every file that it may have, and one checkpoint."""
    folder = add_run(tmp_path / "run")
    for name in ("log.csv", "adapter_config.json", "adapter_model.safetensors", "records.parquet"):
        (folder / name).write_text("x")
    (folder / "summary.json").write_text("{}")
    (folder / "baseline.json").write_text('{"sha256": {"model.safetensors": "0", "../up": "1"}}')
    (folder / "model.safetensors").write_text("x")
    (folder / ".lock").touch()
    step = folder / "checkpoints" / "checkpoint-50"
    step.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "rng_state_1.pth", "trainer_state.json"):
        (step / name).write_text("x")
    (folder / "checkpoints" / "start.safetensors").write_text("x")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_run_is_deleted_with_all_its_files(run: Path) -> None:
    (run.parent / "up").write_text("not in the folder")
    assert own_files.delete_run(run) == []
    assert names(run.parent) == ["up"]


FOREIGN = (
    *("notes.txt", "other/run.json", "checkpoints/mine.txt", "checkpoints/checkpoint-50/mine.txt"),
    *("checkpoints/checkpoint-best/model.safetensors", "damaged-1/records.parquet", "config.json"),
)


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_the_runs_stays_and_so_does_its_folder(run: Path, name: str) -> None:
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_text("mine")
    assert own_files.delete_run(run) == [name.split("/")[0]]
    assert [path for path in run.rglob("*") if path.is_file()] == [run / name]


def test_nothing_is_deleted_through_a_link(run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "checkpoint-1").mkdir(parents=True)
    (outside / "checkpoint-1" / "optimizer.pt").write_text("mine")
    (outside / "log.csv").write_text("mine")
    own_files.delete_checkpoints(run)
    (run / "checkpoints").symlink_to(outside)
    (run / "log.csv").unlink()
    (run / "log.csv").symlink_to(outside / "log.csv")
    before = names(outside)
    assert own_files.delete_run(run) == ["checkpoints", "log.csv"]
    assert names(outside) == before
    link = tmp_path / "link"
    link.symlink_to(add_run(tmp_path / "again"))
    assert own_files.delete_run(link) == ["run.json"]
    assert (tmp_path / "again" / "run.json").is_file() and link.is_symlink()


def test_a_kill_while_a_run_is_deleted_leaves_one_that_can_be_deleted(run, monkeypatch) -> None:
    """Whatever is gone by then, the folder is still a run's."""
    count, unlink = len(names(run)), Path.unlink
    for at in range(count):
        left = [at]

        def dying(self: Path, missing_ok: bool = False, left=left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            unlink(self, missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", dying)
            try:
                own_files.delete_run(run)
            except KeyboardInterrupt:
                assert (run / "run.json").exists() or names(run) in ([], [".lock"])
                continue
        break
    assert own_files.delete_run(run) == []


def test_anything_but_a_lock_is_in_the_way_of_a_new_run(tmp_path: Path) -> None:
    assert own_files.names_in_the_way(tmp_path / "new") == []
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.0123abcd.part").touch()
    assert own_files.names_in_the_way(tmp_path) == []
    for name in ("log.csv", "notes.txt", "checkpoints", "run.json"):
        (tmp_path / name).mkdir()
        assert own_files.names_in_the_way(tmp_path) == [name]
        (tmp_path / name).rmdir()


def test_files_are_set_aside_whole(run: Path) -> None:
    before = {name: (run / name).read_bytes() for name in names(run) if (run / name).is_file()}
    (run / "notes.txt").write_text("mine")
    target = own_files.set_aside(run)
    assert target == run / "damaged-1"
    assert sorted(os.listdir(run)) == [".lock", "damaged-1", "notes.txt"]
    del before[".lock"]
    assert {n: (target / n).read_bytes() for n in before} == before
    assert own_files.set_aside(run) is None
    (run / "records.parquet").write_text("y")
    assert own_files.set_aside(run, ["records.parquet", "summary.json"]) == run / "damaged-2"


def test_leftovers_of_a_killed_writer_are_deleted(tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)  # as after a kill
        patch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(LatentError):
            files.write_file(tmp_path / "a", b"x")
    (tmp_path / ".hidden").write_text("mine")
    (tmp_path / ".baseline.0123abcd.part").mkdir()
    (tmp_path / ".baseline.0123abcd.part" / "model.safetensors").write_text("half")
    assert len(list(tmp_path.iterdir())) == 3
    own_files.delete_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".hidden"]


def test_a_snapshot_is_known_by_the_name_of_its_file() -> None:
    assert own_files.snapshot_step(own_files.snapshot_name(50)) == 50
    for name in ("snapshot-x.safetensors", "snapshot-5.safetensors.part", "snapshots.safetensors"):
        assert own_files.snapshot_step(name) is None
    assert own_files.checkpoint_step("checkpoint-50") == 50
    assert own_files.checkpoint_step("checkpoint-best") is None


def test_snapshots_of_later_steps_are_deleted(run: Path) -> None:
    for step in (0, 50, 51, 100):
        (run / "checkpoints" / own_files.snapshot_name(step)).write_text("x")
    (run / "checkpoints" / "snapshot-best.safetensors").write_text("mine")
    others = {name for name in names(run) if "snapshot-" not in name}
    own_files.delete_snapshots(run, after=50)
    kept = {"snapshot-0.safetensors", "snapshot-50.safetensors", "snapshot-best.safetensors"}
    assert set(names(run)) == others | {f"checkpoints/{name}" for name in kept}
    own_files.delete_snapshots(run)
    assert set(names(run)) == others | {"checkpoints/snapshot-best.safetensors"}
    own_files.delete_snapshots(run.parent / "no run")


def test_a_runs_own_names_are_those_that_it_writes_and_that_its_baseline_lists(run: Path) -> None:
    own = ("run.json", "model.safetensors", "snapshots.safetensors", ".run.json.0123abcd.part")
    assert all(own_files.is_own_file(run, name) for name in own)
    foreign = ("notes.txt", "up", "../up", "checkpoints", "other.safetensors")
    assert not any(own_files.is_own_file(run, name) for name in foreign)
    (run / "baseline.json").unlink()
    assert not own_files.is_own_file(run, "model.safetensors")


@pytest.mark.parametrize("body", ["[", "[1]", "{}", '{"sha256": 5}', '{"sha256": ["ab"]}'])
def test_a_baseline_that_is_damaged_lists_nothing(run: Path, body: str) -> None:
    (run / "baseline.json").write_text(body)
    assert own_files.is_own_file(run, "run.json")
    assert not own_files.is_own_file(run, "model.safetensors")


def test_a_baseline_cannot_claim_a_folder(run: Path) -> None:
    listed = {"": "0", ".": "0", "..": "0", "mine": "0"}
    (run / "baseline.json").write_text(json.dumps({"sha256": listed}))
    assert own_files.is_own_file(run, "mine")
    assert not any(own_files.is_own_file(run, name) for name in ("", ".", ".."))


def test_a_checkpoint_loses_first_what_shows_that_it_is_whole(run: Path, monkeypatch) -> None:
    """So that a kill leaves one that was cut short, and none that seems damaged."""
    step, deleted, unlink = run / "checkpoints" / "checkpoint-50", [], Path.unlink
    (step / "hashes.json").write_text("{}")

    def seen(self: Path, missing_ok: bool = False) -> None:
        deleted.append(self.name)
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", seen)
    own_files.delete_checkpoint(step)
    assert deleted[:2] == ["hashes.json", "trainer_state.json"] and not step.exists()


def test_only_the_files_that_are_named_are_set_aside_and_run_json_goes_last(run, monkeypatch):
    moved, rename = [], os.rename

    def seen(source: Path, target: Path) -> None:
        moved.append(source.name)
        rename(source, target)

    monkeypatch.setattr(os, "rename", seen)
    chosen = ["run.json", "records.parquet", "summary.json", "log.csv", "missing"]
    own_files.set_aside(run, chosen)
    assert moved == ["log.csv", "records.parquet", "summary.json", "run.json"]
    assert (run / "adapter_config.json").exists() and not (run / "records.parquet").exists()


def test_where_a_file_stands_in_place_of_a_folder_there_is_nothing_to_delete(
    tmp_path: Path,
) -> None:
    foreign = tmp_path / "notes"
    foreign.write_text("mine")
    own_files.delete_leftovers(foreign)
    own_files.delete_lock(foreign)
    own_files.delete_summary(foreign)
    assert foreign.read_text() == "mine"
