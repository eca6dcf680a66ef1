"""The files of a run: which ones are deleted, and what stays whatever happens."""

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
