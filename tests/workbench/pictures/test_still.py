"""Strips of slots, and figures as bytes."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from matplotlib.figure import Figure

from latent_core.slots.views import SlotView
from workbench.pictures.slots import SlotStrip
from workbench.pictures.still import _lines, figure_bytes

SLOTS = (
    SlotView("Start.0", "Start", 0, 0, None),
    SlotView("<b>", None, None, 0, 7),
    SlotView("\n", None, None, 1, 8),
    SlotView("Comma.0", "Comma", 0, 2, None),
    SlotView(",", None, None, 2, 9),
)


def test_token_text_is_data() -> None:
    html = SlotStrip((SlotView("</script><b onclick=x>", None, None, 0, 7),))._repr_html_()
    assert "<b " not in html
    assert "</script>" not in html
    assert "&lt;b␣onclick=x&gt;" in html


def test_strip_shows_latents_in_their_places_and_the_end_of_the_prompt() -> None:
    html = SlotStrip(SLOTS, prompt_length=2)._repr_html_()
    places = [
        html.index(part) for part in (">Start.0<", "&lt;b&gt;", "⏎", "end of prompt", ">Comma.0<")
    ]
    assert places == sorted(places)
    assert "3 verbal tokens" in html
    assert "Start</span>" not in html  # groups are named in the legend, not in the chips
    assert html.count("#0072B2") == 2  # chip and legend share the group's colour


def _width(text: str) -> float:
    return 0.1 * len(text)


def test_every_slot_has_room_for_four_digits() -> None:
    lines = _lines(SlotStrip(tuple(s._replace(position_id=9999) for s in SLOTS)), cast(Any, _width))
    narrow = _lines(SlotStrip(SLOTS), cast(Any, _width))
    assert lines == narrow
    html = SlotStrip(SLOTS)._repr_html_()
    assert html.count("min-width:24px") == len(SLOTS)


def test_plain_text_marks_latents() -> None:
    assert repr(SlotStrip(SLOTS)) == "[Start.0]<b>\n[Comma.0],"


def titled(title: str) -> bytes:
    figure = Figure(figsize=(3, 2))
    figure.subplots().set_title(title)
    return figure_bytes(figure, "svg")


def test_figures_of_several_threads_keep_their_letters() -> None:
    """One thread that ends first would take the settings from under the others."""
    titles = [f"number {n}" for n in range(24)]
    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(titled, titles))
    for title, svg in zip(titles, written, strict=True):
        assert f">{title}</text>".encode() in svg
    assert written == [titled(title) for title in titles]
