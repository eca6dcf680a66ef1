"""What tests of more than one module need."""

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser import Jupyter

# Tests ask no network for anything; set before huggingface_hub is imported and reads it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A number of threads that follows the load would round sums by the load.
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
# A console keeps the width of the environment in which it is made, and xdist's workers have one.
os.environ.pop("COLUMNS", None)

Require = Callable[[object, str], None]

#: Files that take long: begun first, so that no core waits for them at the end.
LONGEST = (
    *("test_notebooks.py", "workbench/test_browser.py", "training/test_train.py", "test_docs.py"),
    *("workbench/panels/test_code.py", "grids/test_kills.py", "torture/test_sample.py"),
    *("cli/test_app.py", "training/test_arguments.py", "workbench/panels/training/test_panel.py"),
    *("models/test_companion.py", "models/test_passes.py", "statistics/test_error_rates.py"),
    *("backbones/test_families.py", "hypotheses/test_plan.py", "tiny/test_tiny.py"),
)


#: Needs what only npm has; the file says how to run it.
collect_ignore = [] if os.environ.get("LATENT_VSCODE_RENDERER") else ["workbench/test_vscode.py"]


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: a third of the time, a test waits for another process."""
    return 1 + len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


def pytest_configure() -> None:
    """Hear Ctrl-C, also where a shell began the tests in the background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; try again where a busy machine alone can fail a test.

    The summary of a session lists every test that passed only at a second try.
    """
    folder = Path(__file__).parent
    longest = [folder / name for name in LONGEST]
    items.sort(key=lambda item: item.path not in longest)
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("timed"):
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_collection_finish() -> None:
    """Exempt modules from garbage collection: each end of a training looks at all objects."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with what was not tested for want of something: a browser, weights, an extra."""
    wanting: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        reason = str(reason).removeprefix("Skipped: ")
        wanting[reason] = wanting.get(reason, 0) + 1
    if wanting:
        terminalreporter.section("not tested")
        for reason, count in sorted(wanting.items()):
            terminalreporter.line(f"{count} tests: {reason}")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def require() -> Require:
    """`require(condition, why)` skips the test unless the condition holds.

    Where LATENT_REQUIRE_ALL is set, as in CI, it fails instead: there, everything must be had.
    """

    def check(condition: object, why: str) -> None:
        if condition:
            return
        if os.environ.get("LATENT_REQUIRE_ALL"):
            pytest.fail(f"{why}, and LATENT_REQUIRE_ALL is set")
        pytest.skip(why)

    return check


@pytest.fixture(scope="session")
def smollm2_dir(require: Require) -> Path:
    """The SmolLM2 weights, converted if they are not yet."""
    from latent_core.backbones.smollm2 import fetch_smollm2
    from latent_core.errors import BackboneError

    try:
        return fetch_smollm2(progress=False)
    except BackboneError as error:
        require(False, str(error))
        raise


@pytest.fixture(scope="session")
def chromium(require: Require) -> str:
    """The path of a Chromium that can be driven."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    require(path, "no chromium is installed")
    assert path is not None
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> "Iterator[Browser]":
    """A Chromium, of a module and no longer: see `chromium_browser` on its event loop."""
    from tests.browser import chromium_browser

    with chromium_browser(chromium) as opened:
        yield opened


@pytest.fixture(scope="session")
def jupyter_lab(
    chromium: str, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Jupyter]":
    """One JupyterLab for all tests that look at notebooks in a browser."""
    from tests.browser import jupyter

    with jupyter(tmp_path_factory.mktemp("jupyter"), repository) as server:
        yield server
