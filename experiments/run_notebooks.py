"""Run the notebooks and save them with their results, without progress bars and live widgets.

What is live needs a kernel; pictures that a notebook leaves below its widgets stay. Beside every
Plotly figure comes a PNG of it, which is what GitHub and nbconvert show.

    python experiments/run_notebooks.py [NOTEBOOK ...]
    python experiments/run_notebooks.py --pictures-only [NOTEBOOK ...]    # of the saved results
"""

import argparse
import shutil
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from playwright.sync_api import sync_playwright
from plotly.offline import get_plotlyjs
from readme import ROOT

PLOTLY = "application/vnd.plotly.v1+json"


def main() -> None:
    """Read the options and go through the notebooks; one that fails is left as it was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--pictures-only", action="store_true", help="run nothing")
    options = parser.parse_args()
    for path in options.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        started = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        if not options.pictures_only:
            _run(notebook, path.parent)
        _add_pictures(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - started:.0f} s")


def _run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=900, resources=where).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not (_is_progress(o) or _is_live(o))]
    notebook.metadata.pop("widgets", None)


def _add_pictures(notebook: nbformat.NotebookNode) -> None:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    figures = [output.data for output in outputs if PLOTLY in output.get("data", {})]
    if not figures:
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())
        for data in figures:
            address = page.evaluate(
                """figure => Plotly.toImage(
                    {...figure, layout: {...figure.layout, paper_bgcolor: "white"}},
                    {format: "png", width: 860, height: figure.layout.height ?? 440, scale: 1.5},
                )""",
                {name: data[PLOTLY][name] for name in ("data", "layout")},
            )
            data["image/png"] = address.removeprefix("data:image/png;base64,") + "\n"
        browser.close()


def _is_progress(output: nbformat.NotebookNode) -> bool:
    """Whether a stream holds nothing but a bar, which returns to the start of its line."""
    return output.output_type == "stream" and (
        "\r" in output.text or not output.text.strip() or output.name == "stderr"
    )


def _is_live(output: nbformat.NotebookNode) -> bool:
    """Whether it is a widget, or the picture below one, which is there while a kernel runs too."""
    data = output.get("data", {})
    return "application/vnd.jupyter.widget-view+json" in data or "latent-still" in "".join(
        data.get("text/html", "")
    )


if __name__ == "__main__":
    main()
