"""The results page, from the records of grids: tables, curves, the paper's claims and verdicts.

    python experiments/results.py                      # from the runs that ship
    python experiments/results.py runs/paper-tiny --out mine.md --metric exact

Nothing on the page is typed by hand: it is read from run folders, and made anew by this command.
Findings that no record holds (what was tried where latents did not win) go into a file beside it,
`results-notes.md`, which is put at the end as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pandas as pd

import latent_core as lc
from latent_core.errors import LatentError, SettingError
from latent_core.methods import Method
from latent_core.shipped import SHIPPED
from latent_core.statistics import Interval
from latent_core.wording import counted
from workbench.curves import RecordedTask, accuracy_picture

ROOT = Path(__file__).parent.parent
#: What the paper reports: task -> best latent layout, and its gain over the best baseline in the
#: most extreme OOD setting (arXiv 2505.12629). `counting` and `lookup` stand for generation and
#: summation where a model cannot learn these.
PAPER = {
    "generation": ("Comma_2", 0.23),
    "counting": ("Comma_2", 0.23),
    "summation": ("8_2", 1.27),
    "lookup": ("8_2", 1.27),
    "repetition": ("Start_1+Comma_1", 2.20),
}
#: Training seeds that a claim takes at the least.
ENOUGH = 5


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
    options.out.write_text(page + (f"\n{notes.read_text()}" if notes.is_file() else ""))
    print(f"wrote {options.out}")


def results_page(folders: list[Path], out: Path, metric: str = "graded") -> str:
    """Markdown of the page; the curves are written beside it.

    Raises:
        SettingError: if no run is finished.
    """
    about = lc.load_runs(folders, {"status": "finished"})
    records = lc.load_runs(folders, {"status": "finished"}, records=True)
    if records.empty:
        raise SettingError(f"no finished runs in {', '.join(map(str, folders))}")
    parts = [_introduction(about, records, metric)]
    claims: list[Claim] = []
    for backbone, of_backbone in records.groupby("backbone", sort=False):
        parts.append(f"## {backbone}\n")
        for task, rows in of_backbone.groupby("task", sort=False):
            rows = _for_every_seed(rows)
            name = f"{out.stem}-{backbone}-{task}-{metric}.svg".replace("/", "-")
            out.parent.mkdir(parents=True, exist_ok=True)
            picture = accuracy_picture(rows, _task(str(task), rows), metric)
            with matplotlib.rc_context({"svg.hashsalt": name}):  # the same records, the same file
                picture.savefig(out.parent / name, metadata={"Date": None})
            parts.append(f"### {task}\n\n{_accuracy(rows, metric)}\n")
            parts.append(f"![{task} on {backbone}: {metric} accuracy by length]({name})\n")
            parts.append(_calibration(rows, metric))
            claim = _claim(str(backbone), str(task), rows, metric)
            if claim is not None:
                claims.append(claim)
                parts.append(claim.sentence())
            parts.append(_search(about, str(backbone), str(task)))
    parts.insert(1, _verdicts(claims))
    return "\n".join(part for part in parts if part)


class Against(NamedTuple):
    """A latent layout against a baseline, over the seeds and examples that both have."""

    baseline: str
    latent_mean: float
    baseline_mean: float
    difference: Interval

    @property
    def gain(self) -> str:
        """Relative to the baseline."""
        if self.baseline_mean == 0:
            return "none (baseline 0)" if self.latent_mean == 0 else "baseline 0"
        return f"{self.latent_mean / self.baseline_mean - 1:+.0%}"

    @property
    def verdict(self) -> str:
        """By the interval of the paired difference; a few seeds decide nothing."""
        if self.difference.seeds < ENOUGH:
            return f"inconclusive ({counted(self.difference.seeds, 'seed')})"
        if self.difference.low > 0:
            return "reproduced"
        return "not reproduced" if self.difference.high < 0 else "inconclusive"

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

    `best` is the best baseline of all, `equal` the best `Start` or `End` of no more numbers.
    """

    backbone: str
    task: str
    split: str
    latent: str
    best: Against
    equal: Against | None

    def sentence(self) -> str:
        """Both comparisons in words."""
        lines = [
            f"In {self.split}, the best latent layout is `{self.latent}`. Against the best "
            f"baseline, {self.best.sentence()}."
        ]
        if self.equal is not None and self.equal.baseline != self.best.baseline:
            lines.append(
                "Against the best `Start` or `End` that trains no more numbers, "
                f"{self.equal.sentence()}."
            )
        return " ".join(lines) + "\n"


def _introduction(about: pd.DataFrame, records: pd.DataFrame, metric: str) -> str:
    trained = about[about["steps"].notna()].groupby(["backbone", "task", "method"])["seed"]
    seeds = trained.nunique() if len(trained) else pd.Series([1])
    examples = records.groupby(["run", "split"]).size()
    return (
        "# Results\n\n"
        "Made by `python experiments/results.py` from the records of "
        f"{about['run'].nunique()} runs; no figure is typed by hand. Accuracy is {metric}, with "
        "95 % intervals of a hierarchical bootstrap over training seeds and examples. Trained "
        f"methods have {_range(seeds)} seeds, {_range(examples)} examples per split and seed, the "
        "same examples for every method. Every method has the same data, steps and batch size; "
        "learning rates, named below each table, are chosen by one rule on validation examples in "
        "distribution, or are the same for all.\n\n"
        "A baseline is a method whose vectors stand before or after the prompt only (`Start_m` is "
        "prompt tuning, `End_m` the pause token), or that has none; a latent layout places vectors "
        "in the response as well. The best of each is picked on the examples it is then compared "
        "on, so a small gain of either says little.\n"
    )


def _verdicts(claims: list[Claim]) -> str:
    """The paper's three claims beside what was found, and what did not reproduce."""
    lines = [
        "## The paper's claims\n",
        "| task | paper: best layout | gain | backbone | here: best layout | best baseline | gain "
        "| verdict | best `Start` or `End` of no more numbers | gain | verdict |",
        "|---" * 11 + "|",
    ]
    for claim in claims:
        layout, gain = PAPER.get(claim.task, ("-", None))
        shown = "-" if gain is None else f"{gain:+.0%}"
        lines.append(
            f"| {claim.task} | `{layout}` | {shown} | {claim.backbone} | `{claim.latent}` "
            f"| {_cells(claim.best)} | {_cells(claim.equal)} |"
        )
    lost = [claim for claim in claims if claim.best.verdict != "reproduced"]
    text = [
        f"- {claim.task} on {claim.backbone}, {claim.split}: {claim.best.verdict}. "
        f"`{claim.latent}` has {claim.best.latent_mean:.2f}, `{claim.best.baseline}` "
        f"{claim.best.baseline_mean:.2f}."
        for claim in lost
    ]
    heading = "\n### What did not reproduce\n" if text else "\nAll of them reproduced.\n"
    return "\n".join([*lines, heading if claims else "", *text, ""])


def _cells(found: Against | None) -> str:
    return "- | - | -" if found is None else f"`{found.baseline}` | {found.gain} | {found.verdict}"


def _accuracy(rows: pd.DataFrame, metric: str) -> str:
    """A row per method; the best of each column stands in bold."""
    summary = lc.summarise(rows, ("method", "split"), metric)
    splits = _ordered(summary["split"].unique())
    best = summary.groupby("split")["mean"].max()
    costs = rows.groupby("method", sort=False)[["trainable", "latent_slots"]].mean()
    seeds = rows.groupby("method", sort=False)["seed"].nunique()
    lines = [
        f"| method | {' | '.join(splits)} | seeds | trained numbers | latents per answer |",
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
    extreme = _ordered(rows["split"].unique())[-1]
    learned = means["id"].max() if "id" in means.index.get_level_values(0) else float("nan")
    far = means[extreme].max()
    calibrated = learned >= 0.9 and far < 0.995
    return (
        f"Calibration (some method at 0.9 or more in distribution, none perfect in {extreme}): "
        f"{'met' if calibrated else 'not met'}; the best has {learned:.2f} and {far:.2f}.\n"
    )


def _claim(backbone: str, task: str, rows: pd.DataFrame, metric: str) -> Claim | None:
    extreme = _ordered(rows["split"].unique())[-1]
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
        _against(far, best, str(baseline.idxmax()), metric),
        None if equal.empty else _against(far, best, str(equal.idxmax()), metric),
    )


def _against(rows: pd.DataFrame, latent: str, baseline: str, metric: str) -> Against:
    sides = [rows[rows["method"] == method] for method in (latent, baseline)]
    shared = set(sides[0]["seed"]) & set(sides[1]["seed"])
    means = (side.loc[side["seed"].isin(shared), metric].mean() for side in sides)
    return Against(baseline, *means, lc.paired_difference(rows, latent, baseline, metric))


def _search(about: pd.DataFrame, backbone: str, task: str) -> str:
    """Learning rate and steps of every trained method, as they were chosen."""
    rows = about[(about["backbone"] == backbone) & (about["task"] == task)]
    rows = rows[rows["steps"].notna()].drop_duplicates("run")
    if rows.empty:
        return ""
    chosen = [
        f"`{method}` "
        + ", ".join(
            sorted({f"{r:g} ({s})" for r, s in zip(g["learning_rate"], g["steps"], strict=True)})
        )
        for method, g in rows.groupby("method", sort=False)
    ]
    return f"Learning rate (steps): {'; '.join(chosen)}.\n"


def _for_every_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Records of a method without training stand for every seed: nothing in them would change."""
    seeds = sorted(rows.loc[rows["trainable"] > 0, "seed"].unique()) or [0]
    fixed = rows[rows["trainable"] == 0]
    copies = [fixed.assign(seed=seed) for seed in seeds] if len(fixed) else []
    order = list(dict.fromkeys(rows["method"]))
    whole = pd.concat([*copies, rows[rows["trainable"] > 0]], ignore_index=True)
    return whole.sort_values("method", key=lambda c: c.map(order.index), kind="stable")


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


def _ordered(splits: Any) -> list[str]:
    """In distribution first, then by level."""
    return sorted(map(str, splits), key=lambda s: (int(s[4:]) if s.startswith("ood-") else -1, s))


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low}-{high}"


if __name__ == "__main__":
    main()
