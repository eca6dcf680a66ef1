"""Geometry of latents that were put where the answer is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from latent_core.analysis import geometry
from latent_core.analysis.geometry import (
    latent_norms,
    latent_similarity,
    logit_lens,
    nearest_tokens,
    slot_pca,
)
from latent_core.backbones.layers import decoder_layers, final_norm
from latent_core.errors import AdapterError, BackboneError, SettingError
from latent_core.interventions.vectors import Replace
from latent_core.models.latent import LatentModel
from latent_core.tasks import Example
from tests.families import FAMILIES, MAIN_FAMILIES, tiny_backbone
from tests.made_backbones import LAYER, LAYERS, copying_model


def aimed() -> LatentModel:
    """Start.0 is a long `b`; Comma.0 is minus `c`, Comma.1 half of `d`."""
    model = LatentModel(tiny_backbone("llama"), "Start_1+Comma_2")
    b, c, d = model.backbone.embed(torch.tensor(model.backbone.encode("bcd")))
    model.tables.assign({"Start": b[None] * 100, "Comma": torch.stack([-c, d / 2])})
    return model


def test_nearest_tokens_are_those_the_latents_were_made_of() -> None:
    frame = nearest_tokens(aimed(), count=3)
    first = frame[frame["rank"] == 0].set_index("label")
    assert first.loc["Start.0", "token"] == "b" and first.loc["Comma.1", "token"] == "d"
    assert first.loc["Start.0", "cosine"] == pytest.approx(1.0, abs=1e-5)
    assert list(frame["label"]) == ["Start.0"] * 3 + ["Comma.0"] * 3 + ["Comma.1"] * 3
    assert (frame.groupby("label")["cosine"].diff().dropna() <= 0).all()
    every = nearest_tokens(aimed(), count=len("abcdefghijklmnop0123456789,= \n"))
    last = every[(every["label"] == "Comma.0")].iloc[-1]
    assert last["token"] == "c" and last["cosine"] == pytest.approx(-1.0, abs=1e-5)
    with pytest.raises(SettingError, match="expected 1 to"):
        nearest_tokens(aimed(), count=99)


def test_norms_beside_the_vocabulary() -> None:
    model = aimed()
    frame = latent_norms(model).set_index("label")
    b, _, d = model.backbone.embed(torch.tensor(model.backbone.encode("bcd"))).norm(dim=-1)
    assert frame.loc["Start.0", "norm"] == pytest.approx(float(b) * 100)
    assert frame.loc["Start.0", "share_shorter"] == 1.0
    assert frame.loc["Comma.1", "norm"] == pytest.approx(float(d) / 2)
    assert frame.loc["Comma.1", "share_shorter"] < 0.5
    assert frame["vocabulary_median"].nunique() == 1
    assert (frame["ratio"] == frame["norm"] / frame["vocabulary_median"]).all()


def test_similarity_within_and_across(tmp_path: Path) -> None:
    one, other = aimed(), aimed()
    rows = other.tables.named()
    other.tables.assign({"Start": rows["Comma"][:1], "Comma": -rows["Comma"]})
    other.save_pretrained(tmp_path / "other")
    alone = latent_similarity(one)
    assert list(zip(alone["label_a"], alone["label_b"], strict=True)) == [
        ("Start.0", "Comma.0"), ("Start.0", "Comma.1"), ("Comma.0", "Comma.1"),
    ]  # fmt: skip
    both = latent_similarity({"one": one, "other": tmp_path / "other"})
    assert len(both) == 6 * 5 // 2
    across = both[(both["model_a"] == "one") & (both["model_b"] == "other")]
    cosine = across.set_index(["label_a", "label_b"])["cosine"]
    assert cosine["Comma.0", "Start.0"] == pytest.approx(1.0)
    assert cosine["Comma.1", "Comma.1"] == pytest.approx(-1.0)
    elsewhere = LatentModel(tiny_backbone("gpt2"), "Start_1")
    with pytest.raises(AdapterError, match="different backbones"):
        latent_similarity({"one": one, "elsewhere": elsewhere})


def test_tied_groups_have_a_label_each() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+Comma_2; tied")
    assert list(latent_norms(model)["label"]) == ["Start.0", "Comma.0", "Comma.1"]
    assert latent_similarity(model)["cosine"][0] == pytest.approx(1.0)


def test_the_lens_reads_what_each_slot_says_where_it_is_known() -> None:
    """The copying head writes `a` at Comma.1 (it sees itself) from its layer on, not before."""
    model = copying_model()
    frame = logit_lens(model, "b,c", "a", count=1)
    assert set(frame["label"]) == {"Start.0", "Comma.0", "Comma.1"}
    assert sorted(frame["layer"].unique()) == list(range(LAYERS))
    said = frame[frame["label"] == "Comma.1"].set_index("layer")
    before, after = said.loc[LAYER - 1], said.loc[LAYER:]
    assert before["probability"] == pytest.approx(1 / model.backbone.vocabulary_size)
    assert (after["probability"] > before["probability"]).all()
    assert (frame[frame["label"] == "Start.0"]["probability"] < 0.1).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_lens_at_the_last_layer_is_the_models_own_word(family: str) -> None:
    model = LatentModel(tiny_backbone(family), "Start_1+Comma_2", init="gaussian")
    frame = logit_lens(model, "ab,c", "1,2", count=3)
    slots = model.insert("ab,c", "1,2")
    own = model.logits(model.batch([slots]))[0].float().softmax(-1)
    last = frame[frame["layer"] == len(decoder_layers(model.backbone)) - 1]
    assert len(last) == 3 * slots.num_latents
    for row in last.itertuples():
        assert slots.slots[row.slot].occurrence == row.occurrence
        assert float(own[row.slot, row.token_id]) == pytest.approx(row.probability, abs=1e-3)
    assert logit_lens(model, "ab,c", layers=0)["layer"].unique().tolist() == [0]
    assert torch.equal(own, model.logits(model.batch([slots]))[0].float().softmax(-1))


def test_the_lens_inside_a_block_and_without_latents() -> None:
    model = copying_model()
    with Replace("Comma.1", "zero").on(model):
        frame = logit_lens(model, "b,c", count=1)
    assert frame["probability"].max() == pytest.approx(1 / model.backbone.vocabulary_size)
    none = LatentModel(model.backbone, "Comma_1")
    empty = logit_lens(none, "bc")
    assert len(empty) == 0 and list(empty.columns) == list(frame.columns)
    with pytest.raises(SettingError, match="no layer 7"):
        logit_lens(model, "b,c", layers=[7])
    with pytest.raises(SettingError, match="count is 0"):
        logit_lens(model, "b,c", count=0)


def test_components_are_those_of_the_covariance() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2+Comma_2", init="gaussian")
    pair = ("1,2", "3,4")
    examples = ["ab,c,d", pair, "x"]
    frame = slot_pca(model, examples, layers=[1], components=3)
    assert len(frame) == (2 + 4) + (2 + 4) + 2
    assert frame.groupby("example").size().tolist() == [6, 6, 2]
    scores = frame[["pc1", "pc2", "pc3"]].to_numpy()
    states = torch.cat(
        [
            geometry._hidden_states(model, slots, geometry._latent_places(slots), [1])[1]
            for slots in (model.insert(*(e if isinstance(e, tuple) else (e,))) for e in examples)
        ]
    )
    values = np.linalg.eigvalsh(np.cov(states.detach().double().numpy().T, bias=True))[::-1]
    assert scores.var(axis=0) == pytest.approx(values[:3], rel=1e-4)
    assert np.corrcoef(scores.T) == pytest.approx(np.eye(3), abs=1e-6)
    assert frame["explained1"][0] == pytest.approx(values[0] / values.sum(), rel=1e-4)
    same = ["ab,c,d", Example(*pair, "id", 1, "k"), "x"]
    pd.testing.assert_frame_equal(slot_pca(model, same, layers=1, components=3), frame)
    assert slot_pca(model, examples)["layer"].value_counts().to_dict() == {0: 14, 1: 14}


def test_too_few_slots_for_components() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    with pytest.raises(SettingError, match="1 latent slots"):
        slot_pca(model, ["ab"])


@pytest.mark.parametrize("family", MAIN_FAMILIES)
def test_what_follows_the_last_layer_is_found(family: str) -> None:
    backbone = tiny_backbone(family)
    assert len(decoder_layers(backbone)) == 2
    assert final_norm(backbone)(torch.randn(3, backbone.hidden_size)).shape == (3, 32)


def test_layers_that_cannot_be_found_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("olmo2")
    monkeypatch.setattr(backbone.model.config, "num_hidden_layers", 5)
    with pytest.raises(BackboneError, match="one list of 5 layers"):
        decoder_layers(backbone)
