import pandas as pd

from latent_core.tasks import load_task
from workbench.curves import accuracy_curve


def test_curve_has_a_point_per_level_and_shades_the_trained_ones() -> None:
    task = load_task("repetition")
    rows = [
        (method, seed, level, value)
        for method, value in (("Start_2", 0.5), ("Comma_2", 1.0))
        for seed in (0, 1, 2)
        for level in (15, 1, 6)
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "level", "graded"])
    figure = accuracy_curve(frame, task)
    assert [trace.name for trace in figure.data] == ["Start_2", "Comma_2"]
    assert list(figure.data[0].x) == [1, 6, 15]
    assert list(figure.data[1].y) == [1.0, 1.0, 1.0]
    assert len({(t.line.color, t.line.dash, t.marker.symbol) for t in figure.data}) == 2
    (region,) = figure.layout.shapes
    assert (region.x0, region.x1) == (0.5, 5.5)
    assert "3 seeds" in figure.layout.title.text
