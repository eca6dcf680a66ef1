"""The files that describe the project agree, and its modules import one way."""

import ast
import graphlib
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge -> PyPI, where they differ

# DESIGN.md, section 3. A module imports from its own tier and those above it, never from below.
TIERS = [
    {"errors", "files", "progress", "wording"},
    {
        "layout",
        "insertion",
        "tasks",
        "comparison",
        "corpus",
        "inference",
        "records",
        "runs",
        "statistics",
        "store",
    },
    {"batch", "embedding"},
    {
        "adapter",
        "backbones",
        "baselines",
        "chat",
        "decoding",
        "fingerprints",
        "generation",
        "gguf_conversion",
        "hub",
        "known_backbones",
        "layers",
        "model",
        "methods",
        "model_card",
        "probing",
        "responses",
        "sampling",
        "saved",
        "steered",
        "streaming",
        "weights",
    },
    {
        "attention_hooks",
        "attention",
        "attention_columns",
        "attention_files",
        "attention_record",
        "attention_views",
        "export",
        "geometry",
        "harness",
        "interventions",
        "matching",
        "invariants",
        "building",
        "shipped",
        "tracing",
    },
    {"training", "training_watcher", "evaluation", "effects", "pretraining", "muon"},
    {"hypotheses", "experiments"},
    {"cli", "__main__"},
]
WITHOUT_TORCH = (
    "errors",
    "slots.layout",
    "slots.placement",
    "tasks",
    "tiny.corpus",
    "backbones.known",
    "backbones.smollm2",
    "runs.store",
    "models.methods",
    "cli",
)
# The core is used without a notebook: it draws nothing.
NOT_IN_CORE = {"workbench", "IPython", "anywidget", "bertviz", "ipywidgets", "matplotlib", "plotly"}


# --- what is installed ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def bounds(project: dict) -> dict[str, SpecifierSet]:
    """Every direct dependency, those of the extras included."""
    extras = project["optional-dependencies"]
    (own,) = (line for line in extras["dev"] if line.startswith(project["name"]))
    assert Requirement(own).extras == set(extras) - {"dev"}, "dev asks for every other extra"
    lines = [line for listed in extras.values() for line in listed if line != own]
    return by_name(project["dependencies"] + lines)


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    parts = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in parts}


def by_name(lines: list[str]) -> dict[str, SpecifierSet]:
    requirements = [Requirement(line) for line in lines]
    names = [CONDA_NAMES.get(r.name, canonicalize_name(r.name)) for r in requirements]
    assert len(set(names)) == len(names), "a package is listed twice"
    return dict(zip(names, (r.specifier for r in requirements), strict=True))


def test_conda_and_pip_ask_for_the_same(project: dict, bounds: dict[str, SpecifierSet]) -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (from_pip,) = (entry["pip"] for entry in listed if isinstance(entry, dict))
    assert from_pip[-1] == "--editable ."
    conda = by_name([entry for entry in listed if isinstance(entry, str)] + from_pip[:-1])
    assert conda.pop("pip") == SpecifierSet()
    assert conda.pop("python") == SpecifierSet(project["requires-python"])
    assert conda == bounds


def test_constraints_pin_every_direct_dependency_within_its_bounds(
    bounds: dict[str, SpecifierSet], pins: dict[str, str]
) -> None:
    assert set(bounds) - set(pins) == set()
    outside = {name: pins[name] for name in bounds if not bounds[name].contains(pins[name])}
    assert outside == {}


def test_constraints_pin_whatever_is_installed_here(
    require, bounds: dict[str, SpecifierSet], pins: dict[str, str]
) -> None:
    """In the environment that `make setup` made, each version is the pinned one."""
    require(Path(sys.prefix) == ROOT / ".venv", "not run by `make test`")
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--all", "--exclude-editable"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    installed = {
        canonicalize_name(name): version.split("+")[0]
        for name, version in (line.split("==") for line in listed)
        if not name.startswith(("nvidia", "cuda", "triton"))
    }
    assert {name: pins.get(name) for name in installed} == installed


def test_torch_is_pinned_without_a_build_tag(pins: dict[str, str]) -> None:
    assert "+" not in pins["torch"]


def test_the_packaged_weights_are_pinned_once(pins: dict[str, str]) -> None:
    from latent_core.backbones import smollm2 as weights

    assert pins[weights.PACKAGE] == weights.VERSION


@pytest.mark.parametrize(
    ("package", "extras"), [("latent_core", ("harness", "ray")), ("workbench", ("workbench",))]
)
def test_every_third_party_import_is_a_declared_dependency(
    project: dict, package: str, extras: tuple[str, ...]
) -> None:
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    declared = set(by_name(project["dependencies"] + optional))
    distributions = packages_distributions()
    undeclared = {}
    for path in ROOT.glob(f"{package}/**/*.py"):
        for name in {name.split(".")[0] for name, _ in imports(path)}:
            if name in sys.stdlib_module_names or name in {"latent_core", "workbench"}:
                continue
            owners = {canonicalize_name(owner) for owner in distributions.get(name, [name])}
            if not owners & declared:
                undeclared[f"{path.relative_to(ROOT)}: {name}"] = owners
    assert undeclared == {}


def test_a_second_setup_does_nothing(require) -> None:
    require(Path(sys.prefix) == ROOT / ".venv", "not run by `make test`")
    started = time.perf_counter()
    said = subprocess.run(
        ["make", "setup"], cwd=ROOT, env=environment_for_make(), capture_output=True, text=True
    ).stdout
    assert time.perf_counter() - started < 1.0
    assert said == ".venv is ready: try `make lab` or `make test`\n"


def environment_for_make() -> dict[str, str]:
    """The environment without what an outer `make` passes to an inner one."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}


# --- what imports what ----------------------------------------------------------------------------


def module_of(path: Path) -> str:
    """The module of `latent_core` that a file belongs to; a package counts as one module."""
    return path.relative_to(ROOT / "latent_core").with_suffix("").parts[0]


def core_files() -> list[Path]:
    return sorted(ROOT.glob("latent_core/**/*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Dotted names that a file imports at run time, each with whether on import of the file.

    `from a import b` gives both `a` and `a.b`, for b may be a module. What stands under
    `if TYPE_CHECKING` is left out.
    """
    package = path.relative_to(ROOT).parent.parts

    def visit(node: ast.AST, at_import: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_import) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base, at_import
            yield from ((f"{base}.{alias.name}", at_import) for alias in node.names)
        deeper = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_import and not deeper)

    yield from visit(ast.parse(path.read_text()), True)


def core_imports(at_import_only: bool) -> dict[str, set[str]]:
    """Module of `latent_core` -> the others that it imports."""
    graph: dict[str, set[str]] = {}
    known = {module_of(path) for path in core_files()}
    for path in core_files():
        module = module_of(path)
        edges = graph.setdefault(module, set())
        for name, at_import in imports(path):
            parts = name.split(".")
            ours = parts[0] == "latent_core" and len(parts) > 1
            if ours and parts[1] in known - {module} and (at_import or not at_import_only):
                edges.add(parts[1])
    graph.pop("__init__", None)  # looks names up when they are first used
    return graph


def test_every_module_has_a_tier() -> None:
    modules = {module_of(path) for path in core_files()} - {"__init__"}
    assert modules - set().union(*TIERS) == set(), "add the module to TIERS in this file"


def test_modules_import_only_from_their_own_tier_or_those_before_it() -> None:
    tier = {module: index for index, modules in enumerate(TIERS) for module in modules}
    backwards = [
        f"{module} imports {other}"
        for module, others in core_imports(at_import_only=False).items()
        for other in others
        if tier[other] > tier[module]
    ]
    assert backwards == []


def test_modules_import_one_another_without_cycles() -> None:
    graphlib.TopologicalSorter(core_imports(at_import_only=True)).prepare()


def test_the_core_knows_no_notebook() -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in core_files()
        for name, _ in imports(path)
        if name.split(".")[0] in NOT_IN_CORE
    ]
    assert found == []


def test_the_import_scan_sees_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "latent_core").mkdir()
    source = tmp_path / "latent_core" / "x.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import unseen\n"
        "import a.b\nfrom . import c\nfrom .d import e\n"
        "def f():\n    import g\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    seen = dict(imports(source))
    assert seen == {
        "typing": True,
        "typing.TYPE_CHECKING": True,
        "a.b": True,
        "latent_core": True,
        "latent_core.c": True,
        "latent_core.d": True,
        "latent_core.d.e": True,
        "g": False,
    }


# --- how fast -------------------------------------------------------------------------------------


def in_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_instant_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import latent_core;"
        "print(time.perf_counter() - start);"
        "print(*({'torch', 'transformers', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    outputs = [in_fresh_process(code).partition("\n") for _ in range(3)]
    assert {loaded for _, _, loaded in outputs} == {""}
    assert min(float(seconds) for seconds, _, _ in outputs) < 0.3  # other processes may be at work


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_what_needs_no_torch_loads_none(module: str) -> None:
    code = f"import sys, latent_core.{module}; print('torch' in sys.modules)"
    assert in_fresh_process(code) == "False"
