"""`latent demo`: JupyterLab at a notebook whose one cell shows the workbench."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from latent_core.backbones.known import BACKBONES
from latent_core.cli.app import app
from latent_core.cli.terminal import say
from latent_core.errors import SettingError, needs_extra
from latent_core.files import write_json
from latent_core.wording import did_you_mean

__all__ = ["demo", "lab_command", "write_notebook"]

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
