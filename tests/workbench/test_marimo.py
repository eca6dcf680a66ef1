"""In marimo, slots and heat maps are shown, and a chosen cell reaches Python; panels are not."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import PATIENCE, wait_for_server, watched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
expect.set_options(timeout=PATIENCE)

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import ipywidgets
    import marimo as mo
    import numpy as np

    from latent_core.slots.views import SlotView
    from workbench.pictures.heat_map import Axis, HeatMap
    from workbench.widgets.heat_grid import HeatGrid
    from workbench.widgets.token_strip import TokenStrip

    grid, strip = HeatGrid(picks=True), TokenStrip(label="slots")
    sides = Axis("query", ["a", "b"]), Axis("key", ["c", "d", "e"])
    grid.show(HeatMap(np.ones((2, 3), np.float32), *sides, "ones", "weight"))
    strip.show([SlotView("Comma.0", "Comma", 0, 4, None), SlotView("=", None, None, 5, 7)])
    return grid, ipywidgets, mo, strip


@app.cell
def _(grid, mo):
    shown = mo.ui.anywidget(grid)
    shown
    return (shown,)


@app.cell
def _(mo, strip):
    mo.ui.anywidget(strip)
    return


@app.cell
def _(grid, mo, shown):
    shown.value
    mo.md(f"chosen {grid.selected}")
    return


@app.cell
def _(ipywidgets):
    ipywidgets.VBox([ipywidgets.Button(description="of a panel")])
    return
"""


@contextlib.contextmanager
def marimo(folder: Path, repository: Path) -> Iterator[str]:
    """The address of a server that runs the notebook."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "app.py").write_text(NOTEBOOK)
    known = [str(repository), *filter(None, [os.environ.get("PYTHONPATH")])]
    homes = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    arguments = ["--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "marimo", "run", "app.py", *arguments],
            cwd=folder,
            env=os.environ | homes | {"PYTHONPATH": os.pathsep.join(known)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{port}/"
            wait_for_server(f"{address}health", process, folder / "log.txt")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=20)


def test_slots_and_heat_maps_are_shown_and_panels_are_not(
    browser: Browser, repository: Path, require: Callable[[object, str], None], tmp_path: Path
) -> None:
    require(importlib.util.find_spec("marimo"), "marimo is not installed")
    with marimo(tmp_path, repository) as address, watched(browser) as watch:
        page = watch.page
        page.goto(address)
        body = page.locator(".latent-grid-body[data-draws]")
        expect(body).to_be_visible()
        body.focus()
        for key in ("Control+Home", "ArrowRight", "ArrowDown", "Enter"):
            body.press(key)
        expect(page.get_by_text("chosen [1, 1]")).to_be_visible()
        expect(page.locator(".latent-chip", has_text="Comma.0")).to_be_visible()
        expect(page.get_by_text("Jupyter widgets are not supported")).to_be_visible()
