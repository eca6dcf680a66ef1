"""Claims about gains that were written down first, and sentences about the best baselines."""

import re

import pytest

from experiments.confirm_gains import FILES, PAGE, grids_of, read_gains
from experiments.readme import ROOT
from experiments.registry import registered_at
from latent_core.runs.store import load_runs


def test_every_claim_is_registered_as_it_stands() -> None:
    for path in FILES:
        gains = read_gains(path)
        assert gains and all(registered_at(gain.stated) for gain in gains)
        assert all(grid.is_file() for grid in grids_of(path))


def test_the_page_says_what_the_records_say() -> None:
    """Every figure once more, without the code that wrote the page."""
    lines = PAGE.read_text().splitlines()
    records = load_runs(ROOT / "experiments" / "runs", records=True)
    records = records[records["run"].str.startswith("confirm/") & (records["seed"] >= 10)]
    for gain in (gain for path in FILES for gain in read_gains(path)):
        start = f"| `{gain.method}` | `{gain.baseline}` | {gain.split} |"
        (line,) = [line for line in lines if line.startswith(start)]
        if line.endswith("not tested yet |"):
            continue
        scores, difference, p, outcome = (cell.strip() for cell in line.split("|")[5:9])
        rows = records[records["split"] == gain.split]
        means = rows.groupby("method")["graded"].mean()
        method, baseline = means[gain.method], means[gain.baseline]
        assert scores == f"{method:.2f} / {baseline:.2f}"
        assert float(difference.split()[0]) == pytest.approx(method - baseline, abs=6e-3)
        assert (outcome == "**confirmed**") == (method > baseline and float(p) < 0.05)


def test_sentences_about_the_best_baselines_name_their_figures() -> None:
    records = load_runs(ROOT / "experiments" / "runs", records=True)
    records = records[records["run"].str.contains("lookup-best-effort/lookup/")]
    assert (records.groupby("method")["seed"].nunique() == 3).all()
    means = records.groupby(["method", "split"])["graded"].mean()
    prefix, prompt = means["prefix-9; init=task"], means["Start_9; init=task"]
    far = ["ood-20", "ood-30", "ood-50"]
    notes = re.sub(r"\s+", " ", (ROOT / "docs" / "results-notes.md").read_text())
    a, b, c = (f"{score:.2f}" for score in prefix[far])
    said = f"score {prefix['id']:.2f} in distribution, {a} at 20 variables, {b} at 30 and {c} at 50"
    assert said in notes and f"scores {c} on lists of 50" in notes
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"scores {a} on lists of 20 and {c} on lists of 50. It trains 90 times" in readme
    sizes = load_runs(ROOT / "experiments" / "runs").groupby("method")["trainable"].first()
    ratio = sizes["prefix-9; init=task"] / sizes["Start_1+Comma_1"]
    assert ratio == 90
    a, b, c = (f"{score:.2f}" for score in prompt[far])
    assert f"(`Start_9; init=task`) scores {prompt['id']:.2f}, {a}, {b} and {c}," in notes
