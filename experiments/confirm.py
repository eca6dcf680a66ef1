"""Confirm claims on seeds that did not exist when the claims were written down.

    python experiments/confirm.py register      before the runs: the claims and their hashes
    python experiments/confirm.py               train the new seeds, test, write docs/confirmed.md
    python experiments/confirm.py --only 3      the third claim of the file; the others stay

The runs are in the archive experiments/runs:

    latent runs unpack experiments/runs --out runs/archive
    python experiments/confirm.py --runs runs/archive/confirm

`experiments/claims.yaml` holds the claims. `register` refuses a claim whose runs exist. The test
refuses a claim that is not registered, or that was changed after it was. Training continues where a
killed call stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

import latent_core as lc
from experiments.readme import draw_intervals
from experiments.registry import REGISTERED, hash_of, register, registered_at
from latent_core.hypotheses.journal import Journal
from latent_core.hypotheses.sources import Given
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.yaml_file import read_yaml

ROOT: Final = Path(__file__).parent.parent
CLAIMS: Final = Path(__file__).parent / "claims.yaml"
PAGE: Final = ROOT / "docs" / "confirmed.md"


@dataclass(frozen=True)
class Claim:
    """A claim of `claims.yaml`.

    Attributes:
        claim: a sentence.
        backbone, study, layout: what is tested.
        word: what the study should say.
        seeds: training seeds of the runs that test it.
        examples: for each seed.
        training: arguments of `train`.
    """

    claim: str
    backbone: str
    study: str
    layout: str
    word: str
    seeds: tuple[int, ...]
    examples: int
    training: dict[str, Any]

    @property
    def hash(self) -> str:
        """Of everything that the claim states."""
        return hash_of(asdict(self))

    @property
    def loaded(self) -> Study:
        """The study."""
        return lc.load_study(self.study, self.layout)

    def runs(self, root: Path) -> list[Path]:
        """The folders of its runs, by seed."""
        place = root / self.backbone / self.loaded.task / self.layout
        return [place / f"seed-{seed}" for seed in self.seeds]


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """The claims of a file."""
    return [Claim(**entry | {"seeds": tuple(entry["seeds"])}) for entry in read_yaml(path)]


def test(
    claim: Claim, root: Path, folder: Path, registered: Path = REGISTERED
) -> tuple[StudyVerdict, str]:
    """Train what is missing, and test.

    Returns:
        the verdict, and when the claim was registered.

    Raises:
        SystemExit: if the claim was not registered as it stands.
    """
    time = registered_at(asdict(claim), registered)
    study = claim.loaded
    for seed, path in zip(claim.seeds, claim.runs(root), strict=True):
        model = lc.build_model(claim.backbone, claim.layout, seed, task=study.loaded_task)
        notes = {"method": model.method}
        lc.train(
            model, study.loaded_task, seed=seed, output_dir=path, resume=True, notes=notes,
            **claim.training,
        )  # fmt: skip
    target = Given.runs(claim.runs(root), study.loaded_task)
    plans = lc.lab.plan(study, len(claim.seeds), claim.examples, target=target, measure=False)
    journal = Journal(folder)
    written = {name: journal.write_plan(plan) for name, plan in plans.items()}
    verdict = lc.lab.run(study, target, replace(plans, parts=written), folder)
    return verdict, time


def records(found: list[tuple[Claim, StudyVerdict, str]]) -> pd.DataFrame:
    """Every pair of answers: claim (its hash), part, seed, example, treatment, control."""
    return pd.concat(
        [
            part.frame[["seed", "example", "key", "treatment", "control"]].assign(
                claim=claim.hash, part=name
            )
            for claim, verdict, _ in found
            for name, part in verdict.parts.items()
        ],
        ignore_index=True,
    )


def picture_name(claim: Claim) -> str:
    """The file of a claim's picture, beside the page; later claims on one task add their seeds."""
    name = f"confirmed-{claim.backbone}-{claim.loaded.task}"
    alike = [
        one.hash
        for one in read_claims()
        if (one.backbone, one.loaded.task) == (claim.backbone, claim.loaded.task)
    ]
    if claim.hash in alike[1:]:
        name += f"-{claim.seeds[0]}-{claim.seeds[-1]}"
    return f"{name}.svg"


def picture(claim: Claim, verdict: StudyVerdict) -> Figure:
    """Each part's estimate with its interval; dotted: the smallest effect."""
    colours = {"supported": "#c2410c", "refuted": "#1f6fb4", "inconclusive": "#777777"}
    words = {"supported": "harm", "refuted": "no harm", "inconclusive": "open"}
    rows = []
    for name, part in verdict.parts.items():
        said = words[part.outcome] if part.hypothesis.sign < 0 else part.outcome
        rows.append((name, part.effect, colours[part.outcome], said))
    figure = Figure(figsize=(7.2, 0.36 * len(rows) + 1.1), layout="constrained")
    axes = figure.add_subplot()
    draw_intervals(axes, rows)
    for at, style in ((0.0, "-"), (-0.1, ":"), (0.1, ":")):
        axes.axvline(at, color="#999999", lw=0.8, ls=style, zorder=0)
    axes.set_xlabel("change of the graded score, 95 % interval")
    axes.set_title(f"{claim.layout} on {claim.backbone}, {verdict.study.task}", size=10)
    return figure


def page(every: list[Claim], found: list[tuple[Claim, StudyVerdict, str]], before: str = "") -> str:
    """The page of claims: confirmed, not confirmed, and not yet tested.

    Args:
        every: all claims.
        found: those that were tested now.
        before: the page as it was. Claims that were tested earlier keep what it says of them.
    """
    tested = {
        claim.hash: (row(claim, verdict, time), section(claim, verdict))
        for claim, verdict, time in found
    }
    lines = [
        "# Claims that were written down first",
        "",
        "Each claim, with its thresholds and its analysis, stood in "
        "[claims.yaml](../experiments/claims.yaml) and in "
        "[registered.jsonl](../experiments/records/registered.jsonl) before the runs that test it "
        "were trained. `python experiments/confirm.py` trained them and wrote this page. "
        "`experiments/records/confirmed.parquet` has every pair of answers.",
        "",
        "| claim | registered | seeds | expected | found | |",
        "|---|---|---|---|---|---|",
    ]
    sections = []
    for claim in every:
        line, text = tested.get(claim.hash) or earlier(claim, before)
        lines.append(line)
        sections += ["", text] if text else []
    return "\n".join([*lines, *sections]) + "\n"


def row(claim: Claim, verdict: StudyVerdict, time: str) -> str:
    """A claim in the table."""
    assert verdict.conclusion is not None
    word = verdict.conclusion.word
    outcome = "**confirmed**" if word == claim.word else "not confirmed"
    seeds = f"{claim.seeds[0]}-{claim.seeds[-1]}"
    return (
        f"| {claim.claim} | {time[:16].replace('T', ' ')} | {seeds} | {claim.word} | {word} "
        f"| {outcome} |"
    )


def heading(claim: Claim) -> str:
    """Of the section about a claim."""
    return f"## {claim.claim[0].upper()}{claim.claim[1:]}"


def earlier(claim: Claim, before: str) -> tuple[str, str]:
    """A claim's row and section in the page as it was; a row that it waits if it has none."""
    title = f"{heading(claim)}\n"
    if title in before:
        (line,) = [one for one in before.splitlines() if one.startswith(f"| {claim.claim} |")]
        text = before.split(title)[1].split("\n## ")[0]
        return line, f"{title}{text}".rstrip("\n")
    seeds = f"{claim.seeds[0]}-{claim.seeds[-1]}"
    return f"| {claim.claim} | | {seeds} | {claim.word} | | not tested yet |", ""


def section(claim: Claim, verdict: StudyVerdict) -> str:
    """What came out of each part."""
    split = next(iter(verdict.parts.values())).hypothesis.split
    lines = [
        heading(claim),
        "",
        f"`{claim.layout}` on {claim.backbone}, {verdict.study.task} {split}, "
        f"{len(claim.seeds)} new seeds of {claim.examples} examples. "
        f"{verdict.title.capitalize()}: {verdict.reason}.",
        "",
        f"![What happens if each thing is taken away]({picture_name(claim)})",
        "",
        "| part | verdict | score with it / without | estimate |",
        "|---|---|---|---|",
    ]
    table = verdict.table().set_index("part")
    for name, part in verdict.parts.items():
        means = part.means().iloc[0]
        scores = f"{means['treatment']:.2f} / {means['control']:.2f}"
        shown = table.loc[name]
        lines.append(f"| {name} | {shown['verdict']} | {scores} | {shown['estimate']} |")
    return "\n".join(lines)


def main() -> None:
    """Register, or test and write the page."""
    every = read_claims()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="?", choices=["register", "test"], default="test")
    parser.add_argument(
        "--only", type=int, choices=range(1, len(every) + 1), help="number of a claim of the file"
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "confirm")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "hypotheses-confirm")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--records", type=Path, default=REGISTERED.with_name("confirmed.parquet"))
    options = parser.parse_args()
    claims = every if options.only is None else [every[options.only - 1]]
    if options.step == "register":
        for claim in claims:
            runs = [path for path in claim.runs(options.runs) if path.exists()]
            register(asdict(claim), runs)
        return
    found = []
    for claim in claims:
        verdict, time = test(claim, options.runs, options.folder)
        print(verdict.summary(), flush=True)
        found.append((claim, verdict, time))
    before = options.page.read_text() if options.page.is_file() else ""
    options.page.write_text(page(every, found, before))
    for claim, verdict, _ in found:
        name = picture_name(claim)
        with matplotlib.rc_context({"svg.hashsalt": name}):  # the same records, the same file
            picture(claim, verdict).savefig(options.page.with_name(name), metadata={"Date": None})
    pairs = records(found)
    if options.records.is_file():
        kept = pd.read_parquet(options.records)
        pairs = pd.concat([kept[~kept["claim"].isin(pairs["claim"])], pairs], ignore_index=True)
    pairs.to_parquet(options.records, index=False)
    print(f"written: {options.page}")


if __name__ == "__main__":
    main()
