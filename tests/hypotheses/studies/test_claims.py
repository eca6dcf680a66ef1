"""The claims of the built-in studies: a task's demand decides, its prose does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latent_core.errors import SettingError
from latent_core.hypotheses.studies.claims import paper
from latent_core.hypotheses.studies.computed import computed
from latent_core.hypotheses.studies.forms import fitted
from latent_core.hypotheses.studies.table import load_study


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
