"""Snapshots along training: which steps they are of, and how they survive a kill."""

import os
import shutil
from pathlib import Path

import pytest
import torch

import latent_core.training.snapshots as snapshots_module
from latent_core.errors import SettingError
from latent_core.models.build import build_model
from latent_core.runs.archive import pack_runs
from latent_core.runs.own_files import delete_run
from latent_core.runs.snapshots import load_snapshots
from latent_core.training.train import train
from tests.families import tiny_backbone
from tests.training.samples import Echo, run, same, shared


class Died(BaseException):
    pass


def begin(folder: Path, at: int, **settings) -> None:
    """A run folder as a process leaves it that dies after a step."""

    def dies(step: int, loss: float) -> None:
        if step == at:
            shutil.copytree(folder.with_name("live"), folder)
            raise Died

    with pytest.raises(Died):
        run(shared(), folder.with_name("live"), on_step=dies, **settings)


def test_snapshots_are_the_vectors_of_their_steps(tmp_path: Path) -> None:
    start, model = shared().trainable_weights(), shared()
    seen = {0: start}
    run(
        model,
        tmp_path,
        snapshots=3,
        on_step=lambda step, loss: seen.update({step: model.trainable_weights()}),
    )
    snapshots = load_snapshots(tmp_path)
    assert list(snapshots) == [0, 3, 6, 9, 10]
    for step, weights in snapshots.items():
        assert weights.keys() == seen[step].keys()
        assert all(torch.equal(weights[name], seen[step][name]) for name in weights)
    other = shared()
    other.assign(snapshots[10])
    assert same(other, model)
    with pytest.raises(SettingError, match="no snapshot of step 4; expected one of 0, 3, 6, 9, 10"):
        snapshots[4]


def test_snapshots_change_nothing_of_the_training(tmp_path: Path) -> None:
    plain, watched = shared(), shared()
    run(plain)
    run(watched, tmp_path, snapshots=1)
    assert same(plain, watched)
    names = ["adapter_config.json", "adapter_model.safetensors", "log.csv", "run.json"]
    assert sorted(os.listdir(tmp_path)) == [".lock", *names, "snapshots.safetensors"]


@pytest.mark.parametrize("at", [1, 4, 7, 10])
def test_a_run_that_died_has_the_same_snapshots_in_the_end(tmp_path: Path, at: int) -> None:
    run(shared(), tmp_path / "whole", snapshots=3)
    begin(tmp_path / "dead", at, snapshots=3)
    assert not (tmp_path / "dead" / "snapshots.safetensors").exists()
    run(shared(), tmp_path / "dead", snapshots=3, resume=True)
    whole, again = load_snapshots(tmp_path / "whole"), load_snapshots(tmp_path / "dead")
    assert list(whole) == list(again)
    for step in whole:
        assert all(torch.equal(whole[step][name], again[step][name]) for name in whole[step])


def test_snapshots_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    """On another machine, rounding may lead to others."""
    begin(tmp_path / "dead", 7, snapshots=1)  # the checkpoint is of step 6
    late = tmp_path / "dead" / "checkpoints" / "snapshot-9.safetensors"
    late.write_bytes(b"of a training that is forgotten")

    def looks(step: int, loss: float) -> None:
        if step == 7:
            assert not late.exists()

    run(shared(), tmp_path / "dead", snapshots=1, resume=True, on_step=looks)
    assert list(load_snapshots(tmp_path / "dead")) == list(range(11))


def test_a_lost_snapshot_is_said_to_be(tmp_path: Path) -> None:
    begin(tmp_path / "dead", 7, snapshots=3)
    (tmp_path / "dead" / "checkpoints" / "snapshot-3.safetensors").unlink()
    with pytest.warns(UserWarning, match="no snapshots of the steps 3 any more"):
        run(shared(), tmp_path / "dead", snapshots=3, resume=True)
    assert list(load_snapshots(tmp_path / "dead")) == [0, 6, 9, 10]


def test_a_stopped_run_shows_its_snapshots_so_far(tmp_path: Path) -> None:
    run(shared(), tmp_path, snapshots=2, on_step=lambda step, loss: step == 5)
    assert list(load_snapshots(tmp_path)) == [0, 2, 4]
    run(shared(), tmp_path, snapshots=2, resume=True)
    assert list(load_snapshots(tmp_path)) == [0, 2, 4, 6, 8, 10]


def test_a_run_that_ends_early_has_a_snapshot_of_its_last_step(tmp_path: Path) -> None:
    settings = {"steps": 30, "learning_rate": 0.3, "check_every": 2, "check_examples": 3}
    result = run(shared(), tmp_path, patience=2, snapshots=7, **settings)
    assert result.kept.early
    assert list(load_snapshots(tmp_path)) == [0, 7, len(result.log)]


def test_snapshots_go_with_their_run_and_nothing_else_does(tmp_path: Path) -> None:
    run(shared(), tmp_path / "run", snapshots=5, on_step=lambda step, loss: step == 6)
    mine = tmp_path / "run" / "checkpoints" / "snapshot-of-mine.safetensors"
    mine.write_bytes(b"mine")
    assert delete_run(tmp_path / "run") == ["checkpoints"]
    assert os.listdir(tmp_path / "run" / "checkpoints") == [mine.name]


def test_snapshots_are_read_from_an_archive(tmp_path: Path) -> None:
    run(shared(), tmp_path / "runs" / "a", snapshots=5)
    packed = pack_runs(tmp_path / "runs", tmp_path / "packed")
    assert not packed.left_out
    there, here = load_snapshots(tmp_path / "packed" / "a"), load_snapshots(tmp_path / "runs" / "a")
    assert list(there) == [0, 5, 10]
    for step in here:
        assert all(torch.equal(there[step][name], here[step][name]) for name in here[step])


@pytest.mark.parametrize("method", ["lora-r2", "prefix-2", "full", "Start_1 & lora-r2"])
def test_every_method_has_snapshots(tmp_path: Path, method: str) -> None:
    model = build_model(tiny_backbone("llama"), method)
    train(model, Echo(), steps=2, batch_size=2, output_dir=tmp_path, snapshots=1, progress=False)
    last = model.trainable_weights()
    snapshots = load_snapshots(tmp_path)
    model.assign(snapshots[0])
    assert not all(torch.equal(last[name], w) for name, w in model.trainable_weights().items())
    model.assign(snapshots[2])
    assert all(torch.equal(last[name], w) for name, w in model.trainable_weights().items())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"snapshots": 0}, "snapshots is 0"),
        ({"snapshots": 11}, "snapshots is 11, and the run has 10 steps; expected at most 10"),
    ],
)
def test_snapshots_that_cannot_be_are_refused(tmp_path: Path, given: dict, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        run(shared(), tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_snapshots_need_a_folder_and_a_size_that_fits(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(SettingError, match="no folder to keep them in; give output_dir"):
        run(shared(), snapshots=5)
    model = shared()
    monkeypatch.setattr(snapshots_module, "MOST_BYTES", 6 * 4 * model.num_trainable)
    run(model, tmp_path / "fits", snapshots=3)
    with pytest.raises(SettingError, match="Steps between two: at least 3"):
        run(model, tmp_path / "run", snapshots=2)
    assert not (tmp_path / "run").exists()


def test_a_run_without_snapshots_says_how_to_get_some(tmp_path: Path) -> None:
    run(shared(), tmp_path)
    with pytest.raises(SettingError, match=r"has no snapshots.*--snapshots 25"):
        load_snapshots(tmp_path)
    (tmp_path / "snapshots.safetensors").write_bytes(b"no tensors")
    with pytest.raises(SettingError, match="is damaged"):
        load_snapshots(tmp_path)
