"""The hypothesis lab finds what was planted, rejects what only looks so, and keeps a journal."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

import latent_core as lc
from latent_core.cli import main
from latent_core.cli.hypotheses import _target
from latent_core.errors import LatentError, LayoutError, SettingError, TaskError
from latent_core.hypotheses import STUDIES, Contrast, Hypothesis, Journal, find_out, load_study
from latent_core.hypotheses.report.figures import ticks
from latent_core.hypotheses.sources import Given, Subject
from latent_core.hypotheses.studies.forms import fitted
from latent_core.hypotheses.studies.study import Study, StudyVerdict
from latent_core.hypotheses.verdict import judge
from latent_core.progress import Progress, listening
from tests.copying import copying_backbone, copying_model
from tests.evaluation.test_interventions import Letters

CUT = "knock_out(response -> Comma)"
MIXED = "Start_1+Comma_1"


@pytest.fixture
def commas() -> Hypothesis:
    """True of the copying model: without its comma latent it says one letter of four."""
    return Hypothesis(
        claim="the comma latent holds the letter",
        task=Letters(),
        split="ood",
        contrast=Contrast(CUT),
        direction="less",
        smallest_effect=0.2,
        controls=("random", "filler"),
    )


@pytest.fixture
def gain() -> Hypothesis:
    return Hypothesis(
        claim="latents at commas help",
        task="repetition",
        contrast=Contrast(MIXED, "Start_2"),
        direction="greater",
        smallest_effect=0.1,
    )


def records(method: str, shift, splits=("ood-6", "ood-8", "ood-10", "ood-15"), **other):
    """Made-up records: 5 seeds of 20 examples a split, in which `method` scores 0.4 + shift."""
    rng = np.random.default_rng(len(method))
    rows = [
        (seed, split, example, f"{split}-{example}", 0.4 + 0.05 * rng.normal())
        for seed in range(5)
        for split in splits
        for example in range(20)
    ]
    frame = pd.DataFrame(rows, columns=["seed", "split", "example", "key", "graded"])
    frame["graded"] += shift
    return frame.assign(task="repetition", backbone="tiny", method=method, **other)


def test_of(hypothesis: Hypothesis, table: pd.DataFrame, folder):
    return hypothesis.test(table, hypothesis.plan(5, 20, measure=False), folder)


test_of.__test__ = False  # type: ignore[attr-defined]


# --- what was planted -----------------------------------------------------------------------------


def test_a_planted_effect_is_found_and_its_controls_have_lost_it(commas, tmp_path) -> None:
    plan = commas.plan(seeds=2, examples=30, measure=False)
    verdict = commas.test([copying_model(), copying_model()], plan, tmp_path, progress=False)
    assert (verdict.outcome, verdict.strongly) == ("supported", True)
    assert verdict.effect.mean == -0.75 and verdict.effect.records == 60
    assert {c.name: c.effect.mean for c in verdict.finding.controls} == {"random": 0, "filler": 0}
    assert "STRONGLY SUPPORTED" in verdict.summary()
    assert set(verdict.frame["treatment"]) == {0.25} and set(verdict.frame["control"]) == {1.0}


def test_a_claim_whose_control_shows_the_same_effect_is_rejected(commas, tmp_path) -> None:
    """Shuffled, the latents still hold the letter: that each has its own place is no part of it."""
    shuffled = replace(commas, controls=("shuffled",))
    plan = shuffled.plan(seeds=1, examples=40, measure=False)
    verdict = shuffled.test(copying_model(), plan, tmp_path, progress=False)
    assert verdict.effect.mean == -0.75
    assert verdict.outcome == "refuted"
    assert "the control shuffled shows the same effect" in verdict.reason
    assert "about this adapter only" in verdict.reason


@pytest.mark.parametrize(
    ("shift", "filler", "title"),
    [
        (0.30, 0.0, "STRONGLY SUPPORTED"),
        (0.30, 0.3, "REFUTED"),
        (0.02, 0.0, "REFUTED"),
        (-0.3, 0.0, "REFUTED"),
        (0.10, 0.0, "INCONCLUSIVE"),
    ],
)
def test_verdicts_on_given_records(gain, tmp_path, shift, filler, title) -> None:
    disagreeing = 0.3 * np.array([-1, -1, 0, 1, 1]) * (title == "INCONCLUSIVE")
    shift = np.repeat(disagreeing, 80) + shift
    sides = [records(MIXED, shift), records("Start_2", 0), records(f"filler({MIXED})", filler)]
    verdict = test_of(gain, pd.concat(sides), tmp_path)
    assert verdict.title == title
    assert set(verdict.finding.not_run) == {"random", "shuffled"}
    assert (verdict.settle != "") == (title == "INCONCLUSIVE")


def test_an_effect_that_cannot_show_is_not_refuted(gain, tmp_path) -> None:
    sides = [records(MIXED, 0.58), records("Start_2", 0.56)]
    verdict = test_of(gain, pd.concat(sides), tmp_path)
    assert verdict.outcome == "inconclusive" and "too high for an effect" in verdict.reason


def test_worse_than_a_control_that_leaves_no_room_is_refuted(gain, tmp_path) -> None:
    verdict = test_of(gain, pd.concat([records(MIXED, 0.0), records("Start_2", 0.56)]), tmp_path)
    assert verdict.outcome == "refuted" and verdict.effect.high < 0
    assert "on the other side of zero" in verdict.reason


def test_an_intervention_that_meets_no_latent_refutes_nothing(commas, tmp_path) -> None:
    """Nothing changes, in however many examples: there is no fifth latent to be dropped."""
    idle = replace(commas, contrast=Contrast("drop(Comma, after=4)"), controls=())
    plan = idle.plan(seeds=2, examples=200, measure=False)
    verdict = idle.test([copying_model(), copying_model()], plan, tmp_path, progress=False)
    assert verdict.effect.mean == 0 and verdict.effect.low > -idle.smallest_effect
    assert verdict.outcome == "inconclusive" and "nothing was tried" in verdict.reason


def test_an_effect_like_that_of_a_control_says_what_would_tell_them_apart(gain, tmp_path) -> None:
    luck = np.repeat([-0.3, -0.1, 0.0, 0.1, 0.3], 80)
    sides = [
        records(MIXED, 0.3 + luck),
        records("Start_2", luck),
        records(f"filler({MIXED})", 0.15),
    ]
    verdict = test_of(gain, pd.concat(sides), tmp_path)
    assert verdict.effect.low > 0 and verdict.outcome == "inconclusive"
    assert "cannot be told from that of the control filler" in verdict.reason
    assert "seeds with 20 examples" in verdict.settle


def test_an_interaction_is_the_difference_of_two_gains(gain, tmp_path) -> None:
    grows = replace(gain, contrast=Contrast(MIXED, "Start_2", minus_split="id"), controls=())
    id_only = ("id",)
    sides = [records(MIXED, 0.4), records("Start_2", 0.0)]
    sides += [records(MIXED, 0.1, id_only), records("Start_2", 0.0, id_only)]
    verdict = test_of(grows, pd.concat(sides), tmp_path)
    assert verdict.effect.mean == pytest.approx(0.3, abs=0.02) and verdict.outcome == "supported"


def test_attention_goes_with_effect_where_it_should(commas, tmp_path) -> None:
    """Only one head of one layer acts, and it looks at Comma: the two rank cells alike."""
    looked = replace(
        commas, metric="agreement", contrast=Contrast("none", "chance"), direction="greater"
    )
    plan = looked.plan(seeds=1, examples=4, measure=False)
    verdict = looked.test(copying_model(), plan, tmp_path, progress=False)
    assert 0.2 < verdict.effect.mean <= 1
    assert not verdict.finding.controls


# --- running --------------------------------------------------------------------------------------


def test_a_stopped_test_goes_on_where_it_was(commas, tmp_path) -> None:
    plan = commas.plan(seeds=2, examples=3, measure=False)
    models = [copying_model(), copying_model("b")]

    def stop(progress: Progress | None) -> None:
        if progress is not None and progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        find_out(plan, models, tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    assert len(kept) == 3
    verdict = commas.test(models, plan, tmp_path, progress=False)
    assert verdict.finding.seeds == (0, 1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((tmp_path / "records").iterdir())) > 3


def test_adapters_are_trained_once_and_kept(commas, tmp_path) -> None:
    latents = replace(
        commas, contrast=Contrast("Comma_1", "filler(Comma_1)"), controls=(), direction="greater"
    )
    plan = latents.plan(seeds=2, examples=3, measure=False)
    run = partial(latents.test, plan=plan, folder=tmp_path, training={"steps": 1}, progress=False)
    backbone = copying_backbone()
    verdict = run(backbone)
    assert verdict.effect.seeds == 2
    adapters = {p: p.stat().st_mtime_ns for p in tmp_path.glob("adapters/*/*/*/adapter_model*")}
    assert len(adapters) == 2
    run(backbone)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("adapters/*/*/*/adapter_model*")} == (
        adapters
    )


def test_a_matched_control_is_found_for_the_backbone(commas) -> None:
    matched = Contrast("Comma_2", "matched(Comma_2, parameters, end)")
    found = replace(commas, contrast=matched).resolved(copying_backbone())
    assert found.contrast == Contrast("Comma_2", "End_2")


def test_the_plan_says_what_it_takes(commas) -> None:
    plan = commas.plan(seeds=5, examples=100, target=copying_model())
    assert plan.seconds is not None and plan.seconds > 0
    assert f"{CUT} within replace(latents, random)" in "\n".join(plan.steps)
    assert "assumed, not measured" in plan.summary()
    assert commas.plan(10, 100, measure=False).power > plan.power
    assert commas.plan(5, 100, effect=0.8, measure=False).power > plan.power
    assert commas.plan(5, 100, tests=8, measure=False).power < plan.power


# --- the journal ----------------------------------------------------------------------------------


def test_the_journal_counts_the_family_and_shows_earlier_looks(gain, tmp_path) -> None:
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    first = test_of(gain, table, tmp_path)
    assert (first.tests, first.history) == (1, "")
    again = test_of(gain, table, tmp_path)
    assert again.tests == 1, "the same test on the same records is no further test"
    assert again.history.endswith("once more, on the same records")
    softer = replace(gain, smallest_effect=0.05)
    table = pd.concat([records(MIXED, 0.31), records("Start_2", 0.0)])
    third = test_of(softer, table, tmp_path)
    assert third.tests == 2 and third.p_holm == pytest.approx(2 * third.effect.p)
    assert "tested 1 time before the plan was written" in third.history
    assert "direction or smallest effect was another then" in third.history
    entries = Journal(tmp_path).entries()
    assert [entry["kind"] for entry in entries if entry["kind"] == "test"] == ["test"] * 3
    assert entries[-1]["outcome"]["outcome"] == "supported"
    assert entries[-1]["training_seeds"] == [0, 1, 2, 3, 4] and "torch" in entries[-1]["versions"]


def test_a_plan_that_was_stopped_is_still_the_plan(commas, tmp_path) -> None:
    """The same plan made again is no look at the records; made after the test, it is."""
    models = [copying_model(), copying_model("b")]

    def test(stopped: bool = False):
        def stop(progress: Progress | None) -> None:
            if stopped and progress is not None and progress.done == 3:
                raise KeyboardInterrupt

        with listening(stop):
            return commas.test(models, commas.plan(2, 3, measure=False), tmp_path)

    with pytest.raises(KeyboardInterrupt):
        test(stopped=True)
    assert test().history == ""
    assert [entry["kind"] for entry in Journal(tmp_path).entries()] == ["plan", "test"]
    assert test().history.endswith("once more, on the same records")
    softer = replace(commas, smallest_effect=0.05)
    looked = softer.test(models, softer.plan(2, 3, measure=False), tmp_path)
    assert "records it rests on were made before the plan" in looked.history


def test_an_edited_journal_is_noticed(gain, tmp_path) -> None:
    test_of(gain, pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)]), tmp_path)
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text().replace("0.1", "0.2", 1))
    with pytest.raises(LatentError, match=r"line 2: this line or one before it was changed"):
        Journal(tmp_path).entries()


# --- studies, report, command line ----------------------------------------------------------------


def test_the_built_in_studies_stand() -> None:
    keys = [study.key for study in STUDIES]
    assert keys[:3] == ["H1", "H2", "H3"] and len(set(keys)) == len(keys) == 10
    for study in STUDIES:
        assert all(h.family == study.key for h in study.hypotheses.values())
        assert len(study.explanation) > 40 and study.prediction.startswith("If so")


def test_a_study_is_one_family_and_says_what_it_could_not_run(tmp_path) -> None:
    split = load_study("h3").parts["gain over End"].split
    table = pd.concat([records(MIXED, 0.3, (split, "id")), records("Start_2", 0.0, (split, "id"))])
    study = load_study("H3")
    verdict = study.test(table, study.plan(5, 20, measure=False), tmp_path)
    assert set(verdict.parts) == {"gain over Start", "gain grows out of distribution"}
    assert "no records of 'End_2'" in verdict.not_run["gain over End"]
    assert all(part.tests == 2 for part in verdict.parts.values())
    assert verdict.outcome in ("refuted", "inconclusive")
    assert "5 not run" in verdict.reason
    page = verdict.report(tmp_path / "deep" / "report.html").read_text()
    assert page.count("<svg") >= 4 and "gain grows out of distribution" in page
    assert not re.search(r"<script|src=|https?://|url\(", page)


def test_a_report_shows_text_as_text(gain, tmp_path) -> None:
    hostile = replace(gain, claim="</style><script>alert(1)</script>")
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    page = test_of(hostile, table, tmp_path).report(tmp_path / "r.html").read_text()
    assert "<script" not in page and page.count("</style>") == 1


def test_one_refuted_part_of_many_is_not_yet_a_refuted_study(gain, tmp_path) -> None:
    """Of seven true claims one falls short by accident in 16 % of studies."""
    study = load_study("H3")
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    found = test_of(gain, table, tmp_path).finding

    def of(p_short: float) -> StudyVerdict:
        short = replace(found.effect, low=0.0, high=0.09)
        part = judge(replace(found, p_short=p_short, effect=short), 0.01)
        others = {str(number): judge(replace(found, p_short=1.0), 0.01) for number in range(6)}
        assert part.outcome == "refuted"
        return StudyVerdict(study, {"short": part, **others}, {})

    assert of(0.04).outcome == "inconclusive" and of(0.005).outcome == "refuted"
    assert "falls with short (p 0.035 after Holm)" in of(0.005).reason
    assert "may be an accident: short (p 0.28 after Holm)" in of(0.04).reason
    assert list(of(0.04).table()["p_refuting"].dropna()) == [pytest.approx(0.28)]


def test_p_short_agrees_with_the_interval(gain, tmp_path) -> None:
    """The whole interval falls short where its one-sided p-value is below 2.5 %."""
    for shift in (0.0, 0.06, 0.08, 0.1):
        luck = np.repeat([-0.04, -0.02, 0.0, 0.02, 0.04], 80)
        table = pd.concat([records(MIXED, shift + luck), records("Start_2", 0.0)])
        verdict = test_of(gain, table, tmp_path)
        assert (verdict.finding.p_short < 0.05) == (verdict.effect.high < 0.1), shift


def test_axis_ticks_are_round_and_span() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-0.03, 0.21) == [-0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25]
    assert ticks(0.0, 0.0)[-1] > 0


def test_the_command_line_lists_and_explains(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for arguments in (["hypotheses"], ["hypotheses", "H2"]):
        monkeypatch.setattr("sys.argv", ["latent", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "specialisation" in shown and "their states carry it" in shown


def test_the_command_line_runs_a_test(capsys, monkeypatch, tmp_path) -> None:
    size = ["--seeds", "1", "--examples", "2", "--steps", "1"]
    arguments = ["latent", "test", "prediction", *size, "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "trained     End_2, End_2@verbal, unless kept (steps 1," in shown
    assert "supports" in shown and "of 1 parts, 1 inconclusive" in shown
    assert (tmp_path / "prediction.html").is_file()
    assert json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["kind"] == "plan"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"metric": "bleu"}, SettingError, "'repetition' has no metric 'bleu'; expected graded"),
        ({"smallest_effect": -0.1}, SettingError, "expected a size above 0"),
        ({"direction": "up"}, SettingError, "direction is 'up'"),
        ({"split": "ood-7"}, TaskError, "no split 'ood-7'"),
        ({"claim": " "}, SettingError, "the claim is empty"),
        ({"controls": ("noise",)}, SettingError, "no control noise"),
        ({"contrast": ("Start_2", "chance")}, SettingError, "what metric agreement is compared"),
        ({"contrast": ("Start_2", "End_2", "ood-8")}, SettingError, "no example in common"),
        ({"contrast": ("drop(Comma)", "drop(Comma)")}, SettingError, "expected two conditions"),
        ({"contrast": ("lora-r0", "Start_2")}, LayoutError, "the size is '0' at column 7"),
        ({"contrast": ("matched(Start_2, luck)", "End_2")}, SettingError, "cannot match by 'luck'"),
    ],
)
def test_a_hypothesis_that_makes_no_sense_is_refused(gain, change, error, says) -> None:
    with pytest.raises(error, match=re.escape(says)):
        changed = {k: Contrast(*v) if k == "contrast" else v for k, v in change.items()}
        replace(gain, **changed)


def test_records_that_do_not_pair_are_refused(gain, tmp_path) -> None:
    ours, theirs = records(MIXED, 0.3), records("Start_2", 0.0)
    other_seed = theirs.assign(seed=theirs["seed"] + 1)
    other_examples = theirs.assign(key=theirs["key"] + "'")
    for control, says in (
        (other_seed, "treatment has seeds"),
        (other_examples, "400 of 400 examples were not answered by both"),
        (theirs[theirs["example"] < 19], "20 of 400 examples were not"),
        (theirs.assign(backbone="other"), "expected one backbone"),
        (theirs.assign(task="summation"), "are of task 'summation'; expected 'repetition'"),
        (theirs.drop(columns="graded").assign(exact=True), "have no graded"),
        (pd.concat([theirs, theirs]), "hold an example of one seed twice"),
        (theirs.iloc[:0], "no records of 'Start_2'"),
    ):
        with pytest.raises(SettingError, match=re.escape(says)):
            test_of(gain, pd.concat([ours, control]), tmp_path)


def test_a_plan_that_the_target_cannot_fill_is_refused(commas, gain, tmp_path) -> None:
    with pytest.raises(SettingError, match=r"plan needs 2 training seeds, and .* have 1 in common"):
        commas.test(copying_model(), commas.plan(2, 5, measure=False), tmp_path)
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    with pytest.raises(SettingError, match="needs 6 training seeds, and the records have 5"):
        gain.test(table, gain.plan(6, 20, measure=False), tmp_path)
    with pytest.raises(SettingError, match="needs 30 examples per seed and split"):
        gain.test(table, gain.plan(5, 30, measure=False), tmp_path)
    with pytest.raises(SettingError, match="the plan is for another hypothesis"):
        gain.test(table, commas.plan(5, 20, measure=False), tmp_path)
    with pytest.raises(SettingError, match="below the smallest that would matter"):
        gain.plan(5, 20, effect=0.01, measure=False)
    with pytest.raises(SettingError, match=r"no adapter of method .* there are Start_1\+Comma_2"):
        gain.test(copying_model(), gain.plan(1, 5, measure=False), tmp_path)
    with pytest.raises(SettingError, match="the contrast names no method"):
        commas.test(copying_backbone(), commas.plan(1, 5, measure=False), tmp_path)


def test_the_command_line_takes_what_ships_or_says_what_is_missing() -> None:
    study, source, why = _target("reach", "", "smollm2-135m", None, False)
    assert study.key == "reach-repetition" and "nothing is trained" in why
    assert source.subject("Start_1+Comma_1", 0).folder is not None
    with pytest.raises(SettingError, match=r"ship for smollm2-360m: no part of H3 can .*--tr"):
        _target("H3", "", "smollm2-360m", None, False)
    with pytest.raises(SettingError, match="no hypothesis 'H9'; expected one of H1, H2"):
        _target("H9", "", "tiny", None, True)
    study, source, why = _target("H3", "", "tiny", None, False)  # --shipped
    assert study.layout == "Start_4+Comma_2" and source.seeds([study.layout], 10)


# --- studies of other layouts ---------------------------------------------------------------------


def test_a_study_can_be_asked_of_another_layout() -> None:
    tiny = lc.load_backbone("tiny")
    study = load_study("H1", "Start_2+Comma_3")
    parts = {name: part.resolved(tiny).contrast for name, part in study.parts.items()}
    assert set(parts) == set(load_study("H1").parts)
    assert (parts["gain over Start"].treatment, parts["gain over Start"].control) == (
        "Start_2+Comma_3",
        "Start_5",
    )
    assert "Start_4" not in "".join(map(str, parts.values()))
    assert study.hypotheses["gain over End"].family == "H1"
    with pytest.raises(SettingError, match="H1 asks about latents, and 'zero-shot' has none"):
        load_study("H1", "zero-shot")
    with pytest.raises(SettingError, match="asks about its own parts only"):
        Study("own", "?", "claim", "prediction", "words", study.parts).about("Start_2")


def test_a_study_takes_the_form_that_most_of_the_runs_can_answer() -> None:
    tiny = lc.load_backbone("tiny")
    h1 = load_study("H1")
    assert fitted(h1, {"repetition": {"Start_2"}}, tiny) == (h1, 0)
    # "Start_2" is both the control of the same size and none of the same computation
    have = {"Start_1+Comma_1", "Start_1+Comma_1; tied", "Start_2", "Start_2+Comma_2"}
    fit = fitted(h1, {"generation": have}, tiny)
    assert (fit.study.layout, fit.parts) == ("Start_1+Comma_1", 5)
    both = {"generation": {"Start_4+Comma_4"}, "repetition": {"Start_1+Comma_1", "Start_1+8_1"}}
    fit = fitted(load_study("placement"), both, tiny)
    assert (fit.study.key, fit.parts) == ("placement-repetition", 2)
    both["generation"] |= {"Start_4+8_4"}  # of equals, the study as it is
    assert fitted(load_study("placement"), both, tiny).study is load_study("placement")


def test_given_runs_need_none_of_what_is_not_trained(tmp_path) -> None:
    model = lc.build_model("tiny", "Start_1+Comma_1", 0)
    study = load_study("computation-repetition")
    verdict = study.test([model], study.plan(1, 2, target=[model], measure=False), tmp_path)
    assert "against filler" in verdict.parts
    assert "no adapter of method 'Start_" in verdict.not_run["against as many latents at the start"]


def test_runs_of_different_versions_are_refused() -> None:
    def run(seed: int, torch: str) -> Subject:
        return Subject("Start_2", seed, copying_model, None, (("torch", torch),))

    Given([run(0, "2.13.0"), run(1, "2.13.0")])
    also = Subject("Start_2", 2, copying_model, None, (("torch", "2.13.0"), ("numpy", "2.4.0")))
    Given([run(0, "2.13.0"), also])  # what one of them did not note is no difference
    with pytest.raises(SettingError, match=r"made by different versions \(torch 2.12.0; torch 2"):
        Given([run(0, "2.13.0"), run(1, "2.12.0")])
    with pytest.raises(SettingError, match="two adapters of Start_2, seed 0"):
        Given([run(0, "2.13.0"), run(0, "2.13.0")])


def test_it_is_all_there_by_its_public_name() -> None:
    assert lc.Hypothesis is Hypothesis and lc.Contrast is Contrast
