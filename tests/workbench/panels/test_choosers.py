"""Below the header, every adapter that ships can be chosen, the next example, and a snapshot.

Every panel follows the sliders over snapshots, and the code of what is seen repeats it.
"""

import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch

import latent_core as lc
from latent_core.errors import AdapterError, SettingError
from latent_core.runs.snapshots import write_along
from workbench.app import Workbench
from workbench.panels.attention.panel import AttentionPanel
from workbench.panels.choosers import KEPT, SessionChoosers, step_words
from workbench.panels.code import model_code, session_code
from workbench.panels.comparison.panel import ComparisonPanel
from workbench.panels.playground.panel import Playground
from workbench.session import NO_LATENTS, Session


@pytest.fixture(scope="module")
def backbone() -> lc.Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture
def panel(backbone: lc.Backbone) -> AttentionPanel:
    return AttentionPanel(Session(backbone, ["Comma_2", "Start_6"]))


def choosers(panel: AttentionPanel) -> SessionChoosers:
    (found,) = [child for child in panel.children if isinstance(child, SessionChoosers)]
    return found


def test_every_adapter_and_seed_that_ships_can_be_chosen(panel: AttentionPanel) -> None:
    session, lists = panel.session, choosers(panel).adapters
    ours = [a for a in lc.shipped_adapters() if a.backbone == "tiny"]
    offered = set(lists["b"].options)
    for adapter in ours:
        if lc.Method.parse(adapter.method).kind == "latents":
            title = f"{adapter.method} ({adapter.task}, seed {adapter.seed})"
            assert offered & {title, session.name_of(Path(adapter.path))}
    wanted = next(title for title in session.shipped if "seed 1" in title)
    lists["b"].value = wanted
    assert session.adapter_b == wanted and session.adapter_a == "Comma_2"
    session.adapter_a = "no latents"
    assert lists["a"].value == "no latents"
    assert panel.errors == []


def test_examples_go_on_from_wherever_the_last_was_drawn(panel: AttentionPanel) -> None:
    session, (previous, following) = panel.session, choosers(panel).steps
    other = Playground(session)
    other.picker.level.value = level = session.task.id_levels[1]
    following.click()
    following.click()
    assert session.drawn is not None and session.drawn[1:3] == (2, level)
    other.picker.previous.click()
    assert session.drawn.number == 1 and session.example.level == level
    previous.click()
    assert previous.disabled and other.picker.previous.disabled
    session.example = session.task.examples("ood-6", 3, seed=9)[2]
    assert session.drawn is None and previous.disabled
    following.click()
    assert session.drawn == ("ood-6", 0, None, 1)
    assert panel.errors == other.errors == []


def test_a_comparison_has_adapters_and_no_example(backbone: lc.Backbone) -> None:
    panel = ComparisonPanel(Session(backbone, ["Comma_2", "Start_6"]))
    (row,) = [child for child in panel.children if isinstance(child, SessionChoosers)]
    assert row.steps == () and [one.value for one in row.adapters.values()] == [
        "Comma_2",
        "Start_6",
    ]


SETTINGS = {"steps": 6, "batch_size": 2, "snapshots": 2, "check_every": 2, "progress": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    model = lc.build_model("tiny", "Start_1+Comma_1")
    lc.train(model, "repetition", output_dir=folder, seed=0, **SETTINGS)
    return folder


def test_a_slider_shows_every_panel_the_model_of_a_step(run: Path) -> None:
    wb = Workbench("tiny", adapters=[run, "Start_6"])
    sliders = [panel.step_sliders for panel in (wb.playground, wb.attention, wb.training)]
    first = sliders[0].sliders["a"]
    assert [option for _, option in first.options] == [0, 2, 4, 6, KEPT]
    assert first.value == KEPT and len(sliders[0].children) == 1, "B has no snapshots"
    first.value = 2
    assert all(one.sliders["a"].value == 2 for one in sliders)
    wanted = lc.load_model(run, step=2).tables.rows()
    assert torch.equal(wb.session.model_a.tables.rows(), wanted)
    assert "A Start_1+Comma_1 (repetition, seed 0) at step 2" in wb.attention.header.text
    log = pd.read_csv(run / "log.csv").set_index("step")
    said = f"training loss {log['loss'][2]:.3f} · validation loss {log['validation_loss'][2]:.3f}"
    assert sliders[1].words["a"].text == said
    first.value = KEPT
    assert torch.equal(wb.session.model_a.tables.rows(), lc.load_model(run).tables.rows())
    assert sum(len(panel.errors) for panel in (wb.playground, wb.attention)) == 0


def test_the_lists_of_a_and_b_hold_one_snapshot_of_a_run_at_a_time(run: Path) -> None:
    session = Session("tiny", [run, "Start_6"])
    name = session.adapter_a
    for step in (0, 2, 4):
        session.at_step("a", step)
        assert list(session.models) == [NO_LATENTS, name, "Start_6", f"{name} at step {step}"]
    session.adapter_b = session.adapter_a
    session.at_step("b", 6)
    assert (session.adapter_a, session.adapter_b) == (f"{name} at step 4", f"{name} at step 6")
    assert session.at_step("a", None) == name


def test_a_model_without_snapshots_has_no_step(run: Path) -> None:
    session = Session("tiny", ["Start_6"])
    with pytest.raises(SettingError, match="has no snapshots"):
        session.at_step("a", 2)
    session.adapter_a = NO_LATENTS
    with pytest.raises(AdapterError, match="lies in no run folder"):
        session.at_step("a", 2)
    session.choose("a", session.add(run))
    with pytest.raises(SettingError, match="no snapshot of step 3"):
        session.at_step("a", 3)


def test_the_code_of_a_session_and_of_a_model_gives_the_step_again(run: Path) -> None:
    session = Session("tiny", [run, "Start_6"])
    session.at_step("a", 2)
    scope: dict = {"lc": lc}
    exec(session_code(session), scope)
    again = scope["session"]
    assert torch.equal(again.model_a.tables.rows(), session.model_a.tables.rows())
    assert (again.adapter_a, again.adapter_b) == (session.adapter_a, session.adapter_b)
    model = eval(model_code(session, session.adapter_a), scope)
    assert torch.equal(model.tables.rows(), session.model_a.tables.rows())


def test_accuracy_along_training_stands_beside_the_slider(run: Path) -> None:
    records = [
        {"run": "x", "step": step, "split": split, "graded": graded}
        for step, split, graded in ((2, "id", 0.25), (2, "id", 0.75), (2, "ood-6", 0.0))
    ]
    write_along(run, pd.DataFrame(records))
    try:
        assert step_words(run, 2).endswith("graded accuracy ID 0.50, OOD 6 0.00")
        assert "accuracy" not in step_words(run, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (run / "along.parquet").write_bytes(b"damaged")
            assert "accuracy" not in step_words(run, 2)
    finally:
        (run / "along.parquet").unlink()
