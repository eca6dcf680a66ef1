"""The built-in studies: they stand, in words and in a form for runs; a task's demand decides.

The prose of a task decides nothing of its claims.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.hypotheses.studies.claims import paper
from latent_core.hypotheses.studies.computed import computed
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


@pytest.mark.parametrize(
    ("demand", "treatment"),
    [
        ("retrieval", "Comma_2 under drop(Comma)"),
        ("instruction", "Comma_2 under drop(Comma, after=6)"),
        ("self-prompting", "Comma_2 under drop(Comma, after=6)"),
    ],
)
def test_the_demand_of_a_task_chooses_the_interventions(
    tmp_path: Path, demand: str, treatment: str
) -> None:
    path = tmp_path / "H2 retrieval.jsonl"  # a name that would mislead whoever reads prose
    lines = [
        {"prompt": f"{split}\n", "answer": "1,2", "split": split, "demand": demand}
        for split in ("train", "id", "ood-9", "ood-12")
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    parts = paper(str(path), "Comma_2")
    assert parts["dropping them breaks it"].contrast.treatment == treatment
    other_prompt = "prompt=" in parts["their states carry it"].contrast.treatment
    assert other_prompt == (demand == "retrieval")


def test_computed_latents_are_held_against_learned_ones_and_changed_in_place() -> None:
    parts = computed("hops", "Start_1+End_4=hidden & lora-r8")
    contrasts = {name: part.contrast for name, part in parts.items()}
    gain = contrasts.pop("gain over learned")
    assert parts["follows the edit"].metric == "follows"
    assert contrasts.pop("follows the edit") == gain
    assert gain.treatment == "Start_1+End_4=hidden & lora-r8"
    assert gain.control == "Start_1+End_4 & lora-r8"
    enough = contrasts.pop("they are enough")
    assert parts["they are enough"].direction == "greater"
    assert enough.treatment == f"{gain.treatment} under knock_out(End -> prompt)"
    assert enough.control == f"{enough.treatment} & replace(End, data:hops)"
    assert {contrast.treatment.partition(" under ")[2] for contrast in contrasts.values()} == {
        "drop(End)",
        "replace(End, data:hops)",
        "replace(End, random)",
        "freeze(End, 1)",
    }
    assert {contrast.control for contrast in contrasts.values()} == {gain.treatment}
    assert "the chain goes on" not in computed("reach", "Comma_1=mix")
    with pytest.raises(SettingError, match="about computed latents, and End_2 has none"):
        computed("hops", "End_2")


def test_runs_of_other_methods_do_not_stand_for_computed_ones() -> None:
    study = load_study("computed")
    have = {"hops": {"End_4", "lora-r4", "End_4=hidden(proj=8)"}}
    assert fitted(study, {"hops": {"lora-r4", "End_4"}}, "tiny").parts == 0
    fit = fitted(study, have, "tiny")
    assert fit.study is study and fit.parts == 7


@pytest.mark.parametrize("ending", ["; init=task", " & lora-r2", "; init=task & lora-r2"])
@pytest.mark.parametrize("key", ["H1", "computation", "specialisation", "positions", "carry"])
def test_a_layout_may_say_its_start_and_what_trains_beside_it(key: str, ending: str) -> None:
    """Both sides have what the study does not ask about, except dots, which nothing trains."""
    layout = f"Start_2+Comma_2{ending}"
    for part in load_study(key, layout).parts.values():
        for condition in part.contrast.conditions:
            dots = condition.method.startswith("filler(")
            assert dots or ending.removeprefix("; ") in condition.method
            assert not dots or "lora" not in ending


def test_the_verbal_token_predicts_in_a_layout_alone() -> None:
    with pytest.raises(SettingError, match="has more than a layout; expected a layout alone"):
        load_study("prediction", "End_2; init=task")


def test_groups_that_share_a_table_cannot_be_held_against_themselves() -> None:
    with pytest.raises(SettingError, match="expected two conditions that differ"):
        load_study("specialisation", "Start_2+Comma_2; tied")
