"""Layouts as values: what `Start_1+Comma_2` stands for, public as `lc.layouts`."""

from latent_core.slots.layout import (
    After,
    Before,
    End,
    Every,
    LatentGroup,
    LatentLayout,
    Place,
    Start,
)

__all__ = ["After", "Before", "End", "Every", "LatentGroup", "LatentLayout", "Place", "Start"]
