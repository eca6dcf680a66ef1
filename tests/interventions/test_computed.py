"""Interventions on computed latents: what they put in, and that decoding and training agree."""

import pytest
import torch
from torch import Tensor

from latent_core.analysis.geometry import logit_lens
from latent_core.errors import SettingError
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.slots.placement import IGNORE
from latent_core.tasks import load_task
from tests.families import PROMPTS
from tests.models.test_passes import calm, made

LAYOUT = "Start_1+3_2=mix+End_4=hidden(norm)"
PROMPT = "ab,cd=1"
CHANGES = (
    "replace(End, random, seed=2)",
    "replace(latents, random)",
    "scale(End, 0.5)",
    "replace(End, prompt:xyz)",
    "replace(3+End, data:repetition)",
    "freeze(End, 2)",
    "freeze(3, 1, from_step=1)",
    "freeze(End, 1) & scale(3, 2)",
    "replace(End.0, zero) & freeze(End, 1)",
)


def model(family: str = "llama", layout: str = LAYOUT) -> LatentModel:
    return made(family, layout, calm(family))


def inputs(latents: LatentModel, prompt: str, change: str = "none") -> dict[tuple, Tensor]:
    """What the backbone is given for each latent, by group, member and occurrence."""
    found: list[Tensor] = []
    hook = latents.backbone.trunk.register_forward_pre_hook(
        lambda module, args, kwargs: found.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with parse_intervention(change).on(latents), torch.no_grad():
        slots = latents.insert(prompt)
        # Hooks of the block come after this one, and change what it has not seen.
        hook.remove()
        hook = latents.backbone.trunk.layers[0].register_forward_pre_hook(
            lambda module, args, kwargs: found.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
        latents.hidden_states(latents.batch([slots]))
    hook.remove()
    whole = torch.cat(found, dim=1)[0]
    assert len(whole) == len(slots.slots)
    names = [group.name for group in latents.layout.groups]
    return {
        (names[slot.group], slot.member, slot.occurrence): whole[place]
        for place, slot in enumerate(slots.slots)
        if slot.is_latent
    }


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2"])
def test_decoding_is_each_row_alone_and_as_one_pass(family: str, change: str) -> None:
    latents = model(family)
    plain = latents.generate(list(PROMPTS), 8)
    with parse_intervention(change).on(latents):
        together = latents.generate(list(PROMPTS), 8, return_details=True)
        alone = [latents.generate(prompt, 8, return_details=True)[0] for prompt in PROMPTS]
        assert [row.response_ids for row in together] == [row.response_ids for row in alone]
        for row in together:
            batch = latents.batch([latents.place(row.prompt_ids, row.response_ids)])
            chosen = latents.logits(batch)[batch.labels != IGNORE].argmax(-1)
            assert chosen.tolist() == list(row.response_ids)
    assert latents.generate(list(PROMPTS), 8) == plain


def test_random_directions_are_as_long_as_what_they_replace_and_the_same_in_every_prompt() -> None:
    latents = model()
    own, changed = inputs(latents, PROMPT), inputs(latents, PROMPT, CHANGES[0])
    other = inputs(latents, "x", CHANGES[0])
    first, second = ("End", 0, 0), ("End", 1, 0)
    torch.testing.assert_close(changed[first].norm(), own[first].norm())
    directions = [held[first] / held[first].norm() for held in (changed, other, own)]
    torch.testing.assert_close(directions[0], directions[1])
    assert abs(float(directions[0] @ directions[2])) < 0.6
    assert abs(float(changed[first] @ changed[second])) < 0.6 * float(changed[first].norm() ** 2)
    assert torch.equal(changed["3", 0, 0], own["3", 0, 0])
    again = inputs(latents, PROMPT, "replace(End, random, seed=3)")
    assert not torch.allclose(again[first], changed[first])


def test_scaled_latents_hold_a_multiple() -> None:
    latents = model()
    own, changed = inputs(latents, PROMPT), inputs(latents, PROMPT, "scale(3+End, 0.5)")
    assert torch.equal(changed["3", 0, 0], 0.5 * own["3", 0, 0])
    torch.testing.assert_close(changed["End", 3, 0].norm(), 0.5 * own["End", 3, 0].norm())


def test_the_mean_over_a_data_set_is_that_of_the_examples_one_by_one() -> None:
    latents = LatentModel("tiny", "Comma_1=hidden+End_2=hidden")
    task = load_task("repetition")
    sums: dict[tuple, list[Tensor]] = {}
    for example in task.examples("validation", 64, seed=0):
        batch = latents.batch([latents.insert(example.prompt, example.answer)])
        with torch.no_grad():
            embeds = latents.slot_embeddings(batch)[0]
        for place, slot in enumerate(latents.insert(example.prompt, example.answer).slots):
            if slot.is_latent:
                sums.setdefault((slot.group, slot.member), []).append(embeds[place])
    assert set(sums) == {(0, 0), (1, 0), (1, 1)}
    change = "replace(Comma+End, data:repetition)"
    for prompt in ("Repeat 2 times: 1+1=2,", "7,7"):
        with parse_intervention(change).on(latents):
            slots = latents.insert(prompt)
            embeds = latents.slot_embeddings(latents.batch([slots]))[0]
        for place, slot in enumerate(slots.slots):
            if slot.is_latent:
                mean = torch.stack(sums[slot.group, slot.member]).mean(dim=0)
                torch.testing.assert_close(embeds[place], mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("companion", ["", " & lora-r2", " & prefix-2"])
def test_latents_hold_what_they_hold_in_another_prompt(companion: str) -> None:
    latents = build_model(calm("llama"), LAYOUT + companion, seed=1)
    assert isinstance(latents, LatentModel)
    other, source = inputs_of(latents, "xyzxyz"), "replace(3+End, prompt:xyzxyz)"
    found = inputs_of(latents, PROMPT + "ab", source)
    own = inputs_of(latents, PROMPT + "ab")
    assert set(found) == set(own) and {key[2] for key in own if key[0] == "3"} == {0, 1, 2}
    for key, held in found.items():
        # The other prompt has two occurrences of 3.
        if key in other:
            torch.testing.assert_close(held, other[key], rtol=1e-3, atol=1e-3)
            assert key[0] == "Start" or not torch.allclose(held, own[key], atol=1e-3)


def inputs_of(latents: LatentModel, prompt: str, change: str = "none") -> dict[tuple, Tensor]:
    """As `inputs`, by the tables alone."""
    with parse_intervention(change).on(latents), torch.no_grad():
        slots = latents.insert(prompt)
        embeds = latents.slot_embeddings(latents.batch([slots]))[0]
    names = [group.name for group in latents.layout.groups]
    return {
        (names[slot.group], slot.member, slot.occurrence): embeds[place]
        for place, slot in enumerate(slots.slots)
        if slot.is_latent
    }


def test_frozen_latents_hold_what_the_last_free_one_holds() -> None:
    latents = model()
    own = inputs(latents, PROMPT)
    changed = inputs(latents, PROMPT, "freeze(End, 2) & freeze(3, 1)")
    for occurrence in (0, 1):
        assert torch.equal(changed["3", 1, occurrence], changed["3", 0, occurrence])
    assert torch.equal(changed["3", 0, 0], own["3", 0, 0])
    assert not torch.allclose(changed["3", 0, 1], changed["3", 0, 0], atol=1e-3)
    for member in (2, 3):
        assert torch.equal(changed["End", member, 0], changed["End", 1, 0])
    assert not torch.allclose(changed["End", 1, 0], changed["End", 0, 0], atol=1e-3)
    assert not torch.allclose(own["End", 2, 0], own["End", 1, 0], atol=1e-3)


def test_learned_latents_freeze_too() -> None:
    latents = made("llama", "End_3")
    frozen = LatentModel(latents.backbone, "End_3")
    table = latents.tables.named()["End"]
    frozen.tables.assign({"End": table[[0, 1, 1]]})
    batch = [latents.insert(PROMPT, "1,2")]
    with parse_intervention("freeze(End, 2)").on(latents):
        found = latents.logits(latents.batch([latents.insert(PROMPT, "1,2")]))
    torch.testing.assert_close(found, frozen.logits(frozen.batch(batch)))


def test_a_lens_follows_the_intervention() -> None:
    latents = model()
    own = logit_lens(latents, PROMPT, count=1)
    with parse_intervention("freeze(End, 1)").on(latents):
        changed = logit_lens(latents, PROMPT, count=1)
    differs = (own["probability"] - changed["probability"]).abs() > 1e-4
    assert set(changed[differs]["label"]) == {"End.1", "End.2", "End.3"}


def test_what_has_nothing_to_hold_is_refused() -> None:
    with (
        pytest.raises(SettingError, match="no computed latent stands in that prompt"),
        parse_intervention("replace(Comma, prompt:ab)").on(model(layout="Comma_1=hidden")),
    ):
        pass
    with (
        pytest.raises(SettingError, match="cannot run beside the prefix"),
        parse_intervention("freeze(End, 1)").on(build_model("tiny", "End_2=hidden & prefix-2")),
    ):
        pass
