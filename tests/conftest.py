"""What tests of more than one module need."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

# Tests ask no network for anything; set before huggingface_hub is imported and reads it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

Require = Callable[[object, str], None]


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
    from latent_core.errors import BackboneError
    from latent_core.weights import fetch_smollm2

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
