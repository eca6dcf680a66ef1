"""The cache of a batch while it decodes: columns move, rows join, and nothing else changes."""

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from latent_core.backbones.kernels import attend_by_products
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


def test_what_was_moved_left_out_and_joined_goes_on() -> None:
    """One after another, against plain indexing; a cache keeps room to spare after each."""
    given = states(3, 6, 1)
    cache = cache_of(given)
    mask = move_together(cache, torch.tensor([[1, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]]))
    cache.batch_select_indices(torch.tensor([2, 0]))
    rows = [given[2][:, [0, 1, 3, 4]], given[0][:, [0, 1, 2, 4, 5]]]
    new, others = states(2, 20, 500), states(1, 4, 900)
    for layer in range(2):
        cache.update(new + layer, -new - layer, layer)
    rows = [torch.cat([row, one], dim=1) for row, one in zip(rows, new, strict=True)]
    mask = torch.cat([mask[[2, 0]], mask.new_ones(2, 20)], dim=1)
    found = join(cache, mask, cache_of(others), torch.ones(1, 2, dtype=torch.long))
    seen = torch.cat([found.new_ones(3, 2), found], dim=1).bool()
    for number, row in enumerate([*rows, others[0]]):
        for layer, one in enumerate(cache.layers):
            assert torch.equal(one.keys[number][:, seen[number]], row + layer)
            assert torch.equal(one.values[number][:, seen[number]], -row - layer)


def test_keys_are_read_where_they_lie() -> None:
    """In the room of the cache, whose further columns may hold anything."""
    keys = torch.randn(3, HEADS, 6, 4)
    cache = cache_of(keys)
    layer = cache.layers[0]
    for room in layer._rooms:
        room._whole[:, :, 6:] = float("nan")
    allowed = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1]]).bool()
    query, *rest = torch.randn(3, 4, 1, 4), allowed[:, None, None], 0.5
    seen = attend_by_products(query, layer.keys, layer.values, *rest)
    torch.testing.assert_close(seen, attend_by_products(query, keys, -keys, *rest))


@pytest.mark.parametrize(
    ("family", "movable"), [("llama", True), ("gpt2", True), ("mistral", False), ("gemma3", False)]
)
def test_a_window_keeps_its_columns(family: str, movable: bool) -> None:
    assert is_movable(decoding_cache(random_model(family).config)) == movable
