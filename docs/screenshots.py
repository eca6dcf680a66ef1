"""Pictures of every panel, in JupyterLab's light and dark theme, for the README.

    make screenshots        # or: python docs/screenshots.py [--only attention bertviz]

Each panel is brought into a state that shows what it is for, by the controls that a user would
take; then it is photographed in a headless Chromium, and saved as a PNG in docs/images. Knows no
panel's insides: what it clicks has the names that a reader sees.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from PIL import Image  # noqa: E402
from playwright.sync_api import Locator, Page, expect  # noqa: E402

from tests import browser as browsers  # noqa: E402
from tests.browser import Notebook, chromium_browser, jupyter  # noqa: E402

IMAGES: Final = ROOT / "docs" / "images"
THEMES: Final[tuple[Literal["Light", "Dark"], ...]] = ("Light", "Dark")
PATIENCE: Final = 600_000  # milliseconds; a language model has to answer
SCALE: Final = 1.5
"""Pixels of a picture per pixel of the page."""

CELLS: Final = (
    "from workbench import Workbench\n"
    "wb = Workbench('smollm2-135m', task='lookup', adapters=['Start_1+Comma_1', 'Start_2'])\n"
    "wb.session.draw('id', level=4);",
    "wb",
    "from workbench.widgets.bertviz_bridge import bertviz_view\n"
    "bertviz_view(wb.session.model_a, 'a=12,b=34\\nb,a\\n', 'b=34,a=12.', layers=[23])",
    "from workbench.session import Session\n"
    "from workbench.panels.training.panel import TrainingPanel\n"
    "training = TrainingPanel(Session('tiny'))\ntraining",
)


def main() -> int:
    """Make the pictures; returns 0."""
    options = read_options()
    browsers.PATIENCE = PATIENCE
    expect.set_options(timeout=PATIENCE)
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter(Path(folder), ROOT) as server,
        chromium_browser(options.chromium) as browser,
        server.notebook(
            browser,
            "workbench",
            CELLS,
            viewport={"width": 1180, "height": 2600},
            device_scale_factor=SCALE,
        ) as notebook,
    ):
        notebook.command("application:toggle-left-area")
        notebook.run_all()
        for name in options.only or SCENES:
            print(name, flush=True)
            shown = SCENES[name](notebook)
            for mode in THEMES:
                notebook.theme(mode)
                settled(notebook.page)
                if name == "bertviz":
                    look = shown.content_frame.locator("html")
                    expect(look).to_have_attribute("data-mode", mode.lower())
                save(shown.screenshot(animations="disabled"), f"{name}-{mode.lower()}")
            notebook.theme("Light")
    total = sum(path.stat().st_size for path in IMAGES.glob("*.png"))
    print(f"{len(list(IMAGES.glob('*.png')))} pictures, {total / 1e6:.2f} MB")
    return 0


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(SCENES), help="by default all")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    parser.add_argument("--chromium", default=found or "chromium", help="its path")
    return parser.parse_args()


def save(png: bytes, name: str) -> None:
    """A picture of 256 colours, a third as large; the most distant are kept, so none is far off."""
    with Image.open(io.BytesIO(png)) as full:
        most = Image.Quantize.MAXCOVERAGE
        few = full.convert("RGB").quantize(256, method=most, kmeans=3, dither=0)
        few.save(IMAGES / f"{name}.png", optimize=True)


def settled(page: Page) -> None:
    """Nothing is at work, and what was drawn is painted."""
    page.wait_for_function(
        "!document.querySelector('.latent-status[data-state=running], "
        ".latent-status[data-state=queued], [aria-busy=true]')"
    )
    page.evaluate("document.activeElement?.blur()")
    page.mouse.move(2, 2)
    page.wait_for_timeout(700)


# --- scenes: what each panel shows ----------------------------------------------------------------


def tab(notebook: Notebook, title: str) -> Locator:
    """The panel of a tab, once it is open and idle."""
    page = notebook.page
    page.get_by_role("tab", name=title, exact=True).click()
    panel = page.locator(".latent-workbench .latent-panel:visible")
    expect(panel).to_have_count(1)
    settled(page)
    return panel


def playground(notebook: Notebook) -> Locator:
    """A answers rightly; without its latents after the first commas, it does not go on so."""
    panel = tab(notebook, "Playground")
    field = panel.get_by_role("textbox", name="Intervention")
    field.fill("drop(Comma, after=1)")
    field.press("Enter")
    expect(panel.locator(".latent-strip:visible")).to_have_count(3)
    settled(notebook.page)
    panel.locator(".latent-chip", has_text="Comma.0").first.click()
    expect(panel.get_by_text("Nearest tokens")).to_be_visible()
    return panel


def attention(notebook: Notebook) -> Locator:
    """What goes to the latents at commas: the strongest head, and the effect of cutting it."""
    notebook.run("wb.session.intervention = 'none'")
    panel = tab(notebook, "Attention")
    panel.get_by_label("Latent group", exact=True).first.select_option("Comma")
    expect(panel.get_by_text("text → Comma, summed")).to_be_visible()
    panel.get_by_role("button", name="Open strongest head").click()
    settled(notebook.page)
    panel.get_by_role("button", name="Measure causal effect").click()
    expect(panel.get_by_text("Rank correlation")).to_be_visible()
    return panel


def comparison(notebook: Notebook) -> Locator:
    """Everything that ships, and how it differs from prompt tuning."""
    panel = tab(notebook, "Comparison")
    expect(panel.locator(".latent-plotly[data-drawn]")).to_be_visible()
    panel.get_by_label("Reference method").select_option("Start_2")
    expect(panel.get_by_role("region", name="minus Start_2")).to_be_visible()
    return panel


def hypotheses(notebook: Notebook) -> Locator:
    """A claim about what the shipped adapters have learned."""
    panel = tab(notebook, "Hypotheses")
    claims = panel.get_by_label("Claim", exact=True)
    claims.select_option(label=claims.locator("option", has_text="H2").inner_text())
    settled(notebook.page)
    return panel


def training(notebook: Notebook) -> Locator:
    """A run on the small decoder, in a panel of its own: it takes seconds."""
    panel = notebook.page.locator(".latent-panel:not(.latent-workbench *)")
    for label, value in (("Steps", "120"), ("Learning rate", "0.1"), ("Steps per check", "30")):
        panel.get_by_label(label, exact=True).fill(value)
        panel.get_by_label(label, exact=True).press("Enter")
    panel.get_by_role("button", name="Start training", exact=True).click()
    expect(panel.get_by_text("is trained")).to_be_visible()
    expect(panel.locator(".latent-plotly[data-drawn]")).to_be_visible()
    return panel


def bertviz(notebook: Notebook) -> Locator:
    """BertViz's head view."""
    frame = notebook.page.locator("iframe[title^='BertViz']")
    frame.scroll_into_view_if_needed()
    expect(frame.content_frame.locator("svg text").first).to_be_attached()
    return frame


#: What is photographed, by the name of its picture.
SCENES: Final[dict[str, Callable[[Notebook], Locator]]] = {
    "playground": playground,
    "attention": attention,
    "bertviz": bertviz,
    "comparison": comparison,
    "hypotheses": hypotheses,
    "training": training,
}

if __name__ == "__main__":
    sys.exit(main())
