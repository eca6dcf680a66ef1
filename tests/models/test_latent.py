"""The forward pass and the loss: what a slot sees, who is asked for what, what gets gradients."""

import pytest
import torch
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from latent_core.backbones.backbone import Backbone
from latent_core.errors import LayoutError, PromptError
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import LatentBatch
from latent_core.slots.placement import IGNORE
from tests.families import (
    LAYOUTS,
    MAIN_FAMILIES,
    character_tokenizer,
    random_model,
    tiny_backbone,
)

EXAMPLES = [("ab,cd=", "12,3"), ("x", "4"), ("a,b,c", "3,2,1,0,5,5")]
MIXED = "Start_2+Comma_1+3_2+End_1@verbal"


def fresh(family: str, **changes: object) -> Backbone:
    """A backbone of the test's own, which it may change."""
    return Backbone(family, random_model(family, **changes), character_tokenizer())


def batch_of(model: LatentModel, examples=EXAMPLES) -> LatentBatch:
    return model.batch([model.insert(*example) for example in examples])


# ---- what a slot sees ----


@pytest.mark.parametrize("family", MAIN_FAMILIES)
def test_shared_positions_are_not_taken_for_packed_sequences(family: str) -> None:
    """Without a 2-D mask, position ids that do not grow by 1 cut an example in pieces."""
    model = LatentModel(tiny_backbone(family), MIXED, seed=1)
    batch = batch_of(model, [EXAMPLES[0]])
    with torch.no_grad():
        evaluated = model.hidden_states(batch)
        model.train()
        trained = model.hidden_states(batch)
        model.train(False)
        embeds = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)
        packed = model.base_model.base_model(
            inputs_embeds=embeds, position_ids=batch.position_ids, use_cache=False
        ).last_hidden_state
    torch.testing.assert_close(trained, evaluated, rtol=1e-4, atol=1e-4)
    if family != "gpt2":  # which does not look for packed sequences
        assert (packed - evaluated).abs().max() > 0.1, "this example would not show the trap"


def test_latents_change_what_later_slots_see_and_nothing_before() -> None:
    model = LatentModel(tiny_backbone("llama"), "After[=]_1", seed=1)
    batch = batch_of(model, [("ab=cd", "1")])
    before = model.logits(batch)[0]
    with torch.no_grad():
        model.tables.tables[0].add_(1)
    after = model.logits(batch)[0]
    assert torch.equal(before[:3], after[:3])
    assert ((before[3:] - after[3:]).abs().amax(-1) > 1e-3).all()


# ---- the loss ----


def test_the_loss_by_hand() -> None:
    """Two examples; every slot and every target is written out."""
    backbone = tiny_backbone("llama")
    model = LatentModel(backbone, "Comma_2", seed=1)
    a, one, comma, eos = 2, 19, 28, 0
    latent = {"L0": model.tables.rows()[0], "L1": model.tables.rows()[1]}
    examples = [
        # slots, position ids, {predicting slot: target}
        (
            [a, "L0", "L1", comma, one, "L0", "L1", comma, eos],
            [0, 1, 1, 1, 2, 3, 3, 3, 4],
            {3: one, 4: comma, 7: eos},
        ),
        ([one, a, eos], [0, 1, 2], {0: a, 1: eos}),
    ]
    losses, shifted = [], []
    for slots, positions, targets in examples:
        ids = torch.tensor([slot if isinstance(slot, int) else 0 for slot in slots])
        embeds = backbone.embed(ids).clone()
        for t, slot in enumerate(slots):
            if isinstance(slot, str):
                embeds[t] = latent[slot]
        logits = backbone.model(
            inputs_embeds=embeds[None],
            attention_mask=torch.ones(1, len(slots), dtype=torch.long),
            position_ids=torch.tensor([positions]),
        ).logits[0]
        log_probabilities = logits.log_softmax(-1)
        losses += [-log_probabilities[t, token] for t, token in targets.items()]
        shifted += [
            -log_probabilities[slots.index(token, t + 1) - 1, token] for t, token in targets.items()
        ]
    batch = batch_of(model, [("a,", "1,"), ("1", "a")])
    output = model(**batch.as_dict())
    torch.testing.assert_close(output["token_losses"], torch.stack(losses).detach())
    torch.testing.assert_close(output["loss"], torch.stack(losses).mean())
    # The last latent before the comma is the slot that labels shifted by one would train.
    assert (torch.stack(shifted).mean() - output["loss"]).abs() > 0.05


def test_the_loss_is_that_of_decoding_step_by_step() -> None:
    """Teacher forcing asks each slot what decoding will ask it."""
    for layout in LAYOUTS:
        model = LatentModel(tiny_backbone("qwen2"), layout, seed=1)
        (row,) = model.generate("ab,c", max_new_tokens=12, return_details=True)
        batch = model.batch([model.place(row.prompt_ids, row.response_ids)])
        chosen = model.logits(batch)[batch.labels != IGNORE].argmax(-1)
        assert chosen.tolist() == list(row.response_ids), layout


@pytest.mark.parametrize("family", ["llama", "gemma2", "granite"])
def test_only_slots_with_a_target_go_through_the_head(family: str, monkeypatch) -> None:
    model = LatentModel(tiny_backbone(family), MIXED, seed=1)
    batch = batch_of(model)
    shapes, head = [], Backbone.logits

    def counted(self, hidden_states):
        shapes.append((tuple(hidden_states.shape), hidden_states.is_contiguous()))
        return head(self, hidden_states)

    whole = model.logits(batch)
    monkeypatch.setattr(Backbone, "logits", counted)
    output = model(**batch.as_dict())
    labelled = batch.labels != IGNORE
    assert shapes == [((int(labelled.sum()), 32), True)]
    wanted = F.cross_entropy(whole[labelled], batch.labels[labelled])
    torch.testing.assert_close(output["loss"], wanted, rtol=1e-4, atol=1e-5)


def test_accumulated_batches_weigh_every_token_alike() -> None:
    model = LatentModel(tiny_backbone("llama"), MIXED, seed=1)
    parts = [batch_of(model, EXAMPLES[:1]), batch_of(model, EXAMPLES[1:])]
    whole = batch_of(model)
    count = (whole.labels != IGNORE).sum()
    assert (parts[0].labels != IGNORE).sum() != (parts[1].labels != IGNORE).sum()

    def gradients(*batches, **kwargs):
        model.zero_grad()
        losses = [model(**batch.as_dict(), **kwargs)["loss"] for batch in batches]
        sum(losses).backward()
        return [sum(losses).detach(), *(table.grad.clone() for table in model.tables.parameters())]

    torch.testing.assert_close(
        gradients(*parts, num_items_in_batch=count), gradients(whole), rtol=1e-4, atol=1e-6
    )


# ---- gradients ----


@pytest.mark.parametrize("family", MAIN_FAMILIES)
def test_gradients_are_those_of_the_loss(family: str) -> None:
    """Central differences in the direction of steepest ascent, in double precision."""
    backbone = Backbone(family, random_model(family).double(), character_tokenizer())
    model = LatentModel(backbone, MIXED, seed=1)
    model.tables.double()
    batch = batch_of(model).as_dict()
    model(**batch)["loss"].backward()
    gradients = [table.grad for table in model.tables.parameters()]
    slope = float(sum(gradient.square().sum() for gradient in gradients)) ** 0.5
    losses = []
    for step in (1e-3, -2e-3):
        with torch.no_grad():
            for table, gradient in zip(model.tables.parameters(), gradients, strict=True):
                table.add_(step / slope * gradient)
            losses.append(float(model(**batch)["loss"]))
    assert (losses[0] - losses[1]) / 2e-3 == pytest.approx(slope, rel=3e-2)
    assert slope > 1e-2


def test_the_backbone_gets_no_gradients() -> None:
    model = LatentModel(fresh("llama"), MIXED).train()
    model(**batch_of(model).as_dict())["loss"].backward()
    assert all(table.grad.abs().sum() > 0 for table in model.tables.parameters())
    assert all(weight.grad is None for weight in model.base_model.parameters())


@pytest.mark.parametrize("family", [*MAIN_FAMILIES, "opt", "falcon", "gpt_neo"])
def test_gradient_checkpointing_changes_nothing(family: str) -> None:
    """OPT and Falcon have dropout in the very layers that recompute only in training mode."""
    model = LatentModel(fresh(family), MIXED, seed=1)
    batch = batch_of(model).as_dict()
    layers = [m for m in model.base_model.modules() if isinstance(m, GradientCheckpointingLayer)]

    def step():
        passes = [0]
        model.train()
        model.zero_grad()
        norms = [m for layer in layers for m in layer.modules() if "orm" in type(m).__name__]
        hooks = [norms[0].register_forward_pre_hook(lambda *_: passes.append(1))]
        loss = model(**batch)["loss"]
        loss.backward()
        for hook in hooks:
            hook.remove()
        return [loss.detach(), *(t.grad.clone() for t in model.tables.parameters())], sum(passes)

    plain, once = step()
    model.activation_checkpointing_enable()
    recomputed, twice = step()
    assert (once, twice) == (1, 2)
    torch.testing.assert_close(recomputed, plain, rtol=0, atol=0)


def test_a_model_in_training_decodes_as_ever() -> None:
    """Also while it recomputes activations, which would do without the cache."""
    model = LatentModel(fresh("llama"), MIXED, seed=1)
    wanted = model.generate(["ab,c", "x"], 10)
    model.activation_checkpointing_enable()
    model.train()
    assert model.generate(["ab,c", "x"], 10) == wanted
    assert model.training


@pytest.mark.parametrize("family", ["gpt2", "opt", "falcon"])
def test_dropout_of_the_backbone_stays_off_in_training(family: str) -> None:
    model = LatentModel(fresh(family), MIXED).train()
    batch = batch_of(model).as_dict()
    assert torch.equal(model(**batch)["loss"], model(**batch)["loss"])
    assert not any(module.training for module in model.base_model.modules())
    assert model.tables.training


def test_latents_stay_fp32_on_a_bf16_backbone() -> None:
    low = LatentModel(fresh("llama", dtype=torch.bfloat16), MIXED, seed=1)
    low.base_model.to(torch.bfloat16)
    high = LatentModel(tiny_backbone("llama"), MIXED, seed=1)
    high.tables.assign(low.tables.named())
    output = low(**batch_of(low).as_dict())
    output["loss"].backward()
    assert {p.dtype for p in low.tables.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in low.tables.parameters()} == {torch.float32}
    assert output["loss"].dtype == torch.float32
    assert float(output["loss"].detach()) == pytest.approx(
        float(high(**batch_of(high).as_dict())["loss"].detach()), rel=0.1
    )
    assert low.generate("ab,c", 5, return_details=True)[0].response_ids


# ---- the object ----


def test_what_there_is_to_train() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+Comma_2")
    assert model.num_trainable == 3 * 32
    assert LatentModel(tiny_backbone("llama"), "Start_1+Comma_2; tied").num_trainable == 2 * 32
    assert LatentModel(tiny_backbone("llama"), "none").num_trainable == 0
    trainable = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trainable == ["tables.tables.0", "tables.tables.1"]
    assert list(model.state_dict()) == trainable
    model.load_state_dict(model.state_dict(), strict=True)
    with pytest.raises(RuntimeError, match=r"Missing key.*tables\.tables\.1"):
        model.load_state_dict({"tables.tables.0": torch.zeros(1, 32)})


def test_initial_vectors_follow_the_seed_and_the_scale_of_the_embeddings() -> None:
    for family in ("llama", "gemma3"):
        first, same, other = (
            LatentModel(tiny_backbone(family), "Start_5", seed=seed).tables.rows()
            for seed in (0, 0, 1)
        )
        assert torch.equal(first, same)
        assert not torch.equal(first, other)
        embeddings = tiny_backbone(family).embed(torch.arange(2, 32))
        assert all((row == embeddings).all(-1).any() for row in first)
    weight = tiny_backbone("gemma3").model.get_input_embeddings().weight
    assert embeddings.norm() == pytest.approx(float(weight[2:32].norm()) * 32**0.5, rel=1e-2)


def test_a_tokenizer_with_more_tokens_than_the_model_starts_from_those_it_has() -> None:
    backbone = fresh("llama", vocab_size=12)
    model = LatentModel(backbone, "Start_40", init="vocab")
    assert model.tables.rows().shape == (40, 32)


def test_detached_is_the_backbone() -> None:
    model = LatentModel(tiny_backbone("llama"), MIXED, seed=1)
    base = LatentModel(tiny_backbone("llama"), "none")
    prompts = ["ab,cd=", "a,b"]
    with_latents = model.generate(prompts, 8)
    with model.detached() as same:
        assert same is model
        assert model.generate(prompts, 8) == base.generate(prompts, 8)
    assert model.generate(prompts, 8) == with_latents
    assert with_latents != base.generate(prompts, 8)


def test_detached_ends_with_an_error_too() -> None:
    model = LatentModel(tiny_backbone("llama"), MIXED)
    placement = model.placement
    with pytest.raises(PromptError), model.detached():
        model.generate("")
    assert model.placement is placement


def test_bad_input_is_refused_before_anything_is_built() -> None:
    for layout, reason in {
        "Comma_x": "expected a count of at least 1 at column 7, got 'x'",
        "Start_0": "the count of 'Start' is '0'",
        "Before[;]_1": "vocabulary contains ';'",
    }.items():
        with pytest.raises(LayoutError, match=reason):
            LatentModel(tiny_backbone("llama"), layout)


@pytest.mark.parametrize(
    ("layout", "room"), [("Start_5", 96), ("Start_5; positions=sequential", 91)]
)
def test_an_example_beyond_the_context_window_is_refused(layout: str, room: int) -> None:
    model = LatentModel(tiny_backbone("gpt2"), layout)
    prompt, response = [2] * (room - 4), [3] * 4
    model.logits(model.batch([model.place(prompt, response)]))
    with pytest.raises(
        PromptError, match="reaches position 96, but gpt2 has a context window of 96"
    ):
        model.place(prompt, [*response, 3])
