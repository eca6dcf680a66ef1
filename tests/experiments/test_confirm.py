"""Claims that were written down first: the file, the register, and the page of what came out."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from experiments.confirm import PAGE, read_claims
from experiments.confirm import test as confirm
from experiments.registry import REGISTERED, register
from latent_core.hypotheses.studies.carrier import DONOR, DROPPED, TAKEN, WORDS, conclude

RECORDS = REGISTERED.with_name("confirmed.parquet")
CLAIMS = read_claims()


def test_every_claim_is_registered_as_it_stands(tmp_path: Path) -> None:
    assert CLAIMS and all(claim.word in WORDS for claim in CLAIMS)
    before = REGISTERED.read_text()
    for claim in CLAIMS:
        register(asdict(claim), claim.runs(tmp_path))  # adds nothing
    assert REGISTERED.read_text() == before


def test_a_claim_whose_runs_exist_is_not_registered(tmp_path: Path) -> None:
    claim = replace(CLAIMS[0], word="memory")
    (run,) = claim.runs(tmp_path)[:1]
    run.mkdir(parents=True)
    with pytest.raises(SystemExit, match="expected a claim written down before its runs"):
        register(asdict(claim), [run], tmp_path / "registered.jsonl")
    assert not (tmp_path / "registered.jsonl").exists()


@pytest.mark.parametrize("change", [{"word": "memory"}, {"seeds": (0, 1, 2)}, {"examples": 7}])
def test_a_claim_that_was_changed_is_not_tested(change: dict, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is not registered as it stands"):
        confirm(replace(CLAIMS[0], **change), tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_page_says_what_the_records_say() -> None:
    page, records = PAGE.read_text(), pd.read_parquet(RECORDS)
    for claim in CLAIMS:
        rows = records[records["claim"] == claim.hash]
        if rows.empty:
            assert f"| {claim.claim} | | " in page and "not tested yet" in page
            continue
        assert tuple(sorted(rows["seed"].unique())) == claim.seeds
        outcomes = {}
        title = f"## {claim.claim[0].upper()}{claim.claim[1:]}\n"
        section = page.split(title)[1].split("\n## ")[0]
        for part, of_part in rows.groupby("part"):
            (line,) = [one for one in section.splitlines() if one.startswith(f"| {part} |")]
            verdict, scores, estimate = (cell.strip() for cell in line.split("|")[2:5])
            treatment, control = of_part["treatment"].mean(), of_part["control"].mean()
            assert scores == f"{treatment:.2f} / {control:.2f}"
            assert float(estimate.split()[0]) == pytest.approx(treatment - control, abs=6e-4)
            assert len(of_part) == len(claim.seeds) * claim.examples
            outcomes[str(part)] = verdict.removeprefix("strongly ")
        word = conclude(outcomes).word
        (row,) = [one for one in page.splitlines() if one.startswith(f"| {claim.claim} |")]
        said = "**confirmed**" if word == claim.word else "not confirmed"
        assert row.endswith(f"| {claim.word} | {word} | {said} |")


def test_sentences_about_what_was_confirmed_name_its_figures() -> None:
    records = pd.read_parquet(RECORDS)
    tiny = records[records["claim"] == CLAIMS[0].hash]
    parts = {str(part): rows for part, rows in tiny.groupby("part")}
    control, dropped = (parts[DROPPED][side].mean() for side in ("control", "treatment"))
    rows = parts[DONOR]
    swapped = lc.paired_effect(
        rows["treatment"] - rows["control"], rows["seed"], rows["example"], exact=False
    )
    stays = f"({swapped.mean:+.2f} [{swapped.low:+.2f}, {swapped.high:+.2f}])"
    for page in ("README.md", "docs/results-notes.md"):
        text = re.sub(r"\s+", " ", (PAGE.parents[1] / page).read_text())
        assert f"falls from {control:.2f} to {dropped:.2f}" in text
        assert f"stays {stays}" in text
    assert parts[TAKEN]["treatment"].mean() < 0.05, "it never gives that example's answer"
    small = records[records["claim"] == CLAIMS[1].hash]
    parts = {str(part): rows for part, rows in small.groupby("part")}
    rows = parts[DONOR]
    swapped = lc.paired_effect(
        rows["treatment"] - rows["control"], rows["seed"], rows["example"], exact=False
    )
    notes = re.sub(r"\s+", " ", (PAGE.parent / "results-notes.md").read_text())
    assert (
        f"from {rows['control'].mean():.2f} to {parts[DROPPED]['treatment'].mean():.2f} without "
        f"the latents, and to {rows['treatment'].mean():.2f} with the states of another example "
        f"({swapped.mean:+.2f} [{swapped.low:+.2f}, {swapped.high:+.2f}])"
    ) in notes
