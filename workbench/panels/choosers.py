"""Choosers of a panel's header: the next example, and the adapters A and B."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import ipywidgets as widgets

from workbench.session import Session

__all__ = ["AdapterChooser", "SessionChoosers"]

_ROW: Final = {
    "flex_flow": "row wrap",
    "align_items": "center",
    "grid_gap": "0 6px",
    "margin": "2px 0 5px",
}

#: Makes a callback whose errors are shown in the panel.
Safely = Callable[[Callable[..., Any]], Callable[..., None]]


class AdapterChooser(widgets.Dropdown):
    """Every model of the session, and every adapter that ships for its backbone, as A or as B."""

    def __init__(
        self, session: Session, side: Literal["a", "b"], safely: Safely, **layout: str
    ) -> None:
        """Make the list.

        Args:
            session: whose adapter is chosen.
            side: which of the two.
            safely: makes a callback whose errors are shown in the panel.
            layout: of the list.
        """
        self._session, self._side, self._setting = session, side, False
        self._names: tuple[str, ...] = ()
        super().__init__(
            description=side.upper(),
            tooltip=f"Model {side.upper()}",
            layout=layout,
            style={"description_width": "20px"},
        )
        self.observe(safely(self._choose), "value")
        session.observe(safely(lambda _: self._follow()), ["models", "task", f"adapter_{side}"])
        self._follow()

    def _choose(self, change: Any) -> None:
        if not self._setting and change["new"] is not None:
            self._session.choose(self._side, change["new"])

    def _follow(self) -> None:
        """Offer the models, and the adapters that ship and are not loaded yet."""
        session = self._session
        known = set(session.folders.values())
        ships = [title for title, path in session.shipped.items() if path not in known]
        names = (*session.models, *ships)
        self._setting = True
        try:
            if self._names != names:
                self.options = self._names = names
            self.value = getattr(session, f"adapter_{self._side}")
        finally:
            self._setting = False


class SessionChoosers(widgets.HBox):
    """Lists of adapters for A and B, and buttons for the example before and the next one.

    Attributes:
        adapters: the lists, by side.
        steps: the buttons, if there are any.
    """

    def __init__(self, session: Session, safely: Safely, *steps: widgets.Button) -> None:
        """Make the row.

        Args:
            session: what is chosen.
            safely: makes a callback whose errors are shown in the panel.
            steps: buttons that go to the example before and to the next one, or none.
        """
        self._session, self.steps = session, steps
        sides: tuple[Literal["a", "b"], ...] = ("a", "b")
        self.adapters = {
            side: AdapterChooser(session, side, safely, width="330px", margin="0") for side in sides
        }
        super().__init__([*self.adapters.values(), *steps], layout=widgets.Layout(**_ROW))
        session.observe(safely(lambda _: self._follow()), ["example", "task"])
        self._follow()

    def _follow(self) -> None:
        drawn = self._session.drawn
        for previous in self.steps[:1]:
            previous.disabled = drawn is None or drawn.number == 0
