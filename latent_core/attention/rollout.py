"""Attention across layers as one map: rollout and flow (Abnar & Zuidema 2020).

Both work on the head-averaged maps of every layer. Half of each slot's information is taken to come
through the residual connection (section 3 of arXiv 2005.00928).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

__all__ = ["attention_flow", "attention_rollout", "with_residual"]

Array = NDArray[np.float64]

CAPACITY = 10**6
"""Units of flow per whole attention weight: SciPy's flow takes whole numbers."""


def with_residual(weights: Array, residual: float = 0.5) -> Array:
    """Mean over heads, mixed with the identity, rows made to sum to 1.

    Args:
        weights: (L, H, T, T), every key of every layer.
        residual: the share that comes through the residual connection.

    Returns:
        (L, T, T).
    """
    mean = weights.mean(axis=1)
    mixed = (1 - residual) * mean + residual * np.eye(mean.shape[-1])
    return mixed / mixed.sum(axis=-1, keepdims=True)


def attention_rollout(weights: Array, residual: float = 0.5) -> Array:
    """Shares of each input slot in each slot of each layer, layers multiplied (eq. 1).

    Args:
        weights: (L, H, T, T).
        residual: see `with_residual`.

    Returns:
        (L, T, T): [l, i, j] is the share of input slot j in slot i after layer l; rows sum to 1.
    """
    layers = with_residual(weights, residual)
    rolled = layers.copy()
    for number in range(1, len(layers)):
        rolled[number] = layers[number] @ rolled[number - 1]
    return rolled


def attention_flow(weights: Array, query: int, residual: float = 0.5) -> Array:
    """Maximum flow from one slot after the last layer to each input slot (section 3.2).

    Edges between a slot and a slot one layer below have the attention weight as capacity, in steps
    of a millionth. One maximum flow per input slot: 0.1 s in all at T = 50 and L = 30.

    Args:
        weights: (L, H, T, T).
        query: the slot after the last layer.
        residual: see `with_residual`.

    Returns:
        (T,): [j] is the flow from input slot j; unlike rollout's, flows do not sum to 1.
    """
    layers = with_residual(weights, residual)
    num_layers, num_slots, _ = layers.shape
    # Node (l, i) is slot i after layer l, at l * T + i; layer 0 is the input.
    capacity = np.rint(layers * CAPACITY).astype(np.int32)
    layer, upper, lower = np.nonzero(capacity)
    size = (num_layers + 1) * num_slots
    sources, targets = (layer + 1) * num_slots + upper, layer * num_slots + lower
    graph = csr_array((capacity[layer, upper, lower], (sources, targets)), shape=(size, size))
    start = num_layers * num_slots + query
    flows = [maximum_flow(graph, start, slot).flow_value for slot in range(num_slots)]
    # Rounded capacities may add up to a few millionths more than the whole.
    return np.minimum(np.array(flows, dtype=np.float64) / CAPACITY, 1.0)
