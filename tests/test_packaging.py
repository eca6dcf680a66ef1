"""The files that describe the project agree, and importing it is instant.

Who may import whom is a contract in pyproject.toml, which `make lint` checks.
"""

import os
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import latent_core

pytestmark = pytest.mark.timed

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge -> PyPI, where they differ

# These gather what their package offers; every other `__init__` is a docstring, or a lazy stub.
IMPORTING_PACKAGES = {"latent_core.cli", "latent_core.hypotheses"}
WITHOUT_TORCH = (
    "errors",
    "slots.layout",
    "slots.placement",
    "tasks",
    "tiny.corpus",
    "backbones.known",
    "backbones.smollm2",
    "runs.store",
    "slots.methods",
    "cli",
)
# --- what is installed ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def bounds(project: dict) -> dict[str, SpecifierSet]:
    """Every direct dependency, those of the extras included."""
    extras = project["optional-dependencies"]
    (own,) = (line for line in extras["dev"] if line.startswith(project["name"]))
    others = set(extras) - {"dev", "docs"}  # the lock holds the last one too, for `make docs`
    assert Requirement(own).extras == others, "dev asks for every other extra"
    lines = [line for listed in extras.values() for line in listed if line != own]
    return by_name(project["dependencies"] + lines)


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    parts = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in parts}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Who imports whom, third-party packages included."""
    return grimp.build_graph(
        "latent_core", "workbench", include_external_packages=True, cache_dir=None
    )


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


@pytest.fixture(scope="module")
def locked() -> dict[str, tuple[Requirement, list[str]]]:
    """Every package of requirements.lock, with its hashes."""
    found = {}
    for block in re.split(r"\n(?=[a-z])", (ROOT / "requirements.lock").read_text())[1:]:
        requirement = Requirement(block.split("\\\n")[0])
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})(?:\s|$)", block)
        assert len(hashes) == block.count("--hash="), requirement
        assert requirement.name not in found
        found[canonicalize_name(requirement.name)] = (requirement, hashes)
    return found


def test_the_lock_has_the_hashes_of_every_version_that_is_pinned(
    locked: dict[str, tuple[Requirement, list[str]]], pins: dict[str, str]
) -> None:
    assert [name for name, (_, hashes) in locked.items() if not hashes] == []
    versions = {name: str(one.specifier).removeprefix("==") for name, (one, _) in locked.items()}
    assert {name: versions.get(name) for name in pins if name != "torch"} == {
        name: version for name, version in pins.items() if name != "torch"
    }, "run `make lock`"
    others = {name: one for name, (one, _) in locked.items() if name not in pins}
    here = [name for name, one in others.items() if one.marker is None or one.marker.evaluate()]
    assert here == [], "other systems alone need what constraints.txt does not pin"


def test_the_lock_leaves_torch_and_its_build_to_the_machine(
    locked: dict[str, tuple[Requirement, list[str]]],
) -> None:
    own = ("torch", "triton", "nvidia", "cuda")
    assert [name for name in locked if name.startswith(own)] == []


def test_torch_is_pinned_without_a_build_tag(pins: dict[str, str]) -> None:
    assert "+" not in pins["torch"]


def test_the_packaged_weights_are_pinned_once(pins: dict[str, str]) -> None:
    from latent_core.backbones import smollm2 as weights

    assert pins[weights.PACKAGE] == weights.VERSION


@pytest.mark.parametrize(
    ("package", "extras"), [("latent_core", ("harness", "ray")), ("workbench", ("workbench",))]
)
def test_every_third_party_import_is_a_declared_dependency(
    project: dict, graph: grimp.ImportGraph, package: str, extras: tuple[str, ...]
) -> None:
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    declared = set(by_name(project["dependencies"] + optional))
    distributions = packages_distributions()
    undeclared = {}
    for name in sorted(filter(graph.is_module_squashed, graph.modules)):
        importers = graph.find_modules_that_directly_import(name)
        ours = sorted(module for module in importers if module.split(".")[0] == package)
        owners = {canonicalize_name(owner) for owner in distributions.get(name, [name])}
        if ours and name not in sys.stdlib_module_names and not owners & declared:
            undeclared[name] = ours
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


def test_a_package_imports_none_of_its_modules(graph: grimp.ImportGraph) -> None:
    """Otherwise a module that imports its own package closes a circle, which no contract sees."""
    ours = {module for module in graph.modules if not graph.is_module_squashed(module)}
    packages = {module for module in ours if graph.find_children(module)}
    assert len(packages) > 20
    importing = {
        package
        for package in packages
        for module in graph.find_modules_directly_imported_by(package)
        if module.startswith(f"{package}.")
    }
    assert importing - IMPORTING_PACKAGES == set()


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


# --- what stands where ----------------------------------------------------------------------------

CODE = [*ROOT.glob("latent_core/**/*.py"), *ROOT.glob("workbench/**/*.py")]


def test_no_module_is_long_and_no_folder_is_full() -> None:
    scripts = [
        path for name in ("benchmarks", "experiments", "docs") for path in ROOT.glob(f"{name}/*.py")
    ]
    lines = {path: len(path.read_text().splitlines()) for path in [*CODE, *scripts]}
    assert {str(path) for path, count in lines.items() if count > 400} == set()
    folders = Counter(path.parent for path in [*CODE, *ROOT.glob("tests/**/*.py")])
    assert {str(folder) for folder, count in folders.items() if count > 20} == set()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "AGENTS.md"])
def test_a_page_for_contributors_names_files_that_exist(page: str) -> None:
    named = re.findall(r"`([\w./-]+/[\w./*-]*)`", (ROOT / page).read_text())
    assert named
    missing = [name for name in named if "NAME" not in name and not any(ROOT.glob(name))]
    assert missing == []


def test_the_changelog_says_where_every_module_went() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    rows = re.findall(r"^\| `((?:latent_core|workbench)[\w.]+)` \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) > 100
    gone = [name for _, now in rows for name in re.findall(r"`([\w.]+)`", now) if not place(name)]
    assert gone == []


def place(module: str) -> list[Path]:
    """The file or the folder of a module of ours."""
    stem = ROOT.joinpath(*module.split("."))
    return [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.exists()]


def test_the_citation_has_the_version_and_licence_of_the_package(project: dict) -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["version"], cited["license"]) == (latent_core.__version__, project["license"])


def test_continuous_integration_runs_the_same_script() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    commands = [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    assert ".ci/run" in commands
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == ["make test", "make docs"]
