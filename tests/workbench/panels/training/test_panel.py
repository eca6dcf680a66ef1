"""Training from the panel: a real run on `tiny`, started, cancelled, resumed and refused."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.models.latent import LatentModel
from latent_core.models.rates import default_rate
from latent_core.runs.lock import is_busy
from workbench.panels.training.panel import TrainingPanel
from workbench.session import NO_LATENTS, Session

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture
def panel(
    tiny: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrainingPanel]:
    """A panel set to three steps of two examples, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    panel = TrainingPanel(Session(tiny))
    panel.steps.value, panel.batch_size.value = 3, 2
    panel.check_every.value, panel.examples.value = 2, 2
    panel.method.value = "Start_2"
    yield panel
    panel.session.jobs.cancel("Training")


def run_to_the_end(panel: TrainingPanel) -> None:
    panel.start_button.click()
    assert panel._job is not None
    panel._job.wait(60)


def test_a_run_is_shown_kept_and_joins_the_other_panels(panel: TrainingPanel) -> None:
    run_to_the_end(panel)
    assert panel.errors == []
    table = panel.table()
    assert list(table["step"]) == [0, 1, 2, 3]
    assert table["loss"].notna().tolist() == [False, True, True, True]
    assert table["graded"].notna().tolist() == [True, False, True, True]
    assert {"task", "method", "seed"} <= set(table.columns)
    folder = Path("runs/workbench/repetition-Start_2-0")
    assert {"run.json", "adapter_config.json", "log.csv"} <= {p.name for p in folder.iterdir()}
    assert panel.session.adapter_a == "Start_2 (repetition, seed 0)"
    assert panel.session.model_a.num_trainable == 2 * panel.session.backbone.hidden_size
    assert "is trained" in panel.hint.text
    assert (
        panel.start_button.description == "Start training"
    )  # the next run gets a folder of its own
    assert panel.folder.placeholder == f"{folder}-2", "the next run gets a folder of its own"


def test_two_clicks_start_one_run(panel: TrainingPanel) -> None:
    panel.use.value = False
    panel.start_button.click()
    first, run = panel._job, panel.run
    panel.start_button.click()
    assert panel._job is first
    assert panel.run is run
    assert first is not None
    first.wait(60)
    assert list(Path("runs/workbench").iterdir()) == [Path("runs/workbench/repetition-Start_2-0")]
    assert panel.session.adapter_a == NO_LATENTS  # as the box says
    assert "Start_2 (repetition, seed 0)" in panel.session.models


def test_a_cancelled_run_is_resumed_to_the_same_tables(panel: TrainingPanel) -> None:
    panel.steps.value, panel.check_every.value = 5, 0
    panel.start_button.click()
    run, job = panel.run, panel._job
    assert run is not None and job is not None
    assert panel.method.disabled and panel.start_button.disabled
    while len(run.losses) < 2 and job.active:
        pass
    folder = Path("runs/workbench/repetition-Start_2-0")
    assert is_busy(folder)
    job.cancel()
    job.wait(60)
    assert job.state == "cancelled"
    assert len(run.losses) < 5
    assert not is_busy(folder)
    step = run.losses[-1][0]
    assert f"at step {step} of 5. {folder} keeps the adapter of this step." in panel.hint.text
    assert (folder / "checkpoints" / f"checkpoint-{step}").is_dir()
    kept = lc.load_model(folder, panel.session.backbone)
    two = lc.build_model(panel.session.backbone, "Start_2", seed=0)
    lc.train(two, panel.session.task, 5, 2, 0, on_step=lambda n, _: n == step, progress=False)
    torch.testing.assert_close(kept.tables.rows(), two.tables.rows(), rtol=0, atol=0)
    assert "Cancelled at step" in panel.hint.text
    assert panel.start_button.description == "Resume training"
    assert panel.session.adapter_a == NO_LATENTS
    run_to_the_end(panel)
    assert panel.errors == []
    assert list(panel.table()["step"]) == [1, 2, 3, 4, 5]
    uninterrupted = lc.build_model(panel.session.backbone, "Start_2", seed=0)
    lc.train(uninterrupted, panel.session.task, 5, 2, 0, progress=False)
    torch.testing.assert_close(
        panel.session.model_a.tables.rows(), uninterrupted.tables.rows(), rtol=0, atol=0
    )


def test_finishing_early_keeps_the_adapter(panel: TrainingPanel) -> None:
    panel.steps.value, panel.check_every.value = 500, 0
    panel.start_button.click()
    assert panel._job is not None
    panel.stop_button.click()
    panel._job.wait(60)
    assert panel._job.state == "done"
    assert len(panel.table()) < 500
    folder = panel.session.folders[panel.session.adapter_a]
    kept = LatentModel.from_pretrained(folder, panel.session.backbone)
    torch.testing.assert_close(kept.tables.rows(), panel.session.model_a.tables.rows())


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("Strat_2", "unknown place 'Strat'"),
        ("Start_2+<b>", "Start_2+<b>\n            ^ expected a place such as Comma"),
        ("zero-shot", "nothing to train"),
        ("Before[€uro]_1", "no token of tiny"),
    ],
)
def test_a_wrong_layout_is_explained_in_place(panel: TrainingPanel, method: str, said: str) -> None:
    panel.method.value = method
    assert said in panel.hint.text
    assert panel.start_button.disabled
    panel.method.value = "8_1"
    assert f"{panel.session.backbone.hidden_size:,} trainable parameters" in panel.hint.text
    assert not panel.start_button.disabled
    assert panel.errors == []


def test_a_folder_of_another_run_is_refused_and_of_this_run_loaded(panel: TrainingPanel) -> None:
    panel.folder.value = "kept"
    run_to_the_end(panel)
    assert panel.start_button.description == "Load adapter"
    panel.seed.value = 1
    assert "seed 0 there, 1 here" in panel.hint.text
    assert panel.start_button.disabled
    panel.seed.value = 0
    run_to_the_end(panel)
    assert panel.errors == []
    assert list(panel.table()["step"]) == [1, 2, 3]
    assert panel.session.adapter_a == "Start_2 (repetition, seed 0) (2)"


def test_what_fails_in_the_run_is_shown(panel: TrainingPanel) -> None:
    Path("file").write_text("")
    panel.folder.value = "file/run"
    run_to_the_end(panel)
    assert panel.status.state == "failed"
    assert "cannot write the run" in panel.status.message
    assert len(panel.errors) == 1
    assert not panel.method.disabled


def test_the_task_is_the_sessions(panel: TrainingPanel) -> None:
    panel.task.value = "summation"
    assert panel.session.task.name == "summation"
    Path("own.jsonl").write_text('{"prompt": "a", "answer": "b", "split": "id"}\n')
    panel.session.task = lc.load_task("own.jsonl")
    assert panel.task.value == "own"
    assert "no validation split" in panel.hint.text
    assert panel.errors == []


def test_exports_and_code_reproduce_what_is_shown(panel: TrainingPanel, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="press 'Start training'"):
        panel.picture()
    assert panel.view.layout.display == "none"
    run_to_the_end(panel)
    assert panel.view.layout.display == ""
    losses = panel.table().dropna(subset="loss")["loss"].tolist()
    drawn = panel.view.figure["data"][0]["y"]
    assert np.frombuffer(drawn["bdata"], drawn["dtype"]).tolist() == losses
    for ending in ("svg", "csv", "html"):
        assert panel.export(tmp_path / f"shown.{ending}").stat().st_size > 100
    left, right = panel.picture().axes
    assert left.lines[0].get_ydata().tolist() == losses
    assert len(right.lines) == 2
    scope: dict = {}
    exec(panel.code(), scope)
    assert scope["result"].log["loss"].tolist() == losses


def test_accuracy_is_said_to_be_of_validation_examples_everywhere(panel: TrainingPanel) -> None:
    said = "ccuracy is measured on 2 validation examples"
    assert said in panel.hint.text
    run_to_the_end(panel)
    (_, right) = panel.picture().axes
    assert right.get_title() == "Accuracy on 2 validation examples"
    headings = [note["text"] for note in panel.view.figure["layout"]["annotations"]]
    assert "<b>Accuracy on 2 validation examples</b>" in headings


def test_a_typo_is_answered_in_the_words_of_its_field(panel: TrainingPanel) -> None:
    panel.method.value = "Strat_2"
    assert "did you mean 'Start'?" in panel.hint.text
    assert panel.method.description == "Method"


def test_the_run_lies_with_those_of_the_repository(
    panel: TrainingPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    panel.method.value = "Start_1"
    assert panel.folder.placeholder == "../runs/workbench/repetition-Start_1-0"


def test_earlier_runs_and_an_ood_split_are_drawn_beside_the_last_run(panel: TrainingPanel) -> None:
    run_to_the_end(panel)
    first = panel.table()["loss"].dropna().tolist()
    panel.seed.value, panel.far.value = 1, "ood-6"
    run_to_the_end(panel)
    assert panel.errors == []
    views = dict(iter(panel.table().groupby("view")))
    assert views["earlier run"]["loss"].dropna().tolist() == first
    assert views["earlier run"]["folder"].nunique() == 1 and views["earlier run"]["seed"].max() == 0
    table = views["run"]
    assert table["loss"].dropna().tolist() != first
    assert table["far"].notna().sum() == table["graded"].notna().sum() > 0
    losses, accuracy = panel.picture().axes
    assert len(losses.lines) == 3 and len(accuracy.lines) == 4
    names = [curve["name"] for curve in panel.view.figure["data"]]
    assert any("graded, ood-6" in name for name in names)
    assert sum("earlier: " in name for name in names) == 1
    panel.session.task = lc.load_task("summation")
    panel.far.value = ""
    run_to_the_end(panel)
    assert panel.earlier == [], "runs on another task have other losses"


def look_at(panel: TrainingPanel, seen: bool = True) -> None:
    """What a browser says of a panel that comes into view, or goes."""
    panel.visibility._hear(None, {"view": "one", "seen": seen}, [])


def test_the_learning_rate_is_that_of_method_and_backbone_until_another_is_typed(
    panel: TrainingPanel,
) -> None:
    default = default_rate(lc.build_model(panel.session.backbone, "Start_2")).value
    assert panel.learning_rate.value == pytest.approx(default, rel=1e-3)
    assert panel.plan().learning_rate is None and "learning_rate=" not in panel.code()
    run_to_the_end(panel)
    record = json.loads(Path("runs/workbench/repetition-Start_2-0/run.json").read_text())
    assert record["settings"]["learning_rate"] == default
    panel.method.value = "Start_2 & lora-r2"
    assert panel.learning_rate.value == pytest.approx(default, rel=1e-3)
    panel.learning_rate.value = 0.5
    panel.method.value = "End_2"
    assert panel.learning_rate.value == 0.5 and panel.plan().learning_rate == 0.5
    assert "learning_rate=0.5" in panel.plan().code(panel.session.backbone)


def test_the_time_is_said_before_the_start_while_somebody_looks(panel: TrainingPanel) -> None:
    assert "Estimat" not in panel.hint.text  # nobody looks
    look_at(panel)
    wait_for(lambda: "Estimated time on this machine" in panel.hint.text)
    assert "for 6 training examples and 3 checks" in panel.hint.text
    panel.steps.value = 4000
    wait_for(lambda: "for 8,000 training examples and 2,001 checks" in panel.hint.text)
    assert panel.errors == []
    look_at(panel, False)
    panel.steps.value = 3
    assert "Estimat" not in panel.hint.text


def test_a_run_with_patience_says_what_it_kept_and_shows_the_validation_loss(
    panel: TrainingPanel,
) -> None:
    panel.steps.value, panel.patience.value, panel.check_every.value = 6, 2, 1
    panel.learning_rate.value = 9.0
    assert "It ends when 2 checks in a row find no lower validation loss" in panel.hint.text
    run_to_the_end(panel)
    assert panel.errors == []
    kept = panel.run.kept
    assert f"The vectors of step {kept.step} are kept" in panel.hint.text
    table = panel.table().dropna(subset="validation_loss").set_index("step")
    assert table["validation_loss"].min() == pytest.approx(kept.validation_loss)
    assert "patience=2" in panel.code() and "check_every=1" in panel.code()
    shown = [curve.name for curve in panel._chart(panel.run).plots[0].curves]
    assert "validation loss" in shown


def test_a_run_trains_on_from_another_one(panel: TrainingPanel) -> None:
    assert panel.train_on_button.layout.display == "none"
    run_to_the_end(panel)
    assert panel.train_on_button.layout.display == ""
    parent = Path("runs/workbench/repetition-Start_2-0")
    rows = panel.session.model_a.tables.rows().clone()
    panel.method.value = "End_1"
    panel.train_on_button.click()
    assert panel.method.value == "Start_2" and panel.method.disabled
    assert panel.seed.value == 1
    assert f"It starts with the vectors of {parent}." in panel.hint.text
    run_to_the_end(panel)
    assert panel.errors == []
    there, here = (
        json.loads((folder / "run.json").read_text())
        for folder in (parent, parent.with_name("repetition-Start_2-1"))
    )
    assert here["settings"]["start_from"]["run"] == there["id"] != here["id"]
    start = lc.load_snapshots(parent.with_name("repetition-Start_2-1"))[0]
    assert torch.equal(torch.cat(list(start.values())), rows)
    assert "start_from='/" in panel.code()
    panel.start_from.value = ""
    assert not panel.method.disabled


def test_a_run_is_seen_along_its_training(panel: TrainingPanel, tmp_path: Path) -> None:
    assert panel.along.layout.display == "none", "no run has snapshots"
    panel.steps.value, panel.snapshots.value, panel.check_every.value = 4, 2, 0
    run_to_the_end(panel)
    along = panel.along
    assert along.layout.display == ""
    along.run.value = panel.session.adapter_a
    folder = Path("runs/workbench/repetition-Start_2-0")
    moved = lc.load_snapshots(folder).distances()
    (vectors,) = along.shown().chart().plots
    length, distance = vectors.curves
    assert length.x.tolist() == distance.x.tolist() == [0, 2, 4]
    assert length.y.tolist() == moved["norm"].tolist()
    assert distance.y.tolist() == moved["moved"].tolist()
    along.examples.value = 2
    along.measure.click()
    panel.session.jobs.run("wait", lambda: None)
    panel.session.jobs.run("wait", lambda: None)
    attention, _ = along.shown().chart().plots
    (curve,) = attention.curves
    assert (curve.name, list(curve.x)) == ("Start", [0, 2, 4])
    middle = lc.load_model(folder, panel.session.backbone, step=2)
    task = panel.session.task
    wanted = lc.attention_masses(middle, task, "id", 2, progress=False).by_group()
    assert list(curve.y)[1] == pytest.approx(wanted["mean"].item())
    assert list(curve.low)[1] == pytest.approx(wanted["low"].item())
    assert len(panel.picture().axes) == 4, "what is seen: the run, and below it the snapshots"
    table = panel.table()
    assert table.query("quantity == 'Vectors' and step == 4")["value"].tolist() == [
        length.y.iloc[2],
        distance.y.iloc[2],
    ]
    assert set(table["view"]) == {"run", "along training"}
    scope: dict = {}
    exec(panel.code(), scope)
    assert scope["attention"]["mean"].tolist() == pytest.approx(list(curve.y))
    assert scope["moved"]["moved"].tolist() == distance.y.tolist()
    along.run.value = ""
    assert along.view.layout.display == "none" and "view" not in panel.table()
    assert panel.errors == []


def wait_for(holds) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)
