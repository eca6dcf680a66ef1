"""Run the notebooks and save them with their results, without progress bars and live widgets.

What is live needs a kernel; pictures that a notebook leaves below its widgets stay.

python experiments/run_notebooks.py [NOTEBOOK ...]
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from readme import ROOT


def main(paths: list[Path]) -> None:
    """Run each notebook in its folder; a notebook that fails is left as it was."""
    for path in paths:
        started = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        where = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=900, resources=where).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times of day
            if cell.cell_type == "code":
                cell.outputs = [o for o in cell.outputs if not (_is_progress(o) or _is_live(o))]
        notebook.metadata.pop("widgets", None)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - started:.0f} s")


def _is_progress(output: nbformat.NotebookNode) -> bool:
    """Whether a stream holds nothing but a bar, which returns to the start of its line."""
    return output.output_type == "stream" and (
        "\r" in output.text or not output.text.strip() or output.name == "stderr"
    )


def _is_live(output: nbformat.NotebookNode) -> bool:
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted((ROOT / "notebooks").glob("*.ipynb")))
