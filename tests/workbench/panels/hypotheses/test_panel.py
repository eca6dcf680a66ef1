"""The hypotheses panel: nothing runs before it is planned, and nothing goes wrong unseen."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

import latent_core as lc
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.journal import Journal
from latent_core.hypotheses.study import Study
from latent_core.models.latent import LatentModel
from latent_core.progress import Progress, listening
from tests.evaluation.test_interventions import Letters
from tests.made_backbones import copying_model
from workbench.panels.hypotheses.form import OWN
from workbench.panels.hypotheses.panel import HypothesesPanel
from workbench.panels.hypotheses.work import Asked, Result, Target, make_plans, run_plans
from workbench.session import Proposal, Session

pytestmark = pytest.mark.timed

CUT = "knock_out(response -> Comma)"
HOSTILE = "<img src=x onerror=alert(1)> & </script>"


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return lc.load_backbone("tiny")


@pytest.fixture
def panel(
    tiny: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HypothesesPanel]:
    """A panel about to test the smallest study, with next to no training, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    panel = HypothesesPanel(Session(tiny))
    panel.claim.study.value, panel.source.source.value = "prediction", "train"
    panel.source.steps.value, panel.source.examples.value = 2, 3
    yield panel
    panel.session.jobs.cancel("Hypotheses")


def press(panel: HypothesesPanel, *buttons: str) -> None:
    for name in buttons:
        button = panel.plan_button if name == "Plan" else panel.run_button
        assert not button.disabled, f"{name} cannot be pressed"
        button.click()
        assert panel._job is not None
        panel._job.wait(60)


def words(html: str) -> str:
    """What is read on the page."""
    text = unescape(re.sub(r"<style>.*?</style>|<[^>]*>", "\0", html, flags=re.S))
    return " ".join(text.replace("\0", " ").split())


@pytest.fixture(scope="module")
def study() -> Study:
    """True of the copying model in one part; the other part asks for an adapter that is missing."""
    commas = Hypothesis(
        claim=f"the comma latent holds the letter {HOSTILE}",
        task=Letters(),
        split="ood",
        contrast=Contrast(CUT),
        direction="less",
        smallest_effect=0.2,
        controls=("random",),
    )
    missing = Contrast("Start_1+Comma_2 under drop(Comma)", "End_7")
    other = Hypothesis("other", Letters(), missing, "less", 0.1)
    return Study("own", "?", "claim", "prediction", "words", {"cut": commas, "missing": other})


@pytest.fixture(scope="module")
def result(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("lab")
    target = Target("a model", [copying_model()], "models", {})
    asked = Asked("title", "own", study, target, 1, 20, folder, "claim = 0")
    return run_plans(make_plans(asked))


# --- the way from claim to verdict ----------------------------------------------------------------


def test_nothing_runs_before_it_is_planned(panel: HypothesesPanel) -> None:
    assert panel.run_button.disabled
    assert "Then press Plan test" in words(panel.hint.value)
    press(panel, "Plan")
    assert not Path("runs").exists()  # neither trained nor written
    assert panel.planned is not None
    (plan,) = panel.planned.plans.values()
    shown = words(panel.plan_view.value)
    assert f"{plan.power:.0%} if the effect is 0.2" in shown
    assert "about this adapter only" in shown
    assert plan.seconds is not None and re.search(
        r"Time on this machine: about \d+-\d+ (s|min)", shown
    )
    assert "End_2 - End_2@verbal" in shown


def test_what_was_planned_is_run_shown_and_kept(panel: HypothesesPanel, tmp_path: Path) -> None:
    press(panel, "Plan", "Run")
    assert panel.errors == []
    assert panel.result is not None
    (verdict,) = panel.result.parts.values()
    assert f"{verdict.effect.mean:+.3f}" in words(panel.verdict.value)
    assert verdict.title.lower() in words(panel.verdict.value)
    assert verdict.title.lower() in words(panel.view.value)
    assert [e["kind"] for e in Journal("runs/hypotheses").entries()] == ["plan", "test"]
    assert "1 test in runs/hypotheses" in words(panel.journal.value)
    report = Path("runs/hypotheses/prediction.html")
    assert verdict.hypothesis.claim in report.read_text()
    assert 'download="prediction.html"' in panel.report.value
    for ending in ("png", "svg", "csv", "html"):
        assert panel.export(tmp_path / f"shown.{ending}").stat().st_size > 300
    scope: dict = {}
    exec(panel.code(), scope)
    (again,) = scope["verdict"].parts.values()
    assert again.effect.mean == verdict.effect.mean
    assert again.evidence.records_digest == verdict.evidence.records_digest


def test_another_test_has_to_be_planned_anew(panel: HypothesesPanel) -> None:
    press(panel, "Plan")
    panel.source.examples.value = 4
    assert panel.planned is None and panel.run_button.disabled
    assert panel.plan_view.value == ""
    with pytest.raises(SettingError, match="press Plan test first"):
        panel.run()  # as from code


def test_a_test_is_cancelled_and_goes_on(panel: HypothesesPanel) -> None:
    panel.source.steps.value = 400
    press(panel, "Plan")
    panel.run_button.click()
    job = panel._job
    assert job is not None
    assert panel.claim.study.disabled and panel.plan_button.disabled
    while "train 2/400" not in panel.status.message and job.active:
        pass
    panel.run_button.click()  # a second click starts no second job
    assert panel._job is job
    job.cancel()
    job.wait(10)
    assert job.state == "cancelled"
    assert "press Run test to continue" in words(panel.hint.value)
    assert not panel.run_button.disabled and not panel.claim.study.disabled
    assert "planned, not finished" in words(panel.journal.value)
    assert panel.result is None and panel.errors == []


# --- claims of one's own --------------------------------------------------------------------------


def test_an_own_claim_on_adapter_a(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    LatentModel(tiny, "Start_1+Comma_1", seed=1).save_pretrained("kept")
    panel = HypothesesPanel(Session(tiny, ["kept"]))
    panel.claim.study.value = OWN
    panel.claim.claim.value = HOSTILE
    panel.claim.treatment.value, panel.claim.control.value = "drop(Comma)", "none"
    panel.claim.split.value = "id"
    panel.claim.stand_ins[1].value = panel.claim.stand_ins[2].value = False
    panel.source.source.value, panel.source.examples.value = "a", 4
    assert panel.source.steps.layout.display == "none"
    press(panel, "Plan", "Run")
    assert panel.errors == []
    assert panel.result is not None
    (verdict,) = panel.result.parts.values()
    h = verdict.hypothesis
    assert (h.task, str(h.contrast), h.split) == (panel.session.task, "drop(Comma) - none", "id")
    assert [control.name for control in verdict.evidence.controls] == ["random"]
    for shown in (panel.verdict, panel.journal, panel.plan_view, panel.hint, panel.report):
        assert "<img" not in shown.value
    scope: dict = {}
    exec(panel.code(), scope)
    assert scope["verdict"].evidence.records_digest == verdict.evidence.records_digest


def test_a_built_in_part_can_be_made_ones_own(panel: HypothesesPanel) -> None:
    panel.claim.study.value, panel.claim.part.value = "H2", "gain grows out of distribution"
    panel.claim.make_own.click()
    assert panel.errors == []
    assert panel.claim.study.value == OWN and panel.claim.task.value == "summation"
    assert panel.session.task.name == "repetition", "another claim changes no other panel"
    assert panel.claim.own_claim().loaded_task.name == "summation"
    assert "This claim is about summation; the other panels show repetition." in (
        panel.claim.words.value
    )
    panel.session.task = lc.load_task("counting")
    assert panel.claim.task.value == "summation"
    assert panel.claim.show_task.description == "Show summation in every panel"
    panel.claim.show_task.click()
    assert panel.session.task.name == "summation"
    assert panel.claim.show_task.layout.display == "none"
    ours, built_in = (
        panel.claim.own_claim(),
        lc.load_study("H2").parts["gain grows out of distribution"],
    )
    for name in ("claim", "contrast", "split", "metric", "direction", "smallest_effect"):
        assert getattr(ours, name) == getattr(built_in, name)
    assert ours.controls == built_in.controls


def test_a_study_asks_about_what_is_there(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = Session(tiny, {"mixed": LatentModel(tiny, "Start_2+Comma_1", seed=1)})
    panel = HypothesesPanel(session)
    panel.claim.study.value, panel.source.source.value = "reach", "train"
    assert panel.claim.about.value == "Start_4+Comma_4" and panel.claim.key == "reach"
    panel.source.source.value = "a"
    assert panel.claim.about.value == "Start_2+Comma_1" and panel.claim.key == "reach-repetition"
    assert "On repetition." in words(panel.claim.words.value)
    assert "load_study('reach-repetition', 'Start_2+Comma_1')" in panel.claim.code()
    for part in panel.claim.chosen().parts.values():
        assert part.task == "repetition" and "Start_2+Comma_1" in part.contrast.treatment
    panel.claim.about.value = "Start_9+Comma_9"
    assert "Start_9+Comma_9" in panel.claim.code()
    panel.claim.about.value = "Nowhere_2"
    assert panel.plan_button.disabled and "Nowhere_2" in words(panel.hint.value)
    panel.source.source.value = "train"
    assert panel.claim.about.value == "Start_4+Comma_4" and not panel.plan_button.disabled


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("claim", "  ", "the claim is empty"),
        ("least", 0.0, "smallest_effect is 0"),
        ("treatment", "Strat_2", "Strat"),
        ("treatment", "Start_2+<b>", "<b>"),
        ("control", "Start_1+Comma_1 under drop(Comma, after=3)", "two conditions that differ"),
        ("less", "ood-6", "no example in common"),
    ],
)
def test_a_wrong_field_is_explained_in_place(panel, field: str, value: object, said: str) -> None:
    panel.claim.study.value = OWN
    right = getattr(panel.claim, field).value
    getattr(panel.claim, field).value = value
    assert said in words(panel.hint.value) and "<b>)" not in panel.hint.value
    assert panel.plan_button.disabled and panel.run_button.disabled
    getattr(panel.claim, field).value = right
    assert not panel.plan_button.disabled
    assert panel.errors == []


def test_runs_that_are_not_there(panel: HypothesesPanel) -> None:
    panel.source.source.value = "runs"
    assert "give a folder" in words(panel.hint.value)
    panel.source.runs.value = "nowhere"
    assert "there is no folder 'nowhere' in" in words(panel.hint.value)
    Path("empty").mkdir()
    panel.source.runs.value = "empty"
    press(panel, "Plan")
    assert panel.status.state == "failed"
    assert "no finished run on repetition" in panel.status.message
    assert panel.planned is None and len(panel.errors) == 1


def test_a_part_without_its_adapter_is_named_and_leaves_the_study_open(result: Result) -> None:
    assert result.parts["cut"].title == "STRONGLY SUPPORTED (ONE SEED)"
    assert result.parts["cut"].plan.tests == 2
    assert "no adapter of method 'End_7'" in result.not_run["missing"]
    assert result.outcome == "inconclusive"
    assert "no adapter of method" in unescape(result.report.read_text())
    table = result.table()
    assert list(table["row"]) == ["claim", "with random", "beyond random"]
    assert list(table["mean"]) == [-0.75, 0.0, -0.75]
    assert set(table["smallest_effect"]) == {-0.2}


def test_progress_is_of_all_parts_together(study: Study, tmp_path: Path) -> None:
    first = study.parts["cut"]
    second = Hypothesis("b", first.task, Contrast(CUT, "drop(Comma)"), "less", 0.1, controls=())
    parts = {"cut": first, "drop": second}
    target = Target("a model", [copying_model()], "models", {})
    heard: list[Progress] = []
    both = replace(study, key="k", parts=parts)
    planned = make_plans(Asked("t", "k", both, target, 1, 20, tmp_path, ""))
    with listening(lambda progress: progress and heard.append(progress)):
        run_plans(planned)
    shares = [progress.done / progress.total for progress in heard]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert {progress.description.split(",")[0] for progress in heard} == {"cut", "drop"}
    assert planned.seconds == pytest.approx(sum(planned.added_seconds.values()))
    shared = planned.plans["drop"].seconds
    assert planned.added_seconds["drop"] < shared  # the cut is answered once


def test_a_journal_that_was_edited_is_not_believed(panel: HypothesesPanel) -> None:
    path = Path("elsewhere/journal.jsonl")
    path.parent.mkdir()
    path.write_text('{"kind": "test"}\n')
    panel.source.folder.value = "elsewhere"
    assert "changed or deleted" in words(panel.journal.value)
    assert panel.errors == []


def test_tests_are_kept_with_the_runs_of_the_repository(
    tiny: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (".git", "notebooks"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert HypothesesPanel(Session(tiny)).source.where == Path("../runs/hypotheses")


def test_what_was_seen_elsewhere_fills_a_claim_on_the_same_adapter(tiny: Backbone) -> None:
    session = Session(tiny, [LatentModel(tiny, "Comma_1"), LatentModel(tiny, "Start_2")])
    panel = HypothesesPanel(session)
    session.proposal = Proposal("it needs them", "drop(Comma)", "none", "ood-8", "less", "a")
    claim = panel.claim.own_claim()
    assert panel.claim.study.value == OWN and panel.source.source.value == "a"
    assert (claim.claim, claim.split, claim.direction) == ("it needs them", "ood-8", "less")
    assert claim.contrast == Contrast("drop(Comma)", "none")
    assert panel.plan_button.disabled is False and panel.errors == []
