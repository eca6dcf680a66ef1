"""Checkpoints: which are whole, what damage costs, and what is deleted."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from latent_core.runs.checkpoints import (
    damage_of,
    drop_broken_checkpoints,
    drop_old_checkpoints,
    keep_hashes,
    kept_start,
    last_checkpoint,
)

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def checkpoint(folder: Path, step: int, hashes: bool = True) -> Path:
    path = folder / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    save_file({"a": torch.arange(4.0)}, path / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"state": torch.zeros(100)}, path / name)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
    if hashes:
        keep_hashes(path)
    return path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda p: p.write_bytes(p.read_bytes()[:20])])
def test_a_damaged_newest_checkpoint_falls_back_to_the_older_one_and_says_so(
    tmp_path: Path, name: str, harm
) -> None:
    older, newest = checkpoint(tmp_path, 90), checkpoint(tmp_path, 100)
    assert last_checkpoint(tmp_path) == str(newest)
    harm(newest / name)
    assert last_checkpoint(tmp_path) == str(older)
    said = rf"checkpoint-100 is damaged \(.*{name}.*\) and deleted; the run goes on from step 90"
    with pytest.warns(UserWarning, match=said):
        drop_broken_checkpoints(tmp_path)
    assert older.is_dir() and not newest.exists()


@pytest.mark.parametrize("name", FILES[:3])
def test_without_hashes_damage_is_found_by_reading(tmp_path: Path, name: str) -> None:
    """Of an older version; PyTorch's files hold checksums, and safetensors its lengths."""
    path = checkpoint(tmp_path, 7, hashes=False)
    assert damage_of(path) == ""
    (path / name).write_bytes((path / name).read_bytes()[:-30])
    assert damage_of(path)
    (path / name).unlink()
    assert last_checkpoint(tmp_path) is None


def test_the_state_of_another_step_is_damage(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 7, hashes=False)
    for body in ([], {}, {"global_step": 8}):
        (path / "trainer_state.json").write_text(json.dumps(body))
        assert damage_of(path) == "trainer_state.json is of another step"


def test_a_checkpoint_that_was_being_written_goes_without_a_word(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 7, hashes=False)
    (path / "trainer_state.json").write_text('{"global_st')
    (path / "notes.txt").write_text("mine")
    drop_broken_checkpoints(tmp_path)
    assert [one.name for one in path.iterdir()] == ["notes.txt"]


def test_old_checkpoints_go_by_their_steps(tmp_path: Path) -> None:
    for step in (100, 9, 20):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoints" / "checkpoint-best").mkdir()
    drop_old_checkpoints(tmp_path, None)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4
    drop_old_checkpoints(tmp_path, 2)
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["checkpoint-100", "checkpoint-20", "checkpoint-best"]


@pytest.mark.parametrize("hashed", [True, False])
def test_a_damaged_start_gives_way_to_the_given_one_and_says_so(tmp_path, hashed: bool) -> None:
    start, other = (_saved(tmp_path, number) for number in (1.0, 2.0))
    assert kept_start(tmp_path, start) == start
    assert kept_start(tmp_path, other) == start
    if not hashed:
        (tmp_path / "checkpoints" / "start.sha256").unlink()
    path = tmp_path / "checkpoints" / "start.safetensors"
    path.write_bytes(start[:-3])
    with pytest.warns(UserWarning, match=r"started from is damaged .* initial values of the model"):
        assert kept_start(tmp_path, other) == other
    assert kept_start(tmp_path, start) == other


def _saved(folder: Path, number: float) -> bytes:
    save_file({"a": torch.full((4,), number)}, folder / "a.safetensors")
    return (folder / "a.safetensors").read_bytes()
