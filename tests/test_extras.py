"""An installation without extras trains, evaluates and generates; the rest says what it needs."""

import importlib
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import latent_core as lc

ROOT = Path(__file__).resolve().parent.parent


def needed(lines: list[str]) -> set[str]:
    """The distributions that requirements ask for, and those that these ask for, and so on."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in lines]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found or not (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            continue
        try:
            waiting += [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # it is for another platform
            continue
        found.add(name)
    return found


def hidden() -> list[str]:
    """Every importable package here that an installation without extras does not bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = needed(project["dependencies"])
    # Whether these are in `sys.modules`, be it as None, tells Transformers and SciPy who runs them.
    ours = {"latent_core", "workbench", "marimo", "sphinx"}
    return sorted(
        name
        for name, owners in packages_distributions().items()
        if name not in ours and not base & {canonicalize_name(owner) for owner in owners}
    )


def without_extras(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code where none of the packages of the extras can be imported."""
    hide = f"import sys\nsys.modules.update(dict.fromkeys({hidden()!r}))\n"
    path = f"sys.path.insert(0, {str(ROOT)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", hide + path + code], cwd=folder, capture_output=True, text=True
    )


def test_the_packages_of_the_extras_are_hidden_and_no_others() -> None:
    found = set(hidden())
    assert {"matplotlib", "IPython", "jupyterlab", "anywidget", "plotly", "lm_eval", "ray"} <= found
    assert not {"torch", "transformers", "peft", "pandas", "scipy", "jinja2", "typer"} & found


@pytest.mark.slow
def test_without_extras_the_command_line_trains_evaluates_and_generates(tmp_path: Path) -> None:
    code = """
from latent_core.cli import main
train = "train --backbone tiny --task repetition --method Start_2 --steps 2 --out run"
for line in ("--help", train, "evaluate run --examples 2 --splits id", "runs list .",
             "generate run --prompt Repeat --max-new-tokens 3"):
    sys.argv = ["latent", *line.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (line, end.code)
"""
    done = without_extras(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "records.parquet").exists()
    assert "Start_2" in done.stdout


def test_the_workbench_says_which_extra_it_needs(tmp_path: Path) -> None:
    done = without_extras("import workbench", tmp_path)
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last.startswith("latent_core.errors.MissingExtraError: workbench needs the package ")
    assert last.endswith("not installed; run pip install 'latent-workbench[workbench]'")


def test_the_engine_ray_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from latent_core.grids.engines import RayEngine

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(lc.errors.MissingExtraError, match=r"'latent-workbench\[ray\]'"):
        next(RayEngine().outcomes([], Path("runs")))


def test_a_mistake_of_our_own_is_no_missing_extra() -> None:
    unknown = pytest.raises(ModuleNotFoundError, match=r"latent_core\.nothing")
    with unknown as caught, lc.errors.needs_extra("workbench", "workbench"):
        importlib.import_module("latent_core.nothing")
    assert not isinstance(caught.value, lc.errors.MissingExtraError)


def test_a_command_that_needs_an_extra_ends_in_one_sentence(tmp_path: Path) -> None:
    code = """
from latent_core.cli import main
sys.argv = ["latent", "harness", "run", "--tasks", "arc_easy"]
main()
"""
    done = without_extras(code, tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "latent: latent harness needs the package lm_eval, which is not installed; run "
        "pip install 'latent-workbench[harness]'\n"
    )
