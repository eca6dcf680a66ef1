"""What the probe at loading refuses, and the reason that it gives."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import BackboneError
from tests.families import COMMON, character_tokenizer, random_from, random_model, tiny_backbone

ALIBI = {
    "bloom": (hf.BloomConfig(vocab_size=40, hidden_size=32, n_layer=2, n_head=4), "position_ids"),
    "mpt": (hf.MptConfig(vocab_size=40, d_model=32, n_layers=2, n_heads=4), "position_ids"),
    "falcon": (
        hf.FalconConfig(
            vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True
        ),
        "it ignores position ids",
    ),
}


@pytest.mark.parametrize("family", ALIBI)
def test_alibi_decoders_are_refused(family: str) -> None:
    config, reason = ALIBI[family]
    with pytest.raises(BackboneError, match=f"{family}.*cannot carry latent tokens.*{reason}"):
        Backbone(family, random_from(config), character_tokenizer())


def test_a_model_that_sees_ahead_is_refused() -> None:
    config = hf.BertConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        is_decoder=False,
        initializer_range=0.4,
    )
    with pytest.raises(BackboneError, match=r"bert.*its tokens attend to later tokens"):
        Backbone("bert", random_from(config), character_tokenizer())


@pytest.mark.parametrize("packed", [True, False])
def test_noise_of_eight_bit_products_is_not_taken_for_looking_ahead(packed: bool) -> None:
    """A stand-in for bitsandbytes, whose 8-bit products depend on the whole batch in float32, too.

    Weights stay as they are; inputs are rounded to 127 steps of the largest number in the batch.
    """
    model = random_model("llama")
    if packed:
        model.quantization_method = "bitsandbytes"
    for module in model.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(
                lambda _, inputs: (
                    (x := inputs[0]).abs().max() / 127 * (x * 127 / x.abs().max()).round(),
                )
            )
    if packed:
        assert Backbone("packed", model, character_tokenizer()).dtype == torch.float32
    else:
        with pytest.raises(BackboneError, match="cannot carry latent tokens"):
            Backbone("noisy", model, character_tokenizer())


def test_logits_changed_in_an_unknown_way_are_refused() -> None:
    model = random_model("llama")
    head = model.lm_head.forward
    forward = model.forward

    def cooled(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = output.logits / 7
        return output

    model.forward = cooled
    with pytest.raises(BackboneError, match="changes its logits after the output head"):
        Backbone("cooled", model, character_tokenizer())
    assert model.lm_head.forward == head


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = hf.T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=20, num_layers=1, num_heads=2)
    hf.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    character_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=r"encoder-decoder \(t5\); expected a decoder-only"):
        load_backbone(tmp_path)


_MAMBA = {"mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 4}
_DELTA = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}

RECURRENT: dict[str, Callable[[], hf.PreTrainedConfig]] = {
    "bamba": lambda: hf.BambaConfig(**COMMON, **_MAMBA, mamba_n_heads=8, attn_layer_indices=[1]),
    "falcon_h1": lambda: hf.FalconH1Config(
        **COMMON, **_MAMBA, mamba_n_heads=8, mamba_d_ssm=64, head_dim=8
    ),
    "lfm2": lambda: hf.Lfm2Config(**COMMON, layer_types=["conv", "full_attention"]),
    "olmo_hybrid": lambda: hf.OlmoHybridConfig(**COMMON, **_DELTA),
    "qwen3_5_text": lambda: hf.Qwen3_5TextConfig(**COMMON, **_DELTA, head_dim=8),
    "qwen3_next": lambda: hf.Qwen3NextConfig(
        **COMMON, **_DELTA, **_EXPERTS, head_dim=8, shared_expert_intermediate_size=16
    ),
    "recurrent_gemma": lambda: hf.RecurrentGemmaConfig(
        **COMMON, lru_width=32, block_types=["recurrent", "attention"], head_dim=8
    ),
    "zamba2": lambda: hf.Zamba2Config(
        **COMMON,
        layers_block_type=["mamba", "hybrid"],
        mamba_ngroups=1,
        n_mamba_heads=8,
        mamba_headdim=8,
        mamba_d_state=8,
        chunk_size=4,
        num_mem_blocks=1,
        use_mem_rope=True,
    ),
}


@pytest.mark.parametrize("family", RECURRENT)
def test_decoders_that_keep_a_recurrent_state_are_refused(family: str) -> None:
    """Their cache cannot let rows go; Falcon-H1's lets go of keys and values alone."""
    model = random_from(RECURRENT[family]())
    reason = rf"{family}.*of which one ends first\. Decoders that keep a recurrent state"
    with pytest.raises(BackboneError, match=reason):
        Backbone(family, model, character_tokenizer())


def test_those_without_positions_are_refused_for_that() -> None:
    config = hf.JambaConfig(
        **COMMON, attn_layer_period=2, attn_layer_offset=1, num_experts=2, num_experts_per_tok=1,
        mamba_d_state=4, mamba_dt_rank=4, use_mamba_kernels=False,
    )  # fmt: skip
    with pytest.raises(BackboneError, match=r"jamba.*it ignores position ids"):
        Backbone("jamba", random_from(config), character_tokenizer())


def test_a_row_that_feels_its_neighbours_padding_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a recurrent state does that runs over padding."""
    run = Backbone.hidden_states

    def felt(self, embeds, mask, positions, cache=None):
        holes = (mask == 0).sum(dim=1)
        return run(self, embeds, mask, positions, cache) * (1 + holes / 4)[:, None, None]

    monkeypatch.setattr(Backbone, "hidden_states", felt)
    with pytest.raises(BackboneError, match="of unlike length, a row gives other results than al"):
        Backbone("llama", random_model("llama"), character_tokenizer())


def test_a_shortage_of_memory_is_no_fault_of_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Backbone.hidden_states

    def short(self, embeds, mask, positions, cache=None):
        if cache is not None:
            raise torch.OutOfMemoryError("no memory is left")
        return run(self, embeds, mask, positions, cache)

    model = tiny_backbone("llama").model
    monkeypatch.setattr(Backbone, "hidden_states", short)
    with pytest.raises(torch.OutOfMemoryError):
        Backbone("llama", model, character_tokenizer())


def test_a_cache_that_changes_results_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    latents_move = Backbone.hidden_states

    def moved(self, embeds, mask, positions, cache=None):
        past = mask.shape[1] > embeds.shape[1]
        return latents_move(self, embeds, mask, positions + int(past), cache)

    monkeypatch.setattr(Backbone, "hidden_states", moved)
    with pytest.raises(BackboneError, match="going on from a cache, it gives other results"):
        Backbone("llama", random_model("llama"), character_tokenizer())
