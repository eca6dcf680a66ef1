"""Models by the names of their methods."""

from pathlib import Path

import pytest
import torch

from latent_core.errors import SettingError
from latent_core.models.build import build_model, load_model
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method
from tests.families import character_tokenizer, tiny_backbone


def test_a_model_for_a_method() -> None:
    backbone = tiny_backbone("llama")
    model = build_model(backbone, "Start_2+Comma_1", seed=4)
    assert model.layout == LatentLayout.parse("Start_2+Comma_1")
    again, other = (build_model(backbone, "Start_2+Comma_1", seed=seed) for seed in (4, 5))
    assert torch.equal(model.tables.rows(), again.tables.rows())
    assert not torch.equal(model.tables.rows(), other.tables.rows())
    assert build_model(backbone, Method.parse("zero-shot")).num_trainable == 0
    with pytest.raises(SettingError, match="seed is -1"):
        build_model(backbone, "Start_2", seed=-1)


def test_a_model_carries_its_method() -> None:
    backbone = tiny_backbone("llama")
    shots = build_model(backbone, "few-shot-3")
    assert (shots.method, shots.shots, shots.num_trainable) == ("few-shot-3", 3, 0)
    filler = build_model(backbone, "filler(Comma_2)")
    assert (filler.method, filler.num_trainable) == ("filler(Comma_2)", 0)
    assert build_model(backbone, "lora-r2").method == "lora-r2"


@pytest.mark.parametrize("name", ["few-shot-3", "filler(End_3)", "pause-3", "Start_2+Comma_1"])
def test_a_loaded_model_is_the_method_it_was(name: str, tmp_path: Path) -> None:
    model = build_model(tiny_backbone("llama"), name, seed=3)
    loaded = load_model(model.save_pretrained(tmp_path), tiny_backbone("llama"))
    assert (loaded.method, loaded.shots) == (model.method, model.shots)
    assert loaded.num_trainable == model.num_trainable
    assert loaded.generate(["a,b,="], 5) == model.generate(["a,b,="], 5)


def test_fillers_are_the_embeddings_of_their_text() -> None:
    backbone = tiny_backbone("llama")
    dot = backbone.embed(torch.tensor(character_tokenizer()(".")["input_ids"]))
    assert torch.equal(build_model(backbone, "filler(End_3)").tables.rows(), dot.expand(3, -1))
