"""How soon one sees attention: our panel, a Plotly heat map, BertViz; in a browser, in JupyterLab.

For SmolLM2 (L=30, H=9) and examples of T slots, all slots onto all slots:

- the panel: its overview of every head and one head's T x T map, displayed in a notebook cell after
  the capture; then a click on another layer.
- Plotly: one head's T x T map as a `FigureWidget` in a notebook cell; then another layer's numbers.
- BertViz: `head_view` of one layer, in a page of its own with its scripts served locally, since it
  stays blank in JupyterLab 4; another layer is another page.

Seconds go from the display to the picture drawn; payload is all that travels to the browser for it,
also what a widget sends when it is made.
Promised for the panel at T=256: at most 1 MB, 1 s, and 0.15 s for another layer.

    python benchmarks/attention_panel.py
    python benchmarks/attention_panel.py --slots 64 --backbone tiny --views panel plotly
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import browser as browsers  # noqa: E402
from browser import PATIENT_WIDGETS, TOKEN, Jupyter, chromium_browser, jupyter  # noqa: E402
from playwright.sync_api import Browser, Page  # noqa: E402
from playwright.sync_api import Error as PageError  # noqa: E402

VIEWS = {"panel": "our panel", "plotly": "Plotly heat map", "bertviz": "BertViz head view"}
PROMISED_AT = 256
MOST_BYTES, MOST_FIRST, MOST_CHANGE = 1_000_000, 1.0, 0.15
PATIENCE = 180_000  # milliseconds; BertViz may need them

SET_UP = """
import asyncio
import numpy as np, plotly.graph_objects as go
from IPython.display import display
import latent_core as lc
from workbench.panels.attention.measures import Cell
from workbench.panels.attention.panel import AttentionPanel
from workbench.session import Session

def example_of(model, slots):
    # Known tokenizers have a token per digit and per comma.
    text = "314,159,265,358,979,323,846," * slots
    for prompt in ("Go on: 2,7", "Go on: 2,71"):  # a comma is two slots, and may be one too many
        for length in range(slots // 2, slots + 1):
            example = lc.Example(prompt, text[:length], "id", 1, "benchmark")
            if len(model.insert(example.prompt, example.answer).slots) == slots:
                return example
    raise ValueError(f"no text of {{slots}} slots")

session = Session({backbone!r}, [lc.LatentModel(lc.load_backbone({backbone!r}), "Start_1+Comma_1")])
"""
CAPTURE = """
session = Session(session.backbone, [session.model_a])  # panels of one session share their jobs
session.example = example_of(session.model_a, {slots})
panel = AttentionPanel(session)
panel.controls.all_slots.value = True
job = panel.capture()
while job.active:
    await asyncio.sleep(0.05)
assert job.state == "done", job.details
print(job.seconds)
"""
FIGURE = """
view = panel.view()
maps = [np.nan_to_num(view.head(Cell(layer, 0)).values) for layer in view.record.layers]
figure = go.FigureWidget(go.Heatmap(z=maps[-1]))
"""
PANEL = ".latent-grid-body[data-draws]:not([hidden])"
#: Runs a step and waits, frame by frame, until a count of elements or of drawings has grown.
TIMED = """async ([step, counted]) => {
    const frame = () => new Promise(requestAnimationFrame);
    const count = () => Function(`return ${counted}`)();
    const before = count(), start = performance.now();
    await Function(`return (async () => { ${step} })()`)();
    while (count() <= before) {
        if (performance.now() - start > 180000) throw Error(`not drawn: ${counted}`);
        await frame();
    }
    await frame();
    return (performance.now() - start) / 1000;
}"""
RUN_CELL = "await jupyterapp.commands.execute('notebook:run-cell')"
KERNEL = """jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute(
    {code: %s, store_history: false}).done"""


class Figures(NamedTuple):
    """What was measured of one view; None where there was no picture in time."""

    payload: int | None
    first: float | None
    change: float | None


class Wire:
    """Counts what a page receives through its sockets."""

    def __init__(self, page: Page) -> None:
        self.received = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, frame: str | bytes) -> None:
        self.received += len(frame)


def main() -> int:
    options = read_options()
    browsers.PATIENCE = PATIENCE
    results: dict[int, dict[str, Figures]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter(Path(folder), ROOT) as server,
        chromium_browser(options.chromium) as browser,
    ):
        page, wire = open_notebook(server, browser)
        execute(page, SET_UP.format(backbone=options.backbone))
        for slots in options.slots:
            before = wire.received
            seconds = execute(page, CAPTURE.format(slots=slots))
            page.wait_for_timeout(2000)
            ours, before = wire.received - before, wire.received
            execute(page, FIGURE)
            page.wait_for_timeout(2000)
            theirs = wire.received - before
            print(f"T={slots}: captured in {float(seconds):.1f} s", flush=True)
            found = results[slots] = {}
            for view in options.views:
                if view == "panel":
                    found[view] = panel_figures(page, wire, ours, options.repeats)
                elif view == "plotly":
                    found[view] = plotly_figures(page, wire, theirs, options.repeats)
                else:
                    found[view] = bertviz_figures(page, browser, Path(folder))
                print(row(slots, VIEWS[view], found[view]), flush=True)
    if options.json:
        plain = {t: {n: f._asdict() for n, f in views.items()} for t, views in results.items()}
        options.json.write_text(json.dumps(plain, indent=2) + "\n")
    ours = results.get(PROMISED_AT, {}).get("panel")
    return 0 if ours is None or kept(ours) else 1


def kept(ours: Figures) -> bool:
    """Whether the promises of the module's docstring hold."""
    limits = (MOST_BYTES, MOST_FIRST, MOST_CHANGE)
    return all(v is not None and v <= most for v, most in zip(ours, limits, strict=True))


def row(slots: int, name: str, figures: Figures) -> str:
    payload = "-" if figures.payload is None else f"{figures.payload / 1e3:,.0f} kB"
    first, change = (
        f"more than {PATIENCE / 1000:.0f} s" if seconds is None else f"{seconds:.3f} s"
        for seconds in figures[1:]
    )
    return f"| {slots} | {name} | {payload} | {first} | {change} |"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="smollm2-135m", help="as load_backbone takes it")
    parser.add_argument("--slots", type=int, nargs="+", default=[64, 256, 512], help="T")
    parser.add_argument("--repeats", type=int, default=5, help="medians of (default: %(default)s)")
    parser.add_argument("--views", nargs="+", choices=list(VIEWS), default=list(VIEWS))
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    return parser.parse_args()


# --- JupyterLab -----------------------------------------------------------------------------------


def open_notebook(server: Jupyter, browser: Browser) -> tuple[Page, Wire]:
    """A notebook of one empty cell, its kernel connected."""
    cell: dict[str, Any] = {"cell_type": "code", "source": "display(panel)", "metadata": {}}
    cell |= {"outputs": [], "execution_count": None}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    content = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}
    (server.root / "benchmark.ipynb").write_text(json.dumps(content))
    page = browser.new_page(viewport={"width": 1400, "height": 1600})
    page.set_default_timeout(PATIENCE)
    page.add_init_script(PATIENT_WIDGETS)
    wire = Wire(page)
    page.goto(f"http://127.0.0.1:{server.port}/lab/tree/benchmark.ipynb?token={TOKEN}")
    page.wait_for_function(
        "window.jupyterapp?.shell.currentWidget?.sessionContext?.session"
        "?.kernel?.connectionStatus === 'connected'"
    )
    return page, wire


def execute(page: Page, code: str) -> str:
    """Run code in the kernel; returns what it prints."""
    printed, error = page.evaluate(
        """async (code) => {
            const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
            const future = kernel.requestExecute({ code, store_history: false });
            let printed = "";
            future.onIOPub = ({ content }) => (printed += content.text ?? "");
            const { content } = await future.done;
            return [printed, content.status === "ok" ? "" : content.traceback.join("\\n")];
        }""",
        code,
    )
    if error:
        raise SystemExit(error)
    return str(printed).strip()


def show(page: Page, source: str, counted: str) -> float:
    """Seconds from running the cell, which shows something, until it is drawn."""
    page.evaluate(
        """(source) => {
            const { content } = jupyterapp.shell.currentWidget;
            content.activeCell.model.sharedModel.setSource(source);
            content.activeCell.model.clearExecution();
        }""",
        source,
    )
    page.wait_for_timeout(500)  # what is gone is gone
    return float(page.evaluate(TIMED, [RUN_CELL, counted]))


def panel_figures(page: Page, wire: Wire, sent: int, repeats: int) -> Figures:
    """Two heat maps at least: the overview of all heads, and the open one.

    `sent`: bytes that travelled when the panel was made and its numbers were captured.
    """
    drawn = f"document.querySelectorAll('{PANEL}').length >= 2 ? 1 : 0"
    first, payload = [], []
    for _ in range(repeats):
        before = wire.received
        first.append(show(page, "display(panel)", drawn))
        page.wait_for_timeout(1000)
        payload.append(sent + wire.received - before)
    redrawn = f"Number(document.querySelectorAll('{PANEL}')[1].dataset.draws)"
    click = """
        const canvas = document.querySelector('.latent-grid-body canvas');
        const box = canvas.getBoundingClientRect();
        const at = {clientX: box.right - %d, clientY: box.bottom - 8, bubbles: true};
        canvas.dispatchEvent(new MouseEvent('click', at));"""
    change = []
    for number in range(repeats + 1):
        page.wait_for_timeout(300)
        seconds = page.evaluate(TIMED, [click % (8 + 90 * (number % 2)), redrawn])
        if number:
            change.append(float(seconds))
    return Figures(*map(statistics.median, (payload, first, change)))


def plotly_figures(page: Page, wire: Wire, sent: int, repeats: int) -> Figures:
    """One head's map. `sent`: bytes that travelled when the figure was made."""
    drawn = "document.querySelectorAll('.js-plotly-plot .heatmaplayer image').length"
    first, payload = [], []
    for _ in range(repeats):
        before = wire.received
        first.append(show(page, "display(figure)", drawn))
        page.wait_for_timeout(1000)
        payload.append(sent + wire.received - before)
    page.evaluate(
        """() => {
            window.plotted = 0;
            const isPicture = ({target}) => target.closest?.('.heatmaplayer');
            const count = (changes) => (plotted += changes.some(isPicture));
            const options = {subtree: true, childList: true, attributes: true};
            new MutationObserver(count).observe(document.body, options);
        }"""
    )
    change = []
    for number in range(repeats):
        page.wait_for_timeout(300)
        code = json.dumps(f"figure.data[0].z = maps[{number}]")
        change.append(float(page.evaluate(TIMED, [KERNEL % code, "window.plotted"])))
    return Figures(*map(statistics.median, (payload, first, change)))


# --- BertViz --------------------------------------------------------------------------------------

BERTVIZ = """
from bertviz import head_view
record = panel.view().record
html = head_view([record.weights[-1:, :]], list(record.labels), html_action="return")
with open({path!r}, "w") as file:
    file.write(html.data)
"""


def bertviz_figures(page: Page, browser: Browser, folder: Path) -> Figures:
    """One layer's page; what it asks of the network is answered from files that ship."""
    path = folder / "bertviz.html"
    execute(page, BERTVIZ.format(path=str(path)))
    vendor = ROOT / "workbench" / "widgets" / "vendor"
    scripts = "".join(file.read_text() for file in sorted(vendor.glob("*.js"), reverse=True))
    scripts += ";requirejs = require = (names, run) => run(jQuery, d3); require.config = () => {};"
    seconds = timed_page(browser, path, scripts)
    return Figures(path.stat().st_size + len(scripts), seconds, seconds)


def timed_page(browser: Browser, path: Path, scripts: str) -> float | None:
    """Seconds from opening a page to its lines."""
    fresh = browser.new_page()
    fresh.set_default_timeout(PATIENCE)
    answer: Callable[[Any], None] = lambda route: route.fulfill(body=scripts)  # noqa: E731
    fresh.route("**/require.min.js", answer)
    try:
        fresh.goto(path.as_uri(), wait_until="commit")
        fresh.wait_for_selector("svg line", state="attached")
        drawn = "new Promise(done => requestAnimationFrame(() => done(performance.now() / 1000)))"
        return float(fresh.evaluate(drawn))
    except PageError:
        return None
    finally:
        fresh.close()


if __name__ == "__main__":
    sys.exit(main())
