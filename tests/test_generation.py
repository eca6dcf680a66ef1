"""Decoding against three references: Transformers' own, each row alone, and one pass over all."""

import pytest
import torch

import latent_core.generation as generation_module
from latent_core.backbones import Backbone
from latent_core.errors import PromptError, SettingError
from latent_core.model import LatentModel
from tests.families import (
    EOS,
    FAMILIES,
    FULL_ATTENTION,
    LAYOUTS,
    MAIN_FAMILIES,
    OTHER_FAMILIES,
    PROMPTS,
    character_tokenizer,
    random_model,
    tiny_backbone,
)
from tests.tracing import own_decoding_agrees, references_agree, traced

LIMIT = 14
"""Twice the sliding window of the families that have one."""

CASES = [(family, layout) for family in MAIN_FAMILIES for layout in LAYOUTS]
CASES += [(family, "Start_1+Before[,|a|b|3|8|=]_2+3_1") for family in OTHER_FAMILIES]


@pytest.mark.parametrize("family", FAMILIES)
def test_without_latents_it_is_the_backbones_own_decoding(family: str) -> None:
    rows = own_decoding_agrees(tiny_backbone(family), PROMPTS, LIMIT)
    assert len({row.response_ids for row in rows}) == len(PROMPTS)


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_decoding_agrees_with_every_reference(family: str, layout: str) -> None:
    model = LatentModel(tiny_backbone(family), layout, seed=1)
    latents = references_agree(model, PROMPTS, LIMIT)
    if any(place in layout for place in ("Before", "After", "3_", "2_1", "4_")):
        assert latents >= 4, "hardly any latents in responses: this layout tests too little"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", FULL_ATTENTION)
def test_latents_ride_with_verbal_tokens_and_finished_rows_leave(family: str, layout: str) -> None:
    """One pass for the prompts, then one a token; the batch shrinks as rows end."""
    model = LatentModel(tiny_backbone(family), layout, seed=1)
    limits = [3, 9, 1, 6]
    trace = traced(model, PROMPTS, limits)
    lengths = [len(row.response_ids) for row in trace.rows]
    assert lengths[2] == 1 and max(lengths) > 2
    assert [rows for rows, _ in trace.shapes] == [
        sum(length > step for length in lengths) for step in range(max(lengths))
    ]


def test_a_sliding_window_gets_one_slot_a_row_and_pass() -> None:
    """No holes in the cache, hence exact; alone, a row has none and may ride."""
    model = LatentModel(tiny_backbone("mistral"), "1_2", seed=1)
    trace = traced(model, ["ab,c", "x"], 5)
    assert trace.shapes[0] == (2, 12)
    assert {slots for _, slots in trace.shapes[1:]} == {1}
    assert [slots for _, slots in traced(model, ["ab,c"], 5).shapes] == [12, 3, 3, 3, 3]


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_batches_of_any_size_give_the_same(family: str) -> None:
    model = LatentModel(tiny_backbone(family), "Start_1+2_1", seed=1)
    prompts = [*PROMPTS, "a=b", "1,2,3"]
    wanted = model.generate(prompts, 8)
    for batch_size in (1, 4, 6):
        assert model.generate(prompts, 8, batch_size=batch_size) == wanted


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_rows_end_at_any_end_of_sequence_token(family: str) -> None:
    """Each row by itself, and what others do then is as if it had never been there."""
    model = random_model(family)
    endless = LatentModel(Backbone(family, model, character_tokenizer()), "3_1", seed=1)
    free = endless.generate(PROMPTS, LIMIT, return_details=True)
    early, late = free[0].response_ids[4], free[1].response_ids[8]
    model.generation_config.eos_token_id = [early, late]
    ending = LatentModel(Backbone(family, model, character_tokenizer()), "3_1", seed=1)
    ends = {EOS, early, late}
    lengths = []
    for row, unended in zip(
        ending.generate(PROMPTS, LIMIT, return_details=True), free, strict=True
    ):
        ids = list(unended.response_ids)
        stop = next((i for i, token in enumerate(ids) if token in ends), len(ids) - 1)
        assert list(row.response_ids) == ids[: stop + 1]
        assert row.finished == (ids[stop] in ends)
        lengths.append(len(row.response_ids))
    assert len(set(lengths)) >= 3


def test_the_number_of_new_tokens_counts_verbal_tokens() -> None:
    model = LatentModel(tiny_backbone("llama"), "1_3", seed=1)
    (row,) = model.generate("ab", 5, return_details=True)
    assert len(row.response_ids) == 5 and not row.finished
    assert sum(slot.group is not None for slot in row.slots) == 3 * (2 + 4)


def test_limits_by_prompt() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    free = model.generate(PROMPTS, 9, return_details=True)
    limits = [2, 9, 1, 4]
    rows = model.generate(PROMPTS, limits, return_details=True)
    assert [row.response_ids for row in rows] == [
        row.response_ids[:limit] for row, limit in zip(free, limits, strict=True)
    ]


def test_what_a_row_tells() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+Comma_2", seed=1)
    (row,) = model.generate("a,", 3, return_details=True)
    assert (row.prompt, row.prompt_ids) == ("a,", (2, 28))
    assert row.text == model.backbone.decode(row.response_ids)
    assert [slot.label for slot in row.slots[:5]] == ["Start.0", "a", "Comma.0", "Comma.1", ","]
    assert [slot.group for slot in row.slots[:5]] == ["Start", None, "Comma", "Comma", None]
    assert [slot.position_id for slot in row.slots[:5]] == [0, 0, 1, 1, 1]
    assert [slot.token_id for slot in row.slots[:5]] == [None, 2, None, None, 28]
    assert [slot.occurrence for slot in row.slots[:5]] == [0, None, 0, 0, None]
    assert [slot.token_id for slot in row.slots if slot.token_id is not None] == [
        *row.prompt_ids,
        *row.response_ids,
    ]


def test_one_prompt_or_many_or_none() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    assert model.generate("ab", 4) == model.generate(["ab"], 4)
    assert model.generate([], 4) == []


def test_tokens_are_told_as_they_are_chosen() -> None:
    model = LatentModel(tiny_backbone("llama"), "2_1", seed=1)
    told = []
    rows = model.generate(
        PROMPTS, 6, on_token=lambda *token: told.append(token), batch_size=3, return_details=True
    )
    for index, row in enumerate(rows):
        mine = [(token_id, text) for number, token_id, text in told if number == index]
        assert [token_id for token_id, _ in mine] == list(row.response_ids)
        assert "".join(text for _, text in mine) == row.text
    assert [number for number, _, _ in told[:6]] == [0, 1, 2, 0, 1, 2]
    assert told[-1][0] == 3


# ---- sampling ----


def test_sampling_follows_its_seed() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+2_1", seed=1)
    first, same, other = (
        model.generate(PROMPTS, 10, do_sample=True, temperature=2.0, seed=seed)
        for seed in (5, 5, 6)
    )
    assert first == same
    assert first != other
    unseeded = {
        tuple(model.generate(PROMPTS, 10, do_sample=True, temperature=2.0)) for _ in range(3)
    }
    assert len(unseeded) > 1


def test_sampling_from_one_token_is_greedy() -> None:
    model = LatentModel(tiny_backbone("qwen2"), "Start_1+2_1", seed=1)
    wanted = model.generate(PROMPTS, 10)
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        assert model.generate(PROMPTS, 10, do_sample=True, seed=0, **narrow) == wanted, narrow


def test_sampling_draws_by_the_probabilities() -> None:
    """2,000 first tokens against softmax(logits / temperature), cut to the first three."""
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    (logits,) = traced(model, ["ab"], 1).logits[0]
    best = (logits / 3.0).softmax(-1).topk(3)
    rows = model.generate(
        ["ab"] * 2000,
        1,
        do_sample=True,
        temperature=3.0,
        top_k=3,
        seed=0,
        batch_size=2000,
        return_details=True,
    )
    drawn = torch.tensor([row.response_ids[0] for row in rows])
    shares = torch.stack([(drawn == token_id).float().mean() for token_id in best.indices])
    torch.testing.assert_close(shares, best.values / best.values.sum(), rtol=0, atol=0.04)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": [3, 0]}, "max_new_tokens"),
        ({"max_new_tokens": [3]}, "one for each of the 2 prompts"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"do_sample": True, "temperature": 0.0}, "temperature > 0"),
        ({"do_sample": True, "temperature": float("nan")}, "temperature > 0"),
        ({"do_sample": True, "top_k": -1}, "top_k >= 0"),
        ({"do_sample": True, "top_p": 0.0}, "0 < top_p <= 1"),
        ({"do_sample": True, "top_p": 1.5}, "0 < top_p <= 1"),
    ],
)
def test_numbers_out_of_range_are_refused(kwargs, reason: str) -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    with pytest.raises(SettingError, match=reason):
        model.generate(["ab", "c"], **kwargs)


def test_prompts_that_cannot_be_answered_are_refused_before_any_work(monkeypatch) -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_5")
    monkeypatch.setattr(generation_module, "_decode", None)
    with pytest.raises(PromptError, match="the prompt is empty"):
        model.generate(["ab", ""])
    with pytest.raises(PromptError, match="96 tokens, but llama has a context window of 96"):
        model.generate("a" * 96, 1)
    with pytest.raises(PromptError, match=r"has 93 tokens; with max_new_tokens=4 .*llama, 96"):
        model.generate("a" * 93, 4)


def test_the_whole_context_window_can_be_used() -> None:
    """Latents share positions, so they take no room of it."""
    model = LatentModel(tiny_backbone("gpt2"), "Start_5+End_5", seed=1)
    (row,) = model.generate("a" * 80, 16, return_details=True)
    assert len(row.response_ids) > 2
    assert max(slot.position_id for slot in row.slots) == 80 + len(row.response_ids) - 1


def test_sequential_positions_do_not_run_out_of_the_window() -> None:
    model = LatentModel(tiny_backbone("gpt2"), "2_2; positions=sequential", seed=1)
    with pytest.raises(PromptError, match=r"positions=sequential numbers beyond .*gpt2, 96"):
        model.generate("a" * 60, 4)
    assert model.generate("a" * 44, 4)
    with pytest.raises(PromptError, match="positions=sequential"):
        model.generate("a" * 44, 40)
