"""Prompt embeddings: the plain backbone responds to them as the model does, or they are refused."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import latent_core as lc
from latent_core.bridges.prompt_embeddings import export_prompt_embeddings
from latent_core.cli import app
from latent_core.errors import PromptError, SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from tests.families import FAMILIES, PROMPTS, tiny_backbone

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
