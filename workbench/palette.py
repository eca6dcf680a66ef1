"""Colours that stay apart for colour-blind readers, on light and dark pages (Okabe & Ito 2008)."""

from collections.abc import Iterable

__all__ = ["colours_of"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each distinct name, in the order of first appearance."""
    distinct = list(dict.fromkeys(names))
    return {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(distinct)}
