"""The adapters that ship: whole, documented, and doing what their records say."""

import json
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from latent_core.adapter import read_adapter
from latent_core.errors import AdapterError

METHODS = {"Start_2", "End_2", "Comma_2", "Start_1+Comma_1"}


def test_the_promised_adapters_are_there_with_one_budget_for_all() -> None:
    adapters = [a for a in lc.shipped_adapters() if a[:2] == ("smollm2-135m", "repetition")]
    assert {a.method for a in adapters} == METHODS
    runs = [json.loads((adapter.path / "run.json").read_text()) for adapter in adapters]
    assert {run["status"] for run in runs} == {"finished"}
    same = ("task", "backbone_fingerprint", "steps", "batch_size", "gradient_accumulation", "seed")
    budgets = [[run["settings"][name] for name in same] for run in runs]
    assert all(budget == budgets[0] for budget in budgets)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_records_belong_to_the_adapter(method: str) -> None:
    folder = lc.shipped_adapter(method)
    config, tables = read_adapter(folder)
    assert config.layout == method
    assert sum(table.shape[0] for table in tables.values()) == 2
    records = pd.read_parquet(folder / "records.parquet")
    assert set(records["method"]) == {method}
    assert records.groupby("split").size().to_dict() == dict.fromkeys(
        ("id", "ood-6", "ood-8", "ood-10", "ood-15"), 100
    )
    task = lc.load_task("repetition")
    again = task.examples("ood-10", 100, seed=1)
    mine = records[records["split"] == "ood-10"].sort_values("example")
    assert [e.prompt for e in again] == list(mine["prompt"])
    scores = [task.score(e, r) for e, r in zip(again, mine["response"], strict=True)]
    assert [s.graded for s in scores] == pytest.approx(list(mine["graded"]))


def test_an_adapter_that_does_not_ship(tmp_path: Path) -> None:
    with pytest.raises(
        AdapterError, match=r"no adapter ships for .* Nowhere_2, seed 0; there are: smollm2"
    ):
        lc.shipped_adapter("Nowhere_2")


@pytest.mark.slow
def test_a_shipped_adapter_answers_as_its_records_say(smollm2_dir: Path) -> None:
    """In float32, as the records were made; other processors may round a rare tie otherwise."""
    folder = lc.shipped_adapter("Start_1+Comma_1")
    model = lc.LatentModel.from_pretrained(folder, dtype="float32")
    records = pd.read_parquet(folder / "records.parquet")
    kept = records[(records["split"] == "id") & (records["level"] <= 2)].head(10)
    answers = model.generate(list(kept["prompt"]), 24)
    wanted = [
        response[: len(answer)] for response, answer in zip(kept["response"], answers, strict=True)
    ]
    agreeing = sum(a.startswith(w) or w.startswith(a) for a, w in zip(answers, wanted, strict=True))
    assert agreeing >= 9
