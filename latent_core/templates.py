"""HTML from Jinja2 templates, which escape every value.

Text of tokens, methods and tasks is data. A value that is HTML already says so in the template
(`| safe`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["renderer"]


def renderer(folder: Path) -> Callable[..., str]:
    """Make a function that fills the templates of a folder.

    Args:
        folder: templates are named by their path in it.

    Returns:
        `render(template, **values)`, which gives the text of the filled template.
    """

    @cache
    def environment() -> Environment:
        return Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(template: str, **values: object) -> str:
        return environment().get_template(template).render(**values)

    return render
