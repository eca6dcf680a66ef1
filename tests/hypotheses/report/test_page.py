"""The report: text is shown as text."""

from dataclasses import replace

import pandas as pd

from latent_core.hypotheses import lab
from tests.hypotheses.made_up import MIXED, records, verdict_of


def test_a_report_shows_text_as_text(gain, tmp_path) -> None:
    hostile = replace(gain, claim="</style><script>alert(1)</script>")
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    page = lab.report(verdict_of(hostile, table, tmp_path), tmp_path / "r.html").read_text()
    assert "<script" not in page and page.count("</style>") == 1
