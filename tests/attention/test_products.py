"""Attention by products is SDPA to rounding, runs by its rule, and leaves nothing behind."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import latent_core.attention.products as products_module
from latent_core.attention.products import attend_by_products, products_where_faster
from latent_core.backbones.backbone import Backbone
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import LatentBatch
from tests.families import FAMILIES, character_tokenizer, random_model, tiny_backbone

OWN = ("falcon", "gpt_neo", "gptj", "gemma2", "gpt_oss")
"""Families with an attention of their own, or without SDPA."""


def ragged(model: LatentModel) -> LatentBatch:
    return model.batch([model.insert("ab,cd=12,e", "3,4"), model.insert("a,b", "c")])


def step(model: LatentModel) -> tuple[Tensor, Tensor]:
    """The loss and the gradient of one step."""
    model.train()
    loss = model(**ragged(model).as_dict())["loss"]
    loss.backward()
    model.train(False)
    gradient = model.tables.tables[0].grad
    assert gradient is not None
    model.zero_grad()
    return loss.detach(), gradient


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the queries that products served."""
    seen = []

    def watched(query, *rest):
        seen.append(tuple(query.shape))
        return attend_by_products(query, *rest)

    monkeypatch.setattr(products_module, "attend_by_products", watched)
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_in_float32_products_are_sdpa(family: str, calls, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LatentModel(tiny_backbone(family), "Start_1+Comma_2", seed=1)
    wanted = step(model)
    with products_where_faster(model.backbone):
        same = step(model)
    assert not calls  # the rule leaves float32 to SDPA, to the bit
    assert all(torch.equal(one, other) for one, other in zip(same, wanted, strict=True))
    monkeypatch.setattr(products_module, "_suits", lambda query, key: True)
    with products_where_faster(model.backbone):
        found = step(model)
    assert bool(calls) == (family not in OWN)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_training_runs_by_products_and_decoding_does_not(calls) -> None:
    exact = LatentModel(tiny_backbone("llama"), "Start_1+Comma_2", seed=1)
    low = Backbone("low", random_model("llama").to(torch.bfloat16), character_tokenizer())
    model = LatentModel(low, "Start_1+Comma_2", seed=1)
    model.tables.assign(exact.tables.named())
    _, reference = step(exact)
    with products_where_faster(low):
        _, found = step(model)
        trained = len(calls)
        model.generate("ab,c", 4)
    assert trained == len(calls) == 2
    assert (found - reference).norm() < 0.2 * reference.norm()


def test_in_bfloat16_gradients_lie_as_near_to_exact_ones_as_those_of_sdpa() -> None:
    torch.manual_seed(0)
    shapes = [(4, 6, 24, 16), (4, 2, 24, 16), (4, 2, 24, 16)]
    inputs = [torch.randn(shape).bfloat16() for shape in shapes]
    allowed = torch.ones(4, 1, 24, 24, dtype=torch.bool).tril()
    allowed[0, :, :, 20:] = False

    def gradients(kernel, dtype: torch.dtype) -> Tensor:
        leaves = [one.to(dtype).requires_grad_() for one in inputs]
        found = torch.autograd.grad(kernel(*leaves).square().sum(), leaves)
        return torch.cat([one.flatten().double() for one in found])

    def sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        key, value = (one.repeat_interleave(3, dim=1) for one in (key, value))
        output = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        return output.transpose(1, 2)

    def products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend_by_products(query, key, value, allowed, 0.25)

    exact = gradients(sdpa, torch.float64)
    fused, ours = ((gradients(k, torch.bfloat16) - exact).norm() for k in (sdpa, products))
    assert ours < 1.5 * fused and ours < 0.01 * exact.norm()
    torch.testing.assert_close(gradients(products, torch.float64), exact)


def test_rows_longer_than_the_rule_keep_sdpa(calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products_module, "LONGEST", 5)
    low = Backbone("low", random_model("llama").to(torch.bfloat16), character_tokenizer())
    model = LatentModel(low, "Start_1", seed=1)
    with products_where_faster(low):
        step(model)
    assert not calls


def test_a_failure_inside_restores_the_attention() -> None:
    backbone = tiny_backbone("mistral")
    own = backbone.model.config._attn_implementation
    with pytest.raises(KeyError), products_where_faster(backbone):
        assert backbone.model.config._attn_implementation != own
        raise KeyError
    assert backbone.model.config._attn_implementation == own
