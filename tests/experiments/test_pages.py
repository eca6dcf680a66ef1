"""The figures in hand-written sentences are those of the records that ship."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import latent_core as lc
from experiments.results import SHIPPED, TABLES, main
from latent_core.statistics.means import Interval

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
NOTES = ROOT / "docs" / "results-notes.md"
RESULTS = ROOT / "docs" / "results.md"
#: The columns that a figure is computed from.
COLUMNS = ["backbone", "task", "method", "seed", "split", "example", "key", "graded", "exact"]


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return lc.load_runs(SHIPPED, {"status": "finished"}, records=True)[COLUMNS]


def text_of(page: Path) -> str:
    """A page as one line, so that a sentence is found wherever its lines break."""
    return re.sub(r"\s+", " ", page.read_text())


def rows_of(records: pd.DataFrame, backbone: str, task: str, split: str) -> pd.DataFrame:
    rows = records[(records["backbone"] == backbone) & (records["task"] == task)]
    return rows[rows["split"] == split]


def mean_of(rows: pd.DataFrame, method: str) -> str:
    """Graded accuracy as a page prints it: the mean over seeds of the mean over examples."""
    of_method = rows[rows["method"] == method]
    return f"{of_method.groupby('seed')['graded'].mean().mean():.2f}"


def interval(found: Interval) -> str:
    return f"[{found.low:+.2f}, {found.high:+.2f}]"


#: page, backbone, task, split, a sentence whose braces hold methods: each is replaced by its score.
SCORES = [
    (
        README,
        "smollm2-135m",
        "counting",
        "ood-30",
        "scores below prompt tuning: {Start_1+Comma_1} against {Start_2} at 30 equations",
    ),
    (
        NOTES,
        "smollm2-135m",
        "lookup",
        "ood-20",
        "`Start_1+Comma_1` (two vectors) scores {Start_1+Comma_1}. Prompt tuning of the same size "
        "(`Start_2`) scores {Start_2}. Pause tokens of the same size (`End_2`) score {End_2}. With "
        "4.5 times as many vectors, `End_9` scores {End_9} and `Start_9` {Start_9};",
    ),
    (
        NOTES,
        "smollm2-135m",
        "lookup",
        "ood-50",
        "On lists of **50**, `Start_1+Comma_1` scores {Start_1+Comma_1}, `Start_2` {Start_2}, "
        "`End_2` {End_2} and `End_9` {End_9}.",
    ),
    (
        NOTES,
        "smollm2-135m",
        "counting",
        "id",
        "below prompt tuning at every level: {Start_1+Comma_1} against {Start_2} in distribution",
    ),
    (
        NOTES,
        "smollm2-135m",
        "counting",
        "ood-30",
        "{Start_1+Comma_1} against {Start_2} at 30 equations",
    ),
    (
        NOTES,
        "tiny",
        "summation",
        "ood-50",
        "50 variables: `Comma_2` scores {Comma_2}, `Start_2` {Start_2}, `End_2` {End_2}",
    ),
    (
        NOTES,
        "tiny",
        "hops",
        "id",
        "score {End_2=hidden & lora-r8} in distribution, two learned latents {End_2 & lora-r8}",
    ),
    (
        NOTES,
        "tiny",
        "hops",
        "id",
        "{Start_2+End_2=hidden} (hidden), {Start_2+End_2=fused(0.6)} (fused) and "
        "{Start_2+End_2=mix} (mixtures) against {Start_2+End_2}",
    ),
    (
        README,
        "tiny",
        "hops",
        "id",
        "no more than learned ones: {End_2=hidden & lora-r8} and {End_2 & lora-r8} in distribution",
    ),
]

#: page, backbone, task, split, treatment, control, a sentence with {mean} and {interval}.
DIFFERENCES = [
    (
        README,
        "smollm2-135m",
        "counting",
        "ood-30",
        "Start_1+Comma_1",
        "Start_2",
        "at 30 equations ({mean} {interval}, five seeds)",
    ),
    (
        NOTES,
        "smollm2-135m",
        "lookup",
        "ood-20",
        "Start_1+Comma_1",
        "End_9",
        "(`Start_1+Comma_1` minus `End_9`: {interval})",
    ),
    (
        NOTES,
        "smollm2-135m",
        "counting",
        "id",
        "Start_1+Comma_1",
        "Start_2",
        "in distribution ({mean} {interval})",
    ),
    (
        NOTES,
        "smollm2-135m",
        "counting",
        "ood-30",
        "Start_1+Comma_1",
        "Start_2",
        "at 30 equations ({mean} {interval})",
    ),
    (
        NOTES,
        "tiny",
        "hops",
        "id",
        "End_2=hidden & lora-r8",
        "End_2 & lora-r8",
        "two learned latents 0.53 ({mean} {interval})",
    ),
    (
        NOTES,
        "tiny",
        "hops",
        "id",
        "End_2=fused(0.6) & lora-r8",
        "End_2 & lora-r8",
        "fused states 0.60 ({mean} {interval})",
    ),
    (
        NOTES,
        "tiny",
        "hops",
        "id",
        "End_2=mix & lora-r8",
        "End_2 & lora-r8",
        "mixtures score 0.54 ({mean} {interval})",
    ),
]


@pytest.mark.parametrize(("page", "backbone", "task", "split", "sentence"), SCORES)
def test_a_sentence_names_the_scores_of_the_records(
    records: pd.DataFrame, page: Path, backbone: str, task: str, split: str, sentence: str
) -> None:
    rows = rows_of(records, backbone, task, split)
    expected = re.sub(r"\{([^}]*)\}", lambda found: mean_of(rows, found[1]), sentence)
    assert expected in text_of(page)


@pytest.mark.parametrize(
    ("page", "backbone", "task", "split", "treatment", "control", "sentence"), DIFFERENCES
)
def test_a_sentence_names_the_difference_of_the_records(
    records: pd.DataFrame,
    page: Path,
    backbone: str,
    task: str,
    split: str,
    treatment: str,
    control: str,
    sentence: str,
) -> None:
    rows = rows_of(records, backbone, task, split)
    found = lc.paired_difference(rows, treatment, control)
    expected = sentence.format(mean=f"{found.mean:+.2f}", interval=interval(found))
    assert expected in text_of(page)


def test_no_layout_beats_the_best_baseline_at_the_longest_inputs() -> None:
    """The first sentence of the README's findings, from the page's own verdicts."""
    table = RESULTS.read_text().split("## The paper's claims\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("|")][2:]
    verdicts = [row[7].strip() for row in rows]
    assert len(verdicts) == 6
    assert "a gain" not in verdicts


@pytest.mark.parametrize(
    ("page", "part", "sentence"),
    [
        (README, "their states carry it", "changes the score by {estimate}"),
        (NOTES, "their states carry it", "the score is {treatment} ({estimate})"),
        (README, "dropping them breaks it", "Without them the score is {treatment}."),
        (NOTES, "dropping them breaks it", "falls from {control} to {treatment}."),
        (README, "they are looked at", "If the response cannot attend to them, the score is"),
        (NOTES, "they are looked at", "If the response cannot attend to them, it falls to"),
    ],
)
def test_a_sentence_about_a_cause_names_what_its_verdict_does(
    page: Path, part: str, sentence: str
) -> None:
    verdicts = (ROOT / "docs" / "hypotheses-lookup.md").read_text().splitlines()
    (row,) = [line for line in verdicts if line.startswith(f"| {part} |")]
    cells = [cell.strip() for cell in row.split(" | ")]
    treatment, control = cells[3].split(" / ")
    mean, low, high = re.findall(r"[+-]\d\.\d+", cells[4])
    estimate = f"{float(mean):+.2f} [{float(low):+.2f}, {float(high):+.2f}]"
    if "{" not in sentence:
        sentence += " {treatment}."
    expected = sentence.format(treatment=treatment, control=control, estimate=estimate)
    assert expected in text_of(page)


def verdict_row(page: str, section: str, part: str) -> tuple[str, str, str]:
    """Score with the change, score without, and the estimate, of a part on a page of verdicts."""
    text = (ROOT / "docs" / page).read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {part} |")]
    cells = [cell.strip() for cell in row.split(" | ")]
    treatment, control = cells[3].split(" / ")
    mean, low, high = (f"{float(one):+.2f}" for one in re.findall(r"[+-]\d\.\d+", cells[4]))
    return treatment, control, f"({mean} [{low}, {high}])"


def test_sentences_about_what_latents_carry_name_what_the_verdicts_do() -> None:
    page = "hypotheses-carry-smollm2.md"

    def row(part: str, section: str = "carry-lookup") -> tuple[str, str, str]:
        return verdict_row(page, section, part)

    without, clean, _ = row("without them")
    mean, _, of_mean = row("the mean of their states")
    donor, _, of_donor = row("another example's states")
    before, *_ = row("the states of the occurrence before")
    alone, plain, swapped = (row(part, "carry-lookup with Comma_2") for part in (
        "without them", "another example's states", "another example's states",
    ))  # fmt: skip
    for sentence in (
        f"falls from {clean} to {without}; with noise in their places it is "
        f"{row('noise as long as their states')[0]}",
        f"leaves {mean} {of_mean}, the states of another example {donor} {of_donor}",
        f"The states of the occurrence before leave {before}",
        f"{alone[1]} with its latents, {alone[0]} without, {plain[0]} with states of another "
        f"example {swapped[2]}",
    ):
        assert sentence in text_of(NOTES)
    assert "**undecided**" in (ROOT / "docs" / page).read_text()


def test_sentences_about_the_repositorys_own_runs_of_hops_name_their_scores() -> None:
    records = lc.load_runs(ROOT / "experiments" / "runs", {"task": "hops"}, records=True)
    grids = dict(list(records.groupby(records["run"].str.partition("/")[0])))

    def mean(grid: str, split: str, method: str = "lora-r8") -> str:
        return mean_of(grids[grid][grids[grid]["split"] == split], method)

    small, written = grids["hops-smollm2"], "hops-written"
    hidden, learned = "End_2=hidden & lora-r8", "End_2 & lora-r8"
    found = lc.paired_difference(small[small["split"] == "id"], hidden, learned)
    for sentence in (
        f"scores as much ({mean('hops-answers', 'id')})",
        f"scores {mean(written, 'id')}, and {mean(written, 'ood-10')} at ten look-ups",
        f"hidden states score {mean('hops-smollm2', 'id', hidden)} in distribution and learned "
        f"latents {mean('hops-smollm2', 'id', learned)} "
        f"({found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}], 50 examples)",
    ):
        assert sentence in text_of(NOTES)


def skeleton(drawing: Path) -> tuple[str, list[float]]:
    """An SVG without its coordinates and the names that come of them; the coordinates."""
    named = re.sub(r"\b[mp][0-9a-f]{10}\b", "name", drawing.read_text())
    number = r"-?\d+\.\d+"
    return re.sub(number, "#", named), [float(found) for found in re.findall(number, named)]


@pytest.mark.slow
def test_the_results_page_is_made_of_the_runs_that_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and verdicts letter for letter, curves to a hundredth of a point; the notes stand
    around them."""
    made = tmp_path / RESULTS.name
    (tmp_path / NOTES.name).write_text(NOTES.read_text())
    monkeypatch.setattr("sys.argv", ["results.py", "--out", str(made)])
    main()
    assert TABLES not in made.read_text()
    assert made.read_text() == RESULTS.read_text()
    for curve in tmp_path.glob("*.svg"):
        drawn, numbers = skeleton(curve)
        kept, expected = skeleton(RESULTS.parent / curve.name)
        assert drawn == kept, curve.name
        assert numbers == pytest.approx(expected, abs=0.01), curve.name
