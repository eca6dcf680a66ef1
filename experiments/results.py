"""The results page, written from the records of grids: tables, curves, claims and verdicts.

    python experiments/results.py                      # from the runs that ship
    python experiments/results.py runs/paper-tiny --out mine.md --metric exact

This command writes tables, curves and verdicts from run folders. The summary and the notes are
written by hand in `results-notes.md`. The part above its line `<!-- tables -->` goes before the
tables, and the rest goes after them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pandas as pd

import latent_core as lc
from experiments.computed import (
    computed_against_learned,
    differences,
    for_every_seed,
    means_table,
    ordered,
)
from latent_core.errors import LatentError, SettingError
from latent_core.runs.folder import read_run
from latent_core.runs.shipped import SHIPPED
from latent_core.slots.methods import Method
from latent_core.statistics.inference import holm
from latent_core.statistics.means import Interval
from latent_core.wording import counted
from workbench.pictures.curves import RecordedTask, accuracy_picture

ROOT = Path(__file__).parent.parent
#: What the paper reports: task -> best latent layout, and its gain over the best baseline in the
#: most extreme OOD setting (arXiv 2505.12629).
PAPER = {
    "generation": ("Comma_2", 0.23),
    "summation": ("8_2", 1.27),
    "repetition": ("Start_1+Comma_1", 2.20),
}
#: Tasks for models that cannot learn the paper's own.
STANDS_FOR = {"counting": "generation", "lookup": "summation"}
#: Training seeds that a claim takes at the least.
ENOUGH = 5
#: Of a verdict, after Holm's adjustment for all of the page's.
LEVEL = 0.05
#: Accuracy from which on a method counts as having learned a task, and as leaving no room in it.
LEARNED, NO_ROOM = 0.9, 0.95
#: Where the notes are parted.
TABLES = "<!-- tables -->\n"


def main() -> None:
    """Read the options and write the page with its curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=[SHIPPED], help="folders of grids")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--metric", choices=("graded", "exact"), default="graded")
    options = parser.parse_args()
    try:
        page = results_page(options.runs, options.out, options.metric)
    except LatentError as error:
        parser.exit(2, f"results: {error}\n")
    notes = options.out.with_name(f"{options.out.stem}-notes.md")
    above, _, below = (notes.read_text() if notes.is_file() else "").rpartition(TABLES)
    parts = ("# Results\n", above, page, below)
    options.out.write_text("\n".join(part.strip("\n") + "\n" for part in parts if part.strip()))
    print(f"wrote {options.out}")


def results_page(folders: list[Path], out: Path, metric: str = "graded") -> str:
    """Markdown of the page; the curves are written beside it.

    Raises:
        SettingError: if no run is finished, or two are of the same method and seed.
    """
    about = lc.load_runs(folders, {"status": "finished"})
    records = lc.load_runs(folders, {"status": "finished"}, records=True)
    if records.empty:
        raise SettingError(f"no finished runs in {', '.join(map(str, folders))}")
    _refuse_twice(about)
    parts = [_introduction(about, records, metric)]
    claims: list[Claim] = []
    for backbone, of_backbone in records.groupby("backbone", sort=False):
        parts.append(f"## {backbone}\n")
        for task, rows in of_backbone.groupby("task", sort=False):
            paired = for_every_seed(rows)
            kind = _task(str(task), rows)
            name = f"{out.stem}-{backbone}-{task}-{metric}.svg".replace("/", "-")
            out.parent.mkdir(parents=True, exist_ok=True)
            picture = accuracy_picture(rows, kind, metric)
            with matplotlib.rc_context({"svg.hashsalt": name}):  # the same records, the same file
                picture.savefig(out.parent / name, metadata={"Date": None})
            other = "exact" if metric == "graded" else "graded"
            says = {"graded": kind.graded_metric, "exact": kind.exact_metric}
            parts.append(f"### {task}\n\n{metric.capitalize()}: {says[metric]}.\n")
            parts.append(f"{_accuracy(rows, metric)}\n")
            parts.append(f"{other.capitalize()}: {says[other]}.\n\n{means_table(rows, other)}\n")
            parts.append(f"![{task} on {backbone}: {metric} accuracy by length]({name})\n")
            parts.append(_calibration(rows, metric))
            claim = _claim(str(backbone), str(task), paired, metric)
            if claim is not None:
                claims.append(claim)
                parts.append(claim.sentence())
                parts.append(_by_level(paired, claim, metric))
            parts.append(computed_against_learned(paired, metric))
            parts.append(_search(about, str(backbone), str(task)))
    parts.insert(1, _verdicts(claims, metric))
    return "\n".join(part for part in parts if part)


def _refuse_twice(about: pd.DataFrame) -> None:
    """Two runs of one method and seed, with other settings or copied, would count as one."""
    runs = about.drop_duplicates("path")
    for _, same in runs.groupby(["backbone", "task", "method", "seed"], dropna=False):
        if len(same) > 1:
            raise SettingError(
                f"{' and '.join(same['path'])} are of the same method and seed; expected one of "
                "them. Name a narrower folder, or take the other away"
            )


class Against(NamedTuple):
    """A latent layout against a baseline, over the seeds and examples that both have."""

    baseline: str
    latent_mean: float
    baseline_mean: float
    difference: Interval
    paper_gain: float

    @property
    def gain(self) -> str:
        """Relative to the baseline."""
        if self.baseline_mean == 0:
            return "none (baseline 0)" if self.latent_mean == 0 else "baseline 0"
        return f"{self.latent_mean / self.baseline_mean - 1:+.0%}"

    def verdict(self, p: float) -> str:
        """By the paired difference and its p-value, adjusted; a few seeds decide nothing."""
        if self.difference.seeds < ENOUGH:
            return f"inconclusive ({counted(self.difference.seeds, 'seed')})"
        if p < LEVEL:
            return "a gain" if self.difference.mean > 0 else "a loss"
        if self.baseline_mean * (1 + self.paper_gain) > 1:
            return f"no room ({self.baseline_mean:.2f} {self.paper_gain:+.0%} is beyond 1)"
        return "inconclusive"

    def sentence(self) -> str:
        """The comparison in words."""
        found = self.difference
        return (
            f"`{self.baseline}` ({self.latent_mean:.2f} against {self.baseline_mean:.2f}): "
            f"{self.gain}; difference on the same examples {found.mean:+.2f} [{found.low:+.2f}, "
            f"{found.high:+.2f}], {counted(found.seeds, 'seed')}"
        )


class Claim(NamedTuple):
    """The best latent layout against baselines in the most extreme OOD level.

    `best` is the best baseline of all, `equal` the best `Start` or `End` of no more numbers, and
    `peers` are all of these.
    """

    backbone: str
    task: str
    split: str
    latent: str
    best: Against
    equal: Against | None
    peers: tuple[str, ...]

    def sentence(self) -> str:
        """Both comparisons in words."""
        lines = [
            f"In {self.split}, the best latent layout is `{self.latent}`. Against the best "
            f"baseline, {self.best.sentence()}."
        ]
        if self.equal is not None and self.equal.baseline != self.best.baseline:
            lines.append(
                "Against the best `Start` or `End` with no more trained parameters, "
                f"{self.equal.sentence()}."
            )
        return " ".join(lines) + "\n"


def _introduction(about: pd.DataFrame, records: pd.DataFrame, metric: str) -> str:
    trained = about[about["steps"].notna()].groupby(["backbone", "task", "method"])["seed"]
    seeds = trained.nunique() if len(trained) else pd.Series([1])
    examples = records.groupby(["run", "split"]).size()
    return (
        "## How to read the tables\n\n"
        "`python experiments/results.py` wrote everything from here to the last table, from the "
        f"records of {about['run'].nunique()} runs. The rest is written by hand.\n\n"
        f"- Accuracy is {metric} unless the text says otherwise. Each task defines its metrics.\n"
        f"- Trained methods have {_range(seeds)} seeds and {_range(examples)} examples per split "
        "and seed. Every method and seed answers the same examples.\n"
        "- The 95 % intervals hold for new training seeds and new examples. In a row with one "
        "seed, they hold for that adapter and new examples.\n"
        "- Within a task, every method has the same data, steps and batch size. The learning rate "
        "is either the same for all methods or chosen by one rule on validation examples in "
        "distribution. It is given below each table.\n"
        "- A baseline has no vectors, or has vectors only before or after the prompt (`Start_m` is "
        "prompt tuning, `End_m` pause tokens). A latent layout also places vectors in the "
        "response.\n"
        "- The best baseline and the best layout are chosen on the examples on which they are "
        "compared. A small difference is therefore weak evidence.\n"
    )


def _verdicts(claims: list[Claim], metric: str) -> str:
    """The paper's three claims beside what was found."""
    found = [one for claim in claims for one in (claim.best, claim.equal) if one is not None]
    adjusted = dict(zip(found, holm([one.difference.p for one in found]), strict=True))

    def cells(one: Against | None) -> str:
        if one is None:
            return "- | - | -"
        return f"`{one.baseline}` | {one.gain} | {one.verdict(adjusted[one])}"

    lines = [
        "## The paper's claims\n",
        f"Gain is the relative difference of {metric} accuracy at the highest OOD level. The "
        f"verdict *a gain* or *a loss* needs {ENOUGH} seeds and a p-value of the paired difference "
        f"below {LEVEL}, adjusted for all {len(found)} differences (Holm). *No room*: the paper's "
        "gain would lead to an accuracy above 1. *Inconclusive*: everything else. The paper has "
        "other models, prompts and lengths, so only relative gains are compared.\n",
        "| task | paper: best layout | gain | backbone | here: best layout | best baseline | gain "
        "| verdict | best `Start` or `End` with no more parameters | gain | verdict |",
        "|---" * 11 + "|",
    ]
    for claim in claims:
        stands_for = STANDS_FOR.get(claim.task)
        layout, gain = PAPER.get(stands_for or claim.task, ("-", None))
        task = f"{claim.task} (for {stands_for})" if stands_for else claim.task
        lines.append(
            f"| {task} | `{layout}` | {'-' if gain is None else f'{gain:+.0%}'} | {claim.backbone} "
            f"| `{claim.latent}` | {cells(claim.best)} | {cells(claim.equal)} |"
        )
    return "\n".join([*lines, ""])


def _accuracy(rows: pd.DataFrame, metric: str) -> str:
    """A row per method; the best of each column stands in bold."""
    summary = lc.summarise(rows, ("method", "split"), metric)
    splits = ordered(summary["split"].unique())
    best = summary.groupby("split")["mean"].max()
    costs = rows.groupby("method", sort=False)[["trainable", "latent_slots"]].mean()
    seeds = rows.groupby("method", sort=False)["seed"].nunique()
    lines = [
        f"| method | {' | '.join(splits)} | seeds | trained parameters | latents per answer |",
        "|---" * (len(splits) + 4) + "|",
    ]
    for method, cells in summary.groupby("method", sort=False):
        by_split = cells.set_index("split")
        shown = []
        for split in splits:
            if split not in by_split.index:
                shown.append("-")
                continue
            cell = by_split.loc[split]
            mean = f"{cell['mean']:.2f}"
            mean = f"**{mean}**" if cell["mean"] == best[split] else mean
            shown.append(f"{mean} [{cell['low']:.2f}, {cell['high']:.2f}]")
        cost = costs.loc[method]
        lines.append(
            f"| `{method}` | {' | '.join(shown)} "
            f"| {seeds[method] if cost['trainable'] else '-'} | {cost['trainable']:,.0f} "
            f"| {cost['latent_slots']:.1f} |"
        )
    return "\n".join(lines)


def _calibration(rows: pd.DataFrame, metric: str) -> str:
    """Whether the task is neither too hard in distribution nor too easy out of it."""
    means = rows.groupby(["split", "method"])[metric].mean()
    extreme = ordered(rows["split"].unique())[-1]
    learned = means["id"].max() if "id" in means.index.get_level_values(0) else float("nan")
    far = means[extreme].max()
    calibrated = learned >= LEARNED and far < NO_ROOM
    return (
        f"Calibration (some method scores at least {LEARNED} in distribution, and none scores "
        f"{NO_ROOM} or more in {extreme}): "
        f"{'met' if calibrated else 'not met'}; the best has {learned:.2f} and {far:.2f}.\n"
    )


def _claim(backbone: str, task: str, rows: pd.DataFrame, metric: str) -> Claim | None:
    extreme = ordered(rows["split"].unique())[-1]
    far = rows[rows["split"] == extreme]
    if not extreme.startswith("ood"):
        return None
    means = far.groupby("method", sort=False)[metric].mean()
    sizes = far.groupby("method", sort=False)["trainable"].first()
    latent = means[[method for method in means.index if _is_latent(str(method))]]
    baseline = means[[method for method in means.index if not _is_latent(str(method))]]
    if latent.empty or baseline.empty:
        return None
    best = str(latent.idxmax())
    equal = baseline[
        [_has_trained_latents(str(m)) and sizes[m] <= sizes[best] for m in baseline.index]
    ]
    return Claim(
        *(backbone, task, extreme, best),
        _against(task, far, best, str(baseline.idxmax()), metric),
        None if equal.empty else _against(task, far, best, str(equal.idxmax()), metric),
        tuple(map(str, equal.index)),
    )


def _against(task: str, rows: pd.DataFrame, latent: str, baseline: str, metric: str) -> Against:
    sides = [rows[rows["method"] == method] for method in (latent, baseline)]
    shared = set(sides[0]["seed"]) & set(sides[1]["seed"])
    means = (side.loc[side["seed"].isin(shared), metric].mean() for side in sides)
    difference = lc.paired_difference(rows, latent, baseline, metric)
    _, gain = PAPER.get(STANDS_FOR.get(task, task), ("", 0.0))
    return Against(baseline, *means, difference, gain)


def _by_level(rows: pd.DataFrame, claim: Claim, metric: str) -> str:
    """Differences from the best baseline and from the layout's peers at every level."""
    lines = []
    for baseline in dict.fromkeys((claim.best.baseline, *claim.peers)):
        found = differences(rows, claim.latent, baseline, metric)
        lines.append(f"- `{claim.latent}` minus `{baseline}`: {found}")
    return (
        "Differences by level, with 95 % intervals that are not adjusted for several tests:\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _search(about: pd.DataFrame, backbone: str, task: str) -> str:
    """Learning rate and steps of every trained method, and how they were chosen."""
    rows = about[(about["backbone"] == backbone) & (about["task"] == task)]
    rows = rows[rows["steps"].notna()].drop_duplicates("run")
    if rows.empty:
        return ""
    chosen, searches, highest = [], set[str](), list[str]()
    for method, of_method in rows.groupby("method", sort=False):
        pairs = zip(of_method["learning_rate"], of_method["steps"], strict=True)
        chosen.append(f"`{method}` " + ", ".join(sorted({f"{r:g} ({s})" for r, s in pairs})))
        search = read_run(of_method["path"].iloc[0])["notes"].get("search")
        if search is None:
            searches.add("the same for all methods, not searched")
            continue
        rates = sorted({trial["learning_rate"] for trial in search["trials"]})
        steps = ", ".join(
            f"{s * search['share']:g}" for s in sorted({t["steps"] for t in search["trials"]})
        )
        searches.add(
            f"chosen from {', '.join(f'{rate:g}' for rate in rates)} by trials of {steps} steps, "
            f"{counted(search['examples'], 'validation example')}, "
            f"{counted(len(search['seeds']), 'seed')}"
        )
        rate = next(value for name, value in search["chosen"].items() if name != "steps")
        if "learning_rate_beside" in search["chosen"]:
            chosen[-1] += f" with {rate:g} beside latents"
        highest += [str(method)] * (rate == rates[-1])
    edge = ""
    if highest:
        edge = f"; the search chose its highest rate for {len(highest)} of {len(chosen)} methods"
    how = " or ".join(sorted(searches))
    return f"Learning rate (steps in brackets), {how}{edge}: {'; '.join(chosen)}.\n"


def _is_latent(method: str) -> bool:
    """Whether a method has trained latents elsewhere than before and after the prompt."""
    groups = Method.parse(method).layout.groups
    return _has_trained_latents(method) and any(group.repeats for group in groups)


def _has_trained_latents(method: str) -> bool:
    parsed = Method.parse(method)
    return parsed.kind == "latents" and parsed.trained


def _task(name: str, rows: pd.DataFrame) -> Any:
    try:
        return lc.load_task(name)
    except LatentError:
        return RecordedTask.of(name, rows)


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low}-{high}"


if __name__ == "__main__":
    main()
