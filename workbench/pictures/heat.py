"""A heat map as data: numbers between two named sides. Knows nothing of who draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latent_core.errors import SettingError

__all__ = ["Axis", "Heat", "largest_of"]


@dataclass(frozen=True)
class Axis:
    """What one side of a grid is called.

    Attributes:
        title: what its places are, such as `query`.
        labels: one per place.
        groups: name of each place's group, drawn as a coloured band; empty for none.
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

    def traits(self, side: str) -> dict[str, Any]:
        """The traits of one side of a grid, `row` or `column`."""
        return {
            f"{side}_title": self.title,
            f"{side}_labels": list(self.labels),
            f"{side}_groups": list(self.groups),
            f"{side}_numbers": list(self.numbers or range(len(self.labels))),
        }


@dataclass(frozen=True, eq=False)
class Heat:
    """One heat map as data, whoever draws it.

    Attributes:
        values: (R, C), NaN where there is no cell.
        rows, columns: its sides.
        title: what it shows.
        value_name: what a value is called.
        signed: whether colours diverge from zero.
        largest: size of the last colour's value; equal where pictures are to be compared.
        chosen: (row, column) of a cell to frame.
        square: whether cells are as wide as high.
    """

    values: NDArray[np.float32]
    rows: Axis
    columns: Axis
    title: str
    value_name: str
    signed: bool = False
    largest: float = 1.0
    chosen: tuple[int, int] | None = None
    square: bool = False

    def __post_init__(self) -> None:
        wanted = (len(self.rows.labels), len(self.columns.labels))
        if self.values.shape != wanted:
            raise SettingError(
                f"values of shape {self.values.shape}; expected {wanted}: {wanted[0]} of "
                f"{self.rows.title!r}, {wanted[1]} of {self.columns.title!r}"
            )


def largest_of(*values: ArrayLike) -> float:
    """The largest size there is, or 1 if there is none."""
    sizes = [np.abs(np.asarray(v)[np.isfinite(v)]) for v in values]
    return float(max((size.max(initial=0.0) for size in sizes), default=0.0)) or 1.0
