"""The invariants that matter most, on the backbones that ship: trained weights, real tokenizers."""

import hashlib
from collections.abc import Iterator

import pytest
import torch

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.models.latent import LatentModel
from latent_core.tasks import load_task
from latent_core.training.train import train
from tests.tracing import own_decoding_agrees, references_agree, traced

PROMPTS = ["Repeat 2 times: 12+34=46\n", "a=7,b=12,c=3", "One, two,"]
LIMIT = 10


@pytest.fixture(
    scope="module",
    params=["tiny", pytest.param("smollm2-135m", marks=pytest.mark.slow)],
)
def backbone(request: pytest.FixtureRequest) -> Iterator[Backbone]:
    if request.param != "tiny":
        request.getfixturevalue("smollm2_dir")
    yield load_backbone(request.param, dtype="float32", device="cpu")


def weights(backbone: Backbone) -> dict[str, str]:
    """A hash of every bit of every weight."""
    return {
        name: hashlib.sha256(weight.numpy().tobytes()).hexdigest()
        for name, weight in backbone.model.state_dict().items()
    }


def test_zero_latents_give_the_backbones_own_greedy_output(backbone: Backbone) -> None:
    own_decoding_agrees(backbone, PROMPTS, LIMIT)


@pytest.mark.parametrize(
    "layout",
    ["Start_1+Comma_2+End_1", "3_1+After[=|,]_2@verbal; tied", "2_1; positions=sequential"],
)
def test_decoding_agrees_with_every_reference(backbone: Backbone, layout: str) -> None:
    model = LatentModel(backbone, layout, seed=1)
    latents = references_agree(model, PROMPTS, LIMIT, tolerance=3e-3)
    assert latents >= 2 or "_1+After" not in layout


def test_latents_ride_with_verbal_tokens(backbone: Backbone) -> None:
    trace = traced(LatentModel(backbone, "Start_2+1_2", seed=1), PROMPTS[1:], 4)
    assert len(trace.shapes) == max(len(row.response_ids) for row in trace.rows)


def test_a_training_run_leaves_every_bit_of_the_backbone(backbone: Backbone) -> None:
    model = LatentModel(backbone, "Start_1+Comma_1", seed=0)
    before, start = weights(backbone), model.tables.rows().clone()
    train(model, load_task("repetition"), steps=2, batch_size=2, progress=False)
    assert weights(backbone) == before
    assert all(weight.grad is None for weight in backbone.model.parameters())
    assert ((model.tables.rows() - start).abs().amax(1) > 1e-3).all()


def test_commas_are_found_in_every_token_that_has_one(backbone: Backbone) -> None:
    found = backbone.trigger_ids([","])
    texts = {backbone.token_texts[token_id] for token_id in found}
    known = {","} if backbone.name == "tiny" else {",", '",', "),", "],", "',"}
    assert known <= texts
    assert not found & set(backbone.tokenizer.all_special_ids)
    for prompt in (*PROMPTS, 'He said "no", then (yes), and [1,2],3 ,4'):
        ids = backbone.encode(prompt)
        if backbone.tokenizer.unk_token_id in ids:
            continue
        assert sum(token_id in found for token_id in ids) == prompt.count(",")


def test_weights_in_two_precisions_have_one_fingerprint(backbone: Backbone) -> None:
    low = load_backbone(backbone.name, dtype=torch.bfloat16, device="cpu")
    assert low.fingerprint == backbone.fingerprint
    assert low.dtype == torch.bfloat16
