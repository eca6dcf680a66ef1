"""Evidence: a planted effect is found, and what only looks like one is told apart."""

import hashlib
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from latent_core.errors import SettingError
from latent_core.hypotheses import evidence as evidence_module
from latent_core.hypotheses import lab
from latent_core.hypotheses.answers import SeedAdapter
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.evidence import Evidence, evidence_from_records, gather_evidence
from latent_core.hypotheses.sources import Given
from latent_core.interventions.running import CHANGED_NOTHING
from latent_core.progress import Progress, listening
from tests.hypotheses.made_up import MIXED, records, verdict_of
from tests.made_backbones import copying_model


def test_a_planted_effect_is_found_and_its_controls_have_lost_it(commas, tmp_path) -> None:
    plan = lab.plan(commas, seeds=2, examples=30)
    verdict = lab.run(commas, [copying_model(), copying_model()], plan, tmp_path, progress=False)
    assert (verdict.outcome, verdict.strongly) == ("supported", True)
    assert verdict.effect.mean == -0.75 and verdict.effect.records == 60
    assert {c.name: c.effect.mean for c in verdict.evidence.controls} == {"random": 0, "filler": 0}
    assert "STRONGLY SUPPORTED" in verdict.summary()
    assert set(verdict.frame["treatment"]) == {0.25} and set(verdict.frame["control"]) == {1.0}


def test_a_claim_whose_control_shows_the_same_effect_is_rejected(commas, tmp_path) -> None:
    """Shuffled, the latents still hold the letter: that each has its own place is no part of it."""
    shuffled = replace(commas, controls=("shuffled",))
    plan = lab.plan(shuffled, seeds=1, examples=40)
    verdict = lab.run(shuffled, copying_model(), plan, tmp_path, progress=False)
    assert verdict.effect.mean == -0.75
    assert verdict.outcome == "refuted"
    assert "the control shuffled shows the same effect" in verdict.reason
    assert "about this adapter only" in verdict.reason


def test_an_intervention_that_meets_no_latent_refutes_nothing(commas, tmp_path) -> None:
    """Nothing changes, in however many examples: there is no fifth latent to be dropped."""
    idle = replace(commas, contrast=Contrast("drop(Comma, after=4)"), controls=())
    plan = lab.plan(idle, seeds=2, examples=200)
    verdict = lab.run(idle, [copying_model(), copying_model()], plan, tmp_path, progress=False)
    assert verdict.effect.mean == 0 and verdict.effect.low > -idle.smallest_effect
    assert verdict.outcome == "inconclusive" and "nothing was tested" in verdict.reason


def test_an_interaction_is_the_difference_of_two_gains(gain, tmp_path) -> None:
    grows = replace(gain, contrast=Contrast(MIXED, "Start_2", minus_split="id"), controls=())
    id_only = ("id",)
    sides = [records(MIXED, 0.4), records("Start_2", 0.0)]
    sides += [records(MIXED, 0.1, id_only), records("Start_2", 0.0, id_only)]
    verdict = verdict_of(grows, pd.concat(sides), tmp_path)
    assert verdict.effect.mean == pytest.approx(0.3, abs=0.02) and verdict.outcome == "supported"


def test_attention_goes_with_effect_where_it_should(commas, tmp_path) -> None:
    """Only one head of one layer acts, and it looks at Comma: the two rank cells alike."""
    looked = replace(
        commas, metric="agreement", contrast=Contrast("none", "chance"), direction="greater"
    )
    plan = lab.plan(looked, seeds=1, examples=4)
    verdict = lab.run(looked, copying_model(), plan, tmp_path, progress=False)
    assert 0.2 < verdict.effect.mean <= 1
    assert not verdict.evidence.controls


def test_p_short_agrees_with_the_interval(gain, tmp_path) -> None:
    """The whole interval falls short where its one-sided p-value is below 2.5 %."""
    for shift in (0.0, 0.06, 0.08, 0.1):
        luck = np.repeat([-0.04, -0.02, 0.0, 0.02, 0.04], 80)
        table = pd.concat([records(MIXED, shift + luck), records("Start_2", 0.0)])
        verdict = verdict_of(gain, table, tmp_path)
        assert (verdict.evidence.p_short < 0.05) == (verdict.effect.high < 0.1), shift


# --- from a table of records, by hand -------------------------------------------------------------

CLAIM = Hypothesis("a", "repetition", Contrast(MIXED, "End_2"), "greater", 0.25, "id")
SEEDS = {0: 0.5, 1: 0.6, 2: 0.7}


def rows_of(method: str, scores: dict[int, float] | float, **other) -> pd.DataFrame:
    """Records of three seeds and four examples, which differ by hundredths within a seed."""
    by_seed = scores if isinstance(scores, dict) else dict.fromkeys(SEEDS, scores)
    rows = [
        (seed, "id", n, f"k{seed}-{n}", by_seed[seed] + noise, method)
        for seed in reversed(SEEDS)
        for n, noise in enumerate((0.01, -0.01, 0.02, -0.02))
    ]
    columns = ["seed", "split", "example", "key", "graded", "method"]
    return pd.DataFrame(rows, columns=columns).assign(**other)


def evidence_of(*sides: pd.DataFrame, claim: Hypothesis = CLAIM) -> Evidence:
    return evidence_from_records(lab.plan(claim, 3, 4), pd.concat(sides, ignore_index=True))


def test_a_control_is_subtracted_example_by_example() -> None:
    filler = rows_of(f"filler({MIXED})", {0: 0.3, 1: 0.2, 2: 0.4})
    found = evidence_of(rows_of(MIXED, SEEDS), rows_of("End_2", 0.1), filler)
    assert found.effect.seed_means == pytest.approx((0.4, 0.5, 0.6))
    assert found.effect.p_exact == 2 / 8
    (control,) = found.controls
    assert control.name == "filler"
    assert control.effect.seed_means == pytest.approx((0.2, 0.1, 0.3))
    assert control.specific.seed_means == pytest.approx((0.2, 0.4, 0.3))
    assert control.specific.confidence == control.specific_wide.confidence == 0.95
    assert set(found.not_run) == {"random", "shuffled"}
    assert found.not_run["random"].startswith("the records do not contain it")
    assert "_beyond" not in found.frame
    assert found.frame["difference_filler"].mean() == pytest.approx(0.2)
    assert found.seeds == (0, 1, 2)
    assert found.p_short == 1.0


def test_p_short_is_the_smallest_and_controls_are_corrected_by_their_number() -> None:
    """Effect 0.4 to 0.6; beyond both controls 0.05 to 0.15, which falls short of 0.25."""
    fillers = [
        rows_of(f"{MIXED} under {how}", {0: 0.45, 1: 0.5, 2: 0.55})
        for how in ("replace(latents, random)", "replace(latents, text:.)")
    ]
    found = evidence_of(rows_of(MIXED, SEEDS), rows_of("End_2", 0.1), *fillers)
    assert [control.name for control in found.controls] == ["random", "filler"]
    beyond = stats.ttest_1samp([0.05, 0.1, 0.15], 0.25, alternative="less")
    assert found.p_short == pytest.approx(2 * 2 * beyond.pvalue)
    wide = stats.ttest_1samp([0.05, 0.1, 0.15], 0.0).confidence_interval(1 - 0.05 / 2)
    for control in found.controls:
        ends = control.specific_wide.low, control.specific_wide.high
        assert ends == pytest.approx((wide.low, wide.high))
    alone = evidence_of(rows_of(MIXED, {0: 0.15, 1: 0.2, 2: 0.25}), rows_of("End_2", 0.1))
    short = stats.ttest_1samp([0.05, 0.1, 0.15], 0.25, alternative="less")
    assert alone.p_short == pytest.approx(2 * short.pvalue)


def test_a_method_is_known_by_each_way_to_write_it() -> None:
    ours = rows_of(" Start_1 + Comma_1", SEEDS), rows_of("End_02@latent", 0.1)
    assert evidence_of(*ours).effect.seed_means == pytest.approx((0.4, 0.5, 0.6))


def test_equal_records_have_one_digest_and_others_another() -> None:
    sides = rows_of(MIXED, SEEDS), rows_of("End_2", 0.1)
    one, again = evidence_of(*sides), evidence_of(*sides)
    assert one.records_digest == again.records_digest and len(one.records_digest) == 16
    changed = [sides[0].assign(graded=lambda f: f["graded"] + 0.5), sides[0].assign(key="k")]
    changed[1]["key"] += changed[1]["example"].astype(str)
    both = changed[1], sides[1].assign(key=changed[1]["key"])
    others = {evidence_of(changed[0], sides[1]).records_digest, evidence_of(*both).records_digest}
    assert len(others | {one.records_digest}) == 3


def test_the_digest_is_that_of_the_scores_as_text() -> None:
    rows = [(3, "id", 0, "a", 0.5), (3, "id", 1, "b", 0.25)]
    frame = pd.DataFrame(rows, columns=["seed", "split", "example", "key", "graded"])
    table = pd.concat([frame.assign(method=MIXED), frame.assign(method="End_2", graded=0.75)])
    plan = lab.plan(CLAIM, 1, 2)
    found = evidence_from_records(plan, table)
    text = "seed,split,key,treatment,control\n3,id,a,0.5,0.75\n3,id,b,0.25,0.75\n"
    assert found.records_digest == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (found.hypothesis, found.plan, found.seeds) == (CLAIM, plan, (3,))


def test_a_table_says_what_its_reader_should_know() -> None:
    sides = rows_of(MIXED, 0.03), rows_of("End_2", 0.02)
    assert evidence_of(*sides).notes == (
        "the records came as a table, so they may be older than the plan",
        "treatment and control both score below 0.05 (at most 0.03), so the result may come from "
        "the training and not from the claim",
    )
    assert evidence_of(*sides).records_made is None
    agreement = replace(CLAIM, metric="agreement", contrast=Contrast(MIXED, "chance"))
    ranked = [side.assign(agreement=side["graded"]) for side in sides]
    ranked[1]["method"] = "chance"
    assert len(evidence_of(*ranked, claim=agreement).notes) == 1, "0 is what chance scores there"
    noted = (
        sides[0].assign(made="2026-02", note="slow", graded=0.5),
        sides[1].assign(made=["2026-03"] * 6 + ["2026-01"] * 6, note=["", "old"] * 6),
    )
    found = evidence_of(*noted)
    assert found.notes == ("treatment: slow", "control: old") and not found.untried
    assert found.records_made == "2026-01"


@pytest.mark.parametrize(
    ("notes", "untried"),
    [([CHANGED_NOTHING] * 12, True), ([CHANGED_NOTHING] * 11 + [None], False), ("", False)],
)
def test_nothing_was_tried_if_no_example_was_changed(notes, untried: bool) -> None:
    sides = rows_of(MIXED, SEEDS, note=notes), rows_of("End_2", 0.1)
    assert evidence_of(*sides).untried is untried
    assert evidence_of(sides[0].drop(columns="note"), sides[1].assign(note=notes)).untried is False


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="method"), "expected one that says 'Start_1+Comma_1' or 'End_2'"),
        (
            lambda t: t.replace({"method": {"End_2": "End_3"}}),
            "no records of 'End_2'; the table has 'Start_1+Comma_1', 'End_3'",
        ),
        (lambda t: t[t["seed"] > 0], "needs 3 training seeds, and the records have 2"),
        (lambda t: t[t["example"] < 3], "needs 4 examples per seed and split, and the records ha"),
        (lambda t: t.drop(t.index[t["key"] == "k1-3"]), "and the records have 3; plan with fewer"),
        (lambda t: t.assign(graded=None), "the records of 'Start_1+Comma_1' have no graded"),
    ],
)
def test_a_table_that_does_not_hold_the_plan_is_refused(change, says: str) -> None:
    table = pd.concat([rows_of(MIXED, SEEDS), rows_of("End_2", 0.1)], ignore_index=True)
    with pytest.raises(SettingError, match=re.escape(says)):
        evidence_from_records(lab.plan(CLAIM, 3, 4), change(table))


@pytest.mark.parametrize("lost", ["example", "seed"])
def test_a_control_that_lacks_examples_of_the_contrast_is_refused(lost: str) -> None:
    """It would be a control of unknown effect, which no claim can fail to exceed."""
    claim = replace(CLAIM, contrast=Contrast("drop(Comma)"), direction="less")
    sides = [rows_of("drop(Comma)", 0.1), rows_of("none", 0.8)]
    stand_in = "replace(latents, text:.)"
    under = [rows_of(f"drop(Comma) within {stand_in}", 0.3), rows_of(stand_in, 0.8)]
    assert evidence_of(*sides, *under, claim=claim).controls[0].effect.mean == pytest.approx(-0.5)
    fewer = [frame[frame[lost] > 0] for frame in under]
    says = f"{3 if lost == 'example' else 4} of 12 examples were not answered under the control"
    with pytest.raises(SettingError, match=f"{says} filler"):
        evidence_of(*sides, *fewer, claim=claim)
    more = [pd.concat([frame, frame.assign(seed=7, key="k")]) for frame in under]
    more = [frame.drop_duplicates(["seed", "example", "key"]) for frame in more]
    assert len(evidence_of(*sides, *more, claim=claim).frame) == 12


# --- answers of adapters --------------------------------------------------------------------------


def no_model() -> None:
    raise AssertionError("what answers is made up here, so no model is loaded")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What adapters are asked; their answers are made up: 0.8 for the treatment, 0.2 otherwise."""
    found: list[tuple[object, ...]] = []

    def answer(adapter, condition, hypothesis, examples, eval_seed, folder) -> pd.DataFrame:
        found.append((adapter.method, adapter.seed, str(condition), examples, eval_seed, folder))
        assert hypothesis.claim == CLAIM.claim
        score = 0.8 if str(condition) == hypothesis.contrast.treatment else 0.2
        rows = [(adapter.seed, "id", n, f"k{n}", score + 0.01 * adapter.seed) for n in range(4)]
        frame = pd.DataFrame(rows, columns=["seed", "split", "example", "key", hypothesis.metric])
        return frame.assign(made="2026-01", note="", method=str(condition))

    monkeypatch.setattr(evidence_module, "answers", answer)
    return found


def given(*methods: str, seeds: tuple[int, ...] = (3, 5, 8)) -> Given:
    return Given([SeedAdapter(method, seed, no_model) for method in methods for seed in seeds])


def test_each_adapter_is_asked_once_seed_by_seed_for_all_conditions(asked, tmp_path, capsys):
    heard: list[Progress | None] = []
    with listening(heard.append):
        found = gather_evidence(
            lab.plan(CLAIM, 2, 4), given(MIXED, "End_2"), tmp_path, progress=False
        )
    stand_ins = ("replace(latents, random)", "shuffle(latents)", "replace(latents, text:.)")
    conditions = [(MIXED, MIXED), ("End_2", "End_2")]
    conditions += [(MIXED, f"{MIXED} under {change}") for change in stand_ins]
    assert asked == [
        (method, seed, condition, 4, 1000 + seed, tmp_path)
        for seed in (3, 5)
        for method, condition in conditions
    ]
    assert found.effect.seed_means == pytest.approx((0.6, 0.6)) and found.seeds == (3, 5)
    assert [c.name for c in found.controls] == ["random", "shuffled", "filler"]
    assert found.controls[0].effect.mean == pytest.approx(0) and found.not_run == {}
    assert found.frame.groupby("seed")["treatment"].mean().tolist() == pytest.approx([0.83, 0.85])
    assert found.frame.index.tolist() == list(range(8)) and found.records_made == "2026-01"
    assert heard[0] == Progress("test", 0, 10, "condition")
    assert heard[-1] == Progress(f"seed 5: {conditions[-1][1]}"[:60], 10, 10, "condition")
    assert Progress(f"seed 3: {MIXED}", 0, 10, "condition") in heard
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("wanted", [True, False])
def test_a_bar_is_shown_if_it_is_asked_for(asked, tmp_path, capsys, wanted: bool) -> None:
    plan = lab.plan(replace(CLAIM, controls=()), 1, 4)
    gather_evidence(plan, given(MIXED, "End_2"), tmp_path, progress=wanted)
    assert ("seed 3: End_2: 100%" in capsys.readouterr().err) is wanted


def test_examples_are_those_of_the_records_that_all_adapters_have(
    asked, tmp_path, monkeypatch
) -> None:
    """Also those of the seed 0, which is no lack of one."""
    for kept in (77, 0):
        about: list[tuple[object, ...]] = []
        monkeypatch.setattr(
            evidence_module,
            "kept_eval_seed",
            lambda *a, about=about, kept=kept: about.append(a) or kept,
        )
        asked.clear()
        source = given(MIXED, "End_2")
        gather_evidence(lab.plan(CLAIM, 2, 4), source, tmp_path, progress=False)
        assert {eval_seed for *_, eval_seed, _ in asked} == {kept}
        adapters = [source.adapter(method, seed) for method in (MIXED, "End_2") for seed in (3, 5)]
        assert about == [(adapters, CLAIM, 4)]


def test_chance_is_asked_of_the_adapter_that_it_is_compared_with(asked, tmp_path) -> None:
    claim = replace(CLAIM, metric="agreement", contrast=Contrast(MIXED, "chance"))
    found = gather_evidence(lab.plan(claim, 2, 4), given(MIXED, "End_2"), tmp_path, progress=False)
    assert [(method, condition) for method, _, condition, *_ in asked] == [
        (MIXED, MIXED),
        (MIXED, "chance"),
    ] * 2
    assert found.effect.mean == pytest.approx(0.6)


def test_a_single_latent_is_not_shuffled(asked, tmp_path) -> None:
    """The treatment's latents count: those of the control stay as they are."""
    claim = replace(CLAIM, contrast=Contrast("Start_1", "End_2"))
    found = gather_evidence(lab.plan(claim, 1, 4), given("Start_1", "End_2"), tmp_path, False)
    assert [control.name for control in found.controls] == ["random", "filler"]


def test_a_condition_that_controls_share_is_asked_once(asked, tmp_path) -> None:
    """Of an intervention a control replaces the latents on both sides."""
    claim = replace(CLAIM, contrast=Contrast("drop(Comma)"), controls=("filler", "random"))
    gather_evidence(lab.plan(claim, 1, 4), given(MIXED), tmp_path, progress=False)
    assert [condition for _, _, condition, *_ in asked] == [
        "drop(Comma)",
        "none",
        "drop(Comma) within replace(latents, text:.)",
        "replace(latents, text:.)",
        "drop(Comma) within replace(latents, random)",
        "replace(latents, random)",
    ]
