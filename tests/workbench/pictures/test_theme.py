"""Colours of curves can be seen on light and on dark pages, and text is only text."""

import pytest

from workbench.pictures.theme import INK, colours_of, show_spaces, visible

#: Behind a chart in JupyterLab's themes.
LIGHT, DARK = "#ffffff", "#111111"
MANY = tuple(map(str, range(11)))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", [LIGHT, DARK])
@pytest.mark.parametrize("colour", [*colours_of(MANY).values(), INK])
def test_every_curve_has_a_contrast_of_three_to_one(colour: str, page: str) -> None:
    assert contrast(colour, page) >= 3.0


def test_eleven_names_have_eleven_colours() -> None:
    assert len(set(colours_of(MANY).values())) == len(MANY)


def test_token_text_cannot_give_plotly_orders() -> None:
    assert visible("<b>a</b> \n") == "&lt;b&gt;a&lt;/b&gt;␣⏎"


def test_control_characters_are_shown_by_their_pictures() -> None:
    assert show_spaces("a\tb\r\x00") == "a⇥b␍␀"
