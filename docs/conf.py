"""How Sphinx builds the site, `make docs`, of the Markdown and the notebooks of the repository."""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

project = "Latent Workbench"
root_doc = "docs/index"
extensions = ["myst_nb"]
include_patterns = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**", "notebooks/*.ipynb"),
    "latent_core/assets/tiny/README.md",
]
exclude_patterns = ["docs/results-notes.md", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = project
myst_heading_anchors = 3
# Notebooks are shown as they were run; of a chart, which needs Plotly's script, its picture.
nb_execution_mode = "off"
suppress_warnings = ["mystnb.unknown_mime_type"]


def _copy_pictures(app: Sphinx, error: Exception | None) -> None:
    """Pictures that pages show by HTML of their own, which Sphinx does not read."""
    if error is None and app.builder.format == "html":
        pictures = Path("docs/images")
        shutil.copytree(app.srcdir / pictures, app.outdir / pictures, dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    """Called by Sphinx at the start."""
    app.connect("build-finished", _copy_pictures)
