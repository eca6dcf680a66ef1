"""Below the header, every adapter that ships can be chosen, and the next example."""

from pathlib import Path

import pytest

import latent_core as lc
from workbench.panels.attention.panel import AttentionPanel
from workbench.panels.choosers import SessionChoosers
from workbench.panels.comparison.panel import ComparisonPanel
from workbench.panels.playground.panel import Playground
from workbench.session import Session


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
