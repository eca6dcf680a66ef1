"""The built-in studies stand, in words and in the form that most of the runs can answer."""

import subprocess
import sys

import pytest

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.hypotheses.studies.forms import fitted
from latent_core.hypotheses.studies.outlines import OUTLINES, other_keys
from latent_core.hypotheses.studies.table import STUDIES, load_study
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.targets import resolved


def test_the_built_in_studies_stand() -> None:
    keys = [study.key for study in STUDIES]
    assert keys[:3] == ["H1", "H2", "H3"] and len(set(keys)) == len(keys) == 12
    for study in STUDIES:
        assert all(h.family == study.key for h in study.hypotheses.values())
        assert len(study.explanation) > 40 and study.prediction.startswith("If so")


def test_a_study_can_be_asked_of_another_layout() -> None:
    tiny = lc.load_backbone("tiny")
    study = load_study("H1", "Start_2+Comma_3")
    parts = {name: resolved(part, tiny).contrast for name, part in study.parts.items()}
    assert set(parts) == set(load_study("H1").parts)
    assert (parts["gain over Start"].treatment, parts["gain over Start"].control) == (
        "Start_2+Comma_3",
        "Start_5",
    )
    assert "Start_4" not in "".join(map(str, parts.values()))
    assert study.hypotheses["gain over End"].family == "H1"
    with pytest.raises(SettingError, match="H1 is about latents, and 'zero-shot' has none"):
        load_study("H1", "zero-shot")
    with pytest.raises(SettingError, match="its layout and task cannot be changed"):
        Study("own", "?", "claim", "prediction", "words", study.parts).about("Start_2")


def test_an_outline_says_what_its_study_is() -> None:
    for outline, study in zip(OUTLINES, STUDIES, strict=True):
        assert outline[:5] == (
            *(study.key, study.title, study.claim, study.prediction, study.explanation),
        )
        assert outline.size == len(study.parts)
    on_others = [s.key_on(task) for s in STUDIES for task in list(s.layouts)[1:]]
    assert other_keys() == on_others


def test_the_list_of_studies_needs_no_torch() -> None:
    code = (
        "import sys, resource\n"
        "from latent_core.cli import main\n"
        "sys.argv = ['latent', 'hypotheses']\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "H1" in done.stdout and "reach" in done.stdout
    assert float(done.stderr.split()[-1]) < 3, "seconds of processor time; 0.8 on an idle machine"


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
