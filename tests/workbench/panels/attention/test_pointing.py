"""A slot that is pointed at colours the slots that it looks at, and those that look at it."""

from collections.abc import Iterator

import numpy as np
import pytest

import latent_core as lc
from workbench.panels.attention.panel import AttentionPanel
from workbench.session import Session


@pytest.fixture(scope="module")
def panel() -> Iterator[AttentionPanel]:
    backbone = lc.load_backbone("tiny")
    session = Session(backbone, {"one": lc.LatentModel(backbone, "Start_1+Comma_1", seed=2)})
    session.draw("id", 2)
    panel = AttentionPanel(session)
    panel.controls.all_slots.value = True
    panel.prepare()
    panel.chooser.choose(1, 2)
    yield panel
    assert panel.errors == []


def test_both_directions_of_a_slot_are_coloured_by_the_open_head(panel: AttentionPanel) -> None:
    example = panel.session.example
    record = lc.capture_attention(
        panel.session.model_a, example.prompt, example.answer, of="all", layers=1, heads=2
    )
    weights = record.weights[0, 0].numpy()
    slot = 6
    panel.strip.hovered = slot
    shades = np.array(panel.strip.shades)
    largest = panel.heat.shown.largest
    assert shades[:slot] == pytest.approx(weights[slot, :slot] / largest, abs=1e-4)
    assert shades[slot + 1 :] == pytest.approx(weights[slot + 1 :, slot] / largest, abs=1e-4)
    assert shades[slot] == -1
    panel.strip.hovered = -1
    assert panel.strip.shades == []
    panel.strip.selected = slot
    assert panel.strip.shades == pytest.approx(shades.tolist()), "a chosen slot keeps its colours"
    panel.strip.selected = -1


def test_a_cell_marks_its_query_and_its_key(panel: AttentionPanel) -> None:
    shown = panel.heat.shown
    panel.heat.hovered = [9, 4]
    assert (shown.rows.title, shown.columns.title) == ("query", "key")
    assert (panel.strip.hovered, panel.strip.paired) == (9, 4)
    panel.heat.hovered = [-1, -1]
    assert (panel.strip.hovered, panel.strip.paired) == (-1, -1)


def test_the_scale_of_colours_is_the_one_that_is_chosen(panel: AttentionPanel) -> None:
    panel.controls.scale.value = "0 to 1"
    assert panel.heat.shown.largest == panel.overview.shown.largest == 1.0
    panel.controls.scale.value = "own maximum"
    assert panel.heat.shown.largest == pytest.approx(np.nanmax(panel.heat.shown.values))
    assert panel.overview.shown.largest == pytest.approx(panel.overview.shown.values.max())
    panel.controls.log_colours.value = True
    shown = panel.heat.shown
    assert shown.log and shown.low == pytest.approx(shown.largest / 1e4)
    assert panel.picture().axes
    panel.controls.log_colours.value = False
    panel.controls.scale.value = "shared by A and B"


def test_the_first_slot_can_be_left_out(panel: AttentionPanel) -> None:
    panel.controls.without_first.value = True
    assert panel.heat.shown.columns.places[0] == 1, "the map has no column for it"
    assert "without the first slot" in panel.overview.shown.title
    example = panel.session.example
    record = lc.capture_attention(panel.session.model_a, example.prompt, example.answer)
    commas = record.by_group().query("group == 'Comma' and layer == 3 and head == 1")["mass"]
    assert panel.overview.shown.values[1, 3] == pytest.approx(float(commas.iloc[0]), abs=1e-5)
    names: dict = {}
    exec(panel.code(), names)
    assert names["shown"].shape == panel.heat.shown.values.shape
    panel.controls.without_first.value = False


def test_the_panel_opens_on_a_head_that_looks_at_latents_that_repeat(panel: AttentionPanel) -> None:
    other = AttentionPanel(panel.session)
    other.prepare()
    example = panel.session.example
    record = lc.capture_attention(panel.session.model_a, example.prompt, example.answer)
    mass = record.by_group().query("group == 'Comma'")
    best = mass.loc[mass["mass"].idxmax()]
    assert other.chooser.cell == (best["layer"], best["head"])
