"""Buttons that download a view in each format, and copy the code that makes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from latent_core.errors import LatentError

__all__ = ["ExportBar"]

STATIC: Final = Path(__file__).parent


class ExportBar(anywidget.AnyWidget):
    """One button per format, and one that copies the code.

    Attributes:
        name: of the files, without ending.
        formats: their endings.
    """

    _esm = STATIC / "export_bar.js"
    _css = STATIC / "export_bar.css"

    name = traitlets.Unicode().tag(sync=True)
    formats = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self, title: str, writers: Mapping[str, Callable[[], bytes]], code: Callable[[], str]
    ) -> None:
        """Make the buttons.

        Args:
            title: of the view; names the files.
            writers: by file ending, what writes the view in that format.
            code: writes the Python that reproduces the view.
        """
        name = re.sub(r"\W+", "-", title.lower()).strip("-")
        super().__init__(name=name, formats=list(writers))
        self._writers, self._code = dict(writers), code
        self.on_msg(self._hear)

    def _hear(self, widget: Any, content: dict[str, str], buffers: list[bytes]) -> None:
        kind = content.get("kind", "")
        try:
            if kind == "code":
                self.send({"kind": "code", "text": self._code()})
            else:
                self.send({"kind": kind}, [self._writers[kind]()])
        except LatentError as error:
            self.send({"kind": "error", "text": str(error)})
        except Exception as error:  # shown where the user clicked, whatever it is
            self.send({"kind": "error", "text": f"{type(error).__name__}: {error}"})
