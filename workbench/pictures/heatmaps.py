"""Attention and causal effect as heatmaps, latents labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from latent_core.attention.record import AttentionRecord
from latent_core.errors import SettingError
from workbench.pictures.palette import SIGNED
from workbench.pictures.theme import plain_layout, visible

__all__ = ["attention_heatmap", "cell_heatmap"]


def attention_heatmap(record: AttentionRecord, layer: int, head: int) -> go.Figure:
    """The weight of every query slot on every captured key slot, of one layer and head.

    Args:
        record: what `capture_attention` gave.
        layer, head: as the backbone counts them; both must have been captured.
    """
    one = record.select(layers=[layer], heads=[head])
    weights = one.weights[0, 0].numpy()  # (T, M)
    queries = [f"{n} {visible(slot.label)}" for n, slot in enumerate(one.slots)]
    keys = [f"{visible(one.slots[key].label)} @{key}" for key in one.keys]
    figure = go.Figure(
        go.Heatmap(
            z=weights.T,
            x=queries,
            y=keys,
            colorscale="Viridis",
            zmin=0,
            zmax=max(float(weights.max()), 1e-6),
            colorbar={"title": "weight"},
            hovertemplate="query %{x}<br>key %{y}<br>weight %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="query slot", tickangle=-90, tickfont={"size": 9})
    figure.update_yaxes(title="key slot", autorange="reversed", tickfont={"size": 9})
    title = f"attention onto {record.layout}, layer {layer}, head {head}"
    return figure.update_layout(plain_layout(title, height=180 + 16 * max(len(keys), 6)))


def cell_heatmap(
    frame: pd.DataFrame, x: str, y: str, value: str, title: str, signed: bool = False
) -> go.Figure:
    """One number per cell: attention mass by layer and head, an effect by layer and group, ...

    Args:
        frame: one row per cell, or several that are averaged.
        x, y, value: its columns.
        title: what the picture says.
        signed: centre the colours on zero (blue below, red above).
    """
    missing = {x, y, value} - set(frame.columns)
    if missing:
        raise SettingError(
            f"the frame has no column {', '.join(sorted(missing))}; it has "
            f"{', '.join(map(str, frame.columns))}"
        )
    cells = frame.pivot_table(index=y, columns=x, values=value, aggfunc="mean", observed=True)
    numbers = cells.to_numpy(dtype=float)
    most = float(np.nanmax(np.abs(numbers))) if numbers.size else 1.0
    scale = {"colorscale": list(SIGNED), "zmin": -most, "zmax": most} if signed else {"zmin": 0}
    figure = go.Figure(
        go.Heatmap(
            z=numbers,
            x=_names(list(cells.columns)),
            y=_names(list(cells.index)),
            colorbar={"title": value},
            hovertemplate=f"{x} %{{x}}<br>{y} %{{y}}<br>{value} %{{z:.3f}}<extra></extra>",
            **({"colorscale": "Viridis"} | scale),
        )
    )
    figure.update_xaxes(title=x, type="category")
    figure.update_yaxes(title=y, type="category", autorange="reversed")
    return figure.update_layout(plain_layout(title, height=220 + 22 * len(cells)))


def _names(values: Sequence[object]) -> list[str]:
    return [visible(str(value)) for value in values]
