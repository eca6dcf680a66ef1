"""Grids: what a file asks for, what a run of it leaves, and that nothing is done twice."""

import errno
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

import latent_core as lc
from latent_core.cli import app
from latent_core.errors import LatentError, LayoutError, SettingError, TaskError
from latent_core.grids import (
    Grid,
    LocalEngine,
    Outcome,
    RayEngine,
    TimeLeft,
    default_workers,
    do_run,
    estimate_grid,
    plan_grid,
    read_grid,
    run_grid,
    state_of,
)
from latent_core.grids import estimate as estimate_module
from latent_core.grids import work as work_module
from latent_core.grids.local import death
from latent_core.grids.search import settled
from latent_core.grids.work import give_up
from latent_core.runs import folder as runs

WORDS = {
    "backbones": ["tiny"],
    "tasks": ["repetition"],
    "methods": ["zero-shot", "Start_2", "End_1"],
    "seeds": 2,
    "training": {"steps": 2, "batch_size": 2},
    "evaluation": {"splits": ["id", "ood-6"], "examples": 2},
}
FEWER = {"evaluation": {"splits": ["id"], "examples": 1}}
SEARCH = {"learning_rates": [0.01, 0.1], "share": 0.5, "examples": 2}


class Here:
    """An engine in this process."""

    def __init__(self, retry_failed: bool = False) -> None:
        self.retry_failed = retry_failed

    def outcomes(self, specs, root):
        for spec in specs:
            yield do_run(spec, root, self.retry_failed)


def grid(**changes) -> Grid:
    return Grid(**{**WORDS, **changes})


def done(outcomes: list[Outcome]) -> list[tuple[str, int, str]]:
    return [(o.spec.method, o.spec.seed, o.status) for o in outcomes]


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in root.rglob("*") if p.is_file()}


# ---- what a file asks for ----


def written(tmp_path: Path, body: object) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(body if isinstance(body, str) else yaml.safe_dump(body))
    return path


def test_a_file_is_a_grid(tmp_path: Path) -> None:
    specs = read_grid(written(tmp_path, WORDS)).specs()
    assert [(s.method, s.seed) for s in specs] == [
        *(("zero-shot", 0), ("Start_2", 0), ("End_1", 0), ("Start_2", 1), ("End_1", 1)),
    ]
    assert specs == grid().specs()
    assert len({spec.folder for spec in specs}) == 5
    assert specs[1].folder.startswith("repetition/tiny/Start_2/seed-0-")
    assert specs[0].training is None and specs[1].training.steps == 2


def test_every_combination_of_training_settings_is_tried() -> None:
    asked = grid(training={"steps": [2, 3], "learning_rate": [0.01, 0.1]}, methods=["Start_2"])
    tried = [(s.training.steps, s.training.learning_rate, s.seed) for s in asked.specs()]
    assert len(tried) == len(set(tried)) == 8


def test_a_task_may_have_settings_of_its_own() -> None:
    own = {"training": {"steps": 9}, "evaluation": {"examples": 5}, "methods": ["Start_7"]}
    both = {"tasks": ["repetition", "summation"], "per_task": {"summation": own}}
    specs = grid(**both, evaluation={}).specs()
    found = {(s.task, s.training.steps, s.evaluation.examples) for s in specs if s.training}
    assert found == {("repetition", 2, 200), ("summation", 9, 5)}
    assert {s.task for s in specs if s.method == "Start_7"} == {"summation"}
    assert {s.task for s in specs if s.method == "End_1"} == {"repetition", "summation"}


def test_a_folder_is_fixed_by_what_makes_the_run() -> None:
    (spec,) = grid(methods=["Start_2"], seeds=[3]).specs()
    for changes in (
        {"training": {"steps": 3, "batch_size": 2}},
        {"seeds": [4]},
        {"search": SEARCH},
        {"dtype": "float32"},
    ):
        (other,) = grid(**{"methods": ["Start_2"], "seeds": [3], **changes}).specs()
        assert other.folder != spec.folder
    (asked_more,) = grid(methods=["Start_2"], seeds=[3], evaluation={"examples": 9}).specs()
    assert asked_more.folder == spec.folder
    odd = grid(methods=["Before[,|/]_1", "Before[,|:]_1"], seeds=1).specs()
    assert len({s.folder for s in odd}) == 2 and all(s.folder.count("/") == 3 for s in odd)


def test_a_task_file_is_found_beside_the_grid_and_known_by_its_content(tmp_path: Path) -> None:
    lines = [f'{{"prompt": "{a}+1=", "answer": "{a + 1}"}}\n' for a in range(10, 60)]
    (tmp_path / "mine.jsonl").write_text("".join(lines))
    body = WORDS | {"tasks": ["mine.jsonl"], "evaluation": {"splits": ["id"]}}
    before = read_grid(written(tmp_path, body)).specs()[0].folder
    assert before.startswith("mine/tiny/")
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "mine.jsonl", tmp_path / "copy")
    same = read_grid(written(tmp_path / "copy", body)).specs()[0].folder
    (tmp_path / "copy" / "mine.jsonl").write_text("".join(lines[1:]))
    from latent_core.grids.spec import _content

    _content.cache_clear()
    assert same == before != read_grid(written(tmp_path / "copy", body)).specs()[0].folder


def test_what_a_node_is_told_holds_in_any_folder(tmp_path: Path, monkeypatch) -> None:
    """Processes of a Ray cluster do not start where the driver did."""
    lines = [f'{{"prompt": "{a}+1=", "answer": "{a + 1}"}}\n' for a in range(10, 60)]
    (tmp_path / "data.jsonl").write_text("".join(lines))
    (tmp_path / "mine.jsonl").symlink_to("data.jsonl")
    body = WORDS | {"tasks": ["mine.jsonl"], "evaluation": {"splits": ["id"]}}
    written(tmp_path, body)
    monkeypatch.chdir(tmp_path)
    asked = read_grid("grid.yaml")
    assert asked.tasks == ["mine.jsonl"]
    assert asked.specs() == grid(**body).specs() == read_grid(tmp_path / "grid.yaml").specs()
    spec = asked.specs()[0]
    relative = replace(spec, task="mine.jsonl")
    assert (spec.identity, spec.folder) == (relative.identity, relative.folder)
    told = []

    class FakeRay(ModuleType):
        is_initialized = staticmethod(lambda: True)
        cluster_resources = staticmethod(dict)
        wait = staticmethod(lambda waiting, num_returns: (waiting[:1], waiting[1:]))
        get = staticmethod(lambda number: Outcome(told[number - 1][0], "finished"))

        @staticmethod
        def remote(**_: object):
            return lambda _: SimpleNamespace(remote=lambda *of: told.append(of) or len(told))

    monkeypatch.setitem(sys.modules, "ray", FakeRay("ray"))
    (outcome,) = RayEngine().outcomes([spec], Path("runs/mine"))
    assert outcome.status == "finished"
    ((sent, here, root, *_),) = told
    assert (sent.task, here) == (str(tmp_path / "mine.jsonl"), tmp_path)
    assert root == tmp_path / "runs" / "mine"


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"metods": []}, SettingError, r"unknown setting 'metods'; did you mean 'methods'\?"),
        ({"training": {"step": 3}}, SettingError, "training: unknown setting 'step'; did you mean"),
        ({"training": {"steps": 0}}, SettingError, r"training: steps is 0; expected a whole"),
        ({"training": {"learning_rate": "1e-2"}}, SettingError, r"YAML reads 1e-2 as text: write"),
        ({"training": {"learning_rate": [0.1, -1]}}, SettingError, "learning_rate is -1"),
        ({"training": {"steps": []}}, SettingError, "steps is an empty list"),
        ({"training": [1]}, SettingError, r"training is \[1\]; expected settings by name"),
        ({"methods": "Start_2"}, SettingError, "methods is 'Start_2'; expected a list"),
        ({"methods": ["Start_2", "Start_2"]}, SettingError, "methods names something twice"),
        ({"methods": ["Comma_x"]}, LayoutError, "'Comma_x' is no method"),
        ({"methods": [8]}, SettingError, r"methods has 8; expected names \(put text into quotes\)"),
        ({"seeds": 0}, SettingError, "seeds is 0"),
        ({"tasks": ["nothing"]}, TaskError, "unknown task 'nothing'"),
        ({"evaluation": {"splits": ["ood-7"]}}, TaskError, "no split 'ood-7'"),
        ({"evaluation": {"splits": "id"}}, SettingError, "expected a list such as"),
        ({"per_task": {"summation": {}}}, SettingError, "not among the tasks: repetition"),
        ({"per_task": {"repetition": {"x": {}}}}, SettingError, "per_task, repetition: unknown"),
        ({"per_task": {"repetition": {"methods": 3}}}, SettingError, "per_task, repetition, meth"),
        ({"search": {"share": 1}}, SettingError, "search: learning_rates is"),
        ({"search": SEARCH | {"share": 2}}, SettingError, "share is 2; expected more than 0"),
        ({"search": SEARCH | {"seeds": [1]}}, SettingError, r"search.seeds has \[1\], which the"),
        (
            {"search": SEARCH, "training": {"learning_rate": 0.1}},
            SettingError,
            "keep one of them",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, changes, error, reason) -> None:
    with pytest.raises(error, match=reason) as caught:
        read_grid(written(tmp_path, WORDS | changes))
    assert "grid.yaml" in str(caught.value)


def test_what_is_no_grid_file_is_refused(tmp_path: Path) -> None:
    for body, reason in (
        ("a: [", "no YAML: line 1, column 5"),
        ("", "the file is empty"),
        ("- 1", "the file is"),
        ("tasks: []", "missing"),
    ):
        with pytest.raises(SettingError, match=reason):
            read_grid(written(tmp_path, body))
    with pytest.raises(SettingError, match=r"cannot read .*No such file"):
        read_grid(tmp_path / "none.yaml")


# ---- what a run of it leaves ----


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Grid, list[Outcome]]:
    """A grid with a search, done once; tests copy it."""
    root = tmp_path_factory.mktemp("grid")
    asked = grid(search=SEARCH, methods=["zero-shot", "Start_2"])
    return root, asked, run_grid(asked, root, Here())


@pytest.fixture
def finished(searched, tmp_path: Path) -> tuple[Path, Grid]:
    shutil.copytree(searched[0], tmp_path / "runs")
    return tmp_path / "runs", searched[1]


def test_trials_come_first_and_are_no_results(searched) -> None:
    root, _, outcomes = searched
    assert done(outcomes) == [
        ("Start_2", 1000, "finished"),
        ("Start_2", 1000, "finished"),
        ("zero-shot", 0, "finished"),
        ("Start_2", 0, "finished"),
        ("Start_2", 1, "finished"),
    ]
    frame = lc.load_runs(root)
    assert frame["run"].nunique() == 3
    assert set(frame["split"]) == {"id", "ood-6"}
    assert (frame.groupby(["run", "split"])["examples"].sum() == 2).all()
    trials = lc.load_runs(root / ".search")
    assert set(trials["split"]) == {"validation"} and set(trials["steps"]) == {1}


def test_rule_and_choice_are_in_the_run_and_its_records(searched) -> None:
    root, asked, _ = searched
    spec = asked.specs()[1]
    run = runs.read_run(root / spec.folder)
    search = run["notes"]["search"]
    assert "validation" in search["rule"] and len(search["trials"]) == 2
    best = min(
        search["trials"], key=lambda t: (-t["graded"], t["loss"], t["steps"], t["learning_rate"])
    )
    assert search["chosen"] == {"learning_rate": best["learning_rate"], "steps": 2}
    assert run["settings"]["learning_rate"] == best["learning_rate"]
    attrs = pd.read_parquet(root / spec.folder / "records.parquet").attrs
    assert attrs["run"]["notes"]["search"] == search
    asked_of_each = {"examples": 2, "seed": 1}
    assert attrs["evaluation"] == {"splits": {"id": asked_of_each, "ood-6": asked_of_each}}


@pytest.mark.parametrize(
    ("results", "chosen"),
    [
        ({0.01: (0.5, 1.0), 0.1: (0.4, 0.1)}, 0.01),
        ({0.01: (0.5, 1.0), 0.1: (0.5, 0.9)}, 0.1),
        ({0.01: (0.5, 1.0), 0.1: (0.5, 1.0)}, 0.01),
        ({0.01: "diverged", 0.1: (0.0, 9.0)}, 0.1),
    ],
)
def test_the_best_on_validation_is_chosen(finished, results, chosen) -> None:
    from latent_core.grids.search import choose

    root, asked = finished
    spec = asked.specs()[1]
    for trial in spec.trials():
        folder, result = root / trial.folder, results[trial.training.learning_rate]
        run = runs.read_run(folder)
        if isinstance(result, str):
            run |= {"status": "failed", "error": result}
        else:
            run["loss"] = result[1]
            frame = pd.read_parquet(folder / "records.parquet").assign(graded=result[0])
            runs.write_records(folder, frame)
        (folder / "run.json").write_text(json.dumps(run))
    training, account = choose(spec, root)
    assert training.learning_rate == chosen and training.steps == 2
    assert [("error" in t) for t in account["trials"]] == [isinstance(results[0.01], str), False]


def test_seeds_of_a_method_keep_to_one_choice(finished) -> None:
    """Also where a trial that is tried again would now win."""
    root, asked = finished
    first, second = asked.specs()[1:]
    kept = runs.read_run(root / first.folder)["notes"]["search"]
    for trial in first.trials():
        if trial.training.learning_rate != kept["chosen"]["learning_rate"]:
            frame = pd.read_parquet(root / trial.folder / "records.parquet").assign(graded=2.0)
            runs.write_records(root / trial.folder, frame)
    shutil.rmtree(root / second.folder)
    other = grid(search=SEARCH, methods=["Start_2"], training={"steps": 2, "batch_size": 3})
    assert done(run_grid(asked, root, Here())) == [("Start_2", 1, "finished")]
    found = runs.read_run(root / second.folder)
    assert found["notes"]["search"] == kept
    assert found["settings"]["learning_rate"] == kept["chosen"]["learning_rate"]
    assert settled(other.specs()[0], root) is None, "with other settings it is another run"
    training, account = settled(replace(first, seed=7), root)
    assert training.learning_rate == kept["chosen"]["learning_rate"] and account == kept
    (root / first.folder / "run.json").write_text("{")
    shutil.rmtree(root / second.folder)
    assert settled(first, root) is None


def test_where_every_trial_fails_so_do_the_runs_and_say_why(tmp_path: Path) -> None:
    asked = grid(search=SEARCH, methods=["Start_2"], seeds=1, training={"arguments": {"foo": 1}})
    outcomes = run_grid(asked, tmp_path, Here())
    assert [o.status for o in outcomes] == ["failed"] * 3
    assert "every trial of the search for Start_2 on repetition failed" in outcomes[-1].error
    assert "foo" in outcomes[-1].error


def test_what_is_done_is_not_done_again(finished) -> None:
    root, asked = finished
    before = snapshot(root)
    assert run_grid(asked, root, Here()) == []
    assert snapshot(root) == before


def test_more_examples_are_asked_without_training_again(finished, monkeypatch) -> None:
    root, _ = finished
    monkeypatch.setattr("latent_core.training.train.Trainer", None)
    more = grid(search=SEARCH, methods=["Start_2"], evaluation={"splits": ["id"], "examples": 3})
    assert done(run_grid(more, root, Here())) == [
        ("Start_2", 0, "finished"),
        ("Start_2", 1, "finished"),
    ]
    frame = lc.load_runs(root, {"method": "Start_2"}, records=True)
    assert frame.groupby("run").size().tolist() == [5, 5]
    assert frame.groupby("split").size().to_dict() == {"id": 6, "ood-6": 4}


def test_a_split_that_was_asked_more_has_been_asked(finished) -> None:
    root, _ = finished
    before = snapshot(root)
    fewer = grid(search=SEARCH, methods=["zero-shot", "Start_2"], **FEWER)
    assert run_grid(fewer, root, Here()) == []
    assert snapshot(root) == before


def test_evaluation_goes_on_with_the_split_it_was_at(finished, monkeypatch) -> None:
    root, asked = finished
    spec = asked.specs()[1]
    before = pd.read_parquet(root / spec.folder / "records.parquet")
    frame = before[before["split"] == "id"].copy()
    (root / spec.folder / "records.parquet").unlink()
    runs.write_records(root / spec.folder, frame)
    asked_for, evaluate = [], work_module.evaluate
    monkeypatch.setattr(
        work_module, "evaluate", lambda *a, **k: asked_for.append(a[2]) or evaluate(*a, **k)
    )
    assert done(run_grid(asked, root, Here())) == [("Start_2", 0, "finished")]
    assert asked_for == ["ood-6"]
    after = pd.read_parquet(root / spec.folder / "records.parquet")
    same = [c for c in before.columns if c != "seconds"]
    pd.testing.assert_frame_equal(after[same], before[same])


@pytest.mark.parametrize("damage", ["run.json", "records.parquet", "adapter_model.safetensors"])
def test_a_damaged_run_is_done_again(finished, damage: str) -> None:
    root, asked = finished
    spec = asked.specs()[1]
    path = root / spec.folder / damage
    path.write_bytes(path.read_bytes()[:20])
    (root / spec.folder / ".run.json.12345678.part").write_text("{")
    outcomes = run_grid(asked, root, Here())
    if damage == "adapter_model.safetensors":
        assert outcomes == []  # the records are whole, and nothing else is asked for
        return
    assert done(outcomes) == [("Start_2", 0, "finished")]
    assert not list((root / spec.folder).glob(".*.part"))
    assert state_of(spec, root) == "finished"
    assert len(lc.load_runs(root / spec.folder, records=True)) == 4


# ---- what fails ----


def test_a_failed_run_stops_no_other_and_is_tried_again_when_asked(tmp_path, monkeypatch) -> None:
    asked = grid(methods=["Before[🦉]_1", "Start_2"], seeds=1)
    outcomes = run_grid(asked, tmp_path, Here())
    assert [o.status for o in outcomes] == ["failed", "finished"]
    frame = lc.load_runs(tmp_path, {"status": "failed"})
    assert "no token of tiny's vocabulary contains '🦉'" in frame["error"].iloc[0]
    assert frame["method"].tolist() == ["Before[🦉]_1"]
    assert run_grid(asked, tmp_path, Here()) == []
    assert done(run_grid(asked, tmp_path, Here(retry_failed=True))) == [
        ("Before[🦉]_1", 0, "failed")
    ]


def test_a_run_that_failed_on_the_way_goes_on_from_its_checkpoint(tmp_path, monkeypatch) -> None:
    asked = grid(methods=["Start_2"], seeds=1, training={"steps": 5, "batch_size": 2})
    with monkeypatch.context() as patch:

        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        patch.setattr("latent_core.training.train._keep", full)
        (outcome,) = run_grid(asked, tmp_path, Here())
    assert outcome.status == "failed" and "No space left" in outcome.error
    (spec,) = asked.specs()
    assert runs.last_checkpoint(tmp_path / spec.folder) is not None
    steps = []
    monkeypatch.setattr(
        "latent_core.training.watcher.Watcher.on_log",
        lambda self, *a, **k: steps.append(a[1].global_step),
    )
    (outcome,) = run_grid(asked, tmp_path, Here(retry_failed=True))
    assert outcome.status == "finished"
    assert "error" not in runs.read_run(tmp_path / spec.folder)
    assert [step for step in steps if step <= 4] == []


def test_a_run_that_failed_while_it_was_judged_keeps_what_it_trained(tmp_path, monkeypatch) -> None:
    asked = grid(methods=["Start_2"], seeds=1)
    with monkeypatch.context() as patch:
        patch.setattr(work_module, "evaluate", lambda *a, **k: 1 / 0)
        (outcome,) = run_grid(asked, tmp_path, Here())
    assert outcome.status == "failed"
    folder = tmp_path / asked.specs()[0].folder
    weights = (folder / "adapter_model.safetensors").read_bytes()
    monkeypatch.setattr(
        "latent_core.training.train.Trainer", lambda **_: pytest.fail("trained again")
    )
    (outcome,) = run_grid(asked, tmp_path, Here(retry_failed=True))
    assert outcome.status == "finished"
    assert (folder / "adapter_model.safetensors").read_bytes() == weights
    assert "error" not in runs.read_run(folder) and runs.read_evaluation(folder)


def test_an_unexpected_error_says_where_it_came_from(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(work_module, "evaluate", lambda *a, **k: 1 / 0)
    (outcome,) = run_grid(grid(methods=["zero-shot"]), tmp_path, Here())
    assert outcome.error.startswith("ZeroDivisionError: division by zero (test_grid.py, line ")


def test_a_run_that_another_process_is_at_is_left_to_it(finished) -> None:
    root, _ = finished
    asked = grid(search=SEARCH | {"examples": 3}, methods=["Start_2"], seeds=[0])
    (spec,) = asked.specs()
    with runs.run_lock(root / spec.trials()[0].folder):
        outcomes = run_grid(asked, root, Here())
    assert [o.status for o in outcomes] == ["busy", "finished", "busy"]
    assert not (root / spec.folder / "run.json").exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_run_that_cannot_be_read_is_left_as_it_is(finished, monkeypatch, number: int) -> None:
    """A disk that fails for a moment costs no run."""
    root, asked = finished
    spec = asked.specs()[1]
    before = snapshot(root)

    def broken(folder: str | Path, name: str, read=runs.read_json) -> object:
        if str(folder) == str(root / spec.folder):
            raise OSError(number, os.strerror(number))
        return read(folder, name)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "read_json", broken)
        assert state_of(spec, root) == "unreadable"
        (outcome,) = run_grid(asked, root, Here())
    assert (outcome.status, outcome.spec) == ("failed", spec)
    assert os.strerror(number) in outcome.error and "cannot read" in outcome.error
    assert snapshot(root) == before and state_of(spec, root) == "finished"


def test_a_lock_that_cannot_be_had_is_a_failed_run(tmp_path: Path) -> None:
    """As one that belongs to another user; it kills no worker."""
    (spec,) = grid(methods=["zero-shot"], seeds=1).specs()
    (tmp_path / spec.folder / ".lock").mkdir(parents=True)
    outcome = do_run(spec, tmp_path)
    assert outcome.status == "failed"
    assert "cannot write the run to" in outcome.error and "Is a directory" in outcome.error


def test_a_grid_that_cannot_be_written_ends_in_exit_code_1(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("latent_core.grids.LocalEngine", lambda *_: Here())
    (tmp_path / "my runs").write_text("a file")
    path = written(tmp_path, WORDS | {"methods": ["zero-shot"]})
    command = ["grid", str(path), "--out", str(tmp_path / "my runs")]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "500"})
    assert result.exit_code == 1
    assert "1/1 failed" in result.output and "cannot write the run to" in result.output


def test_a_grid_with_failed_runs_says_where_to_look(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("latent_core.grids.LocalEngine", lambda *_: Here())
    path = written(tmp_path, WORDS | {"methods": ["Before[🦉]_1"], "seeds": 1})
    out = str(tmp_path / "my runs")
    result = CliRunner().invoke(app, ["grid", str(path), "--out", out], env={"COLUMNS": "500"})
    assert result.exit_code == 1
    assert f"why: latent runs list '{out}' --where status=failed; again" in result.output
    command = ["runs", "list", out, "-w", "status=failed"]
    listed = CliRunner().invoke(app, command, env={"COLUMNS": "80"}).output
    assert " error " in listed and " failed " in listed and "tiny's vocabulary" in listed


@pytest.mark.parametrize(("code", "memory"), [(-9, True), (137, True), (1, False), (-11, False)])
def test_a_death_is_laid_to_memory_only_where_it_looks_so(code: int, memory: bool) -> None:
    said = death(code)
    assert f"died 2 times (exit code {code})" in said
    assert ("memory" in said) is memory


def test_a_death_that_cannot_be_recorded_stops_no_other_run(tmp_path: Path) -> None:
    (spec,) = grid(methods=["zero-shot"]).specs()
    (tmp_path / "file").write_text("")
    assert give_up(spec, tmp_path / "file", "it died") == Outcome(spec, "failed", 0.0, "it died")
    give_up(spec, tmp_path / "runs", "it died")
    assert runs.read_run(tmp_path / "runs" / spec.folder)["error"] == "it died"


# ---- what it will cost ----


def test_costs_are_counted_and_timed(finished) -> None:
    root, asked = finished
    plan = plan_grid(asked, root)
    assert plan.todo(False) == ([], [])
    ready = [spec for spec, state in plan.runs if state == "finished"]
    longer = grid(search=SEARCH, methods=["Start_2"], training={"steps": 20, "batch_size": 2})
    end = grid(methods=["End_1"], seeds=1)
    estimates = estimate_grid([*longer.specs(), *end.specs()], ready, root)
    assert estimates[0].cost.train_slots == pytest.approx(
        10 * estimate_grid(ready[1:2], ready, root)[0].cost.train_slots, rel=0.01
    )
    assert estimates[0].basis == "2 finished of this method"
    assert estimates[-1].basis == "3 finished of this task"
    records = pd.read_parquet(root / ready[1].folder / "records.parquet")
    other = records[records["split"] == "id"].assign(split="validation", seconds=1e6)
    runs.write_records(root / ready[1].folder, other)  # which the grid did not ask
    again = estimate_grid(longer.specs(), ready, root)
    assert again[0].seconds == pytest.approx(estimates[0].seconds)
    (fresh,) = estimate_grid(end.specs(), [], root)
    assert fresh.basis == "a timing of this backbone" and 0 < fresh.seconds < 600
    task = lc.load_task("repetition")
    sample = task.examples("train", 16, 0)
    slots = sum(len(e.prompt) + len(e.answer) + 1 + 1 for e in sample) / 16  # end token, End.0
    assert fresh.cost.train_slots == round(4 * slots)


def test_a_trial_promises_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = grid(search=SEARCH, methods=["Start_2"], seeds=1).specs()  # 4 trained on, 4 answered
    first, second = run.trials()  # 2 and 2 of each
    clock = iter((100.0, 106.0, 112.0, 130.0))
    monkeypatch.setattr(estimate_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    left = TimeLeft([first, second, run])
    assert [left.after(spec) for spec in (first, second, run)] == [18.0, 12.0, 0.0]


def test_a_dry_run_shows_every_method_and_what_is_to_do(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({**WORDS, "search": SEARCH}))
    command = ["grid", str(tmp_path / "grid.yaml"), "--dry-run", "--out", str(tmp_path / "runs")]
    said = CliRunner().invoke(app, command, env={"COLUMNS": "80"}).output
    rows = {line.split()[0]: line.split()[1:6] for line in said.splitlines() if line.strip()}
    assert rows["zero-shot"] == ["1", "0", "0", "1", "0"]
    assert rows["Start_2"] == rows["End_1"] == ["2", "0", "0", "2", "2"]
    assert "5 runs and 4 trials to do" in said
    assert not (tmp_path / "runs").exists()


def test_small_backbones_get_a_process_per_core_and_others_one() -> None:
    assert default_workers(grid().specs()) >= 1
    big = grid(backbones=["tiny", "smollm2-135m"]).specs()
    assert default_workers(big) == 1
    with pytest.raises(LatentError, match="workers is 0"):
        LocalEngine(0)
