"""Losses in chunks are those of all logits at once, with their gradient, in less memory."""

import pytest
import torch
from torch.nn import functional as F

import latent_core.models.loss as loss_module
from latent_core.backbones.backbone import Backbone
from latent_core.models.loss import token_losses
from tests.families import FAMILIES, character_tokenizer, random_model, tiny_backbone


def drawn(backbone: Backbone, rows: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    states = torch.randn(rows, backbone.hidden_size).to(backbone.dtype).requires_grad_()
    return states, torch.randint(backbone.vocabulary_size, (rows,))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_chunks_change_neither_losses_nor_gradient(
    family: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone(family)
    monkeypatch.setattr(loss_module, "CHUNK_ELEMENTS", rows * backbone.vocabulary_size)
    states, labels = drawn(backbone)
    weights = torch.linspace(0.5, 2, len(labels))  # each loss counts otherwise
    wanted = F.cross_entropy(backbone.logits(states).float(), labels, reduction="none")
    (gradient,) = torch.autograd.grad((weights * wanted).sum(), states)
    found = token_losses(backbone, states, labels)
    (ours,) = torch.autograd.grad((weights * found).sum(), states)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours, gradient, rtol=1e-5, atol=1e-6)


def test_bfloat16_differs_by_its_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = Backbone("low", random_model("llama").to(torch.bfloat16), character_tokenizer())
    monkeypatch.setattr(loss_module, "CHUNK_ELEMENTS", 3 * backbone.vocabulary_size)
    states, labels = drawn(backbone)
    wanted = F.cross_entropy(backbone.logits(states).float(), labels, reduction="none")
    (gradient,) = torch.autograd.grad(wanted.mean(), states)
    found = token_losses(backbone, states, labels)
    (ours,) = torch.autograd.grad(found.mean(), states)
    assert found.dtype == torch.float32 and ours.dtype == torch.bfloat16
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert (ours - gradient).norm() < 0.01 * gradient.norm()


def test_a_head_that_trains_gets_its_gradient() -> None:
    model = random_model("llama")
    backbone = Backbone("free", model, character_tokenizer())
    head = model.get_output_embeddings().weight.requires_grad_()
    states, labels = drawn(backbone)
    token_losses(backbone, states, labels).mean().backward()
    assert head.grad is not None and head.grad.abs().sum() > 0


def test_no_more_rows_of_logits_are_held_than_a_chunk_has(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, sizes = tiny_backbone("llama"), []
    logits = Backbone.logits

    def watched(self: Backbone, states: torch.Tensor) -> torch.Tensor:
        sizes.append(len(states))
        return logits(self, states)

    monkeypatch.setattr(Backbone, "logits", watched)
    monkeypatch.setattr(loss_module, "CHUNK_ELEMENTS", 4 * backbone.vocabulary_size)
    token_losses(backbone, *drawn(backbone))
    assert sizes == [4, 4, 3]


def test_without_gradients_none_is_computed() -> None:
    states, labels = drawn(tiny_backbone("llama"))
    with torch.no_grad():
        assert not token_losses(tiny_backbone("llama"), states, labels).requires_grad
