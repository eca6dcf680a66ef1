"""The hypotheses panel in JupyterLab: a claim chosen, planned, run and read, light and dark."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import PATIENCE, Jupyter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
expect.set_options(timeout=PATIENCE)


def test_from_claim_to_verdict(browser: Browser, jupyter_lab: Jupyter, tmp_path: Path) -> None:
    cells = ["from workbench import Workbench", "wb = Workbench('tiny')\nwb.hypotheses"]
    with jupyter_lab.notebook(browser, "hypotheses", cells) as notebook:
        notebook.run_all()
        page = notebook.page
        panel = page.locator(".latent-panel:visible")
        run = panel.get_by_role("button", name="Run test", exact=True)
        expect(run).to_be_disabled()
        panel.get_by_label("Claim").select_option(
            "prediction: Does the last latent have to predict?"
        )
        notebook.run(
            "wb.hypotheses.source.source.value = 'train'\n"
            "wb.hypotheses.source.steps.value, wb.hypotheses.source.examples.value = 2, 3\n"
            f"wb.hypotheses.source.folder.value = {str(tmp_path)!r}"
        )
        panel.get_by_role("button", name="Plan test", exact=True).click()
        plan = panel.get_by_role("table", name="plan")
        expect(plan).to_contain_text("End_2 - End_2@verbal")
        expect(run).to_be_enabled()
        assert not list(tmp_path.iterdir())
        run.click()
        verdict = panel.get_by_role("table", name="verdict")
        expect(verdict).to_contain_text("the verdict is about this adapter only")
        expect(panel.locator(".latent-effects svg").first).to_be_in_viewport()
        page.set_viewport_size({"width": 1300, "height": 900})
        for table in (plan, verdict):  # no column of text is squeezed by those of numbers
            widths = (
                table.locator("tbody tr")
                .first.locator("td:not(.n)")
                .evaluate_all("cells => cells.map((cell) => cell.clientWidth)")
            )
            assert widths and min(widths) > 100, widths
            assert table.evaluate("el => el.offsetWidth <= el.parentElement.clientWidth + 2")
        expect(panel.get_by_text("1 test in")).to_be_visible()
        with page.expect_download() as download:
            panel.get_by_role("link", name="download it").click()
        assert "<svg" in Path(download.value.path()).read_text()
        notebook.theme("Dark")
        ink = verdict.evaluate("table => getComputedStyle(table).color")
        assert sum(map(int, re.findall(r"\d+", ink)[:3])) > 450  # light on dark
        assert notebook.run("print(wb.hypotheses.errors)") == "[]\n"
