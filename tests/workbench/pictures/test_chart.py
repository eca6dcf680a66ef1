"""One description of a chart, drawn for a page and for print."""

import numpy as np
import pandas as pd
import pytest

from workbench.pictures.chart import (
    DASHES,
    SYMBOLS,
    Band,
    Chart,
    Curve,
    Plot,
    live_figure,
    still_figure,
)

POINTS = pd.DataFrame({"x": [1, 2, 4], "y": [0.5, 0.25, 0.75]})


def curve(**changes: object) -> Curve:
    settings = {"name": "Comma_2", "x": POINTS["x"], "y": POINTS["y"], "colour": "#0072B2"}
    return Curve(**(settings | changes))  # type: ignore[arg-type]


def chart(*curves: Curve, **changes: object) -> Chart:
    plot = Plot(curves, "repeats", "accuracy", bands=[Band(0.5, 2.5, "in distribution")])
    return Chart([plot], "A <title>", **changes)  # type: ignore[arg-type]


def test_both_media_draw_the_same_points_names_and_bands() -> None:
    described = chart(
        curve(low=POINTS["y"] - 0.25, high=POINTS["y"] + 0.125), curve(name="8_1", symbol="star")
    )
    live, (axes,) = live_figure(described), still_figure(described).axes
    assert [list(trace.y) for trace in live.data] == [list(POINTS["y"])] * 2
    assert live.data[0].error_y.array.tolist() == [0.125] * 3
    assert live.data[0].error_y.arrayminus.tolist() == [0.25] * 3
    (container,) = axes.containers
    assert container.lines[0].get_ydata().tolist() == list(POINTS["y"])
    ends = [segment[:, 1].tolist() for segment in container.lines[2][0].get_segments()]
    assert ends == [[y - 0.25, y + 0.125] for y in POINTS["y"]]
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"Comma_2", "8_1"}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("repeats", "accuracy")
    assert (live.layout.xaxis.title.text, live.layout.yaxis.title.text) == ("repeats", "accuracy")
    (region,) = live.layout.shapes
    assert (region.x0, region.x1) == (0.5, 2.5)
    assert "in distribution" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("dash", DASHES)
def test_every_dash_and_symbol_is_known_to_both(dash: str, symbol: str) -> None:
    described = chart(curve(dash=dash, symbol=symbol, hollow=True))
    (trace,) = live_figure(described).data
    assert (trace.line.dash, trace.marker.symbol) == (dash, f"{symbol}-open")
    (line,) = still_figure(described).axes[0].lines
    assert line.get_fillstyle() == "none" and line.get_marker() != "None"


def test_a_tip_names_values_and_its_text_is_data() -> None:
    tip = "{name}: <b>{y:.2f}</b> of {customdata[1]:.0f}, {other}"
    (trace,) = live_figure(chart(curve(tip=tip, customdata=np.ones((3, 2))))).data
    assert trace.hovertemplate == (
        "%{fullData.name}: &lt;b&gt;%{y:.2f}&lt;/b&gt; of %{customdata[1]:.0f}, {other}"
        "<extra></extra>"
    )
    (silent,) = live_figure(chart(curve())).data
    assert silent.hoverinfo == "skip" and silent.hovertemplate is None


def test_names_are_text_in_both_media() -> None:
    live = live_figure(chart(curve(name="<i>x</i>"), subtitle="a & b"))
    assert live.data[0].name == "&lt;i&gt;x&lt;/i&gt;" and live.data[0].meta == "<i>x</i>"
    assert live.layout.title.text == "A &lt;title&gt;<br><sup>a &amp; b</sup>"
    (axes,) = still_figure(chart(curve(name="<i>x</i>"), subtitle="a & b")).axes
    assert axes.get_title(loc="left") == "A <title>"
    assert axes.get_legend().get_texts()[0].get_text() == "<i>x</i>"


def test_plots_stand_side_by_side_each_with_its_heading_and_ranges() -> None:
    plots = [
        Plot([curve()], "step", "loss", "Left", (0.0, 10.0), (0.0, None)),
        Plot([curve(listed=False)], "step", "accuracy", "Right", (0.0, 10.0), (-0.5, 1.5)),
    ]
    described = Chart(plots, "of a run", legend="above", height=300)
    live, figure = live_figure(described), still_figure(described)
    headings = [note.text for note in live.layout.annotations]
    assert headings == ["<b>Left</b>", "<b>Right</b>"]
    assert [axes.get_title() for axes in figure.axes] == ["Left", "Right"]
    assert figure.get_suptitle() == "of a run" and live.layout.title.text is None
    assert live.layout.yaxis.range == (0.0, None) and live.layout.yaxis2.range == (-0.5, 1.5)
    assert figure.axes[0].get_ylim()[0] == 0.0 and figure.axes[1].get_ylim() == (-0.5, 1.5)
    assert [trace.showlegend for trace in live.data] == [True, False]
    assert figure.axes[1].get_legend() is None
    assert live.layout.height == 300
