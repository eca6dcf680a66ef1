"""Exported checkpoints and prompts: plain Transformers gives what we give, or they are refused."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.bridges.export import export_model, export_prompt_embeddings, token_of
from latent_core.cli import app
from latent_core.errors import LatentError, PromptError, SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from tests.families import FAMILIES, PROMPTS, character_tokenizer, random_model, tiny_backbone

PROMPT = "ab,cd="
EXPORTED = (
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("gemma3", {"tie_word_embeddings": True}),  # scales its embeddings
    ("gpt2", {}),  # has spare rows
    ("phi", {}),  # has a bias in its head
)


def model_of(layout: str, family: str = "llama", **changes: object) -> LatentModel:
    backbone = Backbone(family, random_model(family, **changes), character_tokenizer())
    return LatentModel(backbone, layout, seed=3, init="gaussian")


def texts(model: LatentModel, group: str) -> str:
    count = model.layout.group(group).count
    return "".join(token_of(group, row) for row in range(count))


@pytest.mark.parametrize(("family", "changes"), EXPORTED)
def test_literal_tokens_are_the_latents_where_nothing_is_lost(
    family: str, changes: dict, tmp_path: Path
) -> None:
    model = model_of("Start_2+End_1; positions=sequential", family, **changes)
    export_model(model, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")

    literal = texts(model, "Start") + PROMPT + texts(model, "End")
    inputs = tokenizer(literal, return_tensors="pt")
    assert inputs["input_ids"].shape == (1, len(PROMPT) + 3)
    batch = model.batch([model.insert(PROMPT)])
    with torch.no_grad():
        theirs = plain(**inputs).logits
    verbal = len(model.backbone.tokenizer)  # GPT-2's spare rows come to hold the latents
    assert torch.allclose(theirs[..., :verbal], model.logits(batch)[..., :verbal], atol=1e-4)

    (wanted,) = model.generate(PROMPT, 6, return_details=True)
    output = plain.generate(
        inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=6,
        do_sample=False, pad_token_id=0,
    )  # fmt: skip
    assert output[0, inputs["input_ids"].shape[1] :].tolist() == list(wanted.response_ids)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_shared_positions_are_kept_by_a_caller_that_passes_them(
    family: str, tmp_path: Path
) -> None:
    model = model_of("Start_2+End_1", family)
    export_model(model, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    inputs = tokenizer(texts(model, "Start") + PROMPT + texts(model, "End"), return_tensors="pt")
    batch = model.batch([model.insert(PROMPT)])
    verbal = len(model.backbone.tokenizer)
    wanted = model.logits(batch)[..., :verbal]
    with torch.no_grad():
        shared = plain(**inputs, position_ids=batch.position_ids).logits[..., :verbal]
        counted = plain(**inputs).logits[..., :verbal]
    assert torch.allclose(shared, wanted, atol=1e-4)
    assert not torch.allclose(counted, wanted, atol=0.1)


@pytest.mark.parametrize(("family", "changes"), EXPORTED)
def test_latents_are_never_the_likeliest_and_are_suppressed(
    family: str, changes: dict, tmp_path: Path
) -> None:
    model = model_of("Start_2", family, **changes)
    export_model(model, tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer.convert_tokens_to_ids([token_of("Start", row) for row in range(2)])
    assert plain.generation_config.suppress_tokens == ids
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        logits = plain(torch.randint(2, 30, (64, 6), generator=generator)).logits.flatten(0, 1)
    others = [row for row in range(logits.shape[1]) if row not in ids]
    assert (logits[:, ids].amax(1) < logits[:, others].amax(1)).all()
    assert (logits.softmax(-1)[:, ids] <= 1 / len(others)).all()
    assert plain.get_input_embeddings().weight is not plain.get_output_embeddings().weight


def test_the_backbone_is_left_alone_and_the_export_loads_as_one(tmp_path: Path) -> None:
    model = model_of("Start_1+Comma_2", tie_word_embeddings=True)
    before = {name: w.clone() for name, w in model.base_model.state_dict().items()}
    vocabulary = len(model.backbone.tokenizer)
    export_model(model, tmp_path / "out")
    after = model.base_model.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert len(model.backbone.tokenizer) == vocabulary
    assert model.base_model.config.tie_word_embeddings
    again = load_backbone(tmp_path / "out")
    assert len(again.tokenizer) == vocabulary + 3
    assert "latent" not in again.decode(again.encode(texts(model, "Comma") + "ab"))


def test_the_card_says_what_to_write_and_what_is_lost(tmp_path: Path) -> None:
    shared = export_model(model_of("Start_2+Comma_1"), tmp_path / "a") / "README.md"
    text = shared.read_text()
    assert "- before the prompt: `<|latent Start.0|><|latent Start.1|>`\n" in text
    assert "- before every token that contains one of [',']: `<|latent Comma.0|>`\n" in text
    assert "share the position" in text and "The model does not insert the latents" in text
    sequential = model_of("Start_2+4_1; tied; positions=sequential")
    text = (export_model(sequential, tmp_path / "b") / "README.md").read_text()
    assert "- before the prompt: `<|latent tied.0|><|latent tied.1|>`\n" in text
    assert (
        "every latent has its own position id, as in training" in text
        and "share the position" not in text
    )


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    backbone = model_of("Start_1").backbone
    for method in ("zero-shot", "lora-r1"):
        with pytest.raises(SettingError, match=f"{method} has no latents to export"):
            export_model(build_model(backbone, method), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(LatentError, match="cannot write the checkpoint"):
        export_model(model_of("Start_1"), tmp_path / "full")


def test_a_filled_folder_is_refused_before_the_backbone_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worked(*_: object) -> None:
        raise AssertionError("the folder is looked at after work has begun")

    model = model_of("Start_1")
    monkeypatch.setattr("latent_core.bridges.export.copy.deepcopy", worked)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(LatentError, match=f"cannot write the checkpoint to {tmp_path}"):
        export_model(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


TOKENS = 12
EXACT = (
    "none",
    "Start_3; positions=sequential",
    "End_2; positions=sequential",
    "Start_2@verbal+End_1; positions=sequential",
    "Start_2+End_2; tied; positions=sequential",
    "End_3=hidden; positions=sequential",
    "Start_1+End_2=mix; positions=sequential",
    "Start_2=text(,a); positions=sequential",
)
SCALED = ("gemma", "gemma2", "gemma3")


def drawn(family: str, layout: str) -> LatentModel:
    return LatentModel(tiny_backbone(family), layout, seed=3, init="gaussian")


def answers_of_the_plain_backbone(model: lc.SteeredModel, prompt: str) -> list[int]:
    embeddings = export_prompt_embeddings(model, prompt)
    mask = torch.ones(1, len(embeddings), dtype=torch.long)
    ids = model.backbone.model.generate(
        inputs_embeds=embeddings[None], attention_mask=mask, max_new_tokens=TOKENS,
        do_sample=False, pad_token_id=0,
    )  # fmt: skip
    return ids[0].tolist()


def answers(model: lc.SteeredModel, prompt: str) -> list[int]:
    one = model.generate(prompt, TOKENS, return_details=True)[0]
    return list(one.response_ids)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in SCALED])
def test_every_family_responds_to_the_embeddings_as_the_model_does(family: str) -> None:
    model = drawn(family, "Start_3+End_2; positions=sequential")
    plain = drawn(family, "none")
    found = [answers_of_the_plain_backbone(model, prompt) for prompt in PROMPTS]
    assert found == [answers(model, prompt) for prompt in PROMPTS]
    assert found != [answers(plain, prompt) for prompt in PROMPTS]  # the latents do something


@pytest.mark.parametrize("layout", EXACT)
def test_every_exact_layout_responds_as_the_model_does(layout: str) -> None:
    model = drawn("llama", layout)
    for prompt in PROMPTS:
        assert answers_of_the_plain_backbone(model, prompt) == answers(model, prompt)


def test_prompt_tuning_responds_as_the_model_does() -> None:
    model = build_model(tiny_backbone("llama"), "prompt-tuning-3", seed=2)
    for prompt in PROMPTS:
        assert answers_of_the_plain_backbone(model, prompt) == answers(model, prompt)


def test_a_prompt_may_be_verbal_ids_and_has_to_fit() -> None:
    model = drawn("llama", "Start_3; positions=sequential")
    ids = model.backbone.encode(PROMPTS[0])
    embeddings = export_prompt_embeddings(model, ids)
    assert embeddings.shape == (len(ids) + 3, model.backbone.hidden_size)
    assert torch.equal(embeddings, export_prompt_embeddings(model, PROMPTS[0]))
    assert embeddings.untyped_storage().nbytes() == embeddings.numel() * 4  # nothing beside it
    with pytest.raises(PromptError, match="empty"):
        export_prompt_embeddings(model, "")
    with pytest.raises(PromptError, match="context window"):
        export_prompt_embeddings(model, "a" * 200)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("Start_2", "share the position ids of verbal tokens"),
        ("End_1", "share the position ids of verbal tokens"),
        ("End_2@verbal; positions=sequential", "does not predict the response"),
        ("Start_1+Comma_1; positions=sequential", r"Comma_1 may stand in the response"),
        ("4_1; positions=sequential", "4_1 may stand in the response"),
        ("Unsure[0.5]_1; positions=sequential", "may stand in the response"),
        ("lora-r2", "changes the backbone"),
        ("prefix-2", "changes the backbone"),
        ("full", "changes the backbone"),
        ("Start_2; positions=sequential & lora-r2", "lora-r2 changes the backbone"),
    ],
)
def test_a_method_that_a_server_would_run_otherwise_is_refused_with_the_reason(
    method: str, reason: str
) -> None:
    model = build_model(tiny_backbone("llama"), method)
    with pytest.raises(SettingError, match=rf"cannot be exported as prompt embeddings.*{reason}"):
        export_prompt_embeddings(model, "ab=")


def test_an_intervention_and_scaled_embeddings_are_refused() -> None:
    model = drawn("llama", "Start_2; positions=sequential")
    on = lc.interventions.Scale("Start", 2.0).on(model)
    with on, pytest.raises(SettingError, match="an intervention is on"):
        export_prompt_embeddings(model, "ab=")
    assert len(export_prompt_embeddings(model, "ab=")) == 5
    for family in SCALED:
        with pytest.raises(SettingError, match="multiplies embeddings by"):
            export_prompt_embeddings(drawn(family, "Start_2; positions=sequential"), "ab=")


def test_the_command_writes_one_tensor_and_replaces_no_file(tmp_path: Path) -> None:
    model = LatentModel("tiny", "Start_2; positions=sequential", seed=1)
    run = model.save_pretrained(tmp_path / "run")
    out = tmp_path / "new" / "prompt.pt"
    asked = ["export", str(run), "--prompt", "1+1=2\\n3", "--out", str(out)]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    assert "embeddings of width 128 in float32" in found.output
    there = torch.load(out, weights_only=True)
    assert torch.equal(there, export_prompt_embeddings(model, "1+1=2\n3"))
    again = CliRunner().invoke(app, asked)
    assert again.exit_code != 0 and "is there already" in str(again.exception)
