"""Losses in parts and chunks are those of the whole batch, with their gradient, in less memory."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import latent_core.models.loss as loss_module
import latent_core.models.loss as parts_module
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.models.loss import FORWARD, Part, divide, token_losses
from latent_core.models.steered import SteeredModel
from latent_core.slots.batch import LatentBatch, collate
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


EXAMPLES = (
    ("ab,cd=", "12,3"),
    ("abcdefg1", "2,ab,12,3,4"),
    ("a,b,c,dddddd,e", "3"),
    ("abcdefgh,", "a"),
    ("x", "abc"),
)
"""Ragged, the first commas far from each other; one without a comma."""
LAYOUTS = ("Comma_2", "End_2", "4_1", "Start_1+Comma_1")


def batch_of(model: SteeredModel) -> LatentBatch:
    return model.batch([model.insert(*pair) for pair in EXAMPLES])


def trained(
    model: SteeredModel, batch: LatentBatch, monkeypatch: pytest.MonkeyPatch, overhead: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, token losses and gradient of a step, divided as if a pass cost `overhead` slots."""
    monkeypatch.setattr(
        parts_module, "divide", lambda batch, cut: divide(batch, cut, overhead=overhead)
    )
    model.train()
    output = model(**batch.as_dict())
    output["loss"].backward()
    model.train(False)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradient = torch.cat([weight.grad.flatten() for weight in weights])
    model.zero_grad()
    return output["loss"].detach(), output["token_losses"], gradient


def assert_parts_are_the_whole(
    model: SteeredModel, batch: LatentBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(model, batch, monkeypatch, overhead=1e9)
    divided = trained(model, batch, monkeypatch, overhead=0)
    for one, other in zip(divided, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_have_the_loss_and_the_gradient_of_the_batch(
    family: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LatentModel(tiny_backbone(family), layout, seed=1)
    batch = batch_of(model)
    parts = divide(batch, cut=True, overhead=0)
    assert len(parts) > 1
    assert any(part.prefix for part in parts) == (not layout.startswith("Start"))
    assert_parts_are_the_whole(model, batch, monkeypatch)


@pytest.mark.parametrize("method", ["lora-r2", "prefix-2", "prompt-tuning-2", "full"])
def test_baselines_have_the_gradient_of_the_batch_too(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(tiny_backbone("llama"), method, seed=1)
    batch = batch_of(model)
    assert_parts_are_the_whole(model, batch, monkeypatch)


@pytest.mark.parametrize("method", ["lora-r2", "prefix-2", "full", "Comma_1=hidden"])
def test_what_trains_inside_the_backbone_needs_the_gradient_of_every_slot(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(batch: LatentBatch, cut: bool) -> list[Part]:
        seen.append(cut)
        return [Part.whole(batch)]

    monkeypatch.setattr(parts_module, "divide", spy)
    for name in (method, "Comma_2"):
        model = build_model(tiny_backbone("llama"), name, seed=1)
        model.train()
        model(**batch_of(model).as_dict())
        model.train(False)
    assert seen == [False, True]


def test_recomputed_layers_keep_every_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LatentModel(tiny_backbone("llama"), "Comma_2", seed=1)
    whole = trained(model, batch_of(model), monkeypatch, overhead=1e9)
    layers = model.base_model.base_model.layers
    before = [vars(layer).copy() for layer in layers]
    try:
        model.activation_checkpointing_enable()
        divided = trained(model, batch_of(model), monkeypatch, overhead=0)
    finally:
        model.base_model.activation_checkpointing_disable()
        for layer, attributes in zip(layers, before, strict=True):
            vars(layer).update(attributes)
    for one, other in zip(divided, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_part_without_latents_has_gradients_of_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LatentModel(tiny_backbone("llama"), "Comma_2", seed=1)
    batch = model.batch([model.insert("ab", "cd")])
    loss, _, gradient = trained(model, batch, monkeypatch, overhead=0)
    assert loss > 0 and not gradient.any()


def test_outside_training_a_batch_is_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(batch: LatentBatch, cut: bool) -> list[Part]:
        raise SettingError("divided")

    monkeypatch.setattr(parts_module, "divide", never)
    model = LatentModel(tiny_backbone("llama"), "Comma_2", seed=1)
    assert model(**batch_of(model).as_dict())["loss"] > 0


def partitions(rows: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """Every way to put rows into parts."""
    if not rows:
        return [[]]
    first, rest = rows[0], rows[1:]
    found = []
    for size in range(len(rest) + 1):
        for others in itertools.combinations(rest, size):
            left = tuple(row for row in rest if row not in others)
            found += [[(first, *others), *more] for more in partitions(left)]
    return found


@pytest.mark.parametrize("overhead", [0, 3, 10, 30, 1000])
def test_without_a_prefix_no_other_parts_cost_less(overhead: float) -> None:
    model = LatentModel(tiny_backbone("llama"), "Comma_2", seed=1)
    examples = [model.insert(*pair) for pair in EXAMPLES]
    lengths = [len(example.slots) for example in examples]

    def cost(parts: list[tuple[int, ...]]) -> float:
        return sum(overhead + len(part) * max(lengths[row] for row in part) for part in parts)

    found = divide(collate(examples), cut=False, overhead=overhead)
    assert sorted(row for part in found for row in part.rows) == list(range(len(examples)))
    assert all(part.length == max(lengths[row] for row in part.rows) for part in found)
    assert all(part.prefix == 0 for part in found)
    best = min(cost(parts) for parts in partitions(tuple(range(len(examples)))))
    assert cost([part.rows for part in found]) == best


def test_a_prefix_ends_at_the_first_latent_of_its_part_and_only_where_it_saves_time() -> None:
    model = LatentModel(tiny_backbone("llama"), "End_2", seed=1)
    batch = model.batch([model.insert("abcdefghij", "k"), model.insert("abcdefghijkl", "k")])
    (part,) = divide(batch, cut=True, overhead=30)
    assert part == Part((0, 1), 16, 10)
    # The second pass costs a third of 30 slots, and saves two thirds of 2 x 10.
    assert FORWARD * 30 < 2 * (1 - FORWARD) * 10
    assert divide(batch, cut=True, overhead=50) == [Part((0, 1), 16, 0)]
