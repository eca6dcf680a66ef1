"""What a run was made with: packages, the revision of the code, and the machine.

Runs are shared, so neither host names nor paths are kept.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

__all__ = ["circumstances", "revision_of"]

_PACKAGES: Final = ("torch", "transformers", "latent-workbench")
#: Seconds that git may take; a large repository on a slow disk is then left out.
_PATIENCE: Final = 5


def circumstances() -> dict[str, Any]:
    """What `run.json` says of where a run was made.

    Returns:
        `versions` of the packages. `git`: the revision of the code of `latent_core`, and of the
        repository of the working folder if that is another one, each with whether tracked files
        had changes; empty outside of repositories. `machine`: system, Python, processor, cores,
        memory in bytes, and the names of the CUDA devices if the process uses them.
    """
    return {
        "versions": {name: version(name) for name in _PACKAGES},
        "git": _revisions(),
        "machine": _machine(),
    }


def revision_of(folder: str | Path) -> dict[str, Any] | None:
    """The revision of the repository that a folder is in, and whether tracked files have changes.

    Args:
        folder: in the repository; the repository has to track a file of it.

    Returns:
        None if git is not installed, there is no such repository, or git takes too long.
    """
    if not _git(folder, "ls-files", "--", "."):
        return None  # a virtual environment in a project is no part of the project
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    lines = (status or "").splitlines()
    revisions = [line.split()[2] for line in lines if line.startswith("# branch.oid ")]
    if not revisions or revisions[0] == "(initial)":
        return None
    return {
        "revision": revisions[0],
        "changed": any(not line.startswith("#") for line in lines),
    }


def _revisions() -> dict[str, Any]:
    places = {"latent_core": Path(__file__).parents[1], "working_folder": Path.cwd()}
    found = {name: revision_of(folder) for name, folder in places.items()}
    if found["working_folder"] == found["latent_core"]:
        del found["working_folder"]
    return {name: revision for name, revision in found.items() if revision is not None}


def _git(folder: str | Path, *arguments: str) -> str | None:
    """What git answers; None if it does not. It runs no program that the repository names."""
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=folder,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def _machine() -> dict[str, Any]:
    import psutil

    torch: Any = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_initialized()  # asking would initialise it
    cuda = range(torch.cuda.device_count()) if used else ()
    return {
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "devices": [torch.cuda.get_device_name(number) for number in cuda],
    }


@cache
def _processor() -> str:
    """The name of the processor, which Python itself does not say on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
