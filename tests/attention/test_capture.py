"""A capture equals eager attention's columns, and its views give the answers worked out by hand."""

import contextlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor
from torch.nn import functional as F

from latent_core.attention import columns as attention_columns
from latent_core.attention.capture import AttentionRecord, capture_attention
from latent_core.attention.rollout import attention_flow, attention_rollout
from latent_core.backbones.attention import AttentionCall, AttentionHook, hooked
from latent_core.backbones.backbone import Backbone
from latent_core.errors import BackboneError, LayoutError, PromptError, SettingError
from latent_core.interventions.base import Intervention
from latent_core.interventions.flow import KnockOut
from latent_core.interventions.places import Drop
from latent_core.models.latent import LatentModel
from latent_core.slots.placement import IGNORE
from latent_core.slots.views import SlotView
from tests.families import (
    FAMILIES,
    character_tokenizer,
    random_from,
    tiny_backbone,
)

LAYOUT = "Start_2+Comma_2"
PROMPT, RESPONSE = "ab,cd=12,e", "3,4,a"
EAGER_ROUTE = ("falcon", "gpt_neo", "gptj")


def eager_maps(model: LatentModel, prompt: str = PROMPT, response: str = RESPONSE) -> list[Tensor]:
    """(1, H, T, T) of each layer, by the model's own eager attention; they keep their gradient."""
    batch = model.batch([model.insert(prompt, response)])
    config = model.base_model.config
    own = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        output = model.base_model.base_model(
            inputs_embeds=model.tables.mix(
                model.backbone.embed(batch.input_ids), batch.latent_rows
            ),
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            output_attentions=True,
            use_cache=False,
        )
    finally:
        config._attn_implementation = own
    for attentions in output.attentions:
        attentions.retain_grad()
    labelled = batch.labels != IGNORE
    logits = model.backbone.logits(output.last_hidden_state[labelled]).float()
    F.cross_entropy(logits, batch.labels[labelled]).backward()
    return list(output.attentions)


# --- equal to eager -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_columns_equal_eager_attention(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LatentModel(tiny_backbone(family), LAYOUT)
    maps = eager_maps(model)
    full = torch.stack([attentions[0] for attentions in maps]).detach()
    record = capture_attention(model, PROMPT, RESPONSE)
    assert record.route == ("eager" if family in EAGER_ROUTE else "columns")
    assert record.weights.shape == (2, 4, len(record.slots), 10)
    assert [record.labels[key] for key in record.keys[:4]] == [
        "Start.0",
        "Start.1",
        "Comma.0",
        "Comma.1",
    ]
    torch.testing.assert_close(record.weights, full[..., list(record.keys)], atol=1e-5, rtol=0)
    torch.testing.assert_close(record.totals, full.sum(dim=-1), atol=1e-5, rtol=0)

    # Without the kernel's denominators, rows are computed whole, three at a time.
    monkeypatch.setattr(attention_columns.ColumnCapture, "needs_denominators", False)
    monkeypatch.setattr(attention_columns, "CHUNK_ELEMENTS", 3 * 2 * len(record.slots))
    keys, heads = [9, 0, 5], [3, 1]
    some = capture_attention(model, PROMPT, RESPONSE, of=keys, layers=[1], heads=heads)
    expected = full[1:][:, heads][..., keys]
    torch.testing.assert_close(some.weights, expected, atol=1e-5, rtol=0)
    assert (some.keys, some.layers, some.heads) == ((9, 0, 5), (1,), (3, 1))

    if family in EAGER_ROUTE:
        with pytest.raises(BackboneError, match="no gradients"):
            capture_attention(model, PROMPT, RESPONSE, gradient="loss")
        with pytest.raises(SettingError, match="no value norms"):
            record.value_weighted()
        return
    everything = capture_attention(model, PROMPT, RESPONSE, of="all", gradient="loss")
    torch.testing.assert_close(everything.weights, full, atol=1e-5, rtol=0)
    gradients = torch.stack([m.grad[0] for m in maps if m.grad is not None])
    assert gradients.abs().max() > 1e-3
    torch.testing.assert_close(
        everything.gradient_weighted(), full * gradients, atol=1e-5, rtol=1e-3
    )
    assert everything.value_weighted().shape == full.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("change", [None, Drop("Start"), KnockOut("response", "Comma")])
def test_the_kernels_denominators_give_what_whole_rows_give(
    dtype: torch.dtype, change: Intervention | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama = random_from(FAMILIES["llama"]()).to(dtype)
    model = LatentModel(Backbone("llama", llama, character_tokenizer()), LAYOUT)
    divided, columns = [], attention_columns._divided
    monkeypatch.setattr(
        attention_columns, "_divided", lambda *given: divided.append(given) or columns(*given)
    )
    with change.on(model) if change else contextlib.nullcontext():
        fused = capture_attention(model, PROMPT, RESPONSE)
        assert len(divided) == 2, "one call a layer"
        monkeypatch.setattr(attention_columns.ColumnCapture, "needs_denominators", False)
        whole = capture_attention(model, PROMPT, RESPONSE)
    assert len(divided) == 2
    exact = 1e-5 if dtype == torch.float32 else 2e-4
    torch.testing.assert_close(fused.weights, whole.weights, atol=exact, rtol=0)
    assert torch.equal(fused.weights == 0, whole.weights == 0)
    torch.testing.assert_close(fused.totals, whole.totals, atol=1e-6, rtol=0)


def test_sinks_take_weight() -> None:
    record = capture_attention(LatentModel(tiny_backbone("gpt_oss"), LAYOUT), PROMPT, RESPONSE)
    assert record.totals.max() <= 1
    assert record.totals.min() < 0.5
    mass = record.mass()
    text = mass[mass.source == "text"].groupby(["layer", "head"]).mass.sum()
    assert text.max() < 0.9999


def test_half_precision_is_close() -> None:
    backbone = Backbone("bf16", random_from(FAMILIES["llama"]()).bfloat16(), character_tokenizer())
    model = LatentModel(backbone, LAYOUT)
    full = torch.stack([attentions[0].float() for attentions in eager_maps(model)]).detach()
    record = capture_attention(model, PROMPT, RESPONSE, gradient="loss")
    assert (record.route, record.weights.dtype) == ("columns", torch.float32)
    torch.testing.assert_close(record.weights, full[..., list(record.keys)], atol=0.1, rtol=0)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_decoding_had_the_weights_that_the_capture_shows(family: str) -> None:
    """With a cache, slots arrive a few at a time; the capture reads one pass over all."""

    class Rows(AttentionHook):
        def __init__(self) -> None:
            self.rows: list[list[Tensor]] = [[], []]

        def after(self, call: AttentionCall, output: Tensor) -> None:
            keys = torch.arange(call.num_keys)
            weights, _ = attention_columns.attention_columns(call, keys, range(call.num_heads))
            rows = self.rows[call.layer]
            first = len(rows) + call.num_queries - call.num_keys  # the slot of the first key
            for row in weights.unbind(1):
                rows.append(F.pad(row, (first, 0)))

    model = LatentModel(tiny_backbone(family), LAYOUT)
    rows = Rows()
    with hooked(model.backbone, rows):
        (details,) = model.generate(PROMPT, max_new_tokens=12, return_details=True)
    record = capture_attention(model, PROMPT, of="all", max_new_tokens=12)
    assert record.slots == details.slots
    for layer in range(2):
        assert len(record.slots) - 4 < len(rows.rows[layer]) <= len(record.slots)
        for query, row in enumerate(rows.rows[layer]):
            shown = record.weights[layer, :, query]
            torch.testing.assert_close(row, shown[:, : row.shape[1]], atol=1e-5, rtol=0)
            assert shown[:, row.shape[1] :].sum() == 0


# --- what is asked for ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> LatentModel:
    return LatentModel(tiny_backbone("llama"), LAYOUT)


@pytest.fixture(scope="module")
def record(model: LatentModel) -> AttentionRecord:
    return capture_attention(model, PROMPT, RESPONSE, gradient="loss")


def test_slots_carry_names(model: LatentModel, record: AttentionRecord) -> None:
    assert "".join(s.label for s in record.slots if s.group is None) == "ab,cd=12,e3,4,a<eos>"
    assert record.groups == ("Start", "Comma")
    occurrences = [record.slots[key].occurrence for key in record.keys]
    assert occurrences == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3][: len(occurrences)]
    assert record.labels[record.prompt_length - 1] == "e"
    assert record.slots[record.keys[2]].position_id == 2  # that of the comma
    assert str(record).startswith("AttentionRecord(Start_2+Comma_2 on llama: L=2 H=4 T=")


@pytest.mark.parametrize(
    ("of", "labels"),
    [
        ("Comma", ["Comma.0", "Comma.1"] * 4),
        (["Comma.1"], ["Comma.1"] * 4),
        (["Start", 2, 2], ["Start.0", "Start.1", "a"]),
        ("Comma.1@2", ["Comma.1"]),
        (["Comma@0+Start.0", "response"], ["Start.0", "Comma.0", "Comma.1", *"3,4,", "<eos>"]),
        ("prompt", list("ab,cd=12,e")),
        (2, ["a"]),
        ("Comma@9", []),
        ([], []),
    ],
)
def test_keys_by_name_and_number(model: LatentModel, of: Any, labels: list[str]) -> None:
    found = capture_attention(model, PROMPT, "3,4,", of=of)
    assert [found.labels[key] for key in found.keys] == labels


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"of": [99]}, SettingError, "slot 99 does not exist; the example has"),
        ({"of": [-1]}, SettingError, "slot -1 does not exist"),
        ({"of": ["End"]}, LayoutError, "has no group 'End'"),
        ({"of": ["Comma.2"]}, SettingError, "are Comma.0 to Comma.1"),
        ({"of": [1.5]}, TypeError, "integer"),
        ({"layers": [2]}, SettingError, "llama has no layer 2; its 2 layers are 0 to 1"),
        ({"layers": -1}, SettingError, "llama has no layer -1"),
        ({"heads": [0, 4]}, SettingError, "llama has no head 4; its 4 heads are 0 to 3"),
        ({"heads": []}, SettingError, "no head is chosen"),
        ({"gradient": True}, SettingError, "gradient=True"),
        ({"gradient": "loss", "response": []}, SettingError, "no tokens"),
        ({"gradient": 7}, SettingError, "index of a response token, 0 to 5"),
        ({"gradient": "logit"}, SettingError, "expected 'loss'"),
        ({"prompt": ""}, PromptError, "empty"),
    ],
)
def test_what_does_not_exist_is_an_error(
    model: LatentModel, arguments: dict, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        capture_attention(model, **{"prompt": PROMPT, "response": RESPONSE} | arguments)


def test_a_prompt_without_triggers_is_said_to_have_no_latents() -> None:
    model = LatentModel(tiny_backbone("llama"), "Comma_2")
    found = capture_attention(model, "abcd", "12")
    assert found.weights.shape == (2, 4, 7, 0)
    assert "no latents were placed" in str(found)
    assert len(found.to_frame()) == 0
    assert found.by_group().empty
    mass = found.mass().set_index(["source", "target"]).mass
    assert (mass["text", "latent"] == 0).all()
    assert mass["latent", "text"].isna().all()
    with model.detached():
        assert capture_attention(model, "a,b", "12").note


def test_the_capture_sees_what_other_hooks_cut(model: LatentModel) -> None:
    class NoLatents(AttentionHook):
        def before(self, call: AttentionCall) -> Tensor:
            edges = torch.zeros(1, 1, 1, call.num_keys, dtype=torch.bool)
            edges[..., 1] = True
            return call.without(edges)

        def after(self, call: AttentionCall, output: Tensor) -> Tensor:
            return output * 2  # and a changed output does not count as an unknown formula

    with hooked(model.backbone, NoLatents()):
        found = capture_attention(model, PROMPT, RESPONSE)
    assert found.route == "columns"
    assert found.weights[..., 1].abs().max() == 0
    assert found.weights[..., 0].max() > 0
    assert found.totals[:, :, 2:].min() > 0.999


# --- views ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
def test_value_norms_are_lengths_of_what_a_key_adds(family: str) -> None:
    """One-hot heads through the module's own output projection, bias taken off."""

    class Values(AttentionHook):
        def after(self, call: AttentionCall, output: Tensor) -> None:
            group = 4 // call.value.shape[1]
            names = {"llama": "o_proj", "gpt2": "c_proj", "phi": "dense"}
            projection = getattr(call.module, names[family])
            for head in range(4):
                lone = torch.zeros(call.num_keys, 4, call.value.shape[-1])
                lone[:, head] = call.value[0, head // group]
                added = projection(lone.flatten(1)) - projection(torch.zeros_like(lone.flatten(1)))
                norms[call.layer, head] = added.norm(dim=-1)

    model = LatentModel(tiny_backbone(family), LAYOUT)
    batch = model.batch([model.insert(PROMPT, RESPONSE)])
    norms = torch.zeros(2, 4, batch.input_ids.shape[1])
    with torch.no_grad(), hooked(model.backbone, Values()):
        model.hidden_states(batch)
    found = capture_attention(model, PROMPT, RESPONSE)
    expected = found.weights * norms[:, :, None, list(found.keys)]
    torch.testing.assert_close(found.value_weighted(), expected, atol=1e-5, rtol=1e-4)


def test_the_gradient_of_one_logit(model: LatentModel) -> None:
    """A weight's derivative, by scaling one head's whole output: sum_j a_ij dF/da_ij."""

    class Scale(AttentionHook):
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def after(self, call: AttentionCall, output: Tensor) -> Tensor:
            scaled = output.clone()
            if call.layer == 1:
                scaled[:, :, 2] *= self.factor
            return scaled

    found = capture_attention(model, PROMPT, RESPONSE, of="all", gradient=1)
    assert found.gradient_of == "logit of response token 1"
    example = model.insert(PROMPT, RESPONSE)
    slot = [t for t, label in enumerate(example.labels) if label != IGNORE][1]
    batch, logits = model.batch([example]), []
    for factor in (0.99, 1.01):
        with hooked(model.backbone, Scale(factor)):
            logits.append(model.logits(batch)[0, slot, example.labels[slot]].item())
    expected = (logits[1] - logits[0]) / 0.02
    assert abs(expected) > 1e-3
    assert found.gradient_weighted()[1, 2].sum().item() == pytest.approx(expected, rel=2e-2)


def by_hand(weights: Tensor, keys: tuple[int, ...], groups: list[str | None]) -> AttentionRecord:
    """A record with one layer per map, one head, and slots of the given groups."""
    slots = tuple(
        SlotView(f"{group}.0" if group else f"t{t}", group, 0 if group else None, t, None)
        for t, group in enumerate(groups)
    )
    layers = tuple(range(weights.shape[0]))
    return AttentionRecord(
        weights=weights[..., list(keys)],
        totals=weights.sum(dim=-1),
        norms=None,
        gradients=None,
        slots=slots,
        keys=keys,
        layers=layers,
        heads=(0,),
        num_layers=len(layers),
        num_heads=1,
        prompt_length=1,
        layout="none",
        backbone="hand",
    )


# Three slots: A (latent), text, text. Each row is a query.
HAND = torch.tensor([[[[1, 0, 0], [0.6, 0.4, 0], [0.2, 0.3, 0.5]]]])


def test_mass_by_hand() -> None:
    mass = by_hand(HAND, (0,), ["A", None, None]).mass().set_index(["source", "target"]).mass
    assert mass["text", "latent"] == pytest.approx((0.6 + 0.2) / 2)
    assert mass["text", "text"] == pytest.approx((0.4 + 0.8) / 2)
    assert mass["latent", "latent"] == 1
    assert mass["latent", "text"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(SettingError, match="slot 0"):
        by_hand(HAND, (1,), ["A", None, None]).mass()


def test_groups_and_distances_by_hand() -> None:
    record = by_hand(HAND, (0, 1), ["A", "B", None])
    groups = record.by_group().set_index("group")
    assert groups.mass.to_dict() == pytest.approx({"A": 0.2, "B": 0.3})
    assert groups.share.to_dict() == pytest.approx({"A": 0.4, "B": 0.6})
    distances = by_hand(HAND, (0, 1, 2), ["A", None, None]).by_distance([1, 2, 4])
    assert list(distances.distance) == ["0", "1", "2-3", "4+"]
    assert list(distances.mass) == pytest.approx([0.45, 0.45, 0.1, 0])
    assert distances.share.sum() == pytest.approx(1)
    with pytest.raises(SettingError, match="ascending"):
        record.by_distance([2, 1])


def test_frame_by_hand() -> None:
    frame = by_hand(HAND.expand(2, 1, 3, 3), (0, 2), ["A", None, None]).to_frame()
    assert len(frame) == 2 * (3 + 1)  # queries 0, 1, 2 onto slot 0; query 2 onto slot 2
    row = frame[(frame.layer == 1) & (frame["query"] == 2) & (frame.key == 0)].iloc[0]
    assert row.weight == pytest.approx(0.2)
    assert (row.query_label, row.key_label, row.key_group, row.distance) == ("t2", "A.0", "A", 2)
    assert frame.query_group.isna().sum() == 2 * 3


def test_rollout_by_hand() -> None:
    """Two layers, two slots; half of each slot passes through the residual connection."""
    weights = np.array([[[[1.0, 0.0], [0.4, 0.6]]], [[[1.0, 0.0], [0.8, 0.2]]]])
    # With the residual: layer 1 (0.2, 0.8), layer 2 (0.4, 0.6); product: 0.4 + 0.6 * 0.2.
    rolled = attention_rollout(weights)
    np.testing.assert_allclose(rolled[0], [[1.0, 0.0], [0.2, 0.8]])
    np.testing.assert_allclose(rolled[1], [[1.0, 0.0], [0.52, 0.48]])
    np.testing.assert_allclose(attention_rollout(weights, residual=0)[1, 1], [0.88, 0.12])


def test_flow_by_hand() -> None:
    weights = np.array([[[[1.0, 0.0], [0.4, 0.6]]], [[[1.0, 0.0], [0.8, 0.2]]]])
    # To slot 0: 0.4 through (1, 0), and min(0.6, 0.2) through (1, 1). To slot 1: min(0.6, 0.8).
    np.testing.assert_allclose(attention_flow(weights, 1), [0.6, 0.6])
    np.testing.assert_allclose(attention_flow(weights, 0), [1, 0])


def causal_maps(layers: int, slots: int) -> np.ndarray:
    """Random weights (L, 1, T, T), each row summing to 1 over itself and what is before it."""
    raw = np.tril(np.random.default_rng(0).random((layers, 1, slots, slots)))
    return raw / raw.sum(axis=-1, keepdims=True)


def test_rollout_is_the_sum_over_all_paths() -> None:
    weights = causal_maps(3, 4)
    mixed = 0.3 * np.eye(4) + 0.7 * weights[:, 0]
    for top in range(4):
        shares = np.zeros(4)
        for middle, low, bottom in itertools.product(range(4), repeat=3):
            shares[bottom] += mixed[2, top, middle] * mixed[1, middle, low] * mixed[0, low, bottom]
        np.testing.assert_allclose(attention_rollout(weights, 0.3)[2, top], shares)


def test_flow_is_what_a_linear_programme_finds() -> None:
    """Maximise what reaches one input slot, in = out at every slot between, edges capped."""
    weights = causal_maps(3, 4)
    mixed = 0.5 * np.eye(4) + 0.5 * weights[:, 0]
    edges = list(itertools.product(range(3), range(4), range(4)))  # from (l + 1, i) to (l, j)
    for top, target in itertools.product(range(4), range(4)):
        inner = [(level, slot) for level in (1, 2) for slot in range(4)]
        balance = [
            [(lay == n and j == s) * 1.0 - (lay + 1 == n and i == s) for lay, i, j in edges]
            for n, s in inner
        ]
        caps = [
            (0, 0 if (lay == 2 and i != top) or (lay == 0 and j != target) else mixed[lay, i, j])
            for lay, i, j in edges
        ]
        gain = [-1.0 * (lay == 0) for lay, _, _ in edges]
        best = linprog(gain, A_eq=balance, b_eq=np.zeros(len(inner)), bounds=caps)
        assert attention_flow(weights, top)[target] == pytest.approx(-best.fun, abs=1e-5)


def test_rollout_and_flow_need_every_slot(model: LatentModel, record: AttentionRecord) -> None:
    with pytest.raises(SettingError, match="of='all'"):
        record.rollout()
    everything = capture_attention(model, "a,b", "1", of="all")
    np.testing.assert_allclose(everything.rollout().sum(axis=-1), 1)
    flow = everything.flow(len(everything.slots) - 1)
    assert flow.shape == (len(everything.slots),)
    with pytest.raises(SettingError, match="slot 40 does not exist"):
        everything.flow(40)
    with pytest.raises(SettingError, match="of='all'"):
        everything.select(heads=[0]).rollout()


def test_select(record: AttentionRecord) -> None:
    some = record.select(layers=1, heads=[2, 0])
    assert torch.equal(some.weights, record.weights[1:, [2, 0]])
    assert set(some.to_frame()["head"]) == {0, 2}
    with pytest.raises(SettingError, match="no layer 0; its 1 layers are 1"):
        some.select(layers=[0])


# --- files ----------------------------------------------------------------------------------------


def test_a_saved_record_is_the_same(record: AttentionRecord, tmp_path: Path) -> None:
    path = record.save(tmp_path / "new" / "record.safetensors")
    loaded = AttentionRecord.load(path)
    for name in ("weights", "totals", "norms", "gradients"):
        assert torch.equal(getattr(loaded, name), getattr(record, name))
    nothing: dict[str, Any] = {
        "weights": record.weights,
        "totals": record.totals,
        "norms": None,
        "gradients": None,
    }
    for name, value in vars(replace(record, **nothing)).items():
        if name not in nothing:
            assert getattr(loaded, name) == value, name
    replace(record, **nothing).save(path)
    assert AttentionRecord.load(path).norms is None
    assert [file.name for file in path.parent.iterdir()] == ["record.safetensors"]


def test_files_that_are_no_records(record: AttentionRecord, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot read"):
        AttentionRecord.load(tmp_path / "missing.safetensors")
    path = record.save(tmp_path / "record.safetensors")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SettingError, match="cannot read"):
        AttentionRecord.load(path)
    from safetensors.torch import save_file

    save_file({"weights": torch.zeros(1)}, path)
    with pytest.raises(SettingError, match="not an attention record"):
        AttentionRecord.load(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingError, match="cannot write"):
        record.save(tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]
