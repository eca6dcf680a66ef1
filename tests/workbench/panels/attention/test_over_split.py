"""Attention over a split: what is drawn is what the core averages, and a cell leads to examples."""

from collections.abc import Iterator

import numpy as np
import pytest

import latent_core as lc
from latent_core.analysis.mean_attention import AttentionMasses, attention_masses
from latent_core.errors import SettingError
from workbench.panels.attention.controls import ONE_EXAMPLE, OVER_SPLIT
from workbench.panels.attention.panel import AttentionPanel
from workbench.panels.attention.split_view import arrow
from workbench.pictures.heat_map import HeatMap
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


def test_the_colours_are_those_that_are_chosen_for_both_splits_and_both_models(
    panel: AttentionPanel,
) -> None:
    view, looks, session = panel.over_split, panel.controls, panel.session
    session.add(lc.LatentModel(session.backbone, "Start_1+Comma_1", seed=9), "two")
    session.adapter_b = "two"
    view.average.click()
    done(panel)
    looks.side.value = "B"
    assert view.grids[0].shown.values.size == 0, "B is not averaged yet"
    assert "Average over examples" in view._note.text
    view.average.click()
    done(panel)

    def shown() -> list[HeatMap]:
        return [grid.shown for grid in view.grids]

    ends, means = [], []
    for side in ("A", "B"):
        looks.side.value = side
        ends += [one.largest for one in shown()[:2]]
        means += [float(one.values.max()) for one in shown()[:2]]
    assert len({*means}) == 4
    assert {np.float32(end) for end in ends} == {max(means)}, "one scale of splits, A and B"
    looks.scale.value = "own maximum"
    assert [one.largest for one in shown()[:2]] == pytest.approx(means[2:])
    looks.scale.value, looks.log_colours.value = "0 to 1", True
    assert [(one.low, one.largest, one.log) for one in shown()[:2]] == [(1e-4, 1.0, True)] * 2
    assert not shown()[2].log, "a difference has two signs"
    panel.scope.value = ONE_EXAMPLE
    assert looks.scale.value == "0 to 1", "both views have the colours that were chosen"


def test_the_first_slot_can_be_left_out(panel: AttentionPanel) -> None:
    view, looks = panel.over_split, panel.controls
    view.average.click()
    done(panel)
    view.group.value, view.direction.value = "Start", TEXT
    assert view.grids[0].shown.values.size
    looks.without_first.value = True
    assert view.grids[0].shown.values.size == 0, "Start_1 is the first slot"
    assert "untick 'Without the first slot'" in view._note.text
    view.direction.value = BACK
    model, task = panel.session.model_a, panel.session.task
    wanted = lc.mean_attention(model, task, "id", 3, without_first=True, progress=False)
    wanted = wanted.query("group == 'Start' and direction == @BACK and layer == 2 and head == 1")
    shown = view.grids[0].shown
    assert shown.values[1, 2] == pytest.approx(float(wanted["mean"].iloc[0]), abs=1e-6)
    assert "without the first slot" in shown.title


def test_a_difference_of_models_is_of_one_example_alone(panel: AttentionPanel) -> None:
    panel.scope.value = ONE_EXAMPLE
    panel.controls.side.value = "A - B"
    panel.scope.value = OVER_SPLIT
    assert (panel.controls.side.value, panel.controls.side.options) == ("A", ("A", "B"))
    panel.scope.value = ONE_EXAMPLE
    assert "A - B" in panel.controls.side.options


def test_effects_keep_the_names_of_what_was_cut(panel: AttentionPanel) -> None:
    view = panel.over_split
    view.far.value, view.sweep.value, view.examples.value = "", "heads by layer", 2
    view.average.click()
    done(panel)
    view.measure.click()
    done(panel)
    title = view.effect_grids[0].shown.title
    assert f"edges {arrow(TEXT)} onto Comma cut in one head" in title
    view.group.value, view.direction.value, view.sweep.value = "Start", AMONG, "groups by layer"
    assert view.effect_grids[0].shown.title == title
    assert "groups='Comma', heads='each'" in panel.code()


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
    panel.controls.without_first.value, view.group.value = True, "Comma"
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


def test_the_list_of_examples_stays_until_other_edges_are_shown(panel: AttentionPanel) -> None:
    view = panel.over_split
    view.far.value, view.examples.value = "", 2
    view.average.click()
    done(panel)
    view.grids[0].selected = [1, 2]
    listed = view._strongest.children
    assert "Layer 2, head 1" in listed[0].value
    panel.controls.scale.value = "own maximum"
    view.measure.click()
    done(panel)
    assert view.effect_grids[0].shown.values.size
    assert view._strongest.children == listed, "neither a colour nor the effects are other edges"
    view.direction.value = BACK
    assert view._strongest.children == ()
    view.grids[0].selected = [0, 1]
    assert view._strongest.children
    view.average.click()
    done(panel)
    assert view._strongest.children == (), "they may be other examples"


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
    view.direction.value, panel.controls.without_first.value = AMONG, True
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
