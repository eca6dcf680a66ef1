"""Jinja2 templates of the report, which lie beside this module."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from latent_core.templates import renderer

__all__ = ["render"]

render: Final = renderer(Path(__file__).parent)
"""Fill a template, such as `page.html`."""
