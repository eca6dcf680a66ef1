"""The public names of `latent_core` and `workbench`: what editors, type checkers and runs see.

Each name has an example in its docstring, and each example runs.
"""

import doctest
import io
import re
import subprocess
import sys
from pathlib import Path

import griffe
import jedi
import pytest

import latent_core as lc
import workbench
from docs.api import public_objects

ROOT = Path(__file__).resolve().parent.parent
PROJECT = jedi.Project(ROOT)


def in_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- a running program ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", lc.__all__)
def test_every_declared_name_exists_with_a_docstring(name: str) -> None:
    value = getattr(lc, name)
    assert name == "STUDIES" or value.__doc__


def test_dir_shows_the_public_names_alone() -> None:
    code = "import latent_core as lc; lc.load_task; print(*dir(lc))"
    shown = in_fresh_process(code).split()
    assert shown == sorted(lc.__all__)
    assert {"train", "load_backbone", "interventions", "errors"} <= set(shown)
    assert not {"training", "models", "Any", "lazy_loader"} & set(shown)


@pytest.mark.slow
def test_no_module_hides_a_name_once_it_is_imported() -> None:
    """`latent_core.training.train` is a module, and `lc.train` is its function all the same."""
    code = """
import importlib, pkgutil, latent_core
for found in pkgutil.walk_packages(latent_core.__path__, "latent_core."):
    if found.name != "latent_core.__main__":
        importlib.import_module(found.name)
from latent_core import *
from types import ModuleType
print([name for name in latent_core.__all__ if isinstance(globals()[name], ModuleType)])
"""
    assert in_fresh_process(code) == "['errors', 'interventions', 'lab', 'layouts', 'tasks']"


def test_a_name_that_is_called_otherwise_now_says_how() -> None:
    with pytest.raises(AttributeError, match=r"use latent_core\.evaluate_intervention"):
        lc.effect  # noqa: B018
    assert callable(lc.evaluate_intervention)


@pytest.mark.parametrize("name", ["Drop", "KnockOut", "LatentLayout", "InterventionWarning"])
def test_a_name_that_has_moved_says_where_to(name: str) -> None:
    with pytest.raises(AttributeError, match=f"latent_core.{name} has moved; use ") as caught:
        getattr(lc, name)
    space, _, moved = str(caught.value).rpartition("latent_core.")[2].partition(".")
    assert getattr(getattr(lc, space), moved).__name__ == name


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'latent_core' has no attribute 'trian'"):
        _ = lc.trian  # type: ignore[attr-defined]


def test_errors_and_kinds_stand_in_namespaces() -> None:
    assert issubclass(lc.errors.LayoutError, lc.errors.LatentError)
    assert lc.interventions.VERBS["drop"] is lc.interventions.Drop
    assert str(lc.layouts.LatentLayout.parse("Start_1+Comma_2")) == "Start_1+Comma_2"
    assert lc.tasks.TASKS["repetition"]().name == "repetition"


# --- an editor ------------------------------------------------------------------------------------


def completions(code: str) -> dict[str, str]:
    """Name -> what it is, of what an editor offers at the end of the code."""
    return {c.name: c.type for c in jedi.Script(code, project=PROJECT).complete()}


def test_an_editor_completes_to_functions() -> None:
    found = completions("import latent_core as lc\nlc.tra")
    assert found["train"] == found["trace"] == "function"
    assert completions("import latent_core as lc\nlc.LatentM")["LatentModel"] == "class"


def test_an_editor_completes_in_namespaces() -> None:
    assert completions("import latent_core as lc\nlc.interventions.Dr")["Drop"] == "class"
    assert completions("import latent_core as lc\nlc.errors.Lay")["LayoutError"] == "class"
    assert completions("import latent_core as lc\nlc.layouts.LatentL")["LatentLayout"] == "class"


def test_a_notebook_completes_to_functions() -> None:
    """As a kernel asks: of the module that was imported, not of the text of a file."""
    found = jedi.Interpreter("lc.tra", [{"lc": lc}], project=PROJECT).complete()
    assert {"train", "trace"} <= {completion.name for completion in found}
    (shown,) = jedi.Interpreter("lc.train(", [{"lc": lc}], project=PROJECT).get_signatures()
    assert "learning_rate" in shown.to_string()


@pytest.mark.parametrize(
    ("call", "start"),
    {
        "train": "train(model: SteeredModel, task: Task",
        "load_backbone": "load_backbone(name: str",
        "LatentModel": "LatentModel(backbone: Backbone",
        "evaluate": "evaluate(model: SteeredModel, task: Task",
        "compare": "compare(runs: Iterable",
        "interventions.Drop": "Drop(latents: ",
        "layouts.LatentLayout": "LatentLayout(groups: tuple",
    }.items(),
)
def test_an_editor_shows_signatures(call: str, start: str) -> None:
    (shown,) = jedi.Script(
        f"import latent_core as lc\nlc.{call}(", project=PROJECT
    ).get_signatures()
    assert shown.to_string().startswith(start)


# --- a type checker -------------------------------------------------------------------------------

RIGHT = """
import latent_core as lc

backbone = lc.load_backbone("tiny")
model = lc.LatentModel(backbone, "Start_4+Comma_2", seed=0)
task = lc.load_task("repetition")
result = lc.train(model, task, steps=300, learning_rate=0.1, output_dir="runs/first")
print(result.loss + 1.0)
frame = lc.evaluate(model, task, splits=("id", "ood"))
texts: list[str] = model.generate("Repeat 3 times: 12+34=46\\n", 20)
(detailed,) = model.generate("a,", max_new_tokens=20, return_details=True)
print(detailed.decode_steps + 1)
record = lc.capture_attention(model, "a,", "b")
record.mass()
effects = lc.trace(model, ("a,", "b"))
with lc.parse_intervention("drop(Comma, after=3)").on(model):
    model.generate("a,")
layout = lc.layouts.LatentLayout.parse("Comma_2")
drop: lc.Intervention = lc.interventions.Drop("Comma", after=3)
try:
    lc.load_model("runs/first").generate("a")
except lc.errors.AdapterError as error:
    print(error)
"""
WRONG = """
import latent_core as lc

model = lc.LatentModel(lc.load_backbone("tiny"), "Start_2")
lc.train(model, lc.load_task("repetition"), steps="many")  # arg-type
lc.train(model)  # call-arg
lc.LatentModel("tiny", 3)  # arg-type
lc.trian(model)  # attr-defined
lc.Drop  # attr-defined
model.generate(3)  # call-overload
lc.capture_attention(model, 3)  # arg-type
lc.load_task("repetition").nmae  # attr-defined
"""


@pytest.mark.slow
def test_a_type_checker_passes_right_use_and_finds_wrong_use(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(RIGHT)
    wrong.write_text(WRONG)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", right, wrong], cwd=ROOT, capture_output=True, text=True
    )
    found = re.findall(r"(right|wrong)\.py:(\d+): error: .*\[([a-z-]+)\]", done.stdout)
    expected = [
        ("wrong", str(number), line.partition("  # ")[2])
        for number, line in enumerate(WRONG.splitlines(), start=1)
        if "  # " in line
    ]
    assert found == expected, done.stdout + done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, workbench\n"
        "heavy = {'torch', 'transformers', 'plotly', 'matplotlib', 'ipywidgets', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert not hasattr(workbench, 'Wrokbench')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", workbench.__all__)
def test_every_public_name_is_there_with_a_docstring(name: str) -> None:
    assert getattr(workbench, name).__doc__


def test_an_editor_completes_names_and_shows_signatures() -> None:
    script = jedi.Script("import workbench\nworkbench.a")
    completed = {found.name for found in script.complete(2, 11)}
    assert {"accuracy_curve", "attention_heatmap"} <= completed
    (signature,) = jedi.Script("import workbench\nworkbench.cell_heatmap(").get_signatures(2, 23)
    assert [parameter.name for parameter in signature.params[:3]] == ["frame", "x", "y"]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Wrokbench'"):
        _ = workbench.Wrokbench


OBJECTS = public_objects()
#: Examples that start other processes.
SLOW = {"lc.run_grid"}


def example_of(path: str) -> doctest.DocTest:
    docstring = OBJECTS[path].docstring
    text = "" if docstring is None else docstring.value
    return doctest.DocTestParser().get_doctest(text, {}, path, path, 0)


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow) if p in SLOW else p for p in OBJECTS],
)
def test_the_example_of_a_public_name_runs(path: str) -> None:
    example = example_of(path)
    constant = isinstance(OBJECTS[path], griffe.Attribute)
    assert example.examples or constant, f"{path} has no Example: section in its docstring"
    said = io.StringIO()
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.write)
    assert not said.getvalue(), said.getvalue()


def test_an_example_that_gives_something_else_fails() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", "wrong", 0)
    assert doctest.DocTestRunner().run(wrong, out=lambda text: None).failed == 1
