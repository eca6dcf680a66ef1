"""Figures as bytes."""

from concurrent.futures import ThreadPoolExecutor

from matplotlib.figure import Figure

from workbench.pictures.still import figure_bytes


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
