"""The cache of a batch while it decodes: columns move, rows join, and nothing else changes."""

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from latent_core.generation.caching import decoding_cache, is_movable, join, move_together
from tests.families import random_model

HEADS, WIDTH = 2, 3


def states(rows: int, columns: int, start: int = 0) -> Tensor:
    """(B, H, T, D), every number another."""
    shape = (rows, HEADS, columns, WIDTH)
    return start + torch.arange(rows * HEADS * columns * WIDTH, dtype=torch.float32).reshape(shape)


def cache_of(keys: Tensor) -> DynamicCache:
    cache = decoding_cache(random_model("llama").config)
    for layer in range(2):
        cache.update(keys + layer, -keys - layer, layer)
    return cache


def test_it_holds_what_a_dynamic_cache_holds() -> None:
    """Over many passes, beyond the room that it keeps, and after rows have left."""
    config = random_model("llama").config
    ours, wanted = decoding_cache(config), DynamicCache(config=config)
    for number, columns in enumerate([7, 1, 1, 3] + [1] * 80):
        rows = 4 if number < 40 else 2
        if number == 40:
            for cache in (ours, wanted):
                cache.batch_select_indices(torch.tensor([3, 1]))
        new = states(rows, columns, 1000 * number)
        for layer in range(2):
            for got, expected in zip(
                ours.update(new, -new, layer), wanted.update(new, -new, layer), strict=True
            ):
                torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert ours.get_seq_length() == wanted.get_seq_length() == 7 + 1 + 1 + 3 + 80


def test_what_a_pass_was_given_does_not_change_afterwards() -> None:
    cache = decoding_cache(random_model("llama").config)
    first, _ = cache.update(states(1, 2), states(1, 2), 0)
    kept = first.clone()
    cache.update(states(1, 1, 500), states(1, 1, 500), 0)
    torch.testing.assert_close(first, kept, rtol=0, atol=0)


def test_slots_move_to_the_right_end_in_their_order() -> None:
    mask = torch.tensor([[0, 1, 0, 1, 1], [1, 0, 0, 0, 1]])
    keys = states(2, 5)
    cache = cache_of(keys)
    found = move_together(cache, mask)
    assert found.tolist() == [[1, 1, 1], [0, 1, 1]]
    for layer, one in enumerate(cache.layers):
        assert one.keys.shape == (2, HEADS, 3, WIDTH)
        torch.testing.assert_close(one.keys[0], keys[0][:, [1, 3, 4]] + layer)
        torch.testing.assert_close(one.keys[1, :, 1:], keys[1][:, [0, 4]] + layer)
        torch.testing.assert_close(one.values, -one.keys)
    cache.update(states(2, 1, 900), states(2, 1, 900), 0)
    assert cache.get_seq_length() == 4


def test_the_columns_of_a_prefix_stay_first() -> None:
    keys = states(2, 5)
    cache = cache_of(keys)
    assert move_together(cache, torch.tensor([[1, 0, 1], [0, 0, 1]])).tolist() == [[1, 1], [0, 1]]
    torch.testing.assert_close(cache.layers[0].keys[0], keys[0][:, [0, 1, 2, 4]])
    torch.testing.assert_close(cache.layers[0].keys[1][:, [0, 1, 3]], keys[1][:, [0, 1, 4]])


@pytest.mark.parametrize("turned", [False, True])
def test_rows_join_with_holes_after_the_prefix(turned: bool) -> None:
    """Holes hold zeros, not whatever lay in memory: 0 times NaN is NaN."""
    wide, narrow = states(2, 6), states(1, 4, 700)
    masks = [torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]]), torch.tensor([[1, 1]])]
    pair = [(cache_of(wide), masks[0]), (cache_of(narrow), masks[1])]
    (cache, mask), (other, other_mask) = pair[::-1] if turned else pair
    found = join(cache, mask, other, other_mask)
    rows = [[0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]]
    assert found.tolist() == (rows[2:] + rows[:2] if turned else rows)
    row = 0 if turned else 2
    for layer, one in enumerate(cache.layers):
        torch.testing.assert_close(one.keys[row][:, [0, 1, 4, 5]], narrow[0] + layer)
        assert not one.keys[row][:, 2:4].any()
        torch.testing.assert_close(one.keys[1 if turned else 0], wide[0] + layer)
        torch.testing.assert_close(one.values, -one.keys)


@pytest.mark.parametrize(
    ("family", "movable"), [("llama", True), ("gpt2", True), ("mistral", False), ("gemma3", False)]
)
def test_a_window_keeps_its_columns(family: str, movable: bool) -> None:
    assert is_movable(decoding_cache(random_model(family).config)) == movable
