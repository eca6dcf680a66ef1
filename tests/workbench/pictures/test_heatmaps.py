import numpy as np
import pandas as pd
import pytest

from latent_core.errors import SettingError
from workbench.pictures.heatmaps import cell_heatmap
from workbench.pictures.theme import visible


def test_cells_stand_where_the_frame_says_and_repeats_are_averaged() -> None:
    frame = pd.DataFrame(
        {
            "layer": [0, 0, 1, 1, 1],
            "group": ["Start", "Comma", "Start", "Comma", "Comma"],
            "effect": [-1.0, 0.5, 0.0, 2.0, 4.0],
        }
    )
    figure = cell_heatmap(frame, "layer", "group", "effect", "title", signed=True)
    (heatmap,) = figure.data
    assert list(heatmap.x) == ["0", "1"]
    assert list(heatmap.y) == ["Comma", "Start"]
    np.testing.assert_array_equal(heatmap.z, [[0.5, 3.0], [-1.0, 0.0]])
    assert (heatmap.zmin, heatmap.zmax) == (-3.0, 3.0)
    with pytest.raises(SettingError, match="no column head; it has layer, group, effect"):
        cell_heatmap(frame, "head", "group", "effect", "title")


def test_token_text_cannot_give_plotly_orders() -> None:
    assert visible("<b>a</b> \n") == "&lt;b&gt;a&lt;/b&gt;␣⏎"
