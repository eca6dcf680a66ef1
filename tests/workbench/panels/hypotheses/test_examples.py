"""From a verdict back to its examples: the largest differences, as the task draws them."""

from pathlib import Path

import pytest

import latent_core as lc
from workbench.panels.hypotheses.examples import examples_of
from workbench.panels.hypotheses.panel import HypothesesPanel
from workbench.session import Session


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HypothesesPanel:
    """A panel that has tested an intervention on an untrained model, on another task."""
    monkeypatch.chdir(tmp_path)
    session = Session(lc.load_backbone("tiny"))
    panel = HypothesesPanel(session)
    model = lc.LatentModel(session.backbone, "Start_1+Comma_1")
    change = lc.Contrast("drop(Comma, after=1)")
    claim = lc.Hypothesis("it matters", "summation", change, "less", 0.1, "id", controls=())
    verdict = lc.lab.run(claim, model, lc.lab.plan(claim, 1, 6), tmp_path / "lab", progress=False)
    panel.examples.show({"it matters": verdict})
    return panel


def test_the_largest_differences_come_first_with_their_examples(panel: HypothesesPanel) -> None:
    verdict = panel.examples._parts["it matters"]
    found = examples_of(verdict, most=4)
    sizes = [abs(one.record["difference"]) for one in found]
    assert len(found) == 4 and sizes == sorted(sizes, reverse=True)
    drawn = lc.load_task("summation").examples("id", 6, seed=1000)
    for one in found:
        assert one.example == drawn[one.record["example"]]
        assert f"{one.record['difference']:+.2f}" in one.row()["about"]
        assert one.row()["opens"]
    assert panel.examples.layout.display == "" and len(panel.examples.view.rows) == 6


def test_an_example_opens_under_the_intervention_of_its_part(panel: HypothesesPanel) -> None:
    session = panel.session
    assert session.task.name != "summation"
    panel.examples.view.opened = {"index": 2, "presses": 1}
    assert panel.errors == []
    assert session.task.name == "summation"
    assert session.example == panel.examples.found[2].example
    assert str(session.intervention) == "drop(Comma, after=1)" and session.panel == "playground"
    panel.examples.look.click()
    assert session.panel == "attention"


def test_without_a_verdict_nothing_is_listed(panel: HypothesesPanel) -> None:
    panel.examples.show({})
    assert panel.examples.layout.display == "none" and panel.examples.view.rows == []
