"""Effects of cut edges: the noise floor of one trace, and means over examples."""

import pandas as pd
import pytest
import torch
from scipy import stats

import latent_core as lc
from latent_core.analysis.mean_effect import mean_effect, single_latents
from latent_core.backbones.backbone import Backbone
from latent_core.errors import LayoutError, SettingError
from latent_core.models.latent import LatentModel
from tests.families import character_tokenizer, random_model

PAIR = ("1+1=2,1+1=", "2,3,4")


def random_latents(dtype: torch.dtype) -> LatentModel:
    made = Backbone("random", random_model("llama").to(dtype), character_tokenizer())
    return LatentModel(made, "Start_2+Comma_1")


def test_the_noise_floor_is_that_of_the_precision() -> None:
    floors = {}
    for dtype in (torch.float32, torch.bfloat16):
        frame = lc.trace(random_latents(dtype), PAIR, progress=False)
        assert frame["noise"].nunique() == 1, "one example has one floor"
        floors[dtype] = float(frame["noise"].iloc[0])
        least = abs(frame["clean"].iloc[0]) * torch.finfo(dtype).eps / 2
        assert floors[dtype] >= least * 0.999
    assert floors[torch.float32] < 1e-4 < 1e-3 < floors[torch.bfloat16]


def test_the_floor_covers_what_another_batch_size_changes() -> None:
    low = random_latents(torch.bfloat16)
    frames = [lc.trace(low, PAIR, progress=False, batch_size=size) for size in (1, 5, 32)]
    cleans = [float(frame["clean"].iloc[0]) for frame in frames]
    floor = max(float(frame["noise"].iloc[0]) for frame in frames)
    assert max(cleans) - min(cleans) <= 2 * floor


def test_each_answer_token_has_a_floor_of_its_own() -> None:
    frame = lc.trace(random_latents(torch.bfloat16), PAIR, progress=False, per_token=True)
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


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    return lc.LatentModel("tiny", "Start_1+Comma_2", seed=3)


@pytest.fixture(scope="module")
def task() -> lc.Task:
    return lc.load_task("repetition")


def test_each_cell_is_the_mean_of_the_examples_that_have_the_edges(
    model: lc.LatentModel, task: lc.Task
) -> None:
    found = mean_effect(model, task, "id", 4, layers=[1, 2], heads="each", progress=False)
    examples = task.examples("id", 4, 1)
    frame = lc.trace(model, examples, layers=[1, 2], heads="each", progress=False)
    for row in found.itertuples():
        same = (frame["layer"] == row.layer) & (frame["head"] == row.head)
        effects = frame[same & (frame["group"] == row.group) & (frame["edges"] > 0)]["effect"]
        assert row.mean == pytest.approx(effects.mean())
        assert row.examples == len(effects)
        ends = stats.t.interval(0.95, len(effects) - 1, effects.mean(), stats.sem(effects))
        assert (row.low, row.high) == pytest.approx(ends)
    assert len(found) == 2 * 2 * 4
    assert set(found.query("group == 'Comma'")["examples"]) == {3}, "one repeat has no comma"


def test_single_latents_are_cut_one_at_a_time(model: lc.LatentModel, task: lc.Task) -> None:
    names = single_latents(model)
    assert names == ["Start.0", "Comma.0", "Comma.1"]
    found = mean_effect(model, task, "id", 2, groups=names, layers=1, progress=False)
    assert found["group"].tolist() == names and found["head"].isna().all()


def test_what_does_not_exist_is_refused(model: lc.LatentModel, task: lc.Task) -> None:
    with pytest.raises(LayoutError, match="Newline"):
        mean_effect(model, task, "id", 1, groups="Newline", progress=False)
    with pytest.raises(SettingError, match="examples is 0"):
        mean_effect(model, task, "id", 0)
