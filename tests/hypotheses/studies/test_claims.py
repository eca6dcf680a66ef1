"""The claims of the built-in studies: a task's demand decides, its prose does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latent_core.hypotheses.studies.claims import paper


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
