"""Waiting prompts take the places of rows that have ended, and every response stays as it is."""

import random

import pytest
import torch

import latent_core as lc
from latent_core.generation.decoding import can_refill
from latent_core.models.build import build_model
from latent_core.models.latent import LatentModel
from latent_core.models.together import generate_together
from tests.families import FAMILIES, tiny_backbone
from tests.generation.test_decoding import OFTEN
from tests.models.test_passes import calm, made
from tests.tracing import traced

LETTERS = "abcdefghijklmnop0123456789,= "


def drawn(seed: int, count: int = 13) -> tuple[list[str], list[int]]:
    """Prompts and limits of random lengths, one of them of a single token."""
    source = random.Random(seed)
    prompts = ["".join(source.choices(LETTERS, k=source.randint(1, 16))) for _ in range(count)]
    return prompts, [source.choice([1, 2, 3, 5, 9, 20]) for _ in range(count)]


def alike(model: LatentModel, seed: int, batch_size: int) -> list[tuple[int, int]]:
    """Responses and their probabilities are those of each prompt alone; shapes of the passes."""
    prompts, limits = drawn(seed)
    together = traced(model, prompts, limits, batch_size=batch_size)
    for number, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
        alone = traced(model, [prompt], [limit])
        assert together.rows[number] == alone.rows[0]
        for got, wanted in zip(together.logits[number], alone.logits[0], strict=True):
            torch.testing.assert_close(got.softmax(-1), wanted.softmax(-1), rtol=0, atol=1e-5)
    return together.shapes


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_as_each_prompt_alone(family: str) -> None:
    """Those with a window too, whose batches end before the next one begins."""
    alike(LatentModel(tiny_backbone(family), f"Start_1+{OFTEN}_2+3_1", seed=1), 1, 4)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("seed", [2, 3])
def test_batches_of_any_size_answer_as_each_prompt_alone(seed: int, batch_size: int) -> None:
    alike(LatentModel(tiny_backbone("llama"), f"{OFTEN}_2+End_1", seed=1), seed, batch_size)


@pytest.mark.parametrize(
    "layout",
    [
        "none",
        "Start_1+2_1@verbal+Comma_2; positions=sequential",
        f"Start_1+{OFTEN}_2=hidden+End_2=hidden(norm)",
    ],
)
def test_every_kind_of_latent_answers_as_each_prompt_alone(layout: str) -> None:
    alike(made("llama", layout, calm("llama")), 4, 3)
    alike(LatentModel(tiny_backbone("gpt2"), layout, seed=1), 4, 3)


@pytest.mark.parametrize("layout", ["Unsure[0.6]_2+Unsure[0.3]_1=hidden", "2_1+Unsure[0.5]_1"])
def test_rows_that_are_not_sure_answer_as_each_prompt_alone(layout: str) -> None:
    model = made("llama", layout, calm("llama"))
    prompts, limits = drawn(4)
    rows = model.generate(prompts, limits, batch_size=3, return_details=True)
    for prompt, limit, row in zip(prompts, limits, rows, strict=True):
        assert model.generate([prompt], [limit], return_details=True) == [row]


@pytest.mark.parametrize("method", ["prefix-3", "lora-r2", "prompt-tuning-2", "Start_2 & prefix-2"])
def test_every_method_answers_as_each_prompt_alone(method: str) -> None:
    model = build_model(tiny_backbone("llama"), method)
    prompts, limits = drawn(5)
    rows = model.generate(prompts, limits, batch_size=3, return_details=True)
    for prompt, limit, row in zip(prompts, limits, rows, strict=True):
        assert model.generate([prompt], [limit], return_details=True) == [row]


def test_the_batch_stays_full_and_a_window_waits() -> None:
    """Four places, limits of 1 to 20: fewer passes than batch after batch takes."""
    passes = {}
    for family in ("llama", "mistral"):
        model = LatentModel(tiny_backbone(family), "Start_1", seed=1)
        assert can_refill(model, [model.placement]) == (family == "llama")
        shapes = alike(model, 6, 4)
        decoding = [rows for rows, slots in shapes if slots == 1]
        assert max(rows for rows, _ in shapes) <= 4
        passes[family] = decoding
    full = passes["llama"]
    assert full.count(4) > len(full) / 2 and full.index(4) < len(full) / 4


def test_holes_are_dropped() -> None:
    """A row whose neighbours feed latents has holes; the cache does not keep them."""
    model = LatentModel(tiny_backbone("llama"), f"{OFTEN}_3", seed=1)
    widths = []
    run = LatentModel.hidden_states

    def watched(self, batch, mask, *rest):
        widths.append((mask.shape[1], int(mask.sum(dim=1).max())))
        return run(self, batch, mask, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatentModel, "hidden_states", watched)
        model.generate(["ab,c", "x", "12,3,4", "a=b"], 40, eos_token_id=10**6)
    assert max(width for width, _ in widths) > 60
    assert all(width <= needed + max(8, width // 8) + 4 for width, needed in widths)


def test_sampled_responses_do_not_depend_on_what_ends_beside_them() -> None:
    model = LatentModel(tiny_backbone("llama"), f"Start_1+{OFTEN}_2", seed=1)
    prompts, limits = drawn(7)
    settings = {"do_sample": True, "seed": 3, "temperature": 1.5, "num_return_sequences": 2}
    wanted = model.generate(prompts, limits, batch_size=1, **settings)
    assert model.generate(prompts, limits, batch_size=5, **settings) == wanted
    assert len(set(wanted)) > 13


def test_each_response_is_told_when_it_has_ended() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    prompts, limits = drawn(8)
    told: dict[int, object] = {}
    tokens: list[int] = []
    rows = model.generate(
        prompts,
        limits,
        batch_size=3,
        return_details=True,
        on_token=lambda number, token, text: tokens.append(number),
        on_response=lambda number, row: told.update({number: (row, list(tokens))}),
    )
    assert [told[number][0] for number in range(len(rows))] == rows
    for number, (row, before) in told.items():
        assert before.count(number) == len(row.response_ids) == tokens.count(number)
    assert list(told) != sorted(told)


def test_several_adapters_refill_one_batch() -> None:
    backbone = tiny_backbone("llama")
    layouts = ("Start_2", "none", "2_1", "Start_1+3_1=hidden+End_1=hidden(norm)")
    models = [LatentModel(backbone, layout, seed=2) for layout in layouts]
    prompts, limits = drawn(9, 12)
    rows = generate_together(models * 3, prompts, limits, batch_size=3)
    for model, prompt, limit, row in zip(models * 3, prompts, limits, rows, strict=True):
        assert model.generate([prompt], [limit], return_details=True) == [row]


@pytest.mark.parametrize(
    "change",
    [
        "knock_out(response -> 2)",
        "freeze(2, 1)",
        "drop(2, after=1)",
        'patch(2, source="knock_out(Start)")',
    ],
)
def test_an_intervention_keeps_its_batches(change: str) -> None:
    """And its further layers of the cache move with the others."""
    model = LatentModel(tiny_backbone("llama"), f"Start_1+2_3+{OFTEN}_2", seed=1)
    prompts, limits = drawn(10)
    plain = model.generate(prompts, limits, return_details=True)
    with lc.parse_intervention(change).on(model):
        assert not can_refill(model, [model.placement])
        rows = model.generate(prompts, limits, batch_size=4, return_details=True)
        alone = [
            model.generate([prompt], [limit], return_details=True)[0]
            for prompt, limit in zip(prompts, limits, strict=True)
        ]
    assert [row.response_ids for row in rows] == [row.response_ids for row in alone]
    assert any(row not in plain for row in rows)
