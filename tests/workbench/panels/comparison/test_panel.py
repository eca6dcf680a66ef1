"""The comparison panel on runs made by hand, so that every number that it shows is known."""

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
from latent_core.interventions.running import InterventionWarning
from latent_core.runs.shipped import SHIPPED
from latent_core.tasks import load_task
from tests.workbench.panels.comparison.made_runs import METHODS, make_runs, records
from workbench.panels.comparison.panel import ComparisonPanel
from workbench.panels.comparison.runs import NOT_RECORDED
from workbench.panels.comparison.view import methods_html
from workbench.panels.comparison.work import method_table
from workbench.session import Session

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_runs(tmp_path_factory.mktemp("place"))


@pytest.fixture
def panel(
    tiny: Backbone, place: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ComparisonPanel]:
    monkeypatch.chdir(place)
    panel = ComparisonPanel(Session(tiny))
    panel.sources.find()
    panel.sources.boxes.children[0].value = False  # of what ships, the numbers are not known here
    settle(panel)
    yield panel
    settle(panel)


def settle(panel: ComparisonPanel) -> None:
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


def test_curves_and_table_hold_the_known_numbers(panel: ComparisonPanel) -> None:
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
    table = panel.table().query("view == 'curve'")
    assert set(table.loc[table["distribution"] == "ood", "level"]) == {6, 10}
    start = table[(table["method"] == "Start_2") & (table["level"] == 6)].iloc[0]
    assert (start["mean"], start["records"], start["seeds"]) == (0.5, 24, 2)
    assert start["low"] < 0.5 < start["high"]
    assert "Intervals are over seeds and examples" in panel.note.text


def test_differences_from_a_method_are_those_of_the_same_examples(panel: ComparisonPanel) -> None:
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
    for box in panel.choice.boxes.children:
        box.value = box.description == "Start_2"
    assert "Tick another method" in panel.differences_note.text
    assert len(panel.difference_table()) == 0


def test_all_runs_are_ticked_unless_one_that_ships_would_count_twice(
    tiny: Backbone, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(place / "runs", tmp_path / "runs")
    for folder in (".git", "notebooks", "again"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    panel = ComparisonPanel(Session(tiny))
    panel.sources.find()
    boxes = [(box.description, box.value) for box in panel.sources.boxes.children]
    assert boxes == [("shipped runs", True), ("../runs", True)]
    with real_folder(lc.shipped_adapter("Comma_2", "repetition", "tiny")) as packed:
        shutil.copytree(packed, tmp_path / "again/runs/a")
    monkeypatch.chdir(tmp_path / "again")
    panel = ComparisonPanel(Session(tiny))
    panel.sources.find()
    boxes = [(box.description, box.value) for box in panel.sources.boxes.children]
    assert boxes == [("shipped runs (some are also in runs)", False), ("runs", True)]


def test_sources_are_ticked_and_unticked(panel: ComparisonPanel) -> None:
    ships, here = panel.sources.boxes.children
    assert (ships.value, here.value) == (False, True)
    assert "shipped:" not in panel.code()
    here.value, ships.value = False, True
    settle(panel)
    assert panel.shown is not None and panel.errors == []
    stored = lc.load_runs(SHIPPED, {"backbone": "tiny", "task": "repetition"})
    assert set(panel.shown.methods) == set(stored["method"])
    assert "'shipped:tiny'" in panel.code() and "/runs'" not in panel.code()
    ships.value = False
    settle(panel)
    assert panel.shown is None


def test_filters_by_method_metric_and_backbone(panel: ComparisonPanel) -> None:
    colour = {t["meta"]: t["line"]["color"] for t in panel.view.figure["data"]}
    panel.choice.boxes.children[0].value = False
    left = {t["meta"]: t["line"]["color"] for t in panel.view.figure["data"]}
    assert set(left) == set(METHODS) - {min(METHODS)}
    assert left.items() <= colour.items()  # a method keeps its colour
    assert min(METHODS) not in panel.methods_table.value
    panel.metric.value = "exact"
    settle(panel)
    assert panel.shown is not None and panel.shown.metric == "exact"
    assert not panel.choice.boxes.children[0].value
    panel.backbone.value = "other"
    settle(panel)
    assert [box.description for box in panel.choice.boxes.children] == ["Start_2"]
    assert "examples only" in panel.note.text  # it has one seed
    panel.choice.boxes.children[0].value = False
    assert "Tick a method" in panel.note.text
    with pytest.raises(SettingError, match="no method is ticked"):
        panel.table()
    assert panel.errors == []


def test_a_click_shows_the_examples_and_one_opens_in_the_playground(panel: ComparisonPanel) -> None:
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
    assert "no saved adapter" in panel.status.message
    assert panel.errors == []


def test_opening_takes_the_runs_adapter_along(panel: ComparisonPanel, place: Path) -> None:
    model = lc.build_model(panel.session.backbone, "Start_2", seed=7)
    model.save_pretrained(place / "runs" / "Start_2-0")
    panel.sources.reload()
    settle(panel)
    curve = [trace["meta"] for trace in panel.view.figure["data"]].index("Start_2")
    for click in (1, 2):  # the second time it is there already
        panel.view.clicked = {"curve": curve, "index": 5, "x": 6, "y": 0.5, "clicks": click}
        settle(panel)
        panel.point.view.opened = {"index": 0, "presses": click}
        settle(panel)
    assert panel.session.adapter_a == "Start_2"
    assert list(panel.session.models) == ["no latents", "Start_2"]
    taken = panel.session.model_a.trainable_weights()
    for name, weight in model.trainable_weights().items():
        np.testing.assert_array_equal(taken[name], weight)
    assert panel.errors == []


def test_a_and_b_are_evaluated_beside_the_runs(panel: ComparisonPanel, tmp_path: Path) -> None:
    lines = [
        json.dumps({"prompt": f"{level}{n}=", "answer": "7", "split": split, "level": level})
        for split, level in (("id", 1), ("ood-6", 6))
        for n in range(3)
    ]
    (tmp_path / "repetition.jsonl").write_text("\n".join(lines))  # quicker than the real one
    panel.session.task = load_task(tmp_path / "repetition.jsonl")
    panel.evaluating.count.value = 2
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
    assert "For a method with one seed" in panel.note.text
    code = panel.code()
    assert "build_model('tiny', 'End_1')" in code
    assert "build_model('tiny', 'zero-shot')" in code


def test_code_gives_what_is_shown(panel: ComparisonPanel, place: Path) -> None:
    scope: dict = {}
    exec(panel.code(), scope)
    table = panel.table().query("view == 'curve'")
    shown = table[["method", "level", "mean", "low", "high"]]
    pd.testing.assert_frame_equal(
        scope["points"][shown.columns].reset_index(drop=True), shown, check_dtype=False
    )


def test_files_hold_the_tables_that_are_shown(panel: ComparisonPanel, tmp_path: Path) -> None:
    panel.reference.value = "Start_2"
    settle(panel)
    table = pd.read_csv(panel.export(tmp_path / "shown.csv"))
    assert set(table["view"]) == {"curve", "methods", "minus Start_2"}
    one = table.query("view == 'minus Start_2' and method == '8_1' and split == 'id'")
    one = one[one["level"].isna()]  # the others are of one level
    inside = METHODS["8_1"][0] - METHODS["Start_2"][0]
    assert one["mean"].tolist() == pytest.approx([inside])
    gap = table.query("view == 'methods' and method == '8_1' and split == 'gap'")
    assert gap["mean"].tolist() == pytest.approx([METHODS["8_1"][0] - METHODS["8_1"][1]])
    page = panel.export(tmp_path / "shown.html").read_text()
    assert "<h2>Methods</h2>" in page and "<h2>Minus Start_2</h2>" in page
    assert "nan" not in page.lower().split("<h2>methods")[1].split("<details")[0]


def test_all_and_none_are_shown_by_one_click(panel: ComparisonPanel) -> None:
    every, none = panel.choice.children[:2]
    none.click()
    assert panel.choice.ticked == [] and "Tick a method" in panel.note.text
    every.click()
    assert set(panel.choice.ticked) == set(METHODS)
    assert len(panel.view.figure["data"]) == len(METHODS)
    assert panel.errors == []


def test_an_intervention_is_evaluated_by_a_click_and_paired(panel: ComparisonPanel) -> None:
    panel.session.add(lc.build_model(panel.session.backbone, "Start_1+Comma_1", seed=0), "mine")
    panel.session.adapter_a = "mine"
    assert panel.evaluating.intervene.disabled
    panel.session.intervention = "drop(Comma) & drop(Nowhere)"
    assert panel.evaluating.intervene.value
    panel.evaluating.count.value = 2
    panel.evaluate().wait(300)
    settle(panel)
    settle(panel)
    assert panel.errors == []
    names = {"mine (now)", "mine under drop(Comma) (now)", "no latents (now)"}
    assert set(panel.method_table()["method"]) == {*METHODS, *names}
    assert panel.reference.value == "mine (now)"
    row = panel.difference_table().set_index("method").loc["mine under drop(Comma) (now)"]
    task, model = panel.session.task, panel.session.models["mine"]
    with pytest.warns(InterventionWarning):
        frame = lc.evaluate_intervention(model, task, "drop(Comma)", examples=2, progress=False)
    wanted = lc.paired_difference(frame.query("split == 'ood-6'"), "drop(Comma)", "none")
    assert row["ood-6"] == pytest.approx(wanted.mean)
    levels = panel.table().query("view == 'minus mine (now)' and level == 6")
    by_method = levels.set_index("method")["mean"]
    assert by_method["mine under drop(Comma) (now)"] == pytest.approx(wanted.mean)
    shown = panel.evaluating.children[1].value
    assert "changed by drop(Comma)" in shown and "no latents" in shown
    assert "drop(Nowhere) is left out here" in panel.evaluating.children[2].text
    assert panel.differences_view.layout.display == ""


def test_exports(panel: ComparisonPanel, tmp_path: Path) -> None:
    for ending in ("svg", "csv", "html"):
        text = panel.export(tmp_path / f"shown.{ending}").read_text()
        assert "Start_1+Comma_1" in text
    (axes,) = panel.picture().axes
    assert len(axes.containers) == len(METHODS)


def test_the_task_is_the_sessions_and_an_empty_one_says_what_to_do(panel: ComparisonPanel) -> None:
    panel.task.value = "summation"
    settle(panel)
    assert panel.session.task.name == "summation"
    assert "no records of summation" in panel.note.text
    assert panel.view.layout.display == "none"
    with pytest.raises(SettingError, match="no records of summation"):
        panel.picture()
    panel.session.task = load_task("repetition")
    panel.refresh()
    settle(panel)
    assert panel.view.layout.display == ""
    assert panel.errors == []


def test_a_folder_is_added_and_a_wrong_one_refused(panel: ComparisonPanel, tmp_path: Path) -> None:
    frame = records("tiny", "repetition", (1.0, 0.75)).assign(method="lora-r4", seed=3)
    frame = frame.drop(columns=["backbone", "prompt", "answer"])
    frame.to_parquet(tmp_path / "more.parquet")
    panel.sources.field.value = str(tmp_path / "more.parquet")  # as Enter does
    settle(panel)
    assert panel.sources.field.value == ""
    panel.backbone.value = NOT_RECORDED
    settle(panel)
    assert [box.description for box in panel.choice.boxes.children] == ["lora-r4"]
    panel.view.clicked = {"curve": 0, "index": 0, "x": 10, "y": 0.75, "clicks": 1}
    settle(panel)
    assert panel.point.view.rows[0]["prompt"].startswith(
        "Repeat 10 times"
    )  # made again by its task
    assert panel.errors == []
    assert "1 run." in panel.note.text
    panel.sources.field.value = "nowhere"
    assert "expected a folder of runs" in panel.status.message
    assert isinstance(panel.errors.pop(), SettingError)


def test_names_are_data() -> None:
    frame = pd.DataFrame(
        {"method": ["Before[<img src=x>]_1"], "seed": [0], "split": ["id"], "graded": [1.0]}
    )
    html = methods_html(method_table(frame))
    assert "<img" not in html
    assert "Before[&lt;img" in html
