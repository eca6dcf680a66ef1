"""The default learning rate follows the size of the embeddings as the decoder receives them."""

import pytest
import torch
import transformers as hf

from latent_core.backbones.backbone import Backbone
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.models.rates import MULTIPLE, default_rate
from tests.families import COMMON, character_tokenizer, random_from, random_model, tiny_backbone


def scaled(factor: float) -> Backbone:
    model = random_model("llama")
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(factor)
    return Backbone("llama", model, character_tokenizer())


@pytest.mark.parametrize("method", ["Start_2", "Comma_1", "pause-2", "prompt-tuning-2"])
def test_input_vectors_train_in_proportion_to_the_embeddings(method: str) -> None:
    once, tenfold = (default_rate(build_model(scaled(f), method, 0)) for f in (1.0, 10.0))
    assert tenfold.value == pytest.approx(10 * once.value)
    scale = scaled(1.0).model.get_input_embeddings().weight.square().mean().sqrt().item()
    assert once.value == pytest.approx(MULTIPLE * scale)
    assert f"0.5 x {scale:.3g}, the root mean square" in str(once)


def test_the_size_is_that_which_the_decoder_receives() -> None:
    """Gemma's embedding module multiplies by the root of the width."""
    backbone = tiny_backbone("gemma3")
    weight = backbone.model.get_input_embeddings().weight
    stored = weight.square().mean().sqrt().item()
    assert backbone.embedding_rms == pytest.approx(32**0.5 * stored, rel=1e-3)


def test_a_large_vocabulary_counts_wholly() -> None:
    config = hf.LlamaConfig(**COMMON | {"vocab_size": 20_000, "num_hidden_layers": 1})
    backbone = Backbone("wide", random_from(config), character_tokenizer())
    weight = backbone.model.get_input_embeddings().weight
    with torch.no_grad():
        weight[15_000:] *= 30  # beyond the first chunk
    assert backbone.embedding_rms == pytest.approx(weight.square().mean().sqrt().item())


@pytest.mark.parametrize(
    ("method", "rate"), [("lora-r2", 1e-3), ("prefix-2", 1e-1), ("full", 1e-4)]
)
def test_what_is_no_input_vector_keeps_its_own_rate(method: str, rate: float) -> None:
    found = [default_rate(build_model(scaled(factor), method, 0)) for factor in (1.0, 10.0)]
    assert [one.value for one in found] == [rate, rate]
    assert found[0].reason == f"the default of {method}"


def test_latents_on_tiny_train_with_the_rate_that_searches_chose() -> None:
    """A search over 0.003 to 0.1 chose 0.1 for most layouts on `tiny` (docs/results.md)."""
    assert default_rate(LatentModel("tiny", "Start_2")).value == pytest.approx(0.2, rel=0.1)
