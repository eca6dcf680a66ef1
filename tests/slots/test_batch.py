"""Slots as tensors: padding on either side, and what padding holds."""

import pytest
import torch

from latent_core.slots.batch import LatentBatch, collate
from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import IGNORE, Placement

LONG, SHORT = ([71, 72, 73], [81, 82]), ([91], [92])


def place(layout: str, prompt: list[int], response: list[int] | None):
    return Placement(LatentLayout.parse(layout), {}).insert(prompt, response)


@pytest.fixture
def ragged():
    return [place("Start_1+End_2", *LONG), place("Start_1+End_2", *SHORT)]


def test_every_tensor_of_a_ragged_batch(ragged) -> None:
    batch = collate(ragged)
    wanted = {
        "input_ids": [[0, 71, 72, 73, 0, 0, 81, 82], [0, 91, 0, 0, 92, 0, 0, 0]],
        "latent_rows": [[0, -1, -1, -1, 1, 2, -1, -1], [0, -1, 1, 2, -1, -1, -1, -1]],
        "attention_mask": [[1] * 8, [1, 1, 1, 1, 1, 0, 0, 0]],
        "position_ids": [[0, 0, 1, 2, 3, 3, 3, 4], [0, 0, 1, 1, 1, 0, 0, 0]],
        "labels": [
            [-100, -100, -100, -100, -100, 81, 82, -100],
            [-100, -100, -100, 92, -100, -100, -100, -100],
        ],
    }
    assert {name: tensor.tolist() for name, tensor in batch.as_dict().items()} == wanted
    assert {tensor.dtype for tensor in batch.as_dict().values()} == {torch.int64}


def test_left_padding_moves_slots_and_changes_nothing_else(ragged) -> None:
    right, left = collate(ragged).as_dict(), collate(ragged, "left").as_dict()
    for name in right:
        assert torch.equal(left[name][0], right[name][0])
        assert torch.equal(left[name][1], right[name][1].roll(3)), name


def test_bare_slots_have_no_labels(ragged) -> None:
    batch = collate([ragged[0].slots[2:5]])
    assert batch.input_ids.tolist() == [[72, 73, 0]]
    assert batch.latent_rows.tolist() == [[-1, -1, 1]]
    assert batch.labels.tolist() == [[IGNORE] * 3]


def test_a_length_of_ones_own(ragged) -> None:
    assert collate(ragged, length=11).attention_mask.sum(1).tolist() == [8, 5]
    assert collate(ragged, length=11).labels.shape == (2, 11)


def test_no_slots_are_whole_numbers_too() -> None:
    assert {tensor.dtype for tensor in collate([[]]).as_dict().values()} == {torch.int64}


def test_tensors_of_unlike_shape_are_refused() -> None:
    good, bad = torch.zeros(2, 3, dtype=torch.long), torch.zeros(3, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"one shape \(B, T\).*'position_ids': \(3, 2\)"):
        LatentBatch(good, good, good, bad, good)
    with pytest.raises(ValueError, match="one shape"):
        LatentBatch(*[good[0]] * 5)


def test_a_batch_moves_as_a_whole(ragged) -> None:
    moved = collate(ragged).to("meta")
    assert {tensor.device.type for tensor in moved.as_dict().values()} == {"meta"}
