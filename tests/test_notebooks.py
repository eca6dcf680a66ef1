"""Every notebook runs from top to bottom, and says little enough to be read."""

import json
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient

from tests.forked import forked
from tests.test_docs import quick

#: The one with panels, which talk to a kernel.
IN_A_KERNEL = "03_workbench"
NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_read_rather_than_decoded(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown"
    longest = max(len("".join(c["source"]).splitlines()) for c in cells if c["cell_type"] == "code")
    assert longest <= 15, "a wall of code: move it into the package"
    assert any(cell.get("outputs") for cell in cells), "saved without its results"
    assert path.stat().st_size < 2_000_000
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    figures = [data for data in shown if "application/vnd.plotly.v1+json" in data]
    assert all("image/png" in data for data in figures), (
        "blank on GitHub: python experiments/run_notebooks.py --pictures-only"
    )


def run_cells(sources: list[str]) -> None:
    """Run cells as IPython does; a kernel of its own takes seconds to begin."""
    shell = InteractiveShell.instance()
    for source in sources:
        shell.run_cell(source).raise_error()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, smollm2_dir: Path) -> None:
    """With few steps and examples; `experiments/rebuild.py` runs it as it is, and compares."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = quick(cell.source)
    if path.stem == IN_A_KERNEL:
        place = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=800, resources=place).execute()
        return
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    ended = forked(lambda: run_cells(sources), path.parent)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
