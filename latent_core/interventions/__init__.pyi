from .base import Combined, Intervention
from .flow import KnockOut
from .kinds import VERBS, Patch, parse_intervention
from .places import Drop, Move, Positions, Recount
from .running import InterventionWarning
from .vectors import Replace, Scale, Shuffle, Swap

__all__ = [
    "VERBS",
    "Combined",
    "Drop",
    "Intervention",
    "InterventionWarning",
    "KnockOut",
    "Move",
    "Patch",
    "Positions",
    "Recount",
    "Replace",
    "Scale",
    "Shuffle",
    "Swap",
    "parse_intervention",
]
