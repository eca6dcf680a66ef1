"""Nothing that a run sets outlives it: backbone and random generators are as before."""

import copy
import random

import numpy as np
import pytest
import torch

from latent_core.models.build import build_model
from latent_core.training.arguments import PASSED_ON
from latent_core.training.restoring import restored
from latent_core.training.train import train
from tests.families import tiny_backbone
from tests.training.test_arguments import TRIED, WITHOUT_EFFECT_ON_THE_RESULT
from tests.training.test_train import Echo, run, shared

OPTIONS = TRIED | WITHOUT_EFFECT_ON_THE_RESULT


def state_of(model) -> list:
    """All of a model that is neither weight nor submodule, in a form that can be compared."""
    found = []
    for name, module in model.named_modules():
        own = {key: value for key, value in vars(module).items() if key[1:] not in ("modules",)}
        own.pop("_parameters"), own.pop("_buffers")
        found.append((name, {key: str(value) for key, value in own.items() if key != "config"}))
    return [*found, str(model.config.to_dict()), str(model.generation_config.to_dict())]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_backbone_is_as_before_whatever_a_run_was_told(name: str) -> None:
    model = shared()
    before = state_of(model.backbone.model)
    run(model, steps=2, **{name: OPTIONS[name]})
    assert state_of(model.backbone.model) == before


def test_every_argument_is_tried_that_this_machine_can_run_with() -> None:
    elsewhere = {name for name in PASSED_ON if name.startswith(("ddp_", "dataloader_"))}
    parts = {name for name in PASSED_ON if name.endswith(("_kwargs", "_args"))}
    reports = {"report_to", "project"}
    assert PASSED_ON - set(OPTIONS) - elsewhere - parts - reports == {"bf16"}


def test_a_method_that_cannot_checkpoint_trains_after_one_that_did() -> None:
    model = shared()
    run(model, steps=1, gradient_checkpointing=True)
    prefix = build_model(tiny_backbone("llama"), "prefix-2")
    assert len(train(prefix, Echo(), steps=1, batch_size=2, progress=False).log) == 1


def test_random_draws_go_on_as_if_nothing_had_been_trained() -> None:
    def draws() -> tuple:
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    def seed() -> None:
        random.seed(5), np.random.seed(5), torch.manual_seed(5)

    seed()
    wanted = draws()
    seed()
    run(shared(), steps=1)
    assert draws() == wanted


def test_a_run_that_fails_restores_too() -> None:
    model = shared()
    before = state_of(model.backbone.model)

    def fail(step: int, loss: float) -> bool:
        raise RuntimeError("from within")

    with pytest.raises(RuntimeError, match="from within"):
        run(model, on_step=fail, gradient_checkpointing=True)
    assert state_of(model.backbone.model) == before


def test_a_nested_configuration_stays_the_one_that_its_modules_read() -> None:
    model = tiny_backbone("llama").model
    nested = model.config.nested = copy.copy(model.config)
    try:
        with restored(model):
            model.config.use_cache = not model.config.use_cache
            changed = model.config.use_cache
        assert model.config.use_cache is not changed
        assert model.config.nested is nested
    finally:
        del model.config.nested
