"""Arguments of the Trainer: each one has its effect and is recorded, or is refused by name."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from transformers import TrainingArguments

from latent_core.errors import SettingError
from latent_core.models.build import build_model
from latent_core.tasks.table import load_task
from latent_core.training.arguments import INSTEAD, PASSED_ON, check_arguments
from latent_core.training.train import train
from tests.training.test_train import run, same, shared

KNOWN = {field.name for field in dataclasses.fields(TrainingArguments)}
#: A value that differs from the default, for the arguments that this machine can run with.
TRIED = {
    "lr_scheduler_type": "cosine",
    "warmup_steps": 3,
    "weight_decay": 0.5,
    "optim": "sgd",
    "adam_beta1": 0.5,
    "adam_beta2": 0.5,
    "adam_epsilon": 1.0,
    "max_grad_norm": 1e-3,
}
WITHOUT_EFFECT_ON_THE_RESULT = {
    "gradient_checkpointing": True,
    "activation_checkpointing": True,
    "save_steps": 3,
    "save_total_limit": 1,
    "save_strategy": "no",
    "run_name": "mine",
    "skip_memory_metrics": True,
    "dataloader_num_workers": 0,
    "torch_empty_cache_steps": 2,
}


def test_every_argument_of_the_trainer_is_passed_on_or_refused() -> None:
    assert PASSED_ON & set(INSTEAD) == set()
    assert PASSED_ON | set(INSTEAD) <= KNOWN, "a name that this Transformers does not have"
    for name in KNOWN - PASSED_ON:
        with pytest.raises(SettingError, match=f"training argument '{name}' is refused"):
            check_arguments({name: 1})


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("max_steps", 7, "steps="),
        ("per_device_train_batch_size", 2, "batch_size="),
        ("gradient_accumulation_steps", 2, "gradient_accumulation="),
        ("logging_steps", 100, "every step"),
        ("label_smoothing_factor", 0.1, "loss"),
        ("neftune_noise_alpha", 5.0, "noise"),
        ("train_sampling_strategy", "group_by_length", "order"),
        ("eval_strategy", "steps", "check_every="),
        ("data_seed", 3, "seed="),
    ],
)
def test_what_would_contradict_the_record_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, value: object, instead: str
) -> None:
    with pytest.raises(SettingError, match=f"'{name}' is refused.*{instead}"):
        run(shared(), tmp_path / "run", **{name: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", TRIED)
def test_what_is_passed_on_changes_the_result_and_is_recorded(tmp_path: Path, name: str) -> None:
    plain, other = shared(), shared()
    run(plain)
    run(other, tmp_path, **{name: TRIED[name]})
    assert not same(plain, other)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["settings"]["training_arguments"] == {name: TRIED[name]}


@pytest.mark.parametrize("name", WITHOUT_EFFECT_ON_THE_RESULT)
def test_what_is_passed_on_for_speed_or_safety_changes_no_result(tmp_path: Path, name: str) -> None:
    plain, other = shared(), shared()
    run(plain)
    run(other, tmp_path, **{name: WITHOUT_EFFECT_ON_THE_RESULT[name]})
    assert same(plain, other)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    plain, other = shared(), shared()
    run(plain, learning_rate=0.03)
    numbers = {"steps": np.int64(10), "batch_size": np.int32(4), "seed": np.int64(3)}
    run(other, tmp_path, learning_rate=np.float64(0.03), **numbers)
    assert same(plain, other)
    settings = json.loads((tmp_path / "run.json").read_text())["settings"]
    assert (settings["steps"], settings["seed"], settings["learning_rate"]) == (10, 3, 0.03)


@pytest.mark.parametrize("change", [{"steps": True}, {"seed": 5_000_000_000}, {"seed": "1"}])
def test_what_is_no_number_in_its_range_is_refused(tmp_path: Path, change: dict) -> None:
    (name,) = change
    with pytest.raises(SettingError, match=f"{name} is .*; expected a whole number"):
        run(shared(), tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_a_single_step_trains() -> None:
    trained, untrained = shared(), shared()
    run(trained, steps=1)
    assert not same(trained, untrained)


def test_a_task_can_be_named() -> None:
    named, loaded = (build_model("tiny", "Start_1") for _ in range(2))
    for model, task in ((named, "repetition"), (loaded, load_task("repetition"))):
        train(model, task, steps=2, batch_size=1, progress=False)
    assert same(named, loaded)
