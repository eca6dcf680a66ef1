"""Baselines: PEFT's own numbers, our loop, and a backbone that never notices."""

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from peft import (
    CartridgeConfig,
    PeftModel,
    get_peft_model,
    initialize_kv_prefix_from_text,
)
from torch import Tensor
from transformers import AutoModelForCausalLM

from latent_core.backbones.backbone import Backbone
from latent_core.errors import AdapterError, BackboneError, PromptError, SettingError
from latent_core.models.baselines.full import FullModel
from latent_core.models.baselines.lora import LoraModel, lora_of_rank, lora_of_size
from latent_core.models.baselines.virtual_tokens import PrefixModel, PromptModel
from latent_core.models.build import build_model, load_model
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.slots.placement import IGNORE
from tests.families import (
    FULL_ATTENTION,
    PROMPTS,
    character_tokenizer,
    random_model,
    tiny_backbone,
)

METHODS = ("lora-r3", "lora-90p", "prefix-3", "prompt-tuning-3", "full")
PEFT_METHODS = METHODS[:-1]
EXAMPLES = (("ab,cd=", "a,b,c1"), ("12,3=9", "abcdef"))  # of equal length: unpadded


def trained(method: str, family: str = "llama", seed: int = 0) -> SteeredModel:
    """A model whose trainable numbers are far from where they started."""
    model = build_model(tiny_backbone(family), method, seed)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.3 * torch.randn(weight.shape, generator=generator)
    return model


def loss_of(model: SteeredModel, examples=EXAMPLES) -> Tensor:
    batch = model.batch([model.insert(*example) for example in examples])
    return model(**batch.as_dict())["loss"]


def verbal_batch(backbone: Backbone) -> dict[str, Tensor]:
    """The same examples as PEFT's forward pass takes them: labels at the labelled tokens."""
    rows, labels = [], []
    for prompt, response in EXAMPLES:
        before, after = backbone.encode(prompt), backbone.encode_response(response)
        rows.append([*before, *after])
        labels.append([IGNORE] * len(before) + after)
    ids = torch.tensor(rows)
    return {"input_ids": ids, "attention_mask": ids.ne(-1).long(), "labels": torch.tensor(labels)}


# ---- the numbers are PEFT's ----


@pytest.mark.parametrize("family", [*FULL_ATTENTION, "opt", "gpt_neox"])
@pytest.mark.parametrize("method", PEFT_METHODS)
def test_the_loss_is_that_of_pefts_own_forward_pass(method: str, family: str) -> None:
    model = trained(method, family)
    with torch.no_grad():
        theirs = model.peft_model(**verbal_batch(model.backbone)).loss
    assert float(loss_of(model).detach()) == pytest.approx(float(theirs), abs=1e-4)


@pytest.mark.parametrize("family", FULL_ATTENTION)
def test_prompt_tuning_is_start_numbered_on(family: str) -> None:
    theirs = build_model(tiny_backbone(family), "prompt-tuning-3", seed=5)
    ours = LatentModel(tiny_backbone(family), "Start_3; positions=sequential", seed=5)
    assert float(loss_of(ours).detach()) == pytest.approx(float(loss_of(theirs).detach()), abs=1e-4)
    with torch.no_grad():
        forward = theirs.peft_model(**verbal_batch(theirs.backbone)).loss
    assert float(loss_of(ours).detach()) == pytest.approx(float(forward), abs=1e-4)
    assert ours.generate(list(PROMPTS), 6) == theirs.generate(list(PROMPTS), 6)


def test_a_prefix_that_starts_with_a_text_is_a_cartridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEFT's Cartridge that keeps no position frozen has the same start, loss and gradient."""
    words = "abc,ab,"
    monkeypatch.setattr("latent_core.models.build._words", lambda *rest: f"text:{words}")
    ours = build_model(tiny_backbone("llama"), "prefix-3; init=task")
    config = CartridgeConfig(task_type="CAUSAL_LM", num_virtual_tokens=3, num_frozen_tokens=0)
    theirs = get_peft_model(random_model("llama").eval(), config)
    initialize_kv_prefix_from_text(
        theirs, ours.backbone.tokenizer, text=words, use_chat_template=False
    )
    theirs(**verbal_batch(ours.backbone)).loss.backward()
    loss_of(ours).backward()
    (wanted,) = (weight for weight in theirs.parameters() if weight.requires_grad)
    (found,) = (weight for weight in ours.parameters() if weight.requires_grad)
    torch.testing.assert_close(found, wanted.view_as(found))
    torch.testing.assert_close(found.grad, wanted.grad.view_as(found))


@pytest.mark.parametrize("method", PEFT_METHODS)
def test_peft_loads_what_is_saved(method: str, tmp_path: Path) -> None:
    model = trained(method)
    model.save_pretrained(tmp_path)
    fresh = PeftModel.from_pretrained(random_model("llama").eval(), tmp_path)
    with torch.no_grad():
        loss = fresh(**verbal_batch(model.backbone)).loss
    assert float(loss) == pytest.approx(float(loss_of(model).detach()), abs=1e-4)


# ---- one decoding path ----


@pytest.mark.parametrize(
    ("method", "family"),
    [
        *((method, "llama") for method in METHODS),
        # A window counts slots and learned positions end: both matter to what stands in front.
        *((m, f) for m in ("prefix-3", "prompt-tuning-3") for f in ("mistral", "gemma3", "gpt2")),
    ],
)
def test_a_ragged_batch_is_each_row_alone_and_as_trained(method: str, family: str) -> None:
    model = trained(method, family)
    together = model.generate(list(PROMPTS), 9, return_details=True)
    alone = [model.generate(prompt, 9, return_details=True)[0] for prompt in PROMPTS]
    assert [row.response_ids for row in together] == [row.response_ids for row in alone]
    for row in together:
        slots = model.place(row.prompt_ids, row.response_ids)
        batch = model.batch([slots])
        chosen = model.logits(batch)[batch.labels != IGNORE].argmax(-1)
        assert chosen.tolist() == list(row.response_ids)


@pytest.mark.parametrize("method", METHODS)
def test_a_padded_row_of_a_training_batch_equals_the_row_alone(method: str) -> None:
    model = trained(method)
    rows = [("a", "b,"), ("ab,cd=12", "a,b,c,d")]
    batch = model.batch([model.insert(*row) for row in rows])
    together = model(**batch.as_dict())["token_losses"]
    alone = [model(**model.batch([model.insert(*row)]).as_dict())["token_losses"] for row in rows]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_a_prefix_takes_up_the_context_window() -> None:
    model = build_model(tiny_backbone("gpt2"), "prefix-3")
    assert model.backbone.context_length == 96
    model.insert("a" * 91, "b")  # 93 tokens with the end of the response
    with pytest.raises(PromptError, match="with 3 virtual tokens before it"):
        model.insert("a" * 92, "b")
    with pytest.raises(PromptError, match="with 3 virtual tokens before it"):
        model.generate("a" * 90, 6)


def test_a_prefix_does_not_go_with_recomputed_activations() -> None:
    with pytest.raises(SettingError, match="cannot recompute activations"):
        build_model(tiny_backbone("llama"), "prefix-2").activation_checkpointing_enable()


@pytest.mark.parametrize("method", ["lora-r3", "prompt-tuning-3", "full"])
def test_recomputed_activations_change_nothing(method: str) -> None:
    def gradients(model: SteeredModel) -> list[Tensor]:
        model.train()
        loss_of(model).backward()
        return [weight.grad for weight in model.parameters() if weight.grad is not None]

    plain, recomputed = trained(method), trained(method)
    recomputed.activation_checkpointing_enable()
    pairs = zip(gradients(plain), gradients(recomputed), strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


# ---- the backbone never notices ----


@pytest.mark.parametrize("method", METHODS)
def test_the_backbone_stays_as_it_was(method: str) -> None:
    backbone = Backbone("mine", random_model("llama"), character_tokenizer())
    weights = {name: w.clone() for name, w in backbone.model.state_dict().items()}
    modules = [(name, type(module)) for name, module in backbone.model.named_modules()]
    config = backbone.model.config.to_dict()
    others = LatentModel(backbone, "Comma_2"), build_model(backbone, "lora-r2", 1)
    before = [other.generate(list(PROMPTS), 6) for other in others]

    model = build_model(backbone, method)
    model.train()
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=0.5)
    loss_of(model).backward()
    optimizer.step()

    assert [other.generate(list(PROMPTS), 6) for other in others] == before
    after = backbone.model.state_dict()
    assert list(after) == list(weights)
    assert all(torch.equal(after[name], weight) for name, weight in weights.items())
    assert [(name, type(module)) for name, module in backbone.model.named_modules()] == modules
    assert backbone.model.config.to_dict() == config
    assert not any(w.requires_grad or w.grad is not None for w in backbone.model.parameters())


def test_weights_are_in_memory_once_unless_they_train() -> None:
    backbone = tiny_backbone("llama")
    given = {weight.data_ptr() for weight in backbone.model.parameters()}
    for method in PEFT_METHODS:
        own = build_model(backbone, method).backbone.model
        assert given <= {weight.data_ptr() for weight in own.parameters()}
    full = build_model(backbone, "full").backbone.model
    assert not given & {weight.data_ptr() for weight in full.parameters()}


# ---- how many numbers ----


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # llama: D=32, 2 layers, 4 heads of 8, 2 of them for keys and values; q and v are changed
        ("lora-r3", 2 * 3 * (32 + 32 + 32 + 16)),
        ("prefix-3", 2 * 2 * 3 * 16),
        ("prompt-tuning-3", 3 * 32),
    ],
)
def test_the_trainable_numbers_are_those_of_the_formula(method: str, expected: int) -> None:
    model = build_model(tiny_backbone("llama"), method)
    assert model.num_trainable == expected
    assert sum(w.numel() for w in model.trainable_weights().values()) == expected


def test_full_fine_tuning_trains_every_weight_and_saves_tied_ones_once() -> None:
    backbone = Backbone("t", random_model("llama", tie_word_embeddings=True), character_tokenizer())
    model = build_model(backbone, "full")
    assert model.num_trainable == sum(w.numel() for w in backbone.model.parameters())
    assert sum(w.numel() for w in model.state_dict().values()) == model.num_trainable


@pytest.mark.parametrize("trainable", [1, 48, 64, 90, 200, 448, 2000])
def test_lora_of_a_size_is_the_nearest_there_is(trainable: int) -> None:
    backbone = tiny_backbone("llama")
    sums = [48, 48 + 64, 48 + 64 + 48, 48 + 64 + 48 + 64]  # v, q, v, q from the last layer on
    nearest = min(abs(rank * one - trainable) for one in sums for rank in range(1, 50))
    size = lora_of_size(backbone, trainable)
    assert abs(size.trainable - trainable) == nearest
    assert LoraModel(backbone, None, trainable).num_trainable == size.trainable


def test_lora_on_a_family_that_peft_has_no_default_for() -> None:
    backbone = tiny_backbone("olmo2")
    size = lora_of_rank(backbone, 1)
    assert {name.split(".")[-1] for name in size.modules} == {
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    }
    assert LoraModel(backbone, 1).num_trainable == size.trainable


def test_lora_knows_gpt2s_transposed_weights() -> None:
    model = LoraModel(tiny_backbone("gpt2"), 2)
    assert model.peft_model.active_peft_config.fan_in_fan_out
    assert model.num_trainable == 2 * 2 * (32 + 96)


@pytest.mark.parametrize("make", [lora_of_rank, lora_of_size])
def test_lora_of_nothing_is_refused(make: Callable[[Backbone, int], object]) -> None:
    with pytest.raises(SettingError, match="expected at least 1"):
        make(tiny_backbone("llama"), 0)


def test_the_seed_draws_the_initial_values() -> None:
    state = torch.get_rng_state()
    for method in ("lora-r3", "prefix-3", "prompt-tuning-3"):
        first, again, other = (build_model(tiny_backbone("llama"), method, s) for s in (1, 1, 2))
        rows = [list(model.trainable_weights().values()) for model in (first, again, other)]
        assert all(torch.equal(a, b) for a, b in zip(rows[0], rows[1], strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(rows[0], rows[2], strict=True))
    assert torch.equal(torch.get_rng_state(), state), "no seed of the user's was touched"


# ---- low precision ----


@pytest.mark.parametrize("method", METHODS)
def test_what_trains_is_float32_on_a_bf16_backbone(method: str) -> None:
    low = random_model("llama").to(torch.bfloat16)
    model = build_model(Backbone("low", low, character_tokenizer()), method)
    assert {w.dtype for w in model.parameters() if w.requires_grad} == {torch.float32}
    high = build_model(Backbone("high", random_model("llama"), character_tokenizer()), method)
    high.assign(model.trainable_weights())
    assert float(loss_of(model).detach()) == pytest.approx(float(loss_of(high).detach()), rel=0.05)


# ---- saved, loaded, refused ----


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_bit_by_bit(method: str, tmp_path: Path) -> None:
    model = trained(method)
    model.save_pretrained(tmp_path, task="echo")
    loaded = load_model(tmp_path, tiny_backbone("llama"))
    assert type(loaded) is type(model) and loaded.method == method
    pairs = zip(loaded.trainable_weights().items(), model.trainable_weights().items(), strict=True)
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)
    assert loaded.generate(list(PROMPTS), 6) == model.generate(list(PROMPTS), 6)
    assert json.loads((tmp_path / "baseline.json").read_text())["notes"]["task"] == "echo"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_fine_tuned_model_is_an_ordinary_checkpoint(tmp_path: Path) -> None:
    model = trained("full")
    model.save_pretrained(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    batch = verbal_batch(model.backbone)
    loss = float(plain(**batch).loss.detach())
    assert loss == pytest.approx(float(loss_of(model).detach()), abs=1e-5)


def test_fine_tuning_without_memory_is_refused_beforehand(monkeypatch) -> None:
    free = psutil.virtual_memory()._replace(available=100_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(SettingError, match=r"0\.0 GB are free on cpu; train lora"):
        FullModel(tiny_backbone("llama"))
    FullModel(tiny_backbone("llama"), to_train=False)  # answering needs no optimiser


def test_another_backbone_and_damage_are_refused(tmp_path: Path) -> None:
    trained("lora-r3").save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match="was made for backbone llama"):
        load_model(tmp_path, tiny_backbone("qwen2"))
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(AdapterError, match=r"adapter_model\.safetensors is damaged"):
        load_model(tmp_path, tiny_backbone("llama"))
    weights.unlink()
    with pytest.raises(AdapterError, match="cannot read the baseline"):
        load_model(tmp_path, tiny_backbone("llama"))


def test_a_family_that_peft_cannot_change_is_refused_in_a_sentence(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("Target modules not found")

    monkeypatch.setattr("latent_core.models.baselines.peft_baseline.get_peft_model", refuse)
    with pytest.raises(BackboneError, match=r"PEFT cannot put prefix-2 on llama \(llama\): Target"):
        PrefixModel(tiny_backbone("llama"))


def test_prompts_start_as_latents_may() -> None:
    dots = PromptModel(tiny_backbone("llama"), 2, init="text:=")
    filler = build_model(tiny_backbone("llama"), "Start_2")
    assert dots.num_trainable == filler.num_trainable
    (vectors,) = dots.trainable_weights().values()
    wanted = tiny_backbone("llama").embed(torch.tensor(character_tokenizer()("=")["input_ids"]))
    assert torch.equal(vectors, wanted.expand(2, -1))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("method", METHODS)
def test_numbers_that_are_none_are_refused(method: str, number: float, tmp_path: Path) -> None:
    model = trained(method)
    with torch.no_grad():
        next(weight for weight in model.parameters() if weight.requires_grad).view(-1)[1] = number
    model.save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match=r"holds NaN or infinite numbers in .*train it again"):
        load_model(tmp_path, tiny_backbone("llama"))


def test_quantised_weights_are_not_fine_tuned() -> None:
    """The attribute is the one by which Transformers marks a model of bitsandbytes."""
    backbone = Backbone("packed", random_model("llama"), character_tokenizer())
    backbone.model.quantization_method = "bitsandbytes"
    with pytest.raises(SettingError, match=r"of packed are quantised \(bitsandbytes\), so they"):
        FullModel(backbone)
