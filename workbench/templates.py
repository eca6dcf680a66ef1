"""Files that lie beside modules: Jinja2 templates, which are filled, and scripts, which are joined.

A template is named by its path in the package. A widget's page can load one script alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from latent_core.templates import renderer

__all__ = ["EXPORT", "joined", "render"]

render: Final = renderer(Path(__file__).parent)
"""Fill a template, such as `panels/export_page.html`."""


_WIDGETS: Final = Path(__file__).parent / "widgets"
#: The last line of a widget's script.
EXPORT: Final = "export default { render };"


def joined(*names: str) -> str:
    """The text of some scripts of `widgets`, in this order."""
    return "\n".join((_WIDGETS / name).read_text(encoding="utf-8") for name in names)
