"""Draws of the bootstrap: kept or drawn anew, they give the same means."""

import numpy as np
import pytest

from latent_core.statistics import resampling
from latent_core.statistics.resampling import resampled_means


def test_kept_draws_give_the_means_of_draws_that_are_not_kept(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    sizes = [(7, 300), (40, 5), (1, 2)]
    cells = [[rng.normal(size=size) for size in row] for row in sizes]
    kept = [resampled_means(cells, (0.5, -1.0), 500) for _ in range(2)]
    monkeypatch.setattr(resampling, "_BYTES_KEPT", 0)
    anew = resampled_means(cells, (0.5, -1.0), 500)
    assert np.array_equal(*kept)
    assert anew == pytest.approx(kept[0], abs=1e-12)
    assert anew.std() > 0.05


def test_draws_of_one_shape_do_not_depend_on_what_was_drawn_before() -> None:
    cells = [[np.arange(5.0)], [np.arange(3.0)]]
    first = resampled_means(cells, (1.0,), 50)
    resampled_means([[np.arange(9.0)]] * 3, (1.0,), 50)
    resampling._kept.cache_clear()
    assert np.array_equal(first, resampled_means(cells, (1.0,), 50))


def test_draws_are_counted_in_parts_as_all_at_once(monkeypatch) -> None:
    cells = [[np.arange(7.0)], [np.arange(5.0) ** 2]]
    found = []
    for numbers in (100_000, 8):
        monkeypatch.setattr(resampling, "_COUNTED_AT_ONCE", numbers)
        resampling._kept.cache_clear()
        found.append(resampled_means(cells, (1.0,), 50))
    assert (found[0] == found[1]).all()
