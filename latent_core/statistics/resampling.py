"""The hierarchical bootstrap: training seeds drawn with replacement, then examples of each.

What is drawn depends on the numbers of seeds and examples alone, not on their values. A table of
many methods has few such shapes, so the draws of a shape are kept, as how often each draw takes
each example. They are the same for the same shape, always.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NUMBERS_AT_ONCE", "resampled_means"]

Floats = NDArray[np.float64]
#: That a bootstrap holds in memory.
NUMBERS_AT_ONCE: Final = 4_000_000
_COUNTED_AT_ONCE: Final = 100_000
#: Above this many bytes, the draws of a shape are not kept.
_BYTES_KEPT: Final = 32_000_000

#: The number of examples of each term, by seed.
Shape = tuple[tuple[int, ...], ...]


class _Part(NamedTuple):
    """Which examples some draws take of one seed and term.

    Attributes:
        seed, term: of which seed and term.
        rows: of which draws.
        taken: (rows, examples), the numbers of the examples, or how often each is taken.
    """

    seed: int
    term: int
    rows: slice
    taken: NDArray[Any]


def resampled_means(
    cells: Sequence[Sequence[Floats]], weights: Sequence[float], resamples: int
) -> Floats:
    """Draw seeds, and examples of each, and average them.

    Args:
        cells: the values by seed, term and example.
        weights: of each term.
        resamples: number of draws.

    Returns:
        (resamples,) mean over the drawn seeds of the weighted means over their drawn examples.
    """
    shape = tuple(tuple(map(len, row)) for row in cells)
    drawn = np.zeros((resamples, len(cells)))
    if sum(map(sum, shape)) * resamples <= _BYTES_KEPT:
        parts, (orders, chosen) = _kept(shape, resamples)
        for seed, term, rows, counts in parts:
            cell = cells[seed][term]
            drawn[rows, seed] += weights[term] * (counts @ cell) / len(cell)
    else:
        rng = np.random.default_rng(0)
        for seed, term, rows, picks in _examples(shape, resamples, rng):
            drawn[rows, seed] += weights[term] * cells[seed][term][picks].mean(axis=1)
        orders, chosen = _seeds(len(cells), resamples, rng)
    draws = np.empty(drawn.shape)
    for place in range(len(cells)):
        draws[:, place] = drawn[orders[:, place], chosen[:, place]]
    return draws.mean(axis=1)


@functools.lru_cache(maxsize=4)
def _kept(shape: Shape, resamples: int) -> tuple[list[_Part], tuple[NDArray[Any], NDArray[Any]]]:
    rng = np.random.default_rng(0)
    parts = [
        part._replace(taken=_counts(part.taken, shape[part.seed][part.term]))
        for part in _examples(shape, resamples, rng)
    ]
    return parts, _seeds(len(shape), resamples, rng)


def _counts(picks: NDArray[Any], examples: int) -> NDArray[Any]:
    """How often each draw takes each example."""
    found = []
    step = max(1, _COUNTED_AT_ONCE // examples)  # what is counted takes four times the memory
    for start in range(0, len(picks), step):
        some = picks[start : start + step]
        places = some + np.arange(len(some))[:, None] * examples
        counts = np.bincount(places.ravel(), minlength=len(some) * examples)
        found.append(counts.astype(np.min_scalar_type(counts.max())).reshape(len(some), examples))
    return np.concatenate(found)


def _examples(shape: Shape, resamples: int, rng: np.random.Generator) -> Iterator[_Part]:
    """As many examples of each seed and term as there are, for each draw's places."""
    for seed, row in enumerate(shape):
        for term, size in enumerate(row):
            # numpy's bounded integers cost most of the time, so one block serves many draws.
            kind = np.promote_types(np.uint16, np.min_scalar_type(size))
            step = max(1, NUMBERS_AT_ONCE // size)
            for start in range(0, resamples, step):
                rows = slice(start, min(start + step, resamples))
                picks = rng.integers(size, size=(rows.stop - start, size), dtype=kind)
                yield _Part(seed, term, rows, picks)


def _seeds(
    count: int, resamples: int, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Which draw of its examples, and which seed, each place of each draw takes."""
    orders = rng.random((resamples, count)).argsort(axis=0)  # for a seed that is drawn twice
    return orders, rng.integers(count, size=(resamples, count))
