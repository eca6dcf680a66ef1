"""Attention by products is SDPA to rounding, runs by its rule, and leaves nothing behind."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import latent_core.backbones.kernels as kernels_module
from latent_core.backbones.attention import (
    AttentionCall,
    AttentionHook,
    hooked,
    products_where_faster,
)
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.kernels import (
    attend_by_products,
    attend_where_faster,
    products_allowed,
)
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import LatentBatch
from tests.families import FAMILIES, character_tokenizer, random_model, tiny_backbone
from tests.tracing import traced

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


def low_llama() -> Backbone:
    model = random_model("llama").to(torch.bfloat16)
    return Backbone("low", model, character_tokenizer())


def decoded_logits(model: LatentModel) -> Tensor:
    """The logits of every token of three responses, which are decoded side by side."""
    trace = traced(model, ["ab,cd=12,e", "a,b", "c"], 5, eos_token_id=10**9)
    return torch.stack([logits for row in range(3) for logits in trace.logits[row]])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the queries that products served."""
    seen = []

    def watched(query, *rest):
        seen.append(tuple(query.shape))
        return attend_by_products(query, *rest)

    monkeypatch.setattr(kernels_module, "attend_by_products", watched)
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_in_float32_products_are_sdpa(family: str, calls, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LatentModel(tiny_backbone(family), "Start_1+Comma_2", seed=1)
    wanted = step(model)
    with products_where_faster(model.backbone):
        same = step(model)
    assert not calls  # the rule leaves float32 to SDPA, to the bit
    assert all(torch.equal(one, other) for one, other in zip(same, wanted, strict=True))
    monkeypatch.setattr(kernels_module, "_suits", lambda query, key: True)
    with products_where_faster(model.backbone):
        found = step(model)
    assert bool(calls) == (family not in OWN)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_training_runs_by_products_and_leaves_a_model_as_it_was(calls) -> None:
    exact = LatentModel(tiny_backbone("llama"), "Start_1+Comma_2", seed=1)
    model = LatentModel(low_llama(), "Start_1+Comma_2", seed=1)
    model.tables.assign(exact.tables.named())
    _, reference = step(exact)
    with products_where_faster(model.backbone):
        _, found = step(model)
        trained = len(calls)
    with torch.no_grad():
        model(**ragged(model).as_dict())
    assert trained == len(calls) == 2
    assert (found - reference).norm() < 0.2 * reference.norm()


@pytest.mark.parametrize("family", FAMILIES)
def test_in_float32_decoding_by_products_is_decoding_by_sdpa(
    family: str, calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LatentModel(tiny_backbone(family), "Start_1+2_2", seed=1)
    found = decoded_logits(model)
    assert bool(calls) == (family not in OWN)
    monkeypatch.setattr(kernels_module, "_suits", lambda query, key: False)
    wanted = decoded_logits(model)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_decoding_in_a_hook_that_changes_nothing_is_the_same_to_the_bit(calls) -> None:
    class Look(AttentionHook):
        pass

    class Denominators(AttentionHook):
        needs_denominators = True
        seen = 0

        def after(self, call: AttentionCall, output: Tensor) -> None:
            assert call.denominators is not None
            self.seen += 1

    model = LatentModel(low_llama(), "Start_1+2_2", seed=1)
    wanted = decoded_logits(model)
    by_products = len(calls)
    with hooked(model.backbone, Look()):
        found = decoded_logits(model)
    assert torch.equal(found, wanted) and len(calls) == 2 * by_products > 0
    with hooked(model.backbone, look := Denominators()):
        decoded_logits(model)  # which SDPA alone gives
    assert look.seen and len(calls) == 2 * by_products


@pytest.mark.parametrize(
    ("dtype", "rows", "heads", "groups", "queries", "keys", "wanted"),
    [
        (torch.bfloat16, 16, 9, 3, 1, 2000, True),
        (torch.bfloat16, 16, 9, 3, 16, 40, True),
        (torch.bfloat16, 16, 9, 3, 17, 40, False),  # a prompt
        (torch.bfloat16, 1, 9, 3, 1, 256, False),  # one row, few keys
        (torch.bfloat16, 1, 9, 3, 1, 257, True),
        (torch.bfloat16, 16, 9, 9, 1, 40, False),  # heads with keys of their own
        (torch.float32, 1, 9, 9, 1, 40, True),
        (torch.float32, 16, 9, 3, 17, 40, False),
    ],
)
def test_without_gradients_the_rule_asks_for_the_shape(
    dtype: torch.dtype,
    rows: int,
    heads: int,
    groups: int,
    queries: int,
    keys: int,
    wanted: bool,
    calls,
) -> None:
    query = torch.randn(rows, heads, queries, 4, dtype=dtype)
    key = torch.randn(rows, groups, keys, 4, dtype=dtype)
    mask = torch.ones(rows, 1, queries, keys, dtype=torch.bool)
    module = nn.Module()
    module.num_key_value_groups = heads // groups
    exact, _ = attend_where_faster(module, query.double(), key.double(), key.double(), mask)
    calls.clear()
    attend_where_faster(module, query, key, key, mask)
    assert not calls
    with products_allowed():
        found, _ = attend_where_faster(module, query, key, key, mask)
    assert bool(calls) == wanted
    torch.testing.assert_close(found.double(), exact, rtol=0.05, atol=0.02)


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
    monkeypatch.setattr(kernels_module, "LONGEST", 5)
    low = low_llama()
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
