"""The lab: one place plans, runs and judges, for one claim or many."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from latent_core.errors import SettingError
from latent_core.hypotheses import lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.journal import Journal
from latent_core.hypotheses.plan import Assumptions
from latent_core.hypotheses.study import Study
from latent_core.progress import Progress, listening
from latent_core.statistics.inference import holm
from tests.evaluation.test_edits import solver
from tests.hypotheses.made_up import CUT, MIXED, records, verdict_of
from tests.made_backbones import copying_backbone, copying_model


def test_the_plan_says_what_it_takes(commas) -> None:
    plan = lab.plan(commas, seeds=5, examples=100, target=[copying_model()] * 5)
    assert plan.seconds is not None and plan.seconds > 0
    assert f"{CUT} within replace(latents, random)" in "\n".join(plan.steps)
    assert "assumed, not measured" in plan.summary()
    assert lab.plan(commas, 10, 100).power > plan.power
    assert lab.plan(commas, 5, 100, effect=0.8).power > plan.power
    assert lab.plan(commas, 5, 100, tests=8).power < plan.power


def test_plans_and_verdicts_print_as_lines_of_text(commas, tmp_path) -> None:
    """Their repr, too: a notebook's traceback and a list show that, and no nested dataclasses."""
    models = [copying_model(), copying_model("b")]
    plan = lab.plan(commas, seeds=2, examples=3)
    study = Study("X", "?", "both hold", "two", "none", {"one": commas, "two": replace(commas)})
    plans = lab.plan(study, seeds=2, examples=3)
    verdict = lab.run(commas, models, plan, tmp_path, progress=False)
    for shown, begin in (
        (plan, f"claim       {commas.claim}"),
        (plans, "size        2 training seeds x 3 examples"),
        (verdict, f"{verdict.title}: {commas.claim}"),
    ):
        assert repr(shown) == str(shown) == shown.summary()
        assert repr(shown).startswith(begin)
        assert 4 <= len(repr(shown).splitlines()) <= 40 and "Hypothesis(" not in repr(shown)


@pytest.mark.parametrize(("knows", "right"), [(True, 6), (False, 0)])
def test_the_metric_follows_answers_the_prompt_and_its_edit(tmp_path, knows, right) -> None:
    cut = Contrast("replace(End, zero)")  # of which the solver takes no notice
    claim = Hypothesis("it matters", "hops", cut, "less", 0.1, "id", "follows", controls=())
    plan = lab.plan(claim, seeds=1, examples=8)
    verdict = lab.run(claim, [solver(knows, eval_seed=1000)], plan, tmp_path, progress=False)
    frame = verdict.evidence.frame
    assert frame["control"].sum() == frame["treatment"].sum() == right
    assert frame["difference"].eq(0).all() and len(frame) == 8


def test_a_stopped_test_goes_on_where_it_was(commas, tmp_path) -> None:
    plan = lab.plan(commas, seeds=2, examples=3)
    models = [copying_model(), copying_model("b")]

    def stop(progress: Progress | None) -> None:
        if progress is not None and progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        lab.run(commas, models, plan, tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    assert len(kept) == 3
    verdict = lab.run(commas, models, plan, tmp_path, progress=False)
    assert verdict.evidence.seeds == (0, 1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((tmp_path / "records").iterdir())) > 3


def test_a_plan_that_the_target_cannot_fill_is_refused(commas, gain, tmp_path) -> None:
    with pytest.raises(SettingError, match=r"plan needs 2 training seeds, and .* have 1 in common"):
        lab.run(commas, copying_model(), lab.plan(commas, 2, 5), tmp_path)
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    with pytest.raises(SettingError, match="needs 6 training seeds, and the records have 5"):
        lab.run(gain, table, lab.plan(gain, 6, 20), tmp_path)
    with pytest.raises(SettingError, match="needs 30 examples per seed and split"):
        lab.run(gain, table, lab.plan(gain, 5, 30), tmp_path)
    with pytest.raises(SettingError, match="the plan is for another hypothesis"):
        lab.run(gain, table, lab.plan(commas, 5, 20), tmp_path)
    with pytest.raises(SettingError, match="below the smallest effect"):
        lab.plan(gain, 5, 20, effect=0.01)
    with pytest.raises(SettingError, match=r"no adapter of method .* there are Start_1\+Comma_2"):
        lab.run(gain, copying_model(), lab.plan(gain, 1, 5), tmp_path)
    with pytest.raises(SettingError, match="the contrast names no method"):
        lab.run(commas, copying_backbone(), lab.plan(commas, 1, 5), tmp_path)


# --- many claims ----------------------------------------------------------------------------------


def other_claim(commas: Hypothesis) -> Hypothesis:
    dropped = Contrast("drop(Comma)", "none")
    return replace(commas, claim="without it all is lost", contrast=dropped, controls=())


def test_several_claims_are_planned_and_run_together_and_reported_on_one_page(
    commas, tmp_path
) -> None:
    claims = [replace(commas, controls=()), other_claim(commas)]
    models = [copying_model(), copying_model()]
    plans = lab.plan(claims, seeds=2, examples=5, target=models, measure=False)
    assert [plan.hypothesis for plan in plans] == claims
    verdicts = lab.run(claims, models, plans, tmp_path, progress=False)
    assert [verdict.hypothesis for verdict in verdicts] == claims
    kinds = [entry["kind"] for entry in Journal(tmp_path).entries()]
    assert kinds == ["plan", "plan", "test", "test"], "no plan may come after a test's records"
    page = lab.report(verdicts, tmp_path / "both.html").read_text()
    assert "<h1>2 claims</h1>" in page
    assert all(claim.claim in page for claim in claims)
    twice = lab.report([verdicts[0], verdicts[0]], tmp_path / "twice.html").read_text()
    assert twice.count("<section") == lab.report(verdicts, tmp_path / "b.html").read_text().count(
        "<section"
    )


def test_claims_of_one_family_are_counted_together_and_others_are_not(commas, tmp_path) -> None:
    models = [copying_model(), copying_model()]
    first, second = replace(commas, controls=()), other_claim(commas)
    apart = lab.run([first, second], models, folder=tmp_path / "a", progress=False)
    assert [verdict.tests for verdict in apart] == [1, 1]
    family = [replace(claim, family="one") for claim in (first, second)]
    together = lab.run(family, models, folder=tmp_path / "b", progress=False)
    assert [verdict.tests for verdict in together] == [2, 2]
    assert together[0].p_holm == pytest.approx(holm([v.effect.p for v in together])[0])


def test_a_study_and_a_claim_run_side_by_side(commas, tmp_path) -> None:
    missing = replace(commas, contrast=Contrast("End_7", "none under drop(Comma)"), controls=())
    study = Study("own", "?", "claim", "p", "e", {"cut": commas, "missing": missing})
    models = [copying_model()]
    plans = lab.plan([study, commas], seeds=1, examples=5, target=models, measure=False)
    joint, alone = lab.run([study, commas], models, plans, tmp_path, progress=False)
    assert (
        list(joint.parts) == ["cut"] and "no adapter of method 'End_7'" in joint.not_run["missing"]
    )
    assert alone.effect == joint.parts["cut"].effect
    page = lab.report([joint, alone], tmp_path / "r.html").read_text()
    assert "own: cut" in page and "own: missing" in page


def test_the_plans_of_a_study_name_what_the_target_cannot_answer(commas) -> None:
    missing = replace(commas, contrast=Contrast("End_7", "none under drop(Comma)"), controls=())
    study = Study("own", "?", "claim", "p", "e", {"cut": commas, "missing": missing})
    plans = lab.plan(study, seeds=1, examples=5, target=copying_model(), measure=False)
    assert list(plans) == ["cut"] and list(plans.refused) == ["missing"]
    assert plans["cut"].tests == 2, "a part that cannot be run is still a claim of the study"
    assert "not tested  missing: no adapter of method 'End_7'" in plans.summary()
    alone = replace(study, parts={"missing": missing})
    with pytest.raises(SettingError, match="no part of own can be tested: no adapter of method"):
        lab.plan(alone, seeds=1, examples=5, target=copying_model())
    with pytest.raises(SettingError, match="no part of own could be run: missing: no adapter"):
        lab.run(alone, copying_model())


def test_work_that_parts_share_is_counted_once(commas) -> None:
    narrow = replace(commas, controls=("random",))
    study = Study("own", "?", "claim", "p", "e", {"a": commas, "again": narrow})
    plans = lab.plan(study, seeds=1, examples=5, target=copying_model())
    assert plans["again"].seconds > 0 and plans.added_seconds["again"] == 0
    assert plans.seconds == pytest.approx(plans["a"].seconds)
    assert plans.added_seconds["a"] == pytest.approx(plans["a"].seconds)


def test_without_a_plan_a_test_takes_what_the_target_has(commas, gain, tmp_path) -> None:
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    found = lab.run(gain, table, folder=tmp_path / "table")
    assert (found.plan.seeds, found.plan.examples) == (5, 20)
    short = replace(commas, controls=())
    models = [copying_model() for _ in range(7)]
    found = lab.run(short, models, folder=tmp_path / "models", progress=False)
    assert (found.plan.seeds, found.plan.examples) == (7, 100)


def test_a_plan_without_a_target_does_not_guess_the_time(commas) -> None:
    plan = lab.plan(commas)
    assert plan.seconds is None and "unknown; give target=..." in plan.summary()


def test_a_target_without_the_seeds_of_a_plan_is_refused_before_anything_is_timed(commas) -> None:
    with pytest.raises(SettingError, match=r"plan needs 2 training seeds, and .* have 1 in common"):
        lab.plan(commas, seeds=2, target=copying_model())


def test_plans_have_to_belong_to_their_claims(commas) -> None:
    with pytest.raises(SettingError, match="1 plans for 2 claims"):
        lab.run([commas, commas], copying_model(), [lab.plan(commas)])
    with pytest.raises(SettingError, match="the plan of a Hypothesis is a dict"):
        lab.run(commas, copying_model(), {"a": lab.plan(commas)})
    with pytest.raises(SettingError, match="cannot test on int; expected a LatentModel"):
        lab.run(commas, 3)


def test_a_pilot_gives_its_spreads_to_the_plan(gain, tmp_path) -> None:
    luck = np.repeat([-0.2, -0.1, 0.0, 0.1, 0.2], 80)
    verdict = verdict_of(gain, pd.concat([records(MIXED, luck), records("Start_2", 0)]), tmp_path)
    assumed = lab.plan(gain, pilot=verdict).assumptions
    assert assumed.sd_seeds == verdict.effect.sd_seeds and "5 seeds" in assumed.source
    one = Assumptions.of_pilot(replace(verdict.effect, seeds=1, sd_seeds=float("nan")))
    assert one.sd_seeds == 0.15 and "one seed cannot show it" in one.source
