"""The adapters that ship: whole, documented, and doing what their records say."""

import json
from pathlib import Path

import pytest

import latent_core as lc
from latent_core.adapters.adapter import read_adapter
from latent_core.errors import AdapterError
from latent_core.hypotheses.studies.forms import fitted, methods_of
from latent_core.runs.find import find_runs
from latent_core.runs.folder import read_run
from latent_core.runs.shipped import SHIPPED, ShippedAdapter
from latent_core.tasks import resolve_splits

ADAPTERS = [adapter for adapter in lc.shipped_adapters() if adapter.seed == 0]


def test_the_promised_runs_are_there() -> None:
    there: dict[tuple[str, str], dict[str, set[int]]] = {}
    for adapter in lc.shipped_adapters():
        methods = there.setdefault((adapter.backbone, adapter.task), {})
        methods.setdefault(adapter.method, set()).add(adapter.seed)
    for task in ("generation", "summation", "repetition"):
        trained = {m: s for m, s in there["tiny", task].items() if lc.Method.parse(m).trained}
        assert len(trained) >= 6 and set(map(len, trained.values())) == {10}


def test_one_budget_for_all_methods_of_a_task() -> None:
    budgets: dict[tuple[str, str], set[str]] = {}
    for adapter in lc.shipped_adapters():
        run = read_run(adapter.path)
        assert run["status"] == "finished"
        if lc.Method.parse(adapter.method).trained:
            settings, search = run["settings"], run["notes"].get("search")
            # a rate is the same for all, or found by the same search
            rule = settings["learning_rate"] if search is None else search["rule"]
            same = ("backbone_fingerprint", "steps", "batch_size", "gradient_accumulation")
            budget = json.dumps([rule, *(settings[name] for name in same)])
            budgets.setdefault((adapter.backbone, adapter.task), set()).add(budget)
    assert all(len(found) == 1 for found in budgets.values()), budgets


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: f"{a.backbone}-{a.task}-{a.method}")
def test_records_belong_to_the_adapter(adapter: ShippedAdapter) -> None:
    method = lc.Method.parse(adapter.method)
    if method.companion is not None:
        assert lc.load_model(adapter.path).method == adapter.method
    elif method.kind == "latents":
        config, tables = read_adapter(adapter.path)
        assert config.layout == str(method.layout)
        assert sum(table.shape[0] for table in tables.values()) == sum(
            method.layout.table_sizes.values()
        )
    records = lc.load_runs(adapter.path, records=True)
    task = lc.load_task(adapter.task)
    assert set(records["method"]) == {adapter.method}
    assert set(records["split"]) == set(resolve_splits(task, ["id", "ood"]))
    (examples,) = set(records.groupby("split").size())
    far = task.splits[-1]
    again = task.examples(far, examples, seed=1)
    mine = records[records["split"] == far].sort_values("example")
    if not method.shots:
        assert [e.prompt for e in again] == list(mine["prompt"])
    scores = [task.score(e, r) for e, r in zip(again, mine["response"], strict=True)]
    assert [s.graded for s in scores] == pytest.approx(list(mine["graded"]))


def test_an_adapter_that_does_not_ship(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"no adapter 'Nowhere_2' ships .*\. There are: .*End_2"):
        lc.shipped_adapter("Nowhere_2")
    with pytest.raises(AdapterError, match=r"did you mean 'Start_2'\? There are"):
        lc.shipped_adapter("Strat_2")


@pytest.mark.slow
def test_a_shipped_adapter_answers_as_its_records_say(smollm2_dir: Path) -> None:
    """In float32, as the records were made; other processors may round a rare tie otherwise."""
    folder = lc.shipped_adapter("Start_1+Comma_1")
    model = lc.LatentModel.from_pretrained(folder, dtype="float32")
    records = lc.load_runs(folder, records=True)
    kept = records[(records["split"] == "id") & (records["level"] <= 2)].head(10)
    answers = model.generate(list(kept["prompt"]), 24)
    wanted = [
        response[: len(answer)] for response, answer in zip(kept["response"], answers, strict=True)
    ]
    agreeing = sum(a.startswith(w) or w.startswith(a) for a, w in zip(answers, wanted, strict=True))
    assert agreeing >= 9


@pytest.mark.slow
def test_every_study_can_be_asked_of_what_ships(smollm2_dir: Path) -> None:
    """In some form, and all of its parts."""
    backbone = lc.load_backbone("smollm2-135m")
    methods = methods_of(find_runs(SHIPPED / "smollm2-135m"))
    for study in lc.STUDIES:
        if study.key == "computed":  # no runs with computed latents ship
            continue
        fit = fitted(study, methods, backbone)
        assert fit.parts == len(fit.study.parts), (study.key, fit.study.key, fit.parts)
