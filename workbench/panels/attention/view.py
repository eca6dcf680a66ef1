"""What the attention panel draws, as heat maps and as a table: one model, or the difference of two.

Knows no widgets, no models and no jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latent_core.analysis.tracing import attention_against_effect
from latent_core.attention.record import AttentionRecord
from latent_core.errors import SettingError
from latent_core.slots.views import SlotView
from workbench.panels.attention.data import MEASURES, Captured, Cell, Direction, difference
from workbench.pictures.heat import Axis, Heat, largest_of
from workbench.pictures.theme import show_spaces

__all__ = ["AttentionView", "agreement_words", "slot_name"]

Array = NDArray[np.float32]


def slot_name(slot: SlotView) -> str:
    """A slot as a label: a token with its white space visible, or `Comma.1@2` as in selections."""
    if slot.group is None:
        return show_spaces(slot.label) or "∅"
    return f"{slot.label}@{slot.occurrence or 0}"


@dataclass(frozen=True)
class AttentionView:
    """What is looked at, and how.

    Attributes:
        shown: the capture of A, or of B.
        minus: what is subtracted, if anything: then `shown` is of A and this of B.
        beside: the other capture where there is one; both get the same colours.
        name: what is shown, such as `A` or `A - B`.
        measure: one of `MEASURES`.
        edges: queries and keys: one of `DIRECTIONS`, of all latents or of one group.
        all_slots: whether one head's map has all slots, or the direction's edges alone.
        effects: of cutting the edges of each group in each layer, if they were measured.
    """

    shown: Captured
    minus: Captured | None
    beside: Captured | None
    name: str
    measure: str
    edges: Direction
    all_slots: bool
    effects: pd.DataFrame | None = None

    @property
    def record(self) -> AttentionRecord:
        """Of what is shown; of A for a difference."""
        return self.shown.record

    @property
    def signed(self) -> bool:
        """Whether values may be below zero."""
        return MEASURES[self.measure].signed or self.minus is not None

    def overview(self, cell: Cell) -> Heat:
        """(H, L): what the direction's edges carry, per head and layer.

        Raises:
            SettingError: if there are no such edges; with the reason.
        """
        self._check_edges()
        values = self._over(lambda c: c.overview(self.measure, self.edges))
        record = self.record
        heads = [str(head) for head in record.heads] if len(values[0]) > 1 else ["all"]
        row = 0 if cell.head is None else record.heads.index(cell.head)
        return Heat(
            values.T.copy(),
            Axis("head", heads),
            Axis("layer", [str(layer) for layer in record.layers], numbers=record.layers),
            f"{self.name}: {self.edges}, summed over keys, mean over queries",
            MEASURES[self.measure].name,
            self.signed,
            self._largest(lambda c: c.overview(self.measure, self.edges), values),
            (row, record.layers.index(cell.layer)),
        )

    def head(self, cell: Cell) -> Heat:
        """One head's map; its longer side lies across, and queries go down a square one.

        The axes' numbers are slots.

        Raises:
            SettingError: if there are no such edges, or no such difference; with the reason.
        """
        if not self.all_slots:
            self._check_edges()
        direction = None if self.all_slots else self.edges
        one, other, _ = self._pair()
        values, queries, keys = one.head(self.measure, cell, direction)
        if other is not None:
            values = values - other.head(self.measure, cell, direction)[0]
        slots = one.record.slots
        rows, columns = _side("query", queries, slots), _side("key", keys, slots)
        if len(queries) > len(keys):
            values, rows, columns = values.T, columns, rows
        where = f"layer {cell.layer}" + ("" if cell.head is None else f", head {cell.head}")
        what = "all slots" if self.all_slots else str(self.edges)
        return Heat(
            values,
            rows,
            columns,
            f"{self.name}: {where}, {what}",
            MEASURES[self.measure].name,
            self.signed,
            self._largest(lambda c: c.head(self.measure, cell, direction)[0], values),
            square=self.all_slots,
        )

    def groups(self) -> Heat:
        """(G, L): raw weight by latent group and layer, mean over heads; of one, if it is chosen.

        Raises:
            SettingError: if there are no such edges, or it is a difference.
        """
        if self.minus is not None:
            raise SettingError("choose A or B to see the effect of cutting its edges")
        self._check_edges()
        return _group_heat(
            self.group_mass(), "mass", "Attention: raw weight, mean over heads", "weight", False
        )

    def group_mass(self) -> pd.DataFrame:
        """What `groups` shows: rows of group, layer, head, mass."""
        return self.of_group(self.shown.by_group(self.edges))

    def effect(self) -> Heat:
        """(G, L): change of log p(response) when a group's edges are cut in a layer."""
        assert self.effects is not None
        title = "Causal effect: change of log p(response) with these edges cut in one layer"
        return _group_heat(self.of_group(self.effects), "effect", title, "nats", True)

    def agreement(self) -> str:
        """How far attention goes with effect, plainly, with what that does not show."""
        assert self.effects is not None
        return agreement_words(self.group_mass(), self.of_group(self.effects))

    def of_group(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the group that is chosen, or all."""
        chosen = self.edges.group
        return frame if chosen is None else frame[frame["group"] == chosen]

    def note(self) -> str:
        """What a reader should know of the open map."""
        said = MEASURES[self.measure].says
        try:
            _, _, left_out = self._pair()
        except SettingError:
            left_out = ""
        return f"{said} {left_out}".strip()

    def heats(self, cell: Cell) -> tuple[list[Heat], str]:
        """All that can be drawn, and what a reader should know of it.

        Raises:
            SettingError: if nothing can; with the last reason.
        """
        heats, reason = [], None
        makers = [lambda: self.overview(cell), lambda: self.head(cell), self.groups]
        for make in makers:
            try:
                heats.append(make())
            except SettingError as error:
                reason = error
        if reason is not None and not heats:
            raise reason
        if self.effects is None:
            return heats, self.note()
        return [*heats, self.effect()], f"{self.note()} {self.agreement()}"

    def table(self, cell: Cell) -> pd.DataFrame:
        """Tidy: rows of the overview, of the open map, and of the effects; `view` says which."""
        parts = []
        for view, heat in (("overview", self.overview), ("map", self.head)):
            try:
                parts.append(_tidy(heat(cell)).assign(view=view))
            except SettingError:
                if view == "map" and not parts:
                    raise
        frame = pd.concat(parts, ignore_index=True)
        is_map = frame["view"] == "map"
        frame.loc[is_map, "layer"] = str(cell.layer)
        frame.loc[is_map, "head"] = "all" if cell.head is None else str(cell.head)
        frame.insert(0, "shown", self.name)
        frame.insert(1, "measure", self.measure)
        columns = ["shown", "measure", "view", "layer", "head"]
        columns += [c for c in ("query", "query_label", "key", "key_label") if c in frame]
        frame = frame[[*columns, "value"]]
        if self.effects is None:
            return frame
        rows = self.of_group(self.effects).assign(
            shown=self.name, measure="effect of the cut", view="effect"
        )
        rows = rows.astype({"layer": str}).rename(columns={"effect": "value"})
        names = ["shown", "measure", "view", "layer", "group", "value"]
        return pd.concat([frame, rows[names]], ignore_index=True)

    # --- how -----------------------------------------------------------------------------------

    def _pair(self) -> tuple[Captured, Captured | None, str]:
        if self.minus is None:
            return self.shown, None, ""
        return difference(self.shown, self.minus)

    def _over(self, compute: Callable[[Captured], Array]) -> Array:
        """A value of each head, or its difference, which needs no slots in common."""
        if self.minus is None:
            return compute(self.shown)
        try:
            one, other, _ = difference(self.shown, self.minus)
        except SettingError:
            one, other = self.shown, self.minus
        return compute(one) - compute(other)

    def _largest(self, compute: Callable[[Captured], Array], values: Array) -> float:
        """The end of the colour scale, which A and B share, so that they can be compared."""
        if self.minus is not None or self.beside is None:
            return largest_of(values)
        try:
            return largest_of(values, compute(self.beside))
        except SettingError:  # what is beside was captured for another measure
            return largest_of(values)

    def _check_edges(self) -> None:
        for captured in (self.shown, self.minus):
            if captured is None:
                continue
            queries, keys = captured.edges(self.edges)
            if not len(queries) or not len(keys):
                of = "" if self.edges.group is None else f" of group {self.edges.group}"
                raise SettingError(
                    f"layout {captured.record.layout} places no latents{of} in this prompt and "
                    f"response, so there are no edges {self.edges}. Choose another adapter or "
                    "example, or tick 'All slots' to see attention among all tokens"
                )


def agreement_words(mass: pd.DataFrame, effects: pd.DataFrame) -> str:
    """How far attention goes with effect, plainly, with what that does not show."""
    cut = int((effects["edges"] > 0).sum())
    if not cut:
        return "No edge was cut: the latents' edges in this direction are to themselves alone."
    try:
        found = attention_against_effect(mass, effects)
    except SettingError as error:
        return str(error)
    if np.isnan(found.rho):
        return "No rank correlation: attention or effect is the same in every cell."
    # Over all cells they agree as soon as one group has more of both.
    apart = [f"{rho:+.2f} within {group}" for group, rho in found.within.items()]
    within = f" ({', '.join(apart)})" if len(apart) > 1 else ""
    return (
        f"Below zero, the response needs the edges. Rank correlation of attention with the size "
        f"of the effect: {found.rho:+.2f}, over {found.edges} cells of this one example{within}. "
        "It is a description and no test: cells of one model are not independent. And where a "
        "model looks is not what it uses: go by the effect."
    )


def _side(title: str, places: Sequence[int], slots: Sequence[SlotView]) -> Axis:
    labels = [slot_name(slots[place]) for place in places]
    return Axis(title, labels, [slots[place].group or "" for place in places], list(places))


def _group_heat(frame: pd.DataFrame, column: str, title: str, unit: str, signed: bool) -> Heat:
    groups = list(dict.fromkeys(frame["group"]))
    cells = frame.pivot_table(index="group", columns="layer", values=column, aggfunc="mean")
    values = cells.loc[groups].to_numpy(dtype=np.float32)
    layers = [int(layer) for layer in cells.columns]
    return Heat(
        values,
        Axis("group", groups, groups),
        Axis("layer", [str(layer) for layer in layers], numbers=layers),
        title,
        unit,
        signed,
        largest_of(values),
    )


def _tidy(heat: Heat) -> pd.DataFrame:
    """One row per cell that exists."""
    row, column = np.nonzero(np.isfinite(heat.values))
    found: dict[str, object] = {}
    for side, at in ((heat.rows, row), (heat.columns, column)):
        labels = np.array(side.labels, dtype=object)[at]
        if side.title in ("query", "key"):
            found[side.title] = np.array(side.numbers)[at]
            found[f"{side.title}_label"] = labels
        else:
            found[side.title] = labels
    return pd.DataFrame(found | {"value": heat.values[row, column]})
