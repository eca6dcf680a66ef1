"""Hooks see every attention, cut exactly the edges they name, and leave nothing behind."""

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from latent_core.backbones.attention import AttentionCall, AttentionHook, attention_shape, hooked
from latent_core.backbones.backbone import Backbone
from latent_core.errors import BackboneError
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import LatentBatch
from tests.families import FAMILIES, character_tokenizer, random_from, tiny_backbone

OUTSIDE = ("falcon", "gpt_neo", "gptj")
"""Families that do not attend through Transformers' interface."""
INSIDE = tuple(name for name in FAMILIES if name not in OUTSIDE)
LAYOUT = "Start_1+Comma_2"


class Cut(AttentionHook):
    """Cuts the edges to one key slot, from every later query, in some layers and heads."""

    def __init__(self, key: int, layers: tuple[int, ...] = (0, 1), heads: slice | list = slice(4)):
        self.key, self.layers, self.heads = key, layers, heads

    def before(self, call: AttentionCall) -> Tensor | None:
        if call.layer not in self.layers:
            return None
        edges = torch.zeros(1, 4, call.num_queries, call.num_keys, dtype=torch.bool)
        first_query = call.num_keys - call.num_queries
        edges[:, self.heads, max(0, self.key + 1 - first_query) :, self.key] = True
        return call.without(edges)


class Log(AttentionHook):
    """Keeps what it saw."""

    def __init__(self) -> None:
        self.calls: list[AttentionCall] = []
        self.outputs: list[Tensor] = []

    def after(self, call: AttentionCall, output: Tensor) -> None:
        self.calls.append(call)
        self.outputs.append(output)


def two_rows(model: LatentModel) -> LatentBatch:
    return model.batch([model.insert("ab,cd=12,e", "3,4"), model.insert("a,b", "c")])


@pytest.mark.parametrize("family", INSIDE)
def test_watching_changes_nothing(family: str) -> None:
    model = LatentModel(tiny_backbone(family), LAYOUT)
    config, log, batch = model.base_model.config, Log(), two_rows(model)
    own, logits = config._attn_implementation, model.logits(batch)
    text = model.generate(["ab,c", "1,2,3"], 8)
    with hooked(model.backbone, log):
        assert config._attn_implementation != own
        assert torch.equal(model.logits(batch), logits)
        assert [call.layer for call in log.calls] == [0, 1]
        assert model.generate(["ab,c", "1,2,3"], 8) == text
    assert config._attn_implementation == own
    assert torch.equal(model.logits(batch), logits)
    call = log.calls[0]
    assert call.query.shape[:3] == (2, 4, batch.input_ids.shape[1])
    assert log.outputs[0].shape == (2, call.num_queries, 4, call.value.shape[-1])
    assert call.allowed().shape[-2:] == (call.num_queries, call.num_keys)
    later = log.calls[-1]
    if not model.backbone.has_sliding_window:
        assert later.num_keys > later.num_queries  # a cache was there
    shape = attention_shape(model.backbone)
    assert (shape.layers, shape.heads, len(shape.key_value_heads)) == ((0, 1), 4, 2)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "opt", "phi", "olmo2"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_cut_slot_is_a_masked_slot(family: str, attention: str) -> None:
    """Cutting every edge to slot 3 must equal an attention mask that hides slot 3."""
    model = LatentModel(tiny_backbone(family), LAYOUT)
    model.base_model.set_attn_implementation(attention)
    try:
        batch = model.batch([model.insert("ab,cd=12,e", "3,4")])
        hidden = batch.attention_mask.clone()
        hidden[:, 3] = 0
        own = model.hidden_states(batch)
        expected = model.hidden_states(batch, attention_mask=hidden)
        with hooked(model.backbone, Cut(3)):
            found = model.hidden_states(batch)
        torch.testing.assert_close(found[:, 4:], expected[:, 4:], atol=1e-5, rtol=1e-4)
        assert torch.allclose(found[:, :4], own[:, :4], atol=1e-5)
        assert (found[:, 4:] - own[:, 4:]).abs().max() > 1e-2
    finally:
        model.base_model.set_attn_implementation("sdpa")


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "mistral", "gemma2", "gemma3"])
def test_a_cut_in_one_layer_and_head_stays_there(family: str) -> None:
    model = LatentModel(tiny_backbone(family), LAYOUT)
    batch, own, cut = model.batch([model.insert("ab,cd")]), Log(), Log()
    with hooked(model.backbone, own):
        model.hidden_states(batch)
    with hooked(model.backbone, Cut(2, layers=(1,), heads=[3]), cut):
        model.hidden_states(batch)
    assert torch.equal(own.outputs[0], cut.outputs[0])
    difference = (own.outputs[1] - cut.outputs[1]).abs().amax(dim=(0, 3))  # (T, H)
    assert difference[:, :3].max() < 1e-6
    assert difference[:3, 3].max() < 1e-6
    assert difference[3:, 3].max() > 1e-3


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_a_cut_holds_with_a_cache_as_without(family: str) -> None:
    model = LatentModel(tiny_backbone(family), LAYOUT)
    # Short enough for Gemma 2 that its window drops nothing.
    batch = model.batch([model.insert("a,b" if family == "gemma2" else "ab,cd=12,e,3,4")])
    with hooked(model.backbone, Cut(1)):
        whole = model.hidden_states(batch)
        cache = DynamicCache(config=model.base_model.config)
        inputs = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)
        parts = [
            model.backbone.hidden_states(
                inputs[:, a:b], batch.attention_mask[:, :b], batch.position_ids[:, a:b], cache
            )
            for a, b in ((0, 3), (3, 4), (4, inputs.shape[1]))
        ]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_a_query_without_keys_gives_zero(family: str, kind: torch.dtype) -> None:
    class Blind(AttentionHook):
        def before(self, call: AttentionCall) -> Tensor:
            allowed = call.allowed().expand(1, 4, -1, -1).clone()
            allowed[:, 2, 1] = False
            if kind == torch.bool:
                return allowed
            return torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(kind).min)

    model, log = LatentModel(tiny_backbone(family), LAYOUT), Log()
    batch = model.batch([model.insert("ab,cd")])
    with hooked(model.backbone, Blind(), log):
        assert torch.isfinite(model.hidden_states(batch)).all()
    # `after` runs from the innermost hook outwards: Log saw what attention gave.
    assert log.outputs[0][0, 1, 2].abs().max() == 0
    assert log.outputs[0][0, 1, 1].abs().max() > 0


def test_hooks_edit_outputs_and_nest() -> None:
    order: list[str] = []

    class Named(AttentionHook):
        def __init__(self, name: str, factor: float) -> None:
            self.name, self.factor = name, factor

        def before(self, call: AttentionCall) -> None:
            order.append(f"before {self.name}")

        def after(self, call: AttentionCall, output: Tensor) -> Tensor:
            order.append(f"after {self.name}")
            return output * self.factor

    model = LatentModel(tiny_backbone("llama"), LAYOUT)
    batch, log, own = model.batch([model.insert("ab")]), Log(), Log()
    with hooked(model.backbone, own):
        hidden_states = model.hidden_states(batch)
    with hooked(model.backbone, log, Named("outer", 2)), hooked(model.backbone, Named("inner", 3)):
        changed = model.hidden_states(batch)
    assert order[:4] == ["before outer", "before inner", "after inner", "after outer"]
    assert torch.equal(log.outputs[0], own.outputs[0] * 3 * 2)
    assert not torch.equal(changed, hidden_states)
    assert torch.equal(model.hidden_states(batch), hidden_states)


def test_a_failure_inside_restores_the_model() -> None:
    class Broken(AttentionHook):
        def before(self, call: AttentionCall) -> None:
            raise RuntimeError("broken hook")

    model = LatentModel(tiny_backbone("llama"), LAYOUT)
    batch = model.batch([model.insert("ab")])
    expected = model.hidden_states(batch)
    with pytest.raises(RuntimeError, match="broken hook"), hooked(model.backbone, Broken()):
        model.hidden_states(batch)
    assert model.base_model.config._attn_implementation == "sdpa"
    assert torch.equal(model.hidden_states(batch), expected)


def test_another_model_of_the_same_config_is_left_alone() -> None:
    config = FAMILIES["llama"]()
    one = Backbone("one", random_from(config, seed=1), character_tokenizer())
    other = Backbone("other", random_from(config, seed=2), character_tokenizer())
    log, ids = Log(), torch.arange(5).unsqueeze(0)
    expected = other.hidden_states(other.embed(ids), torch.ones_like(ids), ids)
    attention_shape(one)
    with hooked(one, log):
        found = other.hidden_states(other.embed(ids), torch.ones_like(ids), ids)
    assert log.calls == []
    assert torch.equal(found, expected)


@pytest.mark.parametrize("family", OUTSIDE)
def test_families_outside_the_interface_are_refused(family: str) -> None:
    backbone = tiny_backbone(family)
    own = backbone.model.config._attn_implementation
    with pytest.raises(BackboneError, match="do not attend through"), hooked(backbone, Log()):
        pass
    assert backbone.model.config._attn_implementation == own
