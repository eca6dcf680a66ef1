"""Every notebook runs from top to bottom, and says little enough to be read."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.test_docs import quick

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


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, smollm2_dir: Path) -> None:
    """With few steps and examples; `experiments/rebuild.py` runs it as it is, and compares."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = quick(cell.source)
    NotebookClient(
        notebook, timeout=800, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    errors = [o for c in notebook.cells for o in c.get("outputs", ()) if o.output_type == "error"]
    assert not errors
