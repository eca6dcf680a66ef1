"""HTML from the package's Jinja2 templates, which escape every value.

A template lies beside the module that fills it, and is named by its path in the package. Text of
tokens, methods and tasks is data. A value that is HTML already says so in the template (`| safe`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["render"]


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: object) -> str:
    """Fill a template, such as `panels/export_page.html`."""
    return _environment().get_template(template).render(**values)
