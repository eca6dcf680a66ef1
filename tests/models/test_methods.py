"""Methods by name: layouts are methods, baselines have names of their own."""

from pathlib import Path

import pytest
import torch

from latent_core.errors import LayoutError, SettingError
from latent_core.models.build import build_model, load_model
from latent_core.models.methods import BASELINES, EXAMPLE_LAYOUTS, Method
from latent_core.slots.layout import LatentLayout
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
        ("pause", "End_2", True, "vocab", 0),
        ("pause-5", "End_5", True, "vocab", 0),
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


@pytest.mark.parametrize(
    ("name", "kind", "size", "parameters"),
    [
        ("lora", "lora", 4, 0),
        ("lora-r16", "lora", 16, 0),
        ("lora-384p", "lora", None, 384),
        ("prefix", "prefix", 2, 0),
        ("prefix-5", "prefix", 5, 0),
        ("prompt-tuning", "prompt-tuning", 2, 0),
        ("prompt-tuning-7", "prompt-tuning", 7, 0),
        ("full", "full", None, 0),
    ],
)
def test_baselines_that_train(name: str, kind: str, size: int | None, parameters: int) -> None:
    method = Method.parse(name)
    assert (method.kind, method.size, method.parameters) == (kind, size, parameters)
    assert method.trained and method.name == name and not method.layout.groups


def test_an_initialisation_that_a_method_has_no_use_for_is_refused() -> None:
    assert Method.parse("prompt-tuning-3", init="text:so").init == "text:so"
    assert Method.parse("pause-3", init="mean").init == "mean"
    for name in ("lora", "prefix-2", "full"):
        with pytest.raises(SettingError, match=f"init is 'mean', but {name} has no vectors"):
            Method.parse(name, init="mean")


def test_latents_may_start_elsewhere_and_fillers_may_not() -> None:
    assert Method.parse("Start_2", init="mean").init == "mean"
    assert Method.parse("filler(Start_2)", init="mean").init == "text:."


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Comma_x", r"'Comma_x' is no method: group 'Comma_x' has the count 'x'.*as in 'Comma_2'$"),
        ("few-shots", "'few-shots' is no method; did you mean few-shot-K"),
        ("", r"is no method: neither a baseline \(zero-shot, .*nor a layout; cannot read group"),
        ("filler(Middle_2)", "unknown place 'Middle'"),
        ("filler()", r"did you mean filler\(LAYOUT\)"),
        ("Start_0", "has the count .0.; expected"),
        ("LoRA", "did you mean lora-rR.*lora is rank 4"),
        ("lora-4", "did you mean lora-rR.*lora-Np"),
        ("prefix-0", "did you mean prefix-M"),
        ("prompt-tuning-x", "did you mean prompt-tuning-M"),
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
        name = text.replace("LAYOUT", "End_2").replace("-K", "-3").replace("-M", "-3")
        name = name.replace("-rR", "-r3")
        untrained = text in ("zero-shot", "few-shot-K", "filler(LAYOUT)")
        assert Method.parse(name).trained is not untrained


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


def test_a_model_carries_its_method() -> None:
    backbone = tiny_backbone("llama")
    shots = build_model(backbone, "few-shot-3")
    assert (shots.method, shots.shots, shots.num_trainable) == ("few-shot-3", 3, 0)
    filler = build_model(backbone, "filler(Comma_2)")
    assert (filler.method, filler.num_trainable) == ("filler(Comma_2)", 0)
    assert build_model(backbone, "lora-r2").method == "lora-r2"


@pytest.mark.parametrize("name", ["few-shot-3", "filler(End_3)", "pause-3", "Start_2+Comma_1"])
def test_a_loaded_model_is_the_method_it_was(name: str, tmp_path: Path) -> None:
    model = build_model(tiny_backbone("llama"), name, seed=3)
    loaded = load_model(model.save_pretrained(tmp_path), tiny_backbone("llama"))
    assert (loaded.method, loaded.shots) == (model.method, model.shots)
    assert loaded.num_trainable == model.num_trainable
    assert loaded.generate(["a,b,="], 5) == model.generate(["a,b,="], 5)


def test_fillers_are_the_embeddings_of_their_text() -> None:
    backbone = tiny_backbone("llama")
    dot = backbone.embed(torch.tensor(character_tokenizer()(".")["input_ids"]))
    assert torch.equal(build_model(backbone, "filler(End_3)").tables.rows(), dot.expand(3, -1))
