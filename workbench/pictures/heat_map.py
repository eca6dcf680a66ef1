"""A heat map as a value: numbers between two named sides, and the colours they are drawn in.

Three places draw it, all from this description: the canvas of a notebook (`HeatGrid`), the same
canvas in a saved output (`HeatMapOutput`), and print (`heat_still`). Print needs Matplotlib, since
PNG and SVG are made in the kernel, where no browser is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latent_core.errors import SettingError
from latent_core.slots.views import SlotView
from workbench.pictures.slots import slot_name
from workbench.pictures.theme import DIVERGING, SEQUENTIAL, ColourScale

__all__ = ["DECADES", "FLOOR_GREY", "Axis", "HeatMap", "largest_of", "nothing", "slot_axis"]

#: Powers of ten that a logarithmic scale of colours covers.
DECADES: Final = 4
#: Colour of cells below the noise floor, which neither scale has.
FLOOR_GREY: Final = "#9a9a9a"


@dataclass(frozen=True)
class Axis:
    """One side of a heat map.

    Attributes:
        title: what its places are, such as `query`.
        labels: one per place.
        groups: name of each place's latent group, drawn as a coloured band; empty for none.
        numbers: number of each place, shown where there is no room for labels; by default from 0.
    """

    title: str
    labels: Sequence[str]
    groups: Sequence[str] = ()
    numbers: Sequence[int] = ()

    def __post_init__(self) -> None:
        for name in ("groups", "numbers"):
            given = getattr(self, name)
            if given and len(given) != len(self.labels):
                raise SettingError(
                    f"{self.title}: {len(given)} {name} for {len(self.labels)} labels; expected "
                    "one each"
                )

    @property
    def places(self) -> list[int]:
        """The number of each place."""
        return list(self.numbers or range(len(self.labels)))


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A grid of numbers, whoever draws it.

    Attributes:
        values: (R, C), NaN where there is no cell.
        rows, columns: its sides.
        title: what it shows.
        value_name: what a value is called.
        signed: whether colours diverge from zero; otherwise they go up from zero.
        largest: size of the last colour's value; equal where maps are to be compared.
        chosen: (row, column) of a cell to frame.
        floor: cells of a smaller size are grey: they cannot be told from noise.
        square: whether cells are as wide as high.
        colours: of latent groups, by name.
        uncertain: (R, C), the cells that are hatched, since their interval holds zero; None for
            none.
        log: whether colours go by powers of ten, over `DECADES` of them.
    """

    values: NDArray[np.float32]
    rows: Axis
    columns: Axis
    title: str
    value_name: str
    signed: bool = False
    largest: float = 1.0
    chosen: tuple[int, int] | None = None
    floor: float = 0.0
    square: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)
    uncertain: NDArray[np.bool_] | None = None
    log: bool = False

    def __post_init__(self) -> None:
        if self.log and self.signed:
            raise SettingError("colours on both sides of zero cannot go by powers of ten")
        wanted = (len(self.rows.labels), len(self.columns.labels))
        if self.values.shape != wanted:
            raise SettingError(
                f"values of shape {self.values.shape}; expected {wanted}: {wanted[0]} of "
                f"{self.rows.title!r}, {wanted[1]} of {self.columns.title!r}"
            )

    @property
    def low(self) -> float:
        """The value of the first colour; the last has that of `largest`."""
        if self.log:
            return float(self.largest * 10.0**-DECADES)
        return -self.largest if self.signed else 0.0

    @property
    def scale(self) -> ColourScale:
        """The colours from `low` to `largest`."""
        return DIVERGING if self.signed else SEQUENTIAL

    def traits(self) -> dict[str, Any]:
        """The description as the script in the browser reads it; `values` are float32 in bytes."""
        sides: dict[str, Any] = {}
        for name, side in (("row", self.rows), ("column", self.columns)):
            sides |= {
                f"{name}_title": side.title,
                f"{name}_labels": list(side.labels),
                f"{name}_groups": list(side.groups),
                f"{name}_numbers": side.places,
            }
        return sides | {
            "title": self.title,
            "value_name": self.value_name,
            "low": self.low,
            "high": self.largest,
            "floor": self.floor,
            "grey": FLOOR_GREY,
            "light": list(self.scale.light),
            "dark": list(self.scale.dark),
            "square": self.square,
            "log": self.log,
            "uncertain": []
            if self.uncertain is None
            else np.flatnonzero(self.uncertain.reshape(-1)).tolist(),
            "colours": dict(self.colours),
            "values": np.ascontiguousarray(self.values, dtype="<f4").tobytes(),
        }


def nothing(title: str = "", value_name: str = "value") -> HeatMap:
    """A heat map without cells."""
    side = Axis("", ())
    return HeatMap(np.empty((0, 0), np.float32), side, side, title, value_name)


def largest_of(*values: ArrayLike) -> float:
    """The largest size among finite values, or 1 if there is none."""
    sizes = [np.abs(np.asarray(v)[np.isfinite(v)]) for v in values]
    return float(max((size.max(initial=0.0) for size in sizes), default=0.0)) or 1.0


def slot_axis(title: str, places: Sequence[int], slots: Sequence[SlotView]) -> Axis:
    """A side whose places are some of an example's slots."""
    labels = [slot_name(slots[place]) for place in places]
    return Axis(title, labels, [slots[place].group or "" for place in places], list(places))
