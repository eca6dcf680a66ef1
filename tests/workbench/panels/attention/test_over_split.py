"""Attention over a split: what is drawn is what the core averages, and a cell leads to examples."""

from collections.abc import Iterator

import numpy as np
import pytest

import latent_core as lc
from latent_core.analysis.mean_attention import AttentionMasses, attention_masses
from latent_core.errors import SettingError
from workbench.panels.attention.panel import ONE_EXAMPLE, OVER_SPLIT, AttentionPanel
from workbench.session import Session

TEXT, BACK, AMONG = "text -> latent", "latent -> text", "latent -> latent"


@pytest.fixture(scope="module")
def backbone() -> lc.Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture
def panel(backbone: lc.Backbone) -> Iterator[AttentionPanel]:
    models = {"one": lc.LatentModel(backbone, "Start_1+Comma_1", seed=4)}
    panel = AttentionPanel(Session(backbone, models, task="summation"))
    panel.scope.value = OVER_SPLIT
    panel.over_split.examples.value = 3
    yield panel
    assert panel.errors == []


def done(panel: AttentionPanel) -> None:
    for _ in range(2):
        panel.session.jobs.run("wait", lambda: None)


def test_nothing_is_averaged_before_the_button_is_pressed(panel: AttentionPanel) -> None:
    assert panel.session.jobs.active == []
    with pytest.raises(SettingError, match="press 'Average over examples'"):
        panel.table()
    assert panel._one.layout.display == "none"
    panel.scope.value = ONE_EXAMPLE
    assert panel.over_split.layout.display == "none" and panel._one.layout.display == ""


def test_two_splits_stand_beside_their_difference_with_hatches(panel: AttentionPanel) -> None:
    view = panel.over_split
    assert (view.near.value, view.far.value) == ("id", "ood-20")
    view.average.click()
    done(panel)
    assert view.group.value == "Comma", "the group that repeats, not the first slot"
    view.role.value = "asked"
    task, model = panel.session.task, panel.session.model_a
    near, far = (attention_masses(model, task, s, 3, progress=False) for s in ("id", "ood-20"))
    shown = [grid.shown for grid in view.grids]
    for heat_map, masses in zip(shown, (near, far), strict=False):
        mean = masses.of(2, 1, "Comma", "asked", TEXT).mean()
        assert heat_map.values[1, 2] == pytest.approx(mean, abs=1e-6)
        assert heat_map.largest == shown[0].largest, "one scale of colours"
    gap = far.minus(near).query(
        "group == 'Comma' and occurrence_role == 'asked' and direction == @TEXT"
    )
    cell = gap.query("layer == 2 and head == 1").iloc[0]
    assert shown[2].values[1, 2] == pytest.approx(cell["mean"], abs=1e-6)
    hatched = shown[2].uncertain
    assert hatched is not None
    assert hatched[1, 2] == (cell["low"] <= 0 <= cell["high"])
    assert hatched.sum() == ((gap["low"] <= 0) & (gap["high"] >= 0)).sum()
    frame = panel.table()
    assert set(frame["view"]) == {"id", "ood-20", "ood-20 - id"}
    assert len(panel.picture().axes) == 6


def test_intervals_are_computed_once_in_the_job(
    panel: AttentionPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = panel.over_split
    view.average.click()
    done(panel)

    def never(*_: object) -> None:
        raise AssertionError("computed anew")

    monkeypatch.setattr(AttentionMasses, "frame", never)
    monkeypatch.setattr(AttentionMasses, "minus", never)
    for direction in (BACK, AMONG, TEXT):
        view.direction.value = direction
    view.group.value = "Start"
    assert view.grids[0].shown.values.size


def test_a_cell_lists_the_examples_that_contribute_most_and_opens_one(
    panel: AttentionPanel,
) -> None:
    view = panel.over_split
    view.average.click()
    done(panel)
    view.grids[0].selected = [1, 2]
    title, first, *_ = view._strongest.children
    assert "Layer 2, head 1" in title.value
    best = view.view().strongest(2, 1)
    assert [mass for *_, mass in best] == sorted((mass for *_, mass in best), reverse=True)
    first.click()
    assert panel.session.example == best[0][1]
    assert panel.session.panel == "playground"


@pytest.mark.parametrize("sweep", ["groups by layer", "latents by layer", "heads by layer"])
def test_effects_are_the_cores_and_those_that_hold_zero_are_hatched(
    panel: AttentionPanel, sweep: str
) -> None:
    view = panel.over_split
    view.far.value, view.sweep.value = "", sweep
    view.average.click()
    done(panel)
    view.measure.click()
    done(panel)
    groups = {"groups by layer": None, "latents by layer": ["Start.0", "Comma.0"]}
    wanted = lc.mean_effect(
        panel.session.model_a,
        panel.session.task,
        "id",
        3,
        groups=groups.get(sweep, ["Comma"]),
        heads="each" if sweep == "heads by layer" else None,
        queries="verbal",
        progress=False,
    )
    shown = view.effect_grids[0].shown
    assert shown.values.size == len(wanted)
    assert np.sort(shown.values.ravel()) == pytest.approx(np.sort(wanted["mean"]), abs=1e-4)
    assert shown.uncertain is not None
    assert shown.uncertain.sum() == ((wanted["low"] <= 0) & (wanted["high"] >= 0)).sum()
    assert view.effect_grids[1].shown.values.size == 0, "there is one split"
    assert "effect id" in set(panel.table()["view"])


def test_the_code_gives_the_cells_that_are_shown(panel: AttentionPanel) -> None:
    view = panel.over_split
    view.average.click()
    done(panel)
    panel.session.models = {
        name: lc.LatentModel(panel.session.backbone, model.layout)
        for name, model in panel.session.models.items()
    }  # as the code makes them, which cannot know the vectors of a model that is in no file
    view.average.click()
    done(panel)
    view.direction.value = AMONG
    names: dict = {}
    exec(panel.code(), names)
    for found, wanted in zip(names["frames"], view.view().frames.values(), strict=True):
        assert found["mean"].tolist() == pytest.approx(wanted["mean"].tolist(), abs=1e-6)


def test_another_model_or_task_leaves_nothing_of_the_old_numbers(panel: AttentionPanel) -> None:
    panel.over_split.average.click()
    done(panel)
    panel.session.task = lc.load_task("repetition")
    assert panel.over_split.near.options[:3] == ("validation", "id", "ood-6")
    with pytest.raises(SettingError, match="nothing is averaged"):
        panel.table()
    panel.over_split.far.value = ""
    panel.over_split.average.click()
    done(panel)
    panel.over_split.direction.value = BACK
    panel.over_split.measure.click()
    assert "is not measured over examples" in panel.status.message
    panel.errors.clear()
