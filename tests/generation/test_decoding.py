"""The decoding loop: passes, batches, windows. `test_families` holds it exact on every family."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import latent_core.generation.packing as packing_module
from latent_core.errors import PromptError
from latent_core.generation.decoding import Row, best_of, decode, decoding_passes
from latent_core.models.hesitation import best_probabilities
from latent_core.models.latent import LatentModel
from latent_core.progress import Progress, listening
from latent_core.slots.placement import IGNORE, SlotStream
from tests.families import (
    FAMILIES,
    FULL_ATTENTION,
    LAYOUTS,
    PROMPTS,
    tiny_backbone,
)
from tests.models.test_hesitation import hesitant
from tests.models.test_passes import calm, made
from tests.slots.test_placement import COMMA, place
from tests.tracing import references_agree, traced

LIMIT = 14
"""Twice the sliding window of the families that have one."""


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
    alone = traced(model, ["ab,c"], 5)
    assert [slots for _, slots in alone.shapes] == [12, 3, 3, 3, 3]
    assert [row.decode_steps for row in alone.rows] == [5]


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_batches_of_any_size_give_the_same(family: str) -> None:
    model = LatentModel(tiny_backbone(family), "Start_1+2_1", seed=1)
    prompts = [*PROMPTS, "a=b", "1,2,3"]
    wanted = model.generate(prompts, 8)
    for batch_size in (1, 4, 6):
        assert model.generate(prompts, 8, batch_size=batch_size) == wanted


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_finished_rows_cost_nothing(family: str) -> None:
    """Also in a batch that is fed a slot at a time, where rows end in the middle of a token."""
    model = LatentModel(tiny_backbone(family), "Start_2+2_3", seed=1)
    limits = [2, 12, 2, 2, 1, 2]
    trace = traced(model, ["ab", "cd", "ef,g", "a,b", "x", "yy"], limits)
    lengths = [len(row.response_ids) for row in trace.rows]
    assert lengths == limits
    fed = [rows for rows, _ in trace.shapes]
    assert fed[0] == 6 and fed[-1] == 1 and fed == sorted(fed, reverse=True)
    own = sum(len(row.slots) for row in trace.rows)  # all but the last token of each was fed
    assert len(trace.fed) < own


def test_sequential_positions_do_not_run_out_of_the_window() -> None:
    model = LatentModel(tiny_backbone("gpt2"), "2_2; positions=sequential", seed=1)
    with pytest.raises(PromptError, match=r"positions=sequential numbers beyond .*gpt2, 96"):
        model.generate("a" * 60, 4)
    assert model.generate("a" * 44, 4)
    with pytest.raises(PromptError, match="positions=sequential"):
        model.generate("a" * 44, 40)


# ---- against what is written out ----

OFTEN = "Before[,|a|c|e|g|i|k|m|o|1|3|5|7|9|=| ]"
"""Comma's kind, with so many triggers that responses have some."""


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_batch_is_each_row_alone_and_one_pass_without_a_cache(family: str) -> None:
    model = LatentModel(tiny_backbone(family), f"Start_1+{OFTEN}_2+2_1", seed=1)
    assert references_agree(model, PROMPTS[1:], 6) > 3


@pytest.mark.parametrize("family", ["llama", "mistral"])
@pytest.mark.parametrize(
    "layout",
    [
        f"Start_1+{OFTEN}_2=hidden+End_2=hidden(norm)",
        "Unsure[0.6]_2+Unsure[0.3]_1=hidden",
        "2_1+Unsure[0.5]_1",
    ],
)
def test_each_token_is_the_likeliest_after_the_slots_before_it(family: str, layout: str) -> None:
    """By one pass without a cache over each row alone. Rows end one by one."""
    model = made(family, layout, calm(family))
    rows = model.generate(PROMPTS, [7, 3, 5, 6], return_details=True)
    latents = 0
    for row, limit in zip(rows, [7, 3, 5, 6], strict=True):
        assert len(row.response_ids) == limit or row.finished, "it left before its end"
        slots = model.place(row.prompt_ids, row.response_ids)
        batch = model.batch([slots])
        logits = model.logits(batch)[batch.labels != IGNORE]
        assert logits.argmax(-1).tolist() == list(row.response_ids)
        names = [model.layout.groups[s.group].name if s.is_latent else None for s in slots.slots]
        assert [slot.group for slot in row.slots] == names
        inside = [s for s in slots.slots if s.verbal_index >= len(row.prompt_ids)]
        latents += sum(slot.is_latent for slot in inside)
    assert latents > 4
    alone = [
        model.generate(prompt, limit, return_details=True)[0]
        for prompt, limit in zip(PROMPTS, [7, 3, 5, 6], strict=True)
    ]
    assert alone == rows


# ---- the state of a row ----


def row_of(layout: str, *ids: int, limit: int = 5) -> Row:
    return Row("prompt", list(ids), limit, SlotStream(place(layout), len(ids)))


def rows_in(slots: list) -> list[int]:
    """Table rows of latents, token ids of the rest."""
    return [slot.row if slot.is_latent else slot.token_id for slot in slots]


def test_a_row_queues_its_prompt_and_tokens_with_their_latents() -> None:
    row = row_of("Start_1+Comma_2+End_1", 7, COMMA)
    assert rows_in(row.queue) == [0, 7, 1, 2, COMMA, 3]
    assert (row.num_fed, row.num_passes, row.response_ids, row.best) == (0, 0, [], [])
    assert row.hidden is None and row.newest is None
    assert rows_in(row.take(2)) == [0, 7] and rows_in(row.take(1)) == [1]
    assert (row.num_fed, row.num_passes) == (3, 2)
    assert rows_in(row.take(None)) == [2, COMMA, 3] and row.queue == []
    row.push([8, COMMA])
    assert rows_in(row.queue) == [8, 1, 2, COMMA]
    assert rows_in(row.take(9)) == [8, 1, 2, COMMA] and (row.num_fed, row.num_passes) == (10, 4)


def test_a_row_is_taken_up_to_the_next_computed_latent() -> None:
    row = row_of("Start_1+Comma_2=hidden", 7, COMMA, 8)
    assert rows_in(row.take(None)) == [0, 7]
    assert rows_in(row.take(None)) == [1]
    assert rows_in(row.take(None)) == [2, COMMA, 8] and row.queue == []
    row.push([COMMA])
    assert rows_in(row.take(1)) == [1]
    assert rows_in(row.take(None)) == [2, COMMA]
    row = row_of("Start_1+Comma_2=hidden", 7, COMMA)
    assert rows_in(row.take(1)) == [0], "one slot a pass may be asked for there too"


def test_the_best_probability_of_each_row() -> None:
    logits = torch.tensor(
        [[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0], [0.0, 0.6931472, 0.0, 0.0]]
    )
    assert best_of(logits) == pytest.approx([0.25, 1.0, 0.4])
    coarse = torch.zeros(1, 3).to(torch.bfloat16)
    assert best_of(coarse) == [pytest.approx(1 / 3, abs=1e-7)], "in float32, whatever came"


def test_decoding_is_heard_of_once_a_pass_and_can_be_stopped() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    heard: list[Progress | None] = []
    with listening(heard.append):
        model.generate("ab", 4)
    assert heard == [None] * 4


def test_the_caller_chooses_the_tokens() -> None:
    """It is given the rows that are due, with float32 logits, and ends a row by pushing nothing."""
    model = LatentModel(tiny_backbone("llama"), "Start_1+Comma_1", seed=1)
    ids = [model.backbone.encode(prompt) for prompt in ("ab,c", "x")]
    rows = [Row("", i, 9, SlotStream(model.placement, len(i))) for i in ids]
    asked = []

    def extend(due, logits) -> None:
        asked.append([rows.index(row) for row in due])
        assert logits.shape == (len(due), model.backbone.vocabulary_size)
        assert logits.dtype == torch.float32
        for row in due:
            row.response_ids.append(5)
            if len(row.response_ids) < 2 + rows.index(row):
                row.push([5])

    with torch.no_grad():
        decode(model, rows, extend)
    assert asked == [[0, 1], [0, 1], [1]]
    assert [row.num_passes for row in rows] == [2, 3] and [row.num_fed for row in rows] == [7, 4]


def test_sequential_positions_may_fill_the_window_to_its_last_slot() -> None:
    model = LatentModel(tiny_backbone("gpt2"), "Start_6; positions=sequential", seed=1)
    window = model.backbone.context_length
    assert window == 96
    assert len(model.generate("a" * 90, 1, return_details=True)[0].slots) == 97
    with pytest.raises(PromptError, match=r"'aaaa.* have 97 slots, which positions=sequential"):
        model.generate("a" * 91, 1)


@pytest.mark.parametrize(
    "layout",
    [
        "none",
        f"Start_1+{OFTEN}_2",
        f"Start_1+{OFTEN}_2=hidden+End_2=hidden(norm)",
        "Unsure[0.6]_2+Unsure[0.3]_1=hidden",
        "2_1+Unsure[0.5]_1",
        "2_1=hidden+Unsure[0.5]_1",
    ],
)
def test_passes_of_a_response_are_counted_without_a_model(layout: str) -> None:
    """Those that decoding it alone took, from its ids and the best probabilities."""
    model = made("llama", layout, calm("llama"))
    for prompt in PROMPTS:
        (row,) = model.generate([prompt], 7, return_details=True)
        ids, best = (row.prompt_ids, row.response_ids), list[float]()
        if model.placement.thresholds:
            best = best_probabilities(model, *ids)
        told = decoding_passes(model.placement, *ids, best)
        assert told == row.decode_steps


def test_a_row_that_is_sure_goes_on_beside_one_that_is_not() -> None:
    model = hesitant("llama", "Unsure[P]_2=hidden")
    sure = 0
    for row in model.generate(PROMPTS, 9, return_details=True):
        assert len(row.response_ids) == 9 or row.finished, "it left before its end"
        best = best_probabilities(model, row.prompt_ids, row.response_ids)
        unsure = sum(one < model.placement.thresholds[0] for one in best)
        assert sum(slot.group is not None for slot in row.slots) == 2 * unsure
        sure += len(best) - unsure
        told = decoding_passes(model.placement, row.prompt_ids, row.response_ids, best)
        assert told == row.decode_steps == len(best) + 2 * unsure
    assert sure > 2


# --- linear layers skip holes ---------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_linear_layers_skip_holes_and_nothing_else_changes(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts of unlike length, and rows with commas beside rows without."""
    model = LatentModel(tiny_backbone(family), "Start_1+2_3", seed=1)
    wanted = traced(model, PROMPTS, 8)
    monkeypatch.setattr(packing_module, "_SMALL", 0)
    given: list[int] = []
    own = packing_module.Packing.forward

    def watched(self: object, layer: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
        def counted(states: Tensor) -> Tensor:
            given.append(states.shape[:-1].numel())
            return layer(states)

        return own(self, counted, states)  # type: ignore[arg-type]

    monkeypatch.setattr(packing_module.Packing, "forward", watched)
    found = traced(model, PROMPTS, 8)
    assert found.rows == wanted.rows and found.shapes == wanted.shapes
    rows, slots = found.shapes[0]
    fed = [len(model.insert(prompt, "").slots) - 1 for prompt in PROMPTS]  # the end is not fed
    assert sum(fed) < rows * slots and sum(fed) in given


def test_layers_are_as_they_were_also_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing_module, "_SMALL", 0)
    backbone = tiny_backbone("llama")
    layers = [one for one in backbone.model.modules() if isinstance(one, nn.Linear)]
    own = layers[0].forward

    def mine(states: Tensor) -> Tensor:
        return own(states) + 0

    layers[1].forward = mine  # as a library does that moves weights between devices
    with pytest.raises(KeyError), packing_module.packing(backbone.model):
        assert all("forward" in vars(one) for one in layers) and layers[1].forward is not mine
        raise KeyError
    assert [one for one in layers if "forward" in vars(one)] == [layers[1]]
    assert layers[1].forward is mine
    del layers[1].forward


def test_a_model_that_is_not_all_on_the_cpu_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are slots counted, which would wait for a GPU in every pass."""
    monkeypatch.setattr(packing_module, "_SMALL", 0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, device="meta"))
    with packing_module.packing(model) as packed:
        assert not any("forward" in vars(one) for one in model)
        packed.begin(None)  # type: ignore[arg-type]


def test_holes_are_zeros_behind_a_layer_and_other_shapes_pass() -> None:
    packed, layer = packing_module.Packing(), nn.Linear(3, 2)
    states = torch.randn(2, 3, 3)
    mask = torch.tensor([[0, 0, 1], [1, 1, 1]])
    packed.begin(mask)
    found = packed.forward(layer, states)
    torch.testing.assert_close(found, layer(states) * mask.unsqueeze(-1))
    other = torch.randn(2, 2, 3)
    torch.testing.assert_close(packed.forward(layer, other), layer(other))
    packed.begin(torch.ones(2, 3))  # no holes
    torch.testing.assert_close(packed.forward(layer, states), layer(states))
