"""The table of real models in docs/backbones.md, from the reports of their checks.

latent backbones --check smollm2-135m --report experiments/records/verified.json
python -m experiments.verified
"""

from __future__ import annotations

from typing import Any

from experiments.readme import ROOT, write_section
from latent_core.invariants.reports import read_reports

REPORTS = ROOT / "experiments" / "records" / "verified.json"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row per backbone, with the reason where it is refused."""
    lines = [
        "| backbone | family | parameters | result | largest difference | date | versions |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        versions = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
        name = f"`{row['backbone']}`"
        if "refused" in row:
            cells = ["", "", f"refused: {row['refused']}", ""]
        else:
            result = f"all {row['passed']} checks passed"
            if row["failed"]:
                names = sorted({f"{one['invariant']} ({one['layout']})" for one in row["failed"]})
                result = f"**failed:** {'; '.join(names)}"
            if row["not_applicable"]:
                result += f"; does not apply: {', '.join(row['not_applicable'])}"
            apart = "" if row["difference"] is None else f"{row['difference']:.0e}"
            cells = [row["family"], f"{row['parameters']:,}", result, apart]
        cells = [cell.replace("|", "\\|") for cell in cells]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['date']} | {versions} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_section("verified", table(read_reports(REPORTS)))
