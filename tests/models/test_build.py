"""Models by the names of their methods."""

import json
from pathlib import Path

import pytest
import torch

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.models.build import build_model, load_model
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method
from tests.families import character_tokenizer, tiny_backbone


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


# --- init=task ------------------------------------------------------------------------------------

TASK = lc.load_task("repetition")


def words_of_task() -> str:
    solved = TASK.examples("train", 8, seed=3)
    return TASK.description + "\n\n" + "".join(f"{e.prompt}{e.answer}\n\n" for e in solved)


@pytest.mark.parametrize("name", ["Start_9", "Start_9; positions=sequential", "prompt-tuning-9"])
def test_vectors_start_as_the_first_tokens_of_the_task(name: str) -> None:
    backbone = lc.load_backbone("tiny")
    model = build_model(backbone, f"{name}; init=task", 3, task=TASK)
    ids = backbone.tokenizer(words_of_task(), add_special_tokens=False)["input_ids"][:9]
    wanted = backbone.embed(torch.tensor(ids)).float()
    (found,) = (weight for weight in model.trainable_weights().values())
    assert torch.equal(found, wanted)
    assert model.method == f"{name}; init=task"


@pytest.mark.parametrize("count", [3, 60])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_a_prefix_starts_as_the_text_before_the_prompt(
    count: int, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits after the untrained prefix are those of the backbone alone after the same text."""
    backbone = tiny_backbone(family)
    monkeypatch.setattr("latent_core.models.build._words", lambda *rest: "text:abc,ab")
    model = build_model(backbone, f"prefix-{count}; init=task")
    text = ("abc,ab" * count)[:count]
    plain = build_model(backbone, "zero-shot")
    ours = model.logits(model.batch([model.insert("c,a")]))
    theirs = plain.logits(plain.batch([plain.insert(text + "c,a")]))
    assert ours.shape[1] == 3
    assert torch.allclose(ours, theirs[:, count:], atol=1e-4)


@pytest.mark.parametrize("name", ["prefix-2; init=task", "End_2; init=task", "Start_2 & lora-r1"])
def test_a_saved_one_is_loaded_without_its_task(name: str, tmp_path: Path) -> None:
    backbone = lc.load_backbone("tiny")
    model = build_model(backbone, name, task=TASK)
    folder = model.save_pretrained(tmp_path / "a", method=model.method)
    loaded = load_model(folder, backbone)
    assert loaded.method == name
    ours, theirs = (one.trainable_weights() for one in (model, loaded))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_words_of_a_task_that_is_not_given_are_refused() -> None:
    with pytest.raises(SettingError, match=r"starts with the words of a task.*task=lc.load_task"):
        build_model("tiny", "Start_2; init=task")
    build_model("tiny", "Start_2; init=task", to_train=False)


def test_the_words_of_a_conversation_are_those_of_its_messages(tmp_path: Path) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
    file = tmp_path / "talks.jsonl"
    file.write_text(json.dumps({"messages": said, "answer": "2", "split": "train"}) + "\n")
    task = lc.load_task(str(file))
    model = build_model(lc.load_backbone("tiny"), "Start_60; init=task", task=task)
    words = f"{task.description}\n\n" + "Be brief.\n1+1?\n2\n\n" * 8
    ids = model.backbone.tokenizer(words, add_special_tokens=False)["input_ids"][:60]
    (found,) = model.trainable_weights().values()
    assert torch.equal(found, model.backbone.embed(torch.tensor(ids)).float())


def test_a_prefix_starts_with_a_text_that_is_longer_than_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Solved examples may be long; only the first tokens are read."""
    backbone = tiny_backbone("llama")
    assert backbone.context_length is not None
    found = []
    for words in ("abc,ab" * backbone.context_length, "abc,abab"):
        monkeypatch.setattr("latent_core.models.build._words", lambda *rest, w=words: f"text:{w}")
        model = build_model(backbone, "prefix-3; init=task")
        found.append(model.trainable_weights())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
