"""The comparison panel on runs made by hand, so that every number that it shows is known."""

import dataclasses
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latent_core as lc
from latent_core.archives.folders import real_folder
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.runs.evaluation_file import write_records
from latent_core.runs.shipped import SHIPPED
from latent_core.tasks import Example, load_task
from workbench.panels.comparison import runs as run_collection
from workbench.panels.comparison.panel import Comparison
from workbench.panels.comparison.recorded_examples import recorded_example
from workbench.panels.comparison.runs import NOT_RECORDED, RunCollection
from workbench.panels.comparison.table import (
    difference_table,
    difference_table_html,
    method_table,
    method_table_html,
)
from workbench.session import Session

METHODS = {"Start_2": (1.0, 0.5), "Start_1+Comma_1": (0.75, 0.25), "8_1": (0.5, 0.0)}
SPLITS = {"id": (1, 2, 3), "ood-6": (6,), "ood-10": (10,)}


def records(backbone: str, task_name: str, means: tuple[float, float], count: int = 12):
    """Records whose graded accuracy is exactly the given means, ID and OOD."""
    task, rows = load_task(task_name), []
    for split in SPLITS:
        share = means[0] if split == "id" else means[1]
        for number, example in enumerate(task.examples(split, count, seed=1)):
            right = number < share * count
            response = example.answer if right else "nonsense"
            rows.append(
                {"task": task_name, "backbone": backbone, "split": split, "level": example.level}
                | {"example": number, "key": example.key, "prompt": example.prompt}
                | {"answer": example.answer, "response": response, "exact": right}
                | {"graded": float(right), "latent_slots": 4, "seconds": 0.5, "eval_seed": 1}
            )
    return pd.DataFrame(rows)


def keep_run(folder: Path, backbone: str, task: str, method: str, seed: int, frame: pd.DataFrame):
    write_records(folder, frame)
    settings = {"task": task, "backbone": backbone, "layout": method, "seed": seed}
    body = {"status": "finished", "settings": settings, "notes": {"method": method}}
    (folder / "run.json").write_text(json.dumps(body | {"trainable": 256, "seconds": 9.0}))


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with three methods of two seeds, and one run of another backbone."""
    root = tmp_path_factory.mktemp("place")
    for method, means in METHODS.items():
        for seed in (0, 1):
            frame = records("tiny", "repetition", means)
            keep_run(root / "runs" / f"{method}-{seed}", "tiny", "repetition", method, seed, frame)
    frame = records("other", "repetition", (1.0, 1.0))
    keep_run(root / "runs" / "other", "other", "repetition", "Start_2", 0, frame)
    return root


@pytest.fixture
def panel(tiny: Backbone, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    monkeypatch.chdir(place)
    panel = Comparison(Session(tiny))
    panel.sources.find()
    panel.sources.boxes.children[0].value = False  # of what ships, the numbers are not known here
    settle(panel)
    yield panel
    settle(panel)


def settle(panel: Comparison) -> None:
    """Wait until no job of the panel is left."""
    until = time.monotonic() + 60
    while panel.session.jobs.active:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.05)  # what the last one started, and what `then` draws
    if panel.session.jobs.active:
        settle(panel)


def numbers(value: dict) -> np.ndarray:
    return np.frombuffer(value["bdata"], value["dtype"])


def test_curves_and_table_hold_the_known_numbers(panel: Comparison) -> None:
    assert panel.errors == []
    first = panel.view.figure["data"][0]
    assert first["meta"] == min(METHODS)  # runs come in alphabetical order
    assert numbers(first["x"]).tolist() == [1, 2, 3, 4, 5, 6, 10]
    by_method = panel.method_table().set_index("method")
    assert by_method["id"].to_dict() == {m: means[0] for m, means in METHODS.items()}
    assert by_method["gap"].to_dict() == {m: i - o for m, (i, o) in METHODS.items()}
    assert set(by_method["trainable"]) == {256.0}
    assert set(by_method["slots"]) == {4.0}
    assert set(by_method["seeds"]) == {2}
    table = panel.table()
    assert set(table.loc[table["distribution"] == "ood", "level"]) == {6, 10}
    start = table[(table["method"] == "Start_2") & (table["level"] == 6)].iloc[0]
    assert (start["mean"], start["records"], start["seeds"]) == (0.5, 24, 2)
    assert start["low"] < 0.5 < start["high"]
    assert "Intervals are over seeds and examples" in panel.note.value


def test_differences_from_a_method_are_those_of_the_same_examples(panel: Comparison) -> None:
    assert panel.differences.layout.display == "none"
    panel.reference.value = "Start_2"
    settle(panel)
    table = panel.difference_table().set_index("method")
    assert list(table.index) == ["8_1", "Start_1+Comma_1"]
    for method, row in table.iterrows():
        inside, outside = np.subtract(METHODS[str(method)], METHODS["Start_2"])
        assert row[["id", "ood-6", "ood-10", "gap"]].tolist() == pytest.approx(
            [inside, outside, outside, inside - outside]
        )
        assert row["id low"] <= inside <= row["id high"] and row["seeds"] == 2
    assert "minus Start_2" in panel.differences.value and "-0.25" in panel.differences.value
    names: dict = {}
    exec(panel.code(), names)
    pd.testing.assert_frame_equal(
        names["differences"].set_index("method").loc[table.index], table, check_like=True
    )
    for box in panel.methods.children:
        box.value = box.description == "Start_2"
    assert "Tick another method" in panel.differences.value
    assert len(panel.difference_table()) == 0


def test_what_cannot_be_paired_is_missing_or_said() -> None:
    frame = pd.DataFrame(
        [
            {"method": m, "seed": s, "split": split, "example": 0, "key": "k", "graded": 0.5}
            for m, splits in {"a": ("id", "ood-6"), "b": ("id",)}.items()
            for split in splits
            for s in (0, 1)
        ]
    )
    (row,) = difference_table(frame, "a").to_dict("records")
    assert row["id"] == 0 and "gap" not in row and "ood-6" not in row
    table = difference_table(frame, "a").assign(id=-0.001)
    html = difference_table_html(table, "<a>")
    assert "OOD" not in html and "&lt;a&gt;" in html
    assert "<td>+0.00<" in html, "what rounds to zero has no minus"
    assert list(difference_table(frame[frame["method"] == "a"], "a").columns) == [
        *("method", "seeds", "records")
    ]
    with pytest.raises(SettingError, match="no column key"):
        difference_table(frame.drop(columns="key"), "a")


def test_all_runs_are_ticked_unless_one_that_ships_would_count_twice(
    tiny: Backbone, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(place / "runs", tmp_path / "runs")
    for folder in (".git", "notebooks", "again"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    panel = Comparison(Session(tiny))
    panel.sources.find()
    boxes = [(box.description, box.value) for box in panel.sources.boxes.children]
    assert boxes == [("runs that ship", True), ("../runs", True)]
    with real_folder(lc.shipped_adapter("Comma_2", "repetition", "tiny")) as packed:
        shutil.copytree(packed, tmp_path / "again/runs/a")
    monkeypatch.chdir(tmp_path / "again")
    panel = Comparison(Session(tiny))
    panel.sources.find()
    boxes = [(box.description, box.value) for box in panel.sources.boxes.children]
    assert boxes == [("runs that ship (some of them lie here, too)", False), ("runs", True)]


def test_sources_are_ticked_and_unticked(panel: Comparison) -> None:
    ships, here = panel.sources.boxes.children
    assert (ships.value, here.value) == (False, True)
    assert "SHIPPED" not in panel.code()
    here.value, ships.value = False, True
    settle(panel)
    assert panel.shown is not None and panel.errors == []
    stored = lc.load_runs(SHIPPED, {"backbone": "tiny", "task": "repetition"})
    assert set(panel.shown.methods) == set(stored["method"])
    assert "SHIPPED / 'tiny'" in panel.code() and "'runs'" not in panel.code()
    ships.value = False
    settle(panel)
    assert panel.shown is None


def test_filters_by_method_metric_and_backbone(panel: Comparison) -> None:
    colour = {t["meta"]: t["line"]["color"] for t in panel.view.figure["data"]}
    panel.methods.children[0].value = False
    left = {t["meta"]: t["line"]["color"] for t in panel.view.figure["data"]}
    assert set(left) == set(METHODS) - {min(METHODS)}
    assert left.items() <= colour.items()  # a method keeps its colour
    assert min(METHODS) not in panel.methods_table.value
    panel.metric.value = "exact"
    settle(panel)
    assert panel.shown is not None and panel.shown.metric == "exact"
    assert not panel.methods.children[0].value
    panel.backbone.value = "other"
    settle(panel)
    assert [box.description for box in panel.methods.children] == ["Start_2"]
    assert "examples only" in panel.note.value  # it has one seed
    panel.methods.children[0].value = False
    assert "Tick a method" in panel.note.value
    with pytest.raises(SettingError, match="no method is ticked"):
        panel.table()
    assert panel.errors == []


def test_a_click_shows_the_examples_and_one_opens_in_the_playground(panel: Comparison) -> None:
    panel.session.task = load_task("repetition")
    curve = [trace["meta"] for trace in panel.view.figure["data"]].index("Start_2")
    panel.view.clicked = {"curve": curve, "index": 5, "x": 6, "y": 0.5, "clicks": 1}
    settle(panel)
    assert panel.point.view.heading == "Start_2, 6 repeats"
    rows = panel.point.view.rows
    assert len(rows) == 24
    assert [row["verdict"] for row in rows].count("right") == 12
    right = next(row for row in rows if row["verdict"] == "right")
    assert "".join(text for text, _ in right["parts"]) == right["answer"]
    assert [mark for _, mark in right["parts"]].count("right") == 6
    wrong = next(row for row in rows if row["verdict"] == "wrong")
    assert wrong["parts"] == [["nonsense", "wrong"]]
    number = rows.index(wrong)
    panel.point.view.opened = {"index": number, "presses": 1}
    assert panel.session.example == panel.point.found[number].example
    assert panel.session.prompt == wrong["prompt"]
    assert "keeps no adapter" in panel.status.message
    assert panel.errors == []


def test_opening_takes_the_runs_adapter_along(panel: Comparison, place: Path) -> None:
    model = lc.build_model(panel.session.backbone, "Start_2", seed=7)
    model.save_pretrained(place / "runs" / "Start_2-0")
    panel.sources.read_again()
    settle(panel)
    curve = [trace["meta"] for trace in panel.view.figure["data"]].index("Start_2")
    for click in (1, 2):  # the second time it is there already
        panel.view.clicked = {"curve": curve, "index": 5, "x": 6, "y": 0.5, "clicks": click}
        settle(panel)
        panel.point.view.opened = {"index": 0, "presses": click}
        settle(panel)
    assert panel.session.adapter_a == "Start_2-0"
    assert list(panel.session.models) == ["no latents", "Start_2-0"]
    taken = panel.session.model_a.trainable_weights()
    for name, weight in model.trainable_weights().items():
        np.testing.assert_array_equal(taken[name], weight)
    assert panel.errors == []


def test_a_and_b_are_evaluated_beside_the_runs(panel: Comparison, tmp_path: Path) -> None:
    lines = [
        json.dumps({"prompt": f"{level}{n}=", "answer": "7", "split": split, "level": level})
        for split, level in (("id", 1), ("ood-6", 6))
        for n in range(3)
    ]
    (tmp_path / "repetition.jsonl").write_text("\n".join(lines))  # quicker than the real one
    panel.session.task = load_task(tmp_path / "repetition.jsonl")
    panel.count.value = 2
    panel.session.add(lc.build_model(panel.session.backbone, "End_1", seed=0), "mine")
    panel.session.adapter_a = "mine"
    panel.backbone.value = "other"
    settle(panel)
    first = panel.evaluate()
    assert panel.evaluate() is first  # two clicks, one job
    first.wait(120)
    settle(panel)
    assert panel.errors == []
    assert set(panel.method_table()["method"]) == {*METHODS, "mine (now)", "no latents (now)"}
    mine = panel.method_table().set_index("method").loc["mine (now)"]
    assert mine["records"] == 2 * 2
    assert "where there is one seed" in panel.note.value
    code = panel.code()
    assert "build_model('tiny', 'End_1')" in code
    assert "build_model('tiny', 'zero-shot')" in code


def test_code_gives_what_is_shown(panel: Comparison, place: Path) -> None:
    scope: dict = {}
    exec(panel.code(), scope)
    shown = panel.table()[["method", "level", "mean", "low", "high"]]
    pd.testing.assert_frame_equal(
        scope["points"][shown.columns].reset_index(drop=True), shown, check_dtype=False
    )


def test_exports(panel: Comparison, tmp_path: Path) -> None:
    for ending in ("svg", "csv", "html"):
        text = panel.export(tmp_path / f"shown.{ending}").read_text()
        assert "Start_1+Comma_1" in text
    (axes,) = panel.picture().axes
    assert len(axes.containers) == len(METHODS)


def test_the_task_is_the_sessions_and_an_empty_one_says_what_to_do(panel: Comparison) -> None:
    panel.task.value = "summation"
    settle(panel)
    assert panel.session.task.name == "summation"
    assert "no records of <b>summation</b>" in panel.note.value
    assert panel.view.layout.display == "none"
    with pytest.raises(SettingError, match="no records of summation"):
        panel.picture()
    panel.session.task = load_task("repetition")
    panel.refresh()
    settle(panel)
    assert panel.view.layout.display == ""
    assert panel.errors == []


def test_a_folder_is_added_and_a_wrong_one_refused(panel: Comparison, tmp_path: Path) -> None:
    frame = records("tiny", "repetition", (1.0, 0.75)).assign(method="lora-r4", seed=3)
    frame = frame.drop(columns=["backbone", "prompt", "answer"])
    frame.to_parquet(tmp_path / "more.parquet")
    panel.sources.field.value = str(tmp_path / "more.parquet")  # as Enter does
    settle(panel)
    assert panel.sources.field.value == ""
    panel.backbone.value = NOT_RECORDED
    settle(panel)
    assert [box.description for box in panel.methods.children] == ["lora-r4"]
    panel.view.clicked = {"curve": 0, "index": 0, "x": 10, "y": 0.75, "clicks": 1}
    settle(panel)
    assert panel.point.view.rows[0]["prompt"].startswith(
        "Repeat 10 times"
    )  # made again by its task
    assert panel.errors == []
    assert "1 run." in panel.note.value
    panel.sources.field.value = "nowhere"
    assert "expected a folder of runs" in panel.status.message
    assert isinstance(panel.errors.pop(), SettingError)


def test_a_code_of_files_gives_the_same_records(tmp_path: Path, monkeypatch) -> None:
    frame = records("tiny", "repetition", (1.0, 0.75)).assign(method="Start_2", seed=3)
    frame.to_parquet(tmp_path / "some.parquet")
    runs = RunCollection()
    runs.add(tmp_path / "some.parquet")
    scope: dict = {"pd": pd, "lc": lc}
    exec(runs.code("repetition", "tiny", ["Start_2"]), scope)
    assert scope["frame"]["graded"].tolist() == frame["graded"].tolist()


def test_too_many_records_are_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = RunCollection()
    runs.add(place / "runs")
    runs.add(place / "runs" / "Start_2-0")  # known already: counted once
    whole, every = runs.records("repetition", "tiny")
    assert every
    assert len(whole) == 3 * 2 * 3 * 12
    runs.forget()
    monkeypatch.setattr(run_collection, "MOST_RECORDS", 100)
    means, every = runs.records("repetition", "tiny")
    assert not every
    assert len(means) == 3 * 2 * 7  # method, seed, level
    expected = whole.groupby(["method", "seed", "split", "level"])["graded"].mean()
    got = means.set_index(["method", "seed", "split", "level"])["graded"]
    pd.testing.assert_series_equal(
        got.sort_index(),
        expected.sort_index(),
        check_dtype=False,
        check_index_type=False,
        atol=1e-6,
    )
    assert len(runs.examples("repetition", "tiny", "Start_2", 6)) == 24


def test_the_gap_is_paired_by_seed_and_needs_every_ood_split() -> None:
    rows = [
        ("Start_2", seed, split, value)
        for seed, values in ((0, (1.0, 0.5, 0.1)), (1, (0.8, 0.6, 0.2)), (2, (0.9, 0.5, None)))
        for split, value in zip(("id", "ood-10", "ood-6"), values, strict=True)
        if value is not None
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "split", "graded"])
    (row,) = method_table(frame).to_dict("records")
    assert row["gap"] == pytest.approx((0.7 + 0.4) / 2)
    assert (row["gap low"], row["gap high"]) == (-1.0, 1.0), "of two seeds"
    assert list(row)[3::3][:3] == ["id", "ood-6", "ood-10"]
    one = method_table(frame[frame["seed"] == 0])
    assert "gap low" not in one.columns


def test_names_are_data() -> None:
    frame = pd.DataFrame(
        {"method": ["Before[<img src=x>]_1"], "seed": [0], "split": ["id"], "graded": [1.0]}
    )
    html = method_table_html(method_table(frame))
    assert "<img" not in html
    assert "Before[&lt;img" in html


def test_a_record_whose_task_draws_another_example_is_not_opened() -> None:
    task = load_task("repetition")
    example = task.examples("id", 4, 1)[3]
    record = pd.Series(
        {"split": "id", "level": example.level, "example": 3, "key": example.key}
        | {"response": "", "exact": False, "graded": 0.0, "seed": 0}
    )
    assert recorded_example(record, task).example == example
    other = recorded_example(pd.Series(record.to_dict() | {"key": "1+1=2"}), task)
    assert other.example is None
    assert not other.row()["opens"]
    typed = Example("p", "a", "id", 1, "k")
    kept = pd.Series(record.to_dict() | dataclasses.asdict(typed))
    assert recorded_example(kept, None).example == typed
