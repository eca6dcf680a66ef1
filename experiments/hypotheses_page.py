"""Test every built-in hypothesis, and write the page of verdicts, docs/hypotheses.md.

    python experiments/hypotheses_page.py                # `tiny`: 5 seeds, 40 examples, 400 steps
    python experiments/hypotheses_page.py --only H1 --seeds 2 --examples 8 --steps 50 --page h1.md
    python experiments/hypotheses_page.py --shipped --backbone smollm2-135m --seeds 1 \\
        --examples 16 --page docs/hypotheses-smollm2.md
    python experiments/hypotheses_page.py --shipped --backbone smollm2-135m --examples 24 \\
        --only H2-lookup:Start_1+Comma_1 --page docs/hypotheses-lookup.md
    python experiments/hypotheses_page.py --shipped --examples 100 \\
        --only "computed:End_2=hidden & lora-r8" --page docs/hypotheses-computed.md
    python experiments/hypotheses_page.py --shipped --backbone smollm2-135m --examples 32 \\
        --only carry-lookup:Start_1+Comma_1 carry-lookup:Comma_2 \\
        --page docs/hypotheses-carry-smollm2.md

Adapters, partial results and the journal lie in runs/hypotheses. A call that was killed continues.
Studies run side by side, a process per core. The page shows every verdict.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import latent_core as lc
from latent_core.hypotheses.journal import Journal
from latent_core.hypotheses.plan import Plans
from latent_core.hypotheses.sources import TRAINING
from latent_core.hypotheses.studies.forms import on_runs
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.verdict import Verdict
from latent_core.runs.shipped import SHIPPED
from latent_core.wording import counted

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Read the options, run what is missing, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument(
        "--shipped", action="store_true", help="test the shipped adapters; train nothing"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[study.key for study in lc.STUDIES if study.key not in ("computed", "carry")],
        help="studies, or STUDY:LAYOUT to test a study with another layout than its own",
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=40, help="per seed and split")
    parser.add_argument(
        "--steps", type=int, default=lc.lab.FULL_TEST["steps"], help="training steps per adapter"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "hypotheses")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "hypotheses.md")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="studies that run at the same time"
    )
    options = parser.parse_args()
    verdicts = []
    # All plans are written before anything is run: studies share records, and records that are
    # older than their plan make a test exploration.
    journal = Journal(options.folder)
    planned = []
    for key in options.only:
        study, target = _asked(options, key)
        plans = lc.lab.plan(study, options.seeds, options.examples, target=target, measure=False)
        written = {name: journal.write_plan(plan) for name, plan in plans.items()}
        planned.append((key, replace(plans, parts=written)))
    # Adapters that two studies need are trained by one, for which the other waits.
    with multiprocessing.get_context("spawn").Pool(options.workers, _alone) as pool:
        for verdict in pool.imap(partial(_verdict, options), planned):
            verdicts.append(verdict)
            print(verdict.summary(), end="\n\n", flush=True)
            options.page.parent.mkdir(parents=True, exist_ok=True)
            options.page.write_text(_page(verdicts, options))
    print(f"written: {options.page}")


def _alone() -> None:
    """One core for each process."""
    import torch

    torch.set_num_threads(1)


def _verdict(options: argparse.Namespace, planned: tuple[str, Plans]) -> StudyVerdict:
    """Test one study and write its report."""
    started = time.perf_counter()
    key, plans = planned
    study, target = _asked(options, key)
    training = {"steps": options.steps}
    verdict = lc.lab.run(study, target, plans, options.folder, training=training, progress=False)
    lc.lab.report(verdict, options.folder / f"{key.replace(':', '-')}.html")
    print(f"{key}: {time.perf_counter() - started:.0f} s", flush=True)
    return verdict


def _asked(options: argparse.Namespace, key: str) -> tuple[Study, Any]:
    """A study in the form that is tested, and what it is tested on."""
    name, _, layout = key.partition(":")
    study = lc.load_study(name, layout)
    return (
        on_runs(study, [SHIPPED / options.backbone], exactly=bool(layout))
        if options.shipped
        else (study, options.backbone)
    )


def _page(verdicts: list[StudyVerdict], options: argparse.Namespace) -> str:
    adapters = (
        "They use the shipped adapters ([how they were trained](results.md)). The accuracy of "
        "these adapters was known before the tests were planned. So the tests are exploratory, and "
        "new seeds have to confirm them."
        if options.shipped
        else f"All adapters were trained for {options.steps} steps of {TRAINING['batch_size']} "
        f"examples at learning rate {TRAINING['learning_rate']}."
    )
    lines = [
        "# Verdicts on the built-in hypotheses",
        "",
        f"The tests on this page are on `{options.backbone}`, with "
        f"{counted(options.seeds, 'training seed')} and {options.examples} examples per seed and "
        f"split. {adapters} `python experiments/hypotheses_page.py` wrote the whole page on "
        f"{datetime.now(UTC):%Y-%m-%d}.",
        "",
        "A study is supported if each of its parts is supported. It is refuted if a part is "
        "refuted with an adjusted p-value of at most 0.05. Holm's correction counts all parts of a "
        "study and its earlier tests in the journal. A part is refuted if the whole interval "
        "falls short of the expected effect; *adjusted p of refuting* is the p-value of this "
        "test. *Adjusted p* is the p-value of the difference from zero. A part is strongly "
        "supported if the whole interval reaches the expected effect. "
        f"{_about(options.seeds)}",
        "",
        "| study | claim | verdict | parts supported, refuted, inconclusive |",
        "|---|---|---|---|",
    ]
    for found in verdicts:
        outcomes = [part.outcome for part in found.parts.values()]
        counts = ", ".join(
            str(outcomes.count(name)) for name in ("supported", "refuted", "inconclusive")
        )
        lines.append(
            f"| [{_name(found.study)}](#{_anchor(found.study)}) | {found.study.claim} "
            f"| **{found.title.lower()}** | {counts} |"
        )
    for found in verdicts:
        study = found.study
        lines += ["", f"## {_name(study)}", "", f"**{study.title}** {study.claim}"]
        lines += ["", study.prediction, "", study.explanation, ""]
        lines += [f"{found.title.capitalize()}: {found.reason}.", ""]
        lines += [
            "| part | contrast | verdict | treatment / control | estimate | expected | adjusted p "
            "| adjusted p of refuting | reason |",
            "|---" * 9 + "|",
        ]
        rows = zip(found.table().itertuples(), found.parts.values(), strict=True)
        for row, verdict in rows:
            contrast = str(verdict.hypothesis.contrast).replace("|", r"\|").replace("\n", " ")
            where = f"{verdict.hypothesis.loaded_task.name} {verdict.hypothesis.split}"
            lines.append(
                f"| {row.part} | `{contrast}` on {where} | **{row.verdict}** | {_scores(verdict)} "
                f"| {row.estimate} | {row.expected} | {_p(row.p_holm)} | {_p(row.p_refuting)} "
                f"| {_sentences(verdict)} |"
            )
        lines += [f"\nNot run: {name}. Reason: {why}" for name, why in found.not_run.items()]
        notes = {note for part in found.parts.values() for note in part.evidence.notes}
        lines += [f"\nNote: {note}." for note in sorted(notes)]
        lines += [f"\nJournal: {note}." for note in _histories(found)]
    return "\n".join(lines) + "\n"


def _name(study: Study) -> str:
    """Of a study about the latents that it asks about by itself, its key alone."""
    own = lc.load_study(study.key).layout
    return study.key if study.layout == own else f"{study.key} with {study.layout}"


def _anchor(study: Study) -> str:
    """Of its heading, as GitHub makes it."""
    kept = (c for c in _name(study).lower().replace(" ", "-") if c.isalnum() or c in "-_")
    return "".join(kept)


def _histories(found: StudyVerdict) -> list[str]:
    """What the journal says of earlier looks, once for all parts of which it says the same."""
    parts: dict[str, list[str]] = {}
    for name, verdict in found.parts.items():
        if verdict.history:
            parts.setdefault(verdict.history, []).append(name)
    whole = len(found.parts)
    return [
        f"{text} ({'all parts' if len(names) == whole else ', '.join(names)})"
        for text, names in parts.items()
    ]


def _scores(verdict: Verdict) -> str:
    """Treatment against control, by split where there are several."""
    means = verdict.means()
    texts = [f"{row['treatment']:.2f} / {row['control']:.2f}" for _, row in means.iterrows()]
    return ", ".join(texts)


def _about(seeds: int) -> str:
    """What intervals and verdicts are about."""
    if seeds == 1:
        return (
            "Intervals are 95 %, for new examples. There is one training seed, so a verdict is "
            "about these adapters, not about latent tokens in general."
        )
    return (
        "Intervals are 95 %, for new training seeds and new examples. A verdict is about this "
        "backbone at this size, not about latent tokens in general."
    )


def _p(value: float) -> str:
    """A p-value, if there is one."""
    if math.isnan(value):
        return "-"
    return f"{value:.2g}" if value >= 1e-4 else "<0.0001"


def _sentences(verdict: Verdict) -> str:
    """Why the verdict is what it is, and what would settle it."""
    settle = verdict.settle
    return f"{verdict.reason} {settle[:1].upper()}{settle[1:]}".strip()


if __name__ == "__main__":
    main()
