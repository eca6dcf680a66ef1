"""Jinja2 templates of the workbench.

A template lies beside the module that fills it, and is named by its path in the package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from latent_core.templates import renderer

__all__ = ["render"]

render: Final = renderer(Path(__file__).parent)
"""Fill a template, such as `panels/export_page.html`."""
