"""A text field with suggestions, all of which show when it opens.

The list that a browser attaches to a text field shows those alone that begin with its text, so a
field that is filled in seems to have no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

__all__ = ["ComboBox"]

STATIC: Final = Path(__file__).parent


class ComboBox(anywidget.AnyWidget):
    """A labelled field that takes any text, and offers some.

    Attributes:
        value: its text, once the user presses Enter, leaves the field or chooses a suggestion.
        options: the suggestions.
        description: the label before it.
        description_width: of the label, as CSS has it.
        placeholder: shown while the field is empty.
        disabled: whether the user cannot change it.
    """

    _esm = STATIC / "combo_box.js"
    _css = STATIC / "combo_box.css"

    value = traitlets.Unicode().tag(sync=True)
    options = traitlets.Tuple().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    description_width = traitlets.Unicode("initial").tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(self, *, style: Mapping[str, str] | None = None, **traits: Any) -> None:
        """Make the field.

        Args:
            style: `description_width`, as other labelled fields take it.
            traits: any trait.
        """
        super().__init__(**(dict(style or {}) | traits))
