"""A run that starts from another one: with its vectors, a folder and an identity of its own."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from latent_core.errors import AdapterError, SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.runs.snapshots import load_snapshots
from latent_core.training.train import train
from tests.families import tiny_backbone
from tests.training.samples import Echo, fresh, run, same, shared


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    run(shared(), tmp_path / "parent")
    return tmp_path / "parent"


def test_a_run_starts_with_the_vectors_of_its_parent_and_records_it(
    tmp_path: Path, parent: Path
) -> None:
    trained = LatentModel.from_pretrained(parent, tiny_backbone("llama"))
    before = trained.tables.rows().clone()
    wanted = run(trained, seed=4)  # by hand
    model = shared()
    result = run(model, tmp_path / "child", seed=4, start_from=parent, snapshots=10)
    assert same(model, trained) and result.log.equals(wanted.log)
    assert not torch.equal(before, model.tables.rows())
    there, here = (
        json.loads((one / "run.json").read_text()) for one in (parent, result.output_dir)
    )
    assert here["settings"]["start_from"]["run"] == there["id"] != here["id"]
    assert len(here["settings"]["start_from"]["adapter"]) == 32
    assert here["notes"]["started_from"] == str(parent)


def test_a_child_that_was_stopped_goes_on_whatever_became_of_the_model(
    tmp_path: Path, parent: Path
) -> None:
    wanted = shared()
    run(wanted, seed=4, start_from=parent)
    run(shared(), tmp_path / "b", seed=4, start_from=parent, on_step=lambda step, _: step == 5)
    resumed = shared()
    run(resumed, tmp_path / "b", seed=4, start_from=parent, resume=True)
    assert same(resumed, wanted)


def test_a_child_resumes_from_its_own_parent_only(tmp_path: Path, parent: Path) -> None:
    stop = {"on_step": lambda step, _: step == 5}
    run(shared(), tmp_path / "child", start_from=parent, **stop)
    run(shared(), tmp_path / "plain", **stop)
    with pytest.raises(SettingError, match="other settings: start_from"):
        run(shared(), tmp_path / "child", resume=True)
    with pytest.raises(SettingError, match="other settings: start_from None there"):
        run(shared(), tmp_path / "plain", start_from=parent, resume=True)
    moved = shutil.copytree(parent, tmp_path / "moved")  # the same run, elsewhere
    run(shared(), tmp_path / "child", start_from=moved, resume=True)


def test_a_run_does_not_start_in_the_folder_of_its_parent(parent: Path) -> None:
    with pytest.raises(SettingError, match="already holds a run"):
        run(shared(), parent, start_from=parent)
    with pytest.raises(SettingError, match="other settings: start_from"):
        run(shared(), parent, start_from=parent, resume=True)


@pytest.mark.parametrize(
    "method", ["lora-r2", "prefix-2", "prompt-tuning-2", "full", "Start_1 & lora-r2"]
)
def test_every_method_trains_on(tmp_path: Path, method: str) -> None:
    backbone = fresh("Start_1").backbone
    settings = {"steps": 2, "batch_size": 2, "progress": False}
    first = build_model(backbone, method)
    train(first, Echo(), output_dir=tmp_path / "a", **settings)
    model = build_model(backbone, method, 5)
    train(
        model, Echo(), output_dir=tmp_path / "b", start_from=tmp_path / "a", snapshots=1, **settings
    )
    start = load_snapshots(tmp_path / "b")[0]
    assert all(torch.equal(start[name], w) for name, w in first.trainable_weights().items())


def test_a_parent_of_another_method_or_backbone_is_refused(tmp_path: Path, parent: Path) -> None:
    with pytest.raises(
        AdapterError, match=r"trained with Start_2\+Comma_1, and this run trains End_2"
    ):
        run(shared("End_2"), tmp_path / "child", start_from=parent)
    with pytest.raises(AdapterError, match="was made for backbone"):
        run(fresh(seed=1, family="gpt2"), tmp_path / "child", start_from=parent)
    with pytest.raises(AdapterError, match="trains lora-r2"):
        train(build_model(tiny_backbone("llama"), "lora-r2"), Echo(), start_from=parent)
    with pytest.raises(AdapterError, match="no adapter in"):
        run(shared(), tmp_path / "child", start_from=tmp_path / "nothing")
    assert not (tmp_path / "child").exists()
