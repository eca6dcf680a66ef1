"""The noise floor of a trace: what rounding alone gives, stated and not ranked."""

import pandas as pd
import pytest
import torch

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.models.latent import LatentModel
from tests.families import character_tokenizer, random_model

PAIR = ("1+1=2,1+1=", "2,3,4")


def model(dtype: torch.dtype) -> LatentModel:
    made = Backbone("random", random_model("llama").to(dtype), character_tokenizer())
    return LatentModel(made, "Start_2+Comma_1")


def test_the_noise_floor_is_that_of_the_precision() -> None:
    floors = {}
    for dtype in (torch.float32, torch.bfloat16):
        frame = lc.trace(model(dtype), PAIR, progress=False)
        assert frame["noise"].nunique() == 1, "one example has one floor"
        floors[dtype] = float(frame["noise"].iloc[0])
        least = abs(frame["clean"].iloc[0]) * torch.finfo(dtype).eps / 2
        assert floors[dtype] >= least * 0.999
    assert floors[torch.float32] < 1e-4 < 1e-3 < floors[torch.bfloat16]


def test_the_floor_covers_what_another_batch_size_changes() -> None:
    low = model(torch.bfloat16)
    frames = [lc.trace(low, PAIR, progress=False, batch_size=size) for size in (1, 5, 32)]
    cleans = [float(frame["clean"].iloc[0]) for frame in frames]
    floor = max(float(frame["noise"].iloc[0]) for frame in frames)
    assert max(cleans) - min(cleans) <= 2 * floor


def test_each_answer_token_has_a_floor_of_its_own() -> None:
    frame = lc.trace(model(torch.bfloat16), PAIR, progress=False, per_token=True)
    assert (frame["noise"] > 0).all() and frame.groupby("token")["noise"].nunique().max() == 1


def test_effects_below_the_floor_are_not_ranked() -> None:
    cells = [("Comma", layer, None) for layer in range(4)]
    effects = pd.DataFrame(cells, columns=["group", "layer", "head"])
    mass = effects.assign(mass=[0.1, 0.2, 0.3, 0.4], head=0)
    noisy = effects.assign(effect=[0.04, 0.03, 0.02, -1.0], noise=0.05)
    found = lc.attention_against_effect(mass, noisy)
    assert found.frame["effect"].tolist() == [0, 0, 0, -1.0]
    ranked = lc.attention_against_effect(mass, noisy.drop(columns="noise"))
    assert found.rho == pytest.approx(0.775, abs=1e-3) != ranked.rho
