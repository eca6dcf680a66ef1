"""Layouts as values: what `Start_1+Comma_2=hidden` stands for, public as `lc.layouts`."""

from latent_core.slots.filling import FILLINGS, Filling, Fused, Hidden, Learned, Mix, Text
from latent_core.slots.layout import LatentGroup, LatentLayout
from latent_core.slots.places import After, Before, End, Every, Place, Start

__all__ = [
    "FILLINGS",
    "After",
    "Before",
    "End",
    "Every",
    "Filling",
    "Fused",
    "Hidden",
    "LatentGroup",
    "LatentLayout",
    "Learned",
    "Mix",
    "Place",
    "Start",
    "Text",
]
