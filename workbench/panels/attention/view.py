"""The attention panel's heat maps and table: of one model, or of the difference of two."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from latent_core.analysis.tracing import attention_against_effect
from latent_core.attention.record import AttentionRecord
from latent_core.errors import SettingError
from workbench.panels.attention.measures import (
    MEASURES,
    AttentionMaps,
    Cell,
    Direction,
    FloatArray,
    aligned,
    difference,
)
from workbench.pictures.heat_map import Axis, HeatMap, largest_of, slot_axis
from workbench.pictures.slots import group_colours

__all__ = ["SCALES", "AttentionView", "agreement_words", "shades_of"]


#: Where the scale of colours ends.
SCALES: Final = ("shared by A and B", "own maximum", "0 to 1")


@dataclass(frozen=True)
class AttentionView:
    """Which attention is shown, and how.

    Attributes:
        shown: the maps of A, or of B.
        minus: the maps that are subtracted: of B, or of the same model without an intervention.
        beside: the maps of the other model, if there are any; both get the same colour scale.
        name: of the model or the difference, such as `A` or `A - B`.
        measure: one of `MEASURES`.
        edges: one of `DIRECTIONS`, of all latents or of one group.
        all_slots: whether one head's map has all slots, or the direction's edges alone.
        effects: of cutting the edges of each group in each layer, if they were measured.
        scale: one of `SCALES`, the end of the scale of colours of weights.
        log: whether colours go by powers of ten, where values are not signed.
        same_text: whether what is subtracted is of the same text, and differs in latents alone.
    """

    shown: AttentionMaps
    minus: AttentionMaps | None
    beside: AttentionMaps | None
    name: str
    measure: str
    edges: Direction
    all_slots: bool
    effects: pd.DataFrame | None = None
    scale: str = SCALES[0]
    log: bool = False
    same_text: bool = False

    @property
    def record(self) -> AttentionRecord:
        """Of what is shown; of A for a difference."""
        return self.shown.record

    @property
    def both(self) -> AttentionRecord:
        """Of what is shown, the slots that what is subtracted has, too, if there are any."""
        try:
            return self._pair()[0].record
        except SettingError:
            return self.record

    @property
    def colours(self) -> dict[str, str]:
        """The colour of each latent group."""
        return group_colours(self.record.slots)

    @property
    def signed(self) -> bool:
        """Whether values may be below zero."""
        return MEASURES[self.measure].signed or self.minus is not None

    def strongest(self, edges: Direction) -> Cell | None:
        """The layer and head with the largest value of some edges; None if there are no such."""
        values = self._over(lambda c: c.overview(self.measure, edges))
        if not np.isfinite(values).any():
            return None
        layer, head = divmod(int(np.nanargmax(np.abs(values))), values.shape[1])
        return Cell(self.record.layers[layer], self.record.heads[head])

    def overview(self, cell: Cell) -> HeatMap:
        """(H, L): the measure of the direction's edges, per head and layer.

        Raises:
            SettingError: if there are no such edges; with the reason.
        """
        self._check_edges()
        values = self._over(lambda c: c.overview(self.measure, self.edges))
        record = self.record
        heads = [str(head) for head in record.heads] if len(values[0]) > 1 else ["all"]
        row = 0 if cell.head is None else record.heads.index(cell.head)
        return HeatMap(
            values.T.copy(),
            Axis("head", heads),
            Axis("layer", [str(layer) for layer in record.layers], numbers=record.layers),
            f"{self.name}: {self.edges}, summed over keys, mean over queries",
            MEASURES[self.measure].name,
            self.signed,
            self._largest(lambda c: c.overview(self.measure, self.edges), values),
            (row, record.layers.index(cell.layer)),
            log=self.log and not self.signed,
        )

    def head(self, cell: Cell) -> HeatMap:
        """One head's map. Its longer side lies across; in a square one, queries go down.

        The axes' numbers are slots.

        Raises:
            SettingError: if there are no such edges, or no such difference; with the reason.
        """
        if not self.all_slots:
            self._check_edges()
        direction = None if self.all_slots else self.edges
        one, other, _ = self._pair()
        values, queries, keys = one.head(self.measure, cell, direction)
        shown = slice(int(self.edges.skip_first and keys[:1] == (0,)), None)
        values, keys = values[:, shown], keys[shown]
        if other is not None:
            values = values - other.head(self.measure, cell, direction)[0][:, shown]
        slots = one.record.slots
        rows, columns = slot_axis("query", queries, slots), slot_axis("key", keys, slots)
        if len(queries) > len(keys) and not self.all_slots:
            values, rows, columns = values.T, columns, rows
        where = f"layer {cell.layer}" + ("" if cell.head is None else f", head {cell.head}")
        what = "all slots" if self.all_slots else str(self.edges)
        return HeatMap(
            values,
            rows,
            columns,
            f"{self.name}: {where}, {what}",
            MEASURES[self.measure].name,
            self.signed,
            self._largest(lambda c: c.head(self.measure, cell, direction)[0][:, shown], values),
            square=self.all_slots,
            colours=self.colours,
            log=self.log and not self.signed,
        )

    def groups(self) -> HeatMap:
        """(G, L): raw weight by latent group and layer, mean over heads.

        Raises:
            SettingError: if there are no such edges, or it is a difference.
        """
        if self.minus is not None:
            raise SettingError("choose A or B alone to measure the causal effect of its edges")
        self._check_edges()
        title = "Attention: raw weight, mean over heads"
        return self._by_group(self.group_mass(), "mass", title, "weight", False)

    def group_mass(self) -> pd.DataFrame:
        """What `groups` shows: rows of group, layer, head, mass."""
        return self.of_group(self.shown.by_group(self.edges))

    def effect(self) -> HeatMap:
        """(G, L): change of log p(response) when a group's edges are cut in a layer."""
        assert self.effects is not None
        title = "Causal effect: change of log p(response) with these edges cut in one layer"
        shown = self.of_group(self.effects)
        floor = float(shown["noise"].max())
        return replace(self._by_group(shown, "effect", title, "nats", True), floor=floor)

    def agreement(self) -> str:
        """How far attention agrees with the causal effect, in words."""
        assert self.effects is not None
        effects = self.of_group(self.effects)
        return f"{noise_words(effects)}{agreement_words(self.group_mass(), effects)}"

    def of_group(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the group that is chosen, or all."""
        chosen = self.edges.group
        return frame if chosen is None else frame[frame["group"] == chosen]

    def note(self) -> str:
        """The meaning of the measure, and the slots that a difference leaves out."""
        try:
            _, _, left_out = self._pair()
        except SettingError:
            left_out = ""
        return f"{MEASURES[self.measure].meaning} {left_out}".strip()

    def maps(self, cell: Cell) -> tuple[list[HeatMap], str]:
        """All heat maps that can be drawn, and a note on them.

        Raises:
            SettingError: if none can be drawn; with the last reason.
        """
        maps, reason = [], None
        makers = [lambda: self.overview(cell), lambda: self.head(cell), self.groups]
        for make in makers:
            try:
                maps.append(make())
            except SettingError as error:
                reason = error
        if reason is not None and not maps:
            raise reason
        if self.effects is None:
            return maps, self.note()
        return [*maps, self.effect()], f"{self.note()} {self.agreement()}"

    def table(self, cell: Cell) -> pd.DataFrame:
        """A tidy frame of the overview, the open map and the effects; `view` tells them apart."""
        parts = []
        for view, draw in (("overview", self.overview), ("map", self.head)):
            try:
                parts.append(_tidy(draw(cell)).assign(view=view))
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
            shown=self.name, measure="causal effect", view="effect"
        )
        rows = rows.astype({"layer": str}).rename(columns={"effect": "value"})
        names = ["shown", "measure", "view", "layer", "group", "value"]
        return pd.concat([frame, rows[names]], ignore_index=True)

    def _pair(self) -> tuple[AttentionMaps, AttentionMaps | None, str]:
        if self.minus is None:
            return self.shown, None, ""
        return (aligned if self.same_text else difference)(self.shown, self.minus)

    def _over(self, compute: Callable[[AttentionMaps], FloatArray]) -> FloatArray:
        """A number per head, or its difference, which needs no slots in common."""
        if self.minus is None:
            return compute(self.shown)
        one, other = self.shown, self.minus
        if not self.same_text:
            with contextlib.suppress(SettingError):
                one, other, _ = difference(one, other)
        return compute(one) - compute(other)

    def _largest(self, compute: Callable[[AttentionMaps], FloatArray], values: FloatArray) -> float:
        """The end of the colour scale; A and B share it unless another one is chosen."""
        if self.scale == SCALES[2] and not self.signed:
            return 1.0
        if self.scale == SCALES[1] or self.minus is not None or self.beside is None:
            return largest_of(values)
        try:
            return largest_of(values, compute(self.beside))
        except SettingError:  # the other capture lacks what this measure needs
            return largest_of(values)

    def _by_group(
        self, frame: pd.DataFrame, column: str, title: str, unit: str, signed: bool
    ) -> HeatMap:
        groups = list(dict.fromkeys(frame["group"]))
        cells = frame.pivot_table(index="group", columns="layer", values=column, aggfunc="mean")
        values = cells.loc[groups].to_numpy(dtype=np.float32)
        layers = [int(layer) for layer in cells.columns]
        return HeatMap(
            values,
            Axis("group", groups, groups),
            Axis("layer", [str(layer) for layer in layers], numbers=layers),
            title,
            unit,
            signed,
            largest_of(values),
            colours=self.colours,
        )

    def _check_edges(self) -> None:
        for maps in (self.shown, self.minus):
            if maps is None:
                continue
            queries, keys = maps.edges(self.edges)
            if not len(queries) or not len(keys):
                of = "" if self.edges.group is None else f" of group {self.edges.group}"
                raise SettingError(
                    f"layout {maps.record.layout} places no latents{of} in this prompt and "
                    f"response, so there are no edges {self.edges}. Choose another adapter or "
                    "example, or tick 'Show all slots' to see attention among all tokens"
                )


def shades_of(shown: HeatMap, slot: int, count: int) -> list[float]:
    """How strongly each of `count` slots is tied to one in an open map, 0 to 1; -1 for no edge.

    Slots before it are those that it looks at, and slots after it those that look at it.
    """
    found = np.full(count, -1.0)
    sides = (shown.rows, shown.values), (shown.columns, shown.values.T)
    for (side, values), (other, _) in zip(sides, sides[::-1], strict=True):
        if slot in side.places:
            line = values[side.places.index(slot)]
            for place, value in zip(other.places, line, strict=True):
                if np.isfinite(value) and place != slot:
                    found[place] = min(1.0, abs(float(value)) / shown.largest)
    return found.tolist() if (found >= 0).any() else []


def noise_words(effects: pd.DataFrame) -> str:
    """Say which cells are drawn grey; nothing if none is."""
    floor = float(effects["noise"].max())
    below = int((effects["effect"].abs() < floor).sum())
    if not below:
        return ""
    return (
        f"{below} of {len(effects)} cells are grey: their effect is below the noise floor, "
        f"{floor:.2g} nats, by which rounding alone changes the log-probability. "
    )


def agreement_words(mass: pd.DataFrame, effects: pd.DataFrame) -> str:
    """Say how far attention agrees with the causal effect, and what that does not show."""
    cut = int((effects["edges"] > 0).sum())
    if not cut:
        return "No edge was cut: in this direction, each latent attends only to itself."
    try:
        found = attention_against_effect(mass, effects)
    except SettingError as error:
        return str(error)
    if np.isnan(found.rho):
        return (
            "There is no rank correlation, because attention or effect is the same in every cell."
        )
    # Over all cells they agree as soon as one group has more of both.
    apart = [f"{rho:+.2f} within {group}" for group, rho in found.within.items()]
    within = f" ({', '.join(apart)})" if len(apart) > 1 else ""
    return (
        "A value below zero means that the response needs these edges. Rank correlation of "
        f"attention with the size of the effect: {found.rho:+.2f} over {found.edges} cells of "
        f"this example{within}. This is a description, not a test: the cells of one model are not "
        "independent. A model can attend to a slot without using it, so rely on the effect."
    )


def _tidy(heat_map: HeatMap) -> pd.DataFrame:
    """One row per cell that exists."""
    row, column = np.nonzero(np.isfinite(heat_map.values))
    found: dict[str, object] = {}
    for side, at in ((heat_map.rows, row), (heat_map.columns, column)):
        labels = np.array(side.labels, dtype=object)[at]
        if side.title in ("query", "key"):
            found[side.title] = np.array(side.numbers)[at]
            found[f"{side.title}_label"] = labels
        else:
            found[side.title] = labels
    return pd.DataFrame(found | {"value": heat_map.values[row, column]})
