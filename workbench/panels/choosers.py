"""Choosers of a panel's header: the next example, the adapters A and B, and their snapshots.

A run that was trained with snapshots has a slider: every panel shows it as it was after a step.
What is known of the step stands beside it: the losses of the run's log, and the accuracy that
`latent evaluate --along` measured.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import ipywidgets as widgets
import pandas as pd

from latent_core.archives.folders import has_file, modified_ns, read_file
from latent_core.errors import LatentError
from latent_core.runs.checkpoints import LOSS_COLUMN
from latent_core.runs.own_files import LOG_FILE, SNAPSHOTS_FILE
from latent_core.runs.snapshots import load_snapshots, read_along
from workbench.levels import split_words
from workbench.session import Session
from workbench.widgets.text_line import TextLine

__all__ = [
    "KEPT",
    "AdapterChooser",
    "SessionChoosers",
    "StepSliders",
    "records_along",
    "snapshot_steps",
    "step_words",
]

_CHOOSER_ROW: Final = {
    "flex_flow": "row wrap",
    "align_items": "center",
    "grid_gap": "0 6px",
    "margin": "2px 0 5px",
}
_STEP_ROW: Final = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "0 14px"}

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
        super().__init__([*self.adapters.values(), *steps], layout=widgets.Layout(**_CHOOSER_ROW))
        session.observe(safely(lambda _: self._follow()), ["example", "task"])
        self._follow()

    def _follow(self) -> None:
        drawn = self._session.drawn
        for previous in self.steps[:1]:
            previous.disabled = drawn is None or drawn.number == 0


# --- snapshots ------------------------------------------------------------------------------------

#: A slider's value for what the run kept in the end.
KEPT: Final = -1

_SIDES: Final[tuple[Literal["a", "b"], ...]] = ("a", "b")
#: Splits whose accuracy is named beside a slider.
_MOST_SPLITS: Final = 4


class StepSliders(widgets.VBox):
    """A slider for each of A and B that has snapshots; none takes no room.

    Attributes:
        sliders: by side; each value is a step, or `KEPT`.
        words: what is known of the step, by side.
    """

    def __init__(self, session: Session, safely: Callable[[Any], Any]) -> None:
        """`safely` makes a callback whose errors are shown in the panel."""
        self._session, self._setting = session, False
        self._shown: list[widgets.Widget] = []
        self.sliders = {side: _slider(side) for side in _SIDES}
        self.words = {side: TextLine(quiet=True) for side in _SIDES}
        super().__init__([])
        for side, slider in self.sliders.items():
            slider.observe(safely(self._chooser(side)), "value")
        session.observe(safely(lambda _: self._follow()), ["adapter_a", "adapter_b"])
        self._follow()

    def _chooser(self, side: Literal["a", "b"]) -> Callable[[Any], None]:
        def choose(change: Any) -> None:
            if not self._setting:
                self._session.at_step(side, None if change["new"] == KEPT else change["new"])

        return choose

    def _follow(self) -> None:
        """Show the sliders of the runs that have snapshots, at the steps of the session."""
        session, rows = self._session, list[widgets.HBox]()
        self._setting = True
        try:
            for side, slider in self.sliders.items():
                name = getattr(session, f"adapter_{side}")
                folder = session.folders.get(name)
                steps = () if folder is None else snapshot_steps(folder)
                if folder is None or not steps:
                    continue
                options = [*((str(step), step) for step in steps), ("kept", KEPT)]
                if tuple(slider.options) != tuple(options):
                    slider.options = options
                slider.value = session.steps.get(name, KEPT)
                self.words[side].say(step_words(folder, session.steps.get(name)))
                rows.append(widgets.HBox([slider, self.words[side]], layout=_STEP_ROW))
        finally:
            self._setting = False
        shown = [row.children[0] for row in rows]
        if shown != self._shown:
            self._shown, self.children = shown, rows


def step_words(folder: Path, step: int | None) -> str:
    """What a run's log and its records along training say of a step; empty if nothing."""
    words = []
    log = _log(folder)
    if step is not None and log is not None and (log["step"] == step).any():
        row = log[log["step"] == step].iloc[0]
        words.append(f"training loss {row['loss']:.3f}")
        if LOSS_COLUMN in row and pd.notna(row[LOSS_COLUMN]):
            words.append(f"validation loss {row[LOSS_COLUMN]:.3f}")
    records = records_along(folder)
    if step is not None and records is not None:
        means = records[records["step"] == step].groupby("split", sort=False)["graded"].mean()
        if len(means):
            shown = ", ".join(
                f"{split_words(str(split))} {mean:.2f}"
                for split, mean in means.head(_MOST_SPLITS).items()
            )
            words.append(f"graded accuracy {shown}")
    return " · ".join(words)


def _slider(side: str) -> widgets.SelectionSlider:
    return widgets.SelectionSlider(
        options=[("kept", KEPT)],
        description=f"Step of {side.upper()}",
        tooltip="Look at what the run had trained after this step, in every panel",
        continuous_update=False,
        style={"description_width": "70px"},
        layout=widgets.Layout(width="min(420px, 100%)", margin="0"),
    )


def snapshot_steps(folder: Path) -> tuple[int, ...]:
    """The steps of which a run has snapshots; none if they cannot be read."""
    if not has_file(folder, SNAPSHOTS_FILE):
        return ()
    try:
        return _known_steps(folder, modified_ns(folder, SNAPSHOTS_FILE))
    except (LatentError, OSError):
        return ()


@lru_cache(maxsize=32)
def _known_steps(folder: Path, modified: int) -> tuple[int, ...]:
    return tuple(load_snapshots(folder))


def _log(folder: Path) -> pd.DataFrame | None:
    try:
        return pd.read_csv(io.BytesIO(read_file(folder, LOG_FILE)))
    except (OSError, ValueError, LatentError):
        return None


def records_along(folder: Path) -> pd.DataFrame | None:
    """The records of the run's snapshots that `latent evaluate --along` wrote, if there are any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `latent evaluate --along` says it
        return read_along(folder)
