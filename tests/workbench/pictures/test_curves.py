import pandas as pd

from latent_core.tasks import load_task
from workbench.pictures.curves import (
    RecordedTask,
    accuracy_curve,
    accuracy_picture,
    accuracy_points,
    curve_parts,
    leading_methods,
)
from workbench.pictures.theme import INK


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


def test_methods_that_share_a_colour_differ_by_filled_and_hollow_symbols() -> None:
    task = load_task("repetition")
    rows = [(f"m{n:02}", 0, level, 0.5) for n in range(15) for level in (1, 6)]
    frame = pd.DataFrame(rows, columns=["method", "seed", "level", "graded"])
    names = frame["method"].unique()
    lines = accuracy_curve(frame, task, methods=names, coloured=names).data
    drawn = [(t.line.color, t.marker.symbol.endswith("-open")) for t in lines]
    assert len({colour for colour, _ in drawn}) < len(set(drawn)) == 15
    axes = accuracy_picture(frame, task, methods=names, coloured=names).axes[0]
    pictured = [c.lines[0] for c in axes.containers]
    assert [line.get_fillstyle() == "none" for line in pictured] == [open_ for _, open_ in drawn]


def test_six_curves_are_coloured_and_the_others_are_grey_behind_one_line_of_the_legend() -> None:
    task = load_task("repetition")
    rows = [(f"m{n:02}", 0, level, n / 20) for n in range(15) for level in (1, 6)]
    frame = pd.DataFrame(rows, columns=["method", "seed", "level", "graded"])
    lines = accuracy_curve(frame, task).data
    coloured = [line.meta for line in lines if line.line.color != INK]
    assert coloured == [f"m{n:02}" for n in range(9, 15)], "the most accurate"
    assert [line.name for line in lines if line.showlegend] == [*coloured, "9 methods in grey"]
    assert len(lines[0].x) == 2, "grey curves have their points"
    assert leading_methods(accuracy_points(frame), ["m00", "unknown"])[0] == "m00"
    assert len(accuracy_curve(frame[frame["method"] < "m06"], task).data) == 6


def shared_level() -> pd.DataFrame:
    """Answers of one method at levels 5 and 20 in distribution, and at 20 and 30 out of it."""
    rows = [
        {"method": "Start_2", "seed": 0, "split": split, "level": level, "key": f"{level}{n}"}
        | {"example": n, "graded": value, "exact": False}
        for split, level, value in (
            *(("id", 5, 1.0), ("id", 20, 0.8)),
            *(("ood-20", 20, 0.2), ("ood-30", 30, 0.0)),
        )
        for n in range(3)
    ]
    return pd.DataFrame(rows)


def test_a_level_that_id_and_ood_share_is_two_points_of_two_curves() -> None:
    points = accuracy_points(shared_level())
    at_20 = points[points["level"] == 20].set_index("split")["mean"].round(6)
    assert at_20.to_dict() == {"id": 0.8, "ood-20": 0.2}
    task = RecordedTask.of("mine", shared_level())
    figure = accuracy_curve(points, task)
    assert [trace.name for trace in figure.data] == ["Start_2, in distribution", "Start_2, OOD"]
    assert [list(trace.x) for trace in figure.data] == [[5, 20], [20, 30]]
    assert not figure.layout.shapes, "no region of levels is in distribution alone"
    parts = curve_parts(points)
    assert [(part.method, part.side) for part in parts] == [("Start_2", "id"), ("Start_2", "ood")]


def test_levels_that_tell_the_sides_apart_make_one_curve() -> None:
    frame = shared_level().query("split != 'ood-20'")
    frame = frame[(frame["split"] != "id") | (frame["level"] == 5)]
    figure = accuracy_curve(frame, RecordedTask.of("mine", frame))
    assert [(trace.name, list(trace.x)) for trace in figure.data] == [("Start_2", [5, 30])]
    assert len(figure.layout.shapes) == 1


def test_an_ood_split_with_a_name_has_a_curve_of_its_own() -> None:
    rows = [
        ("Start_2", 0, split, level, value)
        for split, level, value in (
            *(("id", 1, 0.9), ("id", 3, 0.9), ("ood-6", 6, 0.5), ("ood-8", 8, 0.4)),
            *(("ood-names", 1, 0.2), ("ood-names", 3, 0.1)),
        )
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "split", "level", "graded"])
    parts = curve_parts(accuracy_points(frame))
    assert {part.name: part.points["level"].tolist() for part in parts} == {
        "Start_2, in distribution": [1, 3],
        "Start_2, OOD": [6, 8],
        "Start_2, OOD names": [1, 3],
    }
    lines = accuracy_curve(frame, load_task("repetition")).data
    assert len({line.line.dash for line in lines}) == 3
    without = accuracy_points(frame[frame["split"] != "ood-names"])
    assert [part.name for part in curve_parts(without)] == ["Start_2"]
