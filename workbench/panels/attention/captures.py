"""The captures that the attention panel keeps, and the effects measured of them. No widgets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from workbench.panels.attention.work import Request, Taken

__all__ = ["Captures"]


class Captures:
    """One capture of each subject, and what cutting its edges does."""

    def __init__(self) -> None:
        self._taken: dict[Request, Taken] = {}  # by subject, newest last
        self._effects: dict[tuple[Request, str], pd.DataFrame] = {}

    def find(self, request: Request, measure: str) -> Taken | None:
        """A capture that holds what is requested, with the measure computed."""
        taken = self._taken.get(request.subject)
        if taken is None or not request.satisfied_by(taken.request):
            return None
        return taken if taken.captured.is_prepared(measure) else None

    def widened(self, request: Request) -> tuple[Request, Taken | None]:
        """The request with all that is kept of its subject, so that nothing is lost; and that."""
        known = self._taken.get(request.subject)
        if known is None:
            return request, None
        return replace(
            request,
            all_slots=request.all_slots or known.request.all_slots,
            gradient=request.gradient or known.request.gradient,
        ), known

    def keep(self, found: Iterable[Taken], subjects: Iterable[Request]) -> None:
        """Keep what was found, and of all captures only those of these subjects."""
        for taken in found:
            self._taken.pop(taken.request.subject, None)
            self._taken[taken.request.subject] = taken
        wanted = set(subjects)
        self._taken = {k: v for k, v in self._taken.items() if k in wanted}
        self._effects = {k: v for k, v in self._effects.items() if k[0] in wanted}

    def effects(self, request: Request, direction: str) -> pd.DataFrame | None:
        """What cutting a direction's edges does to the response, if it was measured."""
        return self._effects.get((request.subject, direction))

    def keep_effects(self, request: Request, direction: str, effects: pd.DataFrame) -> None:
        """Keep what cutting a direction's edges does."""
        self._effects[request.subject, direction] = effects

    def clear(self) -> None:
        """Forget everything."""
        self._taken.clear()
        self._effects.clear()
