"""Grids: what a file or Python asks for, what is refused, and the folder of each run."""

import shutil
from pathlib import Path

import pytest

from latent_core.errors import LayoutError, SettingError, TaskError
from latent_core.grids.grid import Grid, read_grid
from latent_core.grids.spec import Training
from latent_core.slots.methods import Method
from tests.grids.engine import SEARCH, WORDS, grid, written


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
        ({"methods": ["Start_2", "Start_2"]}, SettingError, "methods has a value twice"),
        ({"methods": ["Comma_x"]}, LayoutError, "expected a count of at least 1 at column 7"),
        ({"methods": [8]}, SettingError, r"methods has 8; expected names \(put text into quotes\)"),
        ({"seeds": 0}, SettingError, "seeds is 0"),
        ({"tasks": ["nothing"]}, TaskError, "unknown task 'nothing'"),
        ({"evaluation": {"splits": ["ood-5"]}}, TaskError, "no split 'ood-5'"),
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
        ("a: [", "not valid YAML: line 1, column 5"),
        ("", "the file is empty"),
        ("- 1", "the file is"),
        ("tasks: []", "missing"),
    ):
        with pytest.raises(SettingError, match=reason):
            read_grid(written(tmp_path, body))
    with pytest.raises(SettingError, match=r"cannot read .*No such file"):
        read_grid(tmp_path / "none.yaml")


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


def test_checks_and_snapshots_make_another_run_and_none_leave_its_folder_as_it_was() -> None:
    settings = {"steps": 7, "learning_rate": 0.1}
    asked = {"backbones": ["tiny"], "tasks": ["repetition"], "methods": ["Start_2"], "seeds": [3]}
    (spec,) = Grid(**asked, training=settings).specs()
    assert spec.folder == "repetition/tiny/Start_2/seed-3-9db8f0f5"  # that of earlier versions
    folders = {spec.folder}
    for more in ({"patience": 2}, {"check_every": 2}, {"snapshots": 3}, {"curriculum": "coconut"}):
        (other,) = Grid(**asked, training=settings | more).specs()
        folders.add(other.folder)
    assert len(folders) == 5
    with pytest.raises(SettingError, match="patience is 0; expected a whole number of at least 1"):
        Grid(**asked, training=settings | {"patience": 0}).specs()
    with pytest.raises(SettingError, match="'x'; expected coconut or lt-tuning or written"):
        Grid(**asked, training=settings | {"curriculum": "x"}).specs()


def test_a_search_beside_chooses_the_rate_of_what_peft_trains_beside_latents() -> None:
    methods = ["Start_2", "lora-r2", "End_2=hidden & lora-r2", "Start_2 & lora-r2"]
    rates = {"learning_rates": [0.01, 0.1]}
    asked = grid(methods=methods, search=rates | {"beside": True}).specs()
    found = [[(t.training.learning_rate, t.training.learning_rate_beside) for t in s.trials()]
             for s in asked if s.seed == asked[0].seed]  # fmt: skip
    assert found == [[(0.01, None), (0.1, None)]] * 3 + [[(None, 0.01), (None, 0.1)]]
    assert all("/lr-0.01-steps-" in spec.trials()[0].folder for spec in asked)
    usual = grid(methods=methods, search=rates).specs()
    assert usual[3].trials()[0].training.learning_rate == 0.01
    assert "beside" not in usual[3].identity["search"]  # so that earlier folders keep their names
    with pytest.raises(SettingError, match="beside is 'yes'; expected true or false"):
        grid(search=rates | {"beside": "yes"}).specs()


def test_a_rate_beside_latents_is_that_of_peft_where_it_trains_alone() -> None:
    both = Training(learning_rate=0.1, learning_rate_beside=0.01)
    found = [
        (of.learning_rate, of.learning_rate_beside)
        for method in ("Start_2", "lora-r2", "End_2=hidden & lora-r2", "Start_2 & lora-r2")
        if (of := both.of_method(Method.parse(method)))
    ]
    assert found == [(0.1, None), (0.1, None), (0.01, None), (0.1, 0.01)]
