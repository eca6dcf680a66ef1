"""Rotary frequencies that change with the length: the context window ends where they would."""

from collections.abc import Callable

import pytest
import transformers as hf

import latent_core.backbones.backbone as backbone_module
import latent_core.backbones.decoder as decoder_module
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.decoder import ContextLimit
from latent_core.errors import BackboneError, PromptError
from latent_core.invariants.examined import ExaminedModel
from latent_core.invariants.reports import INVARIANTS
from latent_core.models.latent import LatentModel
from tests.families import COMMON, VOCABULARY, WINDOW, character_tokenizer, random_from

ORIGINAL, WHOLE = 24, COMMON["max_position_embeddings"]
FAR = "row beside a far one = row alone"

_THETA = {"rope_theta": 10000.0}
_LONG = _THETA | {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [3.0, 5.0, 9.0, 17.0],
    "original_max_position_embeddings": ORIGINAL,
}
_DYNAMIC = _THETA | {"rope_type": "dynamic", "factor": 4.0}

CHANGING: dict[str, Callable[[], hf.PreTrainedConfig]] = {
    "phi3": lambda: hf.Phi3Config(
        **COMMON, rope_parameters=dict(_LONG), original_max_position_embeddings=ORIGINAL
    ),
    "phimoe": lambda: hf.PhimoeConfig(
        **COMMON,
        num_local_experts=2,
        num_experts_per_tok=1,
        rope_parameters=_LONG | {"short_mscale": 1.0, "long_mscale": 1.5},
    ),
    "gemma3": lambda: hf.Gemma3TextConfig(
        **COMMON,
        head_dim=8,
        layer_types=["sliding_attention", "full_attention"],
        sliding_window=WINDOW,
        rope_parameters={
            "full_attention": dict(_LONG),
            "sliding_attention": _THETA | {"rope_type": "default"},
        },
    ),
    "llama": lambda: hf.LlamaConfig(**COMMON, rope_parameters=dict(_DYNAMIC)),
}
"""Three times LongRoPE, one of which knows it by kind of layer; and dynamic NTK."""

LENGTH = dict.fromkeys(CHANGING, ORIGINAL) | {"llama": WHOLE}
SCHEME = dict.fromkeys(CHANGING, "LongRoPE") | {"llama": "dynamic NTK scaling"}
SAME = {
    "yarn": _THETA | {"rope_type": "yarn", "factor": 4.0},
    "linear": _THETA | {"rope_type": "linear", "factor": 4.0},
    "llama3": _THETA
    | {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
}


def backbone(family: str) -> Backbone:
    return Backbone(family, random_from(CHANGING[family]()), character_tokenizer())


def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context window is what the config says, or beyond what dynamic NTK leaves alone."""
    limit = ContextLimit(2 * WHOLE)
    monkeypatch.setattr(decoder_module, "context_limit", lambda config: limit)


def prompts_that_reach(length: int) -> tuple[str, ...]:
    """One prompt that reaches the end of a context window with its response, and short ones."""
    return ("ab,c=d,e" * 40)[: length - 4], "12,3", "x"


@pytest.mark.parametrize("family", CHANGING)
def test_the_window_ends_where_frequencies_would_change(family: str) -> None:
    assert backbone(family).context_length == LENGTH[family]


@pytest.mark.parametrize("family", CHANGING)
def test_within_the_window_everything_is_exact(family: str) -> None:
    """Also for the row whose response ends with the window, and for those beside it."""
    model = LatentModel(backbone(family), "Start_2+3_1", seed=1)
    examined = ExaminedModel(model, prompts_that_reach(LENGTH[family]), 4)
    assert max(len(row.prompt_ids) for row in examined.together.rows) + 4 == LENGTH[family]
    failed = {}
    for name, invariant in INVARIANTS.items():
        result = invariant.check(examined)
        if result.holds is False:
            failed[name] = result
    assert failed == {}


@pytest.mark.parametrize("family", CHANGING)
def test_beyond_the_window_is_refused_with_the_reason(family: str) -> None:
    model = LatentModel(backbone(family), "Start_1", seed=1)
    long, _, short = prompts_that_reach(LENGTH[family])
    said = rf"context window of {family}, {LENGTH[family]} \(beyond it, {SCHEME[family]} changes"
    with pytest.raises(PromptError, match=said):
        model.generate([long, short], 5)
    with pytest.raises(PromptError, match=rf"window of {LENGTH[family]} \(beyond it"):
        model.insert("a" * (LENGTH[family] - 2), "bcd")
    with pytest.raises(PromptError, match=rf"window of {LENGTH[family]} \(beyond it"):
        model.insert("a" * LENGTH[family])
    sequential = LatentModel(model.backbone, "1_3; positions=sequential", seed=1)
    with pytest.raises(PromptError, match="positions=sequential numbers beyond"):
        sequential.generate("a" * (LENGTH[family] // 4), LENGTH[family] // 2)


@pytest.mark.parametrize("family", CHANGING)
def test_without_the_bound_loading_would_refuse_it_and_the_check_would_see_it(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbounded(monkeypatch)
    with pytest.raises(BackboneError, match="its tokens depend on how far positions reach"):
        backbone(family)
    monkeypatch.setattr(backbone_module, "refuse_unfit", lambda decoder: None)
    model = LatentModel(backbone(family), "Start_2+3_1", seed=1)
    # Prompts as short as those of `latent backbones --check`, far below the original length.
    examined = ExaminedModel(model, ("ab,c", "x"), 2)
    assert INVARIANTS[FAR].check(examined).holds is False
    assert all(INVARIANTS[name].check(examined).holds for name in ("decoding = one pass",))


@pytest.mark.parametrize("kind", SAME)
def test_frequencies_that_stay_the_same_keep_the_whole_window(kind: str) -> None:
    parameters = SAME[kind] | {"original_max_position_embeddings": ORIGINAL}
    if kind == "linear":
        del parameters["original_max_position_embeddings"]
    config = hf.LlamaConfig(**COMMON, rope_parameters=parameters)
    loaded = Backbone(kind, random_from(config), character_tokenizer())
    assert loaded.context_length == WHOLE and str(loaded.context_limit) == str(WHOLE)
    examined = ExaminedModel(LatentModel(loaded, "3_1", seed=1), prompts_that_reach(WHOLE), 4)
    for name in (FAR, "ragged batch = row alone", "decoding = one pass"):
        assert INVARIANTS[name].check(examined).holds, name


def test_attention_that_is_scaled_by_the_number_of_slots_is_refused_beyond_it() -> None:
    """Llama 4 counts the slots before a token, padding and latents too."""
    config = hf.Llama4TextConfig(
        **COMMON | {"vocab_size": VOCABULARY},
        head_dim=8,
        intermediate_size_mlp=40,
        num_local_experts=2,
        num_experts_per_tok=1,
        no_rope_layers=[1, 0],
        attn_temperature_tuning=True,
        floor_scale=16,
        attn_scale=5.0,
    )
    loaded = Backbone("llama4", random_from(config), character_tokenizer())
    model = LatentModel(loaded, "Start_2", seed=1)
    examined = ExaminedModel(model, ("abcdefghi", "x"), 4)  # 9 + 2 + 4 = 15 slots
    assert INVARIANTS["ragged batch = row alone"].check(examined).holds
    with pytest.raises(PromptError, match=r"has 16 slots, .* by their number beyond 15"):
        model.generate(["abcdefghijkl", "x"], 4)
