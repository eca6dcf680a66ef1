"""Several adapters in one batch: each row is what its own model gives alone."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.errors import PromptError, SettingError
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.models.together import generate_together
from tests.families import FAMILIES, PROMPTS, character_tokenizer, random_model, tiny_backbone

#: Every kind of place, of position ids and of filling.
LAYOUTS = (
    "none",
    "Start_2",
    "End_2@verbal",
    "Comma_2+End_1",
    "3_2; positions=sequential",
    "Start_2+Before[,|a|c|j|1|8|=]_1+4_1; tied",
    "End_3=hidden",
    "Start_1+Comma_2=mix",
    "Comma_1=text(a)+End_2=hidden(norm)",
    "Unsure[0.4]_2",
)


def drawn(backbone: Backbone, layouts: Sequence[str] = LAYOUTS) -> list[LatentModel]:
    return [
        LatentModel(backbone, layout, seed=number, init="gaussian")
        for number, layout in enumerate(layouts)
    ]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gemma3", "qwen2"])
def test_every_layout_responds_beside_the_others_as_it_does_alone(family: str) -> None:
    """Text, slots and passes; sliding windows and holes in the cache included."""
    models = drawn(tiny_backbone(family))
    for prompt in PROMPTS:
        together = generate_together(models, prompt, 10)
        alone = [model.generate(prompt, 10, return_details=True)[0] for model in models]
        assert together == alone
        assert len({one.response_ids for one in alone}) > 1


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("llama", "gpt2")])
def test_every_family_runs_two_adapters_in_one_batch(family: str) -> None:
    models = drawn(tiny_backbone(family), ("Start_2+Comma_1", "End_2"))
    together = generate_together(models, PROMPTS[0], 8)
    assert together == [model.generate(PROMPTS[0], 8, return_details=True)[0] for model in models]


def test_models_prompts_and_limits_of_their_own_in_batches_of_any_size() -> None:
    first, second, third = drawn(tiny_backbone("llama"), ("Start_2", "Comma_2", "End_2=hidden"))
    models = [first, second, first, third, second]
    prompts, limits = [*PROMPTS, "ab,"], [3, 9, 6, 5, 7]
    wanted = [
        model.generate(prompt, limit, return_details=True)[0]
        for model, prompt, limit in zip(models, prompts, limits, strict=True)
    ]
    for batch_size in (1, 2, 8):
        assert generate_together(models, prompts, limits, batch_size=batch_size) == wanted


def test_each_model_draws_as_if_it_were_alone() -> None:
    models = drawn(tiny_backbone("llama"), ("Start_2", "End_2"))
    settings = {"do_sample": True, "temperature": 1.5, "seed": 3, "num_return_sequences": 3}
    together = generate_together(models, "ab,", 8, **settings)
    alone = [model.generate("ab,", 8, return_details=True, **settings) for model in models]
    assert together == [*alone[0], *alone[1]]
    assert len({one.text for one in together}) > 3


def test_it_takes_one_pass_for_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    models = drawn(tiny_backbone("llama"), ("Start_2", "End_2", "Comma_1"))
    rows: list[int] = []

    def count(module: nn.Module, args: tuple, kwargs: dict) -> None:
        rows.append(len(kwargs["inputs_embeds"]))

    handle = models[0].backbone.model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        found = generate_together(models, "ab,cd=", 6)
        assert rows[0] == 3 and len(rows) == max(one.decode_steps for one in found)
    finally:
        handle.remove()


def test_tokens_are_told_with_the_number_of_their_model() -> None:
    models = drawn(tiny_backbone("llama"), ("Start_2", "Comma_2"))
    told: dict[int, list[int]] = {0: [], 1: []}
    found = generate_together(
        models, "ab,", 6, on_token=lambda number, token_id, text: told[number].append(token_id)
    )
    assert [tuple(told[0]), tuple(told[1])] == [one.response_ids for one in found]


def test_models_are_as_they_were_and_vectors_are_read_anew() -> None:
    models = drawn(tiny_backbone("llama"), ("Start_2", "Comma_2"))
    models[0].train()
    before = [model.trainable_weights() for model in models]
    first = generate_together(models, "ab,", 6)
    assert models[0].training and not models[1].training
    for model, weights in zip(models, before, strict=True):
        assert all(torch.equal(model.trainable_weights()[name], w) for name, w in weights.items())
    models[0].assign({name: w * -3 for name, w in before[0].items()})
    second = generate_together(models, "ab,", 6)
    assert second[1] == first[1]
    assert second[0] == models[0].generate("ab,", 6, return_details=True)[0] != first[0]


def test_models_that_cannot_share_a_pass_are_refused_with_the_reason() -> None:
    backbone = tiny_backbone("llama")
    plain = LatentModel(backbone, "Start_2")
    twin = Backbone("twin", random_model("llama"), character_tokenizer())
    for other, reason in (
        (build_model(backbone, "lora-r2"), "lora-r2 is no layout of latents"),
        (build_model(backbone, "Start_1 & lora-r2"), "lora-r2 has modules of its own"),
        (LatentModel(twin, "End_1"), "End_1 stands on another copy of twin than Start_2"),
    ):
        with pytest.raises(SettingError, match=reason):
            generate_together([plain, other], "ab", 2)
    on = lc.interventions.Scale("Start", 2.0).on(plain)
    with on, pytest.raises(SettingError, match="an intervention on Start_2 is on"):
        generate_together([plain, LatentModel(backbone, "End_1")], "ab", 2)
    with pytest.raises(SettingError, match="2 models and 3 prompts"):
        generate_together([plain, plain], ["a", "b", "c"], 2)
    with pytest.raises(SettingError, match="0 models"):
        generate_together([], [], 2)
    with pytest.raises(PromptError, match="empty"):
        generate_together([plain], "", 2)
