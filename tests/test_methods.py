"""Methods by name: layouts are methods, baselines have names of their own."""

import pytest
import torch

from latent_core.errors import LayoutError, SettingError
from latent_core.layout import LatentLayout
from latent_core.methods import BASELINES, EXAMPLE_LAYOUTS, Method, build_model
from tests.families import character_tokenizer, tiny_backbone


@pytest.mark.parametrize(
    ("name", "layout", "trained", "init", "shots"),
    [
        ("zero-shot", "none", False, "vocab", 0),
        ("none", "none", False, "vocab", 0),
        ("few-shot", "none", False, "vocab", 4),
        ("few-shot-12", "none", False, "vocab", 12),
        ("filler", "End_2", False, "text:.", 0),
        ("filler(Start_1+Comma_3)", "Start_1+Comma_3", False, "text:.", 0),
        ("Start_1+Comma_2", "Start_1+Comma_2", True, "vocab", 0),
        (" 8_2; tied ", "8_2; tied", True, "vocab", 0),
    ],
)
def test_a_name_says_all(name: str, layout: str, trained: bool, init: str, shots: int) -> None:
    method = Method.parse(name)
    assert (str(method.layout), method.trained, method.init, method.shots) == (
        layout,
        trained,
        init,
        shots,
    )


def test_latents_may_start_elsewhere_and_fillers_may_not() -> None:
    assert Method.parse("Start_2", init="mean").init == "mean"
    assert Method.parse("filler(Start_2)", init="mean").init == "text:."


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Comma_x", r"'Comma_x' is no method: neither a baseline \(zero-shot, .*cannot read group"),
        ("few-shots", "'few-shots' is no method"),
        ("", "is no method"),
        ("filler(Middle_2)", "unknown place 'Middle'"),
        ("filler()", "is no method"),
        ("Start_0", "has no latents"),
    ],
)
def test_what_is_no_method_is_refused(name: str, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        Method.parse(name)


def test_everything_that_is_listed_can_be_read() -> None:
    for text in EXAMPLE_LAYOUTS:
        for layout in text.split(", "):
            assert Method.parse(layout).trained
    for text in BASELINES:
        name = text.replace("LAYOUT", "End_2").replace("-K", "-3")
        assert not Method.parse(name).trained


def test_a_model_for_a_method() -> None:
    backbone = tiny_backbone("llama")
    model = build_model(backbone, "Start_2+Comma_1", seed=4)
    assert model.layout == LatentLayout.parse("Start_2+Comma_1")
    again, other = (build_model(backbone, "Start_2+Comma_1", seed=seed) for seed in (4, 5))
    assert torch.equal(model.tables.rows(), again.tables.rows())
    assert not torch.equal(model.tables.rows(), other.tables.rows())
    assert build_model(backbone, Method.parse("zero-shot")).num_trainable == 0
    with pytest.raises(SettingError, match="seed is -1"):
        build_model(backbone, "Start_2", seed=-1)


def test_fillers_are_the_embeddings_of_their_text() -> None:
    backbone = tiny_backbone("llama")
    dot = backbone.embed(torch.tensor(character_tokenizer()(".")["input_ids"]))
    assert torch.equal(build_model(backbone, "filler(End_3)").tables.rows(), dot.expand(3, -1))
