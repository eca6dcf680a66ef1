"""The heat map widget: what it tells the browser. What the browser makes of it is seen there."""

import numpy as np
import pytest
from comm import DummyComm
from matplotlib.colors import to_rgba

from latent_core.errors import SettingError
from workbench.pictures.heat_map import Axis, HeatMap, largest_of
from workbench.pictures.heat_still import heat_figure
from workbench.widgets.heat_grid import HeatGrid

VALUES = np.array([[0.5, np.nan, -2.0], [1.0, 0.25, 0.0]], np.float32)
ROWS = Axis("query", ["a", "</script>"], ["", "Comma"], [4, 7])
COLUMNS = Axis("key", ["x", "y", "z"])


def test_numbers_travel_as_bytes_and_come_back_the_same() -> None:
    grid = HeatGrid()
    grid.show(HeatMap(VALUES.T.copy().T, ROWS, COLUMNS, "title", "weight"))  # not contiguous
    assert len(grid.map["values"]) == 4 * 6
    np.testing.assert_array_equal(np.frombuffer(grid.map["values"], "<f4"), VALUES.ravel())
    state = grid.get_state()["map"]
    assert state["row_labels"] == ["a", "</script>"]
    assert state["row_groups"] == ["", "Comma"]
    assert state["row_numbers"] == [4, 7]
    assert state["column_numbers"] == [0, 1, 2]


@pytest.mark.parametrize(("signed", "low"), [(False, 0.0), (True, -2.0)])
def test_only_signed_colours_go_below_zero(signed: bool, low: float) -> None:
    grid = HeatGrid()
    grid.show(HeatMap(VALUES, ROWS, COLUMNS, "", "weight", signed, largest_of(VALUES)))
    assert (grid.map["low"], grid.map["high"]) == (low, 2.0)


def test_another_map_takes_the_place_of_the_last_with_its_marks() -> None:
    grid = HeatGrid(picks=True)
    picked: list[tuple[int, int]] = []
    grid.on_pick(lambda row, column: picked.append((row, column)))
    grid.show(HeatMap(VALUES, ROWS, COLUMNS, "first", "weight", chosen=(1, 2)))
    grid.hovered = [0, 1]
    assert picked == [(1, 2)]
    grid.busy = True
    grid.show_nothing("choose an adapter")
    assert (grid.map["values"], grid.map["title"]) == (b"", "")
    assert grid.note == "choose an adapter"
    assert grid.selected == grid.hovered == [-1, -1]
    assert not grid.busy
    assert picked == [(1, 2)], "nothing is no cell"


def test_one_message_per_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were labels and numbers to come one after the other, the browser would draw nonsense."""
    grid = HeatGrid()
    grid.comm = DummyComm(
        target_name="jupyter.widget"
    )  # a kernel's own, without one, takes nothing
    sent: list[set[str]] = []

    def send(message: dict, buffers: object = None) -> None:
        sent.append({*message["state"], *(path[0] for path in message["buffer_paths"])})

    monkeypatch.setattr(grid, "_send", send)
    grid.show(HeatMap(VALUES, ROWS, COLUMNS, "first", "weight"))
    assert sent == [{"map"}]
    sent.clear()
    grid.busy = True
    sent.clear()
    grid.show(HeatMap(VALUES * 2, ROWS, COLUMNS, "second", "weight"), "a note")
    assert sent == [{"map", "note", "busy"}]


def test_a_map_that_does_not_fit_its_sides_is_refused() -> None:
    with pytest.raises(SettingError, match=r"shape \(3, 2\); expected \(2, 3\): 2 of 'query'"):
        HeatMap(VALUES.T, ROWS, COLUMNS, "", "weight")
    with pytest.raises(SettingError, match="query: 1 groups for 2 labels"):
        Axis("query", ["a", "b"], ["x"])


def test_the_end_of_the_scale_is_the_largest_size_of_all() -> None:
    assert largest_of(VALUES, np.array([1.5])) == 2.0
    assert largest_of(np.zeros(2)) == 1.0
    assert largest_of(np.full(2, np.nan)) == 1.0


@pytest.mark.parametrize("signed", [False, True])
def test_print_has_the_colours_and_the_scale_of_the_canvas(signed: bool) -> None:
    heat_map = HeatMap(VALUES, ROWS, COLUMNS, "first", "weight", signed, largest_of(VALUES))
    traits = heat_map.traits()
    image = heat_figure("", [heat_map]).axes[0].images[0]
    assert image.get_clim() == (traits["low"], traits["high"])
    shown = [image.cmap(share) for share in np.linspace(0, 1, len(traits["light"]))]
    wanted = [to_rgba(colour) for colour in traits["light"]]
    np.testing.assert_allclose(shown, wanted, atol=3 / 255)
    assert len(traits["light"]) == len(traits["dark"])


def test_print_says_the_numbers_and_what_hatches_mean() -> None:
    uncertain = np.array([[True, False, False], [False] * 3])
    heat_map = HeatMap(
        VALUES, ROWS, COLUMNS, "", "weight", True, largest_of(VALUES), uncertain=uncertain
    )
    figure = heat_figure("whole", [heat_map], "A note.")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [".50", "\u22122.0", "1.0", ".25", "0"]
    assert "A note. Hatched: the 95 % interval over examples holds zero." in {
        text.get_text() for text in figure.texts
    }
    plain = heat_figure("", [HeatMap(VALUES, ROWS, COLUMNS, "", "weight")], "A note.")
    assert "A note." in {text.get_text() for text in plain.texts}
    wide = np.ones((1, 300), np.float32)
    long = HeatMap(wide, Axis("a", ["x"]), Axis("b", ["y"] * 300), "", "weight")
    assert not heat_figure("", [long]).axes[0].texts, "cells are too small"
