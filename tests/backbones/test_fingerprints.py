"""One checkpoint is known in every precision; what differs is said, and may be allowed."""

import copy
import json
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.fingerprints import WeightsSample, differences, weights_fingerprint
from latent_core.errors import AdapterError
from latent_core.models.latent import LatentModel
from tests.families import character_tokenizer, random_model

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def known(model: PreTrainedModel) -> tuple[str, WeightsSample]:
    return weights_fingerprint(model), WeightsSample.of(model)


def in_dtype(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    return copy.deepcopy(model).to(dtype)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    """A checkpoint in float32, with weights so small and so large that float16 loses them."""
    made = random_model("llama").float()
    with torch.no_grad():
        for weight in made.parameters():
            if weight.dim() > 1:
                weight[0] *= 1e-6
                weight[1] *= 1e7
    return made


@pytest.mark.parametrize("saved", DTYPES)
@pytest.mark.parametrize("loaded", DTYPES)
@pytest.mark.parametrize("checkpoint", [torch.float32, torch.bfloat16])
def test_one_checkpoint_is_known_in_every_precision(model, checkpoint, saved, loaded) -> None:
    kept = in_dtype(model, checkpoint)
    then, now = known(in_dtype(kept, saved)), known(in_dtype(kept, loaded))
    assert differences(*then, *now) == []


@pytest.mark.parametrize("saved", DTYPES)
@pytest.mark.parametrize("loaded", DTYPES)
def test_other_weights_are_told_in_every_pair_of_precisions(model, saved, loaded) -> None:
    """A change by 2 %, of one matrix in two."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for number, weight in enumerate(other.parameters()):
            if number % 2:
                weight *= 1.02
    found = differences(*known(in_dtype(model, saved)), *known(in_dtype(other, loaded)))
    assert found and "sampled weights differ, by up to 0.0" in found[-1]


def test_a_small_change_is_told_wherever_the_hash_is_exact(model) -> None:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight *= 1.003
    for dtype in DTYPES:
        assert differences(*known(in_dtype(model, dtype)), *known(in_dtype(other, dtype)))


def test_resized_embeddings_are_named(model) -> None:
    larger = copy.deepcopy(model)
    rows = larger.get_input_embeddings().weight.shape[0]
    larger.resize_token_embeddings(rows + 8, mean_resizing=False)
    (resized, same) = differences(*known(model), *known(larger))
    assert resized == f"its embeddings are resized or padded: {rows + 8} rows now, {rows} then"
    assert same == "128 sampled weights are the same"


def test_quantised_weights_and_another_architecture_are_named(model) -> None:
    packed = copy.deepcopy(model).requires_grad_(False)
    packed.quantization_method = "bitsandbytes"
    packed.get_output_embeddings().weight.data = torch.zeros(4, 4, dtype=torch.uint8)
    found = differences(*known(model), *known(packed))
    assert found[0] == "its weights are quantised (bitsandbytes), and were not quantised"
    assert "sampled weights are the same" in found[-1]
    (*_, other) = differences(*known(model), *known(random_model("gpt2")))[:1]
    assert other == "it has weights of other names, so it is of another architecture"


def test_adapters_of_before_the_sample_go_by_the_hash(model) -> None:
    then = weights_fingerprint(model)
    assert differences(then, None, *known(in_dtype(model, torch.bfloat16))) == []
    (half,) = differences(then, None, *known(in_dtype(model, torch.float16)))
    assert "loaded in float16" in half and "load it in float32 or bfloat16" in half
    assert differences(then, None, *known(random_model("gpt2"))) == ["its weights are others"]


@pytest.mark.parametrize("damage", [{"numbers": "AAAA"}, {"kinds": "z"}, {"rows": "x"}, {"a": 1}])
def test_a_damaged_sample_is_an_error_of_the_adapter(tmp_path: Path, model, damage) -> None:
    folder = LatentModel(backbone(model), "Start_1").save_pretrained(tmp_path)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["backbone_sample"] |= damage
    path.write_text(json.dumps(config))
    with pytest.raises(AdapterError, match="is damaged or of another kind"):
        LatentModel.from_pretrained(folder, backbone(model))


def backbone(model: PreTrainedModel, asked: str = "auto") -> Backbone:
    return Backbone("random", copy.deepcopy(model), character_tokenizer(), asked_dtype=asked)


def test_other_weights_can_be_allowed_if_the_width_is_the_same(tmp_path: Path) -> None:
    one, other = (backbone(random_model("llama", seed=seed)) for seed in (0, 1))
    folder = LatentModel(one, "Start_1").save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match=r"weights differ.*allow_other_weights=True"):
        LatentModel.from_pretrained(folder, other)
    allowed = LatentModel.from_pretrained(folder, other, allow_other_weights=True)
    assert allowed.backbone is other


def test_the_precision_that_was_asked_for_is_read_back(tmp_path: Path, monkeypatch) -> None:
    import latent_core.models.provenance as provenance

    half = backbone(random_model("llama").half(), "float16")
    folder = LatentModel(half, "Start_1").save_pretrained(tmp_path)
    asked = {}

    def load(name: object, **arguments: object) -> Backbone:
        asked.update(arguments)
        return half

    monkeypatch.setattr(provenance, "load_backbone", load)
    LatentModel.from_pretrained(folder)
    assert asked == {"dtype": "float16"}
    LatentModel.from_pretrained(folder, dtype="float32")
    assert asked == {"dtype": "float32"}
