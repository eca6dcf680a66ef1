"""Claims that were written down first: the files, the register, and the pages of what came out.

And the sentences about the best baselines.
"""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from experiments.confirm import PAGE, picture_name, read_claims
from experiments.confirm import test as confirm
from experiments.confirm_gains import PAGE as GAINS_PAGE
from experiments.confirm_gains import read_families, runs_of
from experiments.readme import ROOT
from experiments.registry import REGISTERED, register, registered_at
from latent_core.hypotheses.studies.carrier import DONOR, DROPPED, TAKEN, WORDS, conclude
from latent_core.runs.store import load_runs

RECORDS = REGISTERED.with_name("confirmed.parquet")
CLAIMS = read_claims()


def test_every_claim_is_registered_as_it_stands(tmp_path: Path) -> None:
    assert CLAIMS and all(claim.word in WORDS for claim in CLAIMS)
    before = REGISTERED.read_text()
    for claim in CLAIMS:
        register(asdict(claim), claim.runs(tmp_path)[:1])  # adds nothing
    assert REGISTERED.read_text() == before


def test_each_claim_has_a_picture_of_its_own() -> None:
    names = [picture_name(claim) for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert names[1] == "confirmed-smollm2-135m-lookup.svg"


def test_a_claim_whose_runs_exist_is_not_registered(tmp_path: Path) -> None:
    claim = replace(CLAIMS[0], word="memory")
    (run,) = claim.runs(tmp_path)[:1]
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


def test_sentences_about_the_second_test_on_smollm2_name_its_figures() -> None:
    records = pd.read_parquet(RECORDS)
    records = records[records["claim"] == CLAIMS[2].hash]
    parts = {str(part): rows for part, rows in records.groupby("part")}
    notes = re.sub(r"\s+", " ", (PAGE.parent / "results-notes.md").read_text())

    def said(part: str) -> str:
        rows = parts[part]
        found = lc.paired_effect(
            rows["treatment"] - rows["control"], rows["seed"], rows["key"], exact=False
        )
        return (
            f"{rows['treatment'].mean():.2f} "
            f"({found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}])"
        )

    control, dropped = (parts[DROPPED][side].mean() for side in ("control", "treatment"))
    assert f"without them the score falls from {control:.2f} to {dropped:.2f}." in notes
    assert f"states of another example it is {said(DONOR)}," in notes
    assert f"with the mean of their states {said('the mean of their states')}." in notes
    before = parts["the states of the occurrence before"]["treatment"].mean()
    assert f"The states of the occurrence before leave {before:.2f}: the place" in notes


def test_every_claim_of_a_gain_is_registered_as_it_stands() -> None:
    for family in read_families():
        assert family.gains and all(registered_at(gain.stated) for gain in family.gains)


def test_a_gain_whose_runs_exist_is_not_registered(tmp_path: Path) -> None:
    family = read_families()[0]
    runs = runs_of(family)
    assert len(runs) == sum(len(seeds) for seeds in family.grids.values()) * 6
    with pytest.raises(SystemExit, match="expected a claim written down before its runs"):
        register(family.gains[0].stated, runs, tmp_path / "registered.jsonl")


def test_the_page_of_gains_says_what_the_records_say() -> None:
    """Every figure once more, without the code that wrote the page."""
    lines = GAINS_PAGE.read_text().splitlines()
    all_records = load_runs(ROOT / "experiments" / "runs", records=True)
    for family, gain in [(one, gain) for one in read_families() for gain in one.gains]:
        start = f"| `{gain.method}` | `{gain.baseline}` | {gain.place} |"
        (line,) = [line for line in lines if line.startswith(start)]
        seeds = gain.grid[0]["seeds"] if isinstance(gain.grid, list) else gain.grid["seeds"]
        mine = all_records["run"].str.contains("|".join(f"{name}/" for name in family.grids))
        records = all_records[mine & all_records["seed"].isin(seeds)]
        if gain.task:
            records = records[records["task"] == gain.task]
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
    assert said in notes
    a, b, c = (f"{score:.2f}" for score in prompt[far])
    assert f"(`Start_9; init=task`) scores {prompt['id']:.2f}, {a}, {b} and {c}," in notes


def test_sentences_about_confirmed_gains_name_their_figures() -> None:
    records = load_runs(ROOT / "experiments" / "runs", records=True)
    new = records[records["run"].str.contains("-new-seeds/") & (records["seed"] >= 10)]
    assert (new.groupby("method")["seed"].nunique() == 5).all()
    means = new.groupby(["method", "split"])["graded"].mean()
    pages = [ROOT / "README.md", ROOT / "docs" / "results-notes.md"]
    readme, notes = (re.sub(r"\s+", " ", page.read_text()) for page in pages)
    ours, prompt, prefix = means["Start_1+Comma_1"], means["Start_2"], means["prefix-9; init=task"]
    far = ["ood-20", "ood-30", "ood-50"]
    gain = read_families()[0].gains[0].effect(new)
    assert gain is not None
    assert (
        f"(`Start_1+Comma_1`) score {ours['ood-30']:.2f}. Prompt tuning with as many vectors "
        f"(`Start_2`) scores {prompt['ood-30']:.2f} (difference {gain.mean:+.2f} "
        f"[{gain.low:+.2f}, {gain.high:+.2f}])"
    ) in readme
    a, b, c = (f"{score:.2f}" for score in prefix[far])
    d, e, f = (f"{score:.2f}" for score in ours[far])
    assert (
        f"scores {a} on lists of 20 and {c} on lists of 50. `Start_1+Comma_1` scores {d} and {f}."
    ) in readme
    assert (
        f"scores {a}, {b} and {c} on lists of 20, 30 and 50. `Start_1+Comma_1` scores {d}, {e} "
        f"and {f}."
    ) in notes
    sizes = load_runs(ROOT / "experiments" / "runs").groupby("method")["trainable"].first()
    assert sizes["prefix-9; init=task"] / sizes["Start_1+Comma_1"] == 90
    assert all("trains 90 times as many numbers" in page for page in (readme, notes))


def test_how_many_gains_were_confirmed_is_what_the_page_says() -> None:
    confirmed = [line for line in GAINS_PAGE.read_text().splitlines() if "**confirmed**" in line]
    assert [line.split("|")[1:4] for line in confirmed[:2]] == [
        [" `Start_1+Comma_1` ", " `Start_2` ", " ood-30 "],
        [" `Start_1+Comma_1` ", " `End_2` ", " ood-20 "],
    ]
    assert len(confirmed) == 2 + 3 + 1


def test_sentences_about_prompts_that_have_commas_name_their_figures() -> None:
    records = load_runs(ROOT / "experiments" / "runs", {"status": "finished"}, records=True)
    records = records[records["run"].str.startswith("commas-tiny/")]
    (family,) = [one for one in read_families() if "commas-tiny" in one.grids]
    found = family.tested(records)
    records = records[records["seed"] < 3]
    assert (records.groupby(["task", "method"])["seed"].nunique() == 3).all()
    means = records.groupby(["task", "method", "split"])["graded"].mean()
    shown, listed = means["generation-shown"], means["repetition-listed"]
    notes = re.sub(r"\s+", " ", (ROOT / "docs" / "results-notes.md").read_text())
    assert (
        f"it scores {shown['Comma_8', 'id']:.2f} in distribution and "
        f"{shown['Comma_8', 'ood-34']:.2f} at 34 equations, where `Start_8` scores "
        f"{shown['Start_8', 'ood-34']:.2f}."
    ) in notes
    others = ", ".join(
        f"`{name}` {listed[name, 'id']:.2f} and {listed[name, 'ood-15']:.2f}"
        for name in ("Start_8", "End_8")
    )
    assert (
        f"it scores {listed['Comma_8', 'id']:.2f} in distribution and "
        f"{listed['Comma_8', 'ood-15']:.2f} at 15 repetitions, {others}: no method counts far."
    ) in notes
    assert all(effect is not None and p >= 0.05 for _, effect, p in found)
    gain, effect, p = min(found, key=lambda one: one[2])
    assert effect is not None and (gain.method, gain.place) == (
        "Comma_8",
        "id of repetition-listed",
    )
    assert (
        "none of them was confirmed. The largest difference is that of `Comma_8` from `Start_8` "
        f"in distribution, {effect.mean:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}] "
        f"(p {p:.2f} after"
    ) in notes


def test_sentences_about_three_times_as_many_steps_name_their_figures() -> None:
    records = load_runs(ROOT / "experiments" / "runs", {"status": "finished"}, records=True)
    records = records[records["run"].str.startswith("converged-smollm2/lookup/")]
    pages = [ROOT / "README.md", ROOT / "docs" / "results-notes.md"]
    readme, notes = (re.sub(r"\s+", " ", page.read_text()) for page in pages)
    explored = records[records["seed"] < 3].groupby(["method", "split"])["graded"].mean()
    ours, prompt, prefix = (
        explored[name] for name in ("Start_1+Comma_1", "Start_2", "prefix-9; init=task")
    )
    a, b, c = (f"{ours[split]:.2f}" for split in ("ood-20", "ood-30", "ood-50"))
    d, e, f = (f"{prompt[split]:.2f}" for split in ("ood-20", "ood-30", "ood-50"))
    assert f"`Start_1+Comma_1` scores {a}, {b} and {c}, `Start_2` {d}, {e} and {f}" in notes
    far = ("ood-100", "ood-200", "ood-400")
    a, b, c = (f"{ours[split]:.2f}" for split in far)
    d, e, f = (f"{prefix[split]:.2f}" for split in far)
    assert (
        f"On lists of 100, 200 and 400, `Start_1+Comma_1` scores {a}, {b} and {c}, the prefix {d}, "
        f"{e} and {f}"
    ) in notes
    assert f"`Start_2` scores {prompt['ood-100']:.2f} at 100." in notes
    (family,) = [one for one in read_families() if "converged-smollm2" in one.grids]
    new = family.records(records)
    means = new.groupby(["method", "split"])["graded"].mean()
    for gain, effect, p in family.tested(new):
        assert effect is not None
        one, other = means[gain.method, gain.split], means[gain.baseline, gain.split]
        difference = f"{effect.mean:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}]"
        assert f"{one:.2f} against {other:.2f} ({difference}, p {p:.3f}" in notes
        assert (p < 0.05) == gain.method.startswith("prefix-9")
        if gain.split == "ood-30":
            assert f"on lists of 30, {one:.2f} against {other:.2f} ({difference})" in readme
            said = f"on lists of 30 the scores are {one:.2f} and {other:.2f} ({difference})"
            assert said in notes
