"""Run what a plan says, estimate, judge, and write it into the journal.

Knows the order of things; each of them is in a module of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from latent_core.archives.folders import is_folder
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.hypotheses.answers import answers, kept_eval_seed
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import CHANCE, Condition
from latent_core.hypotheses.controls import Control, controls_of
from latent_core.hypotheses.journal import Journal
from latent_core.hypotheses.pairs import check_records, effect_of, p_short_of, pair
from latent_core.hypotheses.plan import Plan, make_plan
from latent_core.hypotheses.sources import Given, Source, Trained
from latent_core.hypotheses.verdict import ControlFinding, Finding, Verdict, judge
from latent_core.interventions.running import CHANGED_NOTHING
from latent_core.models.steered import SteeredModel
from latent_core.progress import progress_bar
from latent_core.slots.methods import method_name
from latent_core.statistics.inference import holm

__all__ = ["DEFAULT_FOLDER", "find_out", "judge_family", "run_test"]

DEFAULT_FOLDER = "runs/hypotheses"
Fetch = Callable[[Condition], pd.DataFrame]


def run_test(
    hypothesis: Hypothesis,
    target: Any,
    plan: Plan | None = None,
    folder: str | Path = DEFAULT_FOLDER,
    *,
    training: dict[str, Any] | None = None,
    progress: bool = True,
) -> Verdict:
    """Test one hypothesis.

    Args:
        hypothesis: the claim.
        target: a `LatentModel`, or several (those of one method are its seeds); a folder of runs,
            or several; a data frame of records with a column `method`; or a backbone, by name or
            loaded, to train adapters on.
        plan: by default 5 seeds of 100 examples, or as many as the target has.
        folder: keeps trained adapters, partial records and the journal; the same call again goes on
            where an earlier one was stopped.
        training: arguments of `train`, for adapters that are trained here.
        progress: show a bar with the time left.

    Raises:
        SettingError: if the target cannot answer what the plan asks, with the reason.
    """
    plan = plan or default_plan(hypothesis, target)
    planned = plan.hypothesis
    if hypothesis.contrast.needs_backbone:  # the plan may know by now what was matched
        planned = replace(planned, contrast=hypothesis.contrast)
    if planned != hypothesis:
        raise SettingError(
            f"the plan is for another hypothesis, {plan.hypothesis.claim!r}; make one with "
            "hypothesis.plan(...)"
        )
    finding = find_out(plan, target, folder, training=training, progress=progress)
    return judge_family([finding], folder)[0]


def find_out(
    plan: Plan,
    target: Any,
    folder: str | Path = DEFAULT_FOLDER,
    *,
    training: dict[str, Any] | None = None,
    progress: bool = True,
) -> Finding:
    """Run a plan and estimate, without judging; arguments as those of `run_test`."""
    source = None
    if not isinstance(target, pd.DataFrame):
        source = as_source(target, plan.hypothesis, folder, training)
    if plan.hypothesis.contrast.needs_backbone:
        backbone = target["backbone"].iloc[0] if source is None else source.backbone
        plan = replace(plan, hypothesis=plan.hypothesis.resolved(backbone))
    plan = Journal(folder).write_plan(plan)
    if source is None:
        return _from_table(plan, target)
    return _from_subjects(plan, source, Path(folder), progress)


def judge_family(findings: Sequence[Finding], folder: str | Path) -> list[Verdict]:
    """Judge findings that were made together; Holm counts them and what the journal holds."""
    journal = Journal(folder)
    verdicts: list[Verdict] = []
    for finding in findings:
        mates = [
            other.effect.p
            for other in findings
            if other is not finding
            and other.hypothesis.family_name == finding.hypothesis.family_name
        ]
        together = {other.hypothesis.digest + other.evidence for other in findings}
        p_values = [finding.effect.p, *mates, *journal.family(finding, together)]
        made = None if finding.frame.attrs.get("made") is None else str(finding.frame.attrs["made"])
        history = journal.history(finding, made)
        verdicts.append(judge(finding, holm(p_values)[0], len(p_values), history))
    for verdict in verdicts:
        journal.write_verdict(verdict)
    return verdicts


def as_source(
    target: Any,
    hypothesis: Hypothesis,
    folder: str | Path = DEFAULT_FOLDER,
    training: dict[str, Any] | None = None,
) -> Source:
    """Where a target's adapters come from; see `run_test`.

    Raises:
        SettingError: if it is none of what a test can run on.
    """
    task = hypothesis.loaded_task
    if isinstance(target, Source):
        return target
    if isinstance(target, SteeredModel):
        return Given.models([target])
    if isinstance(target, Backbone) or (isinstance(target, str) and not is_folder(target)):
        return Trained(target, task, folder, training)
    if isinstance(target, str | Path):
        return Given.runs([target], task.name)
    if isinstance(target, list | tuple) and target:
        if all(isinstance(one, SteeredModel) for one in target):
            return Given.models(target)
        if all(isinstance(one, str | Path) for one in target):
            return Given.runs(target, task.name)
    raise SettingError(
        f"cannot test on {type(target).__name__}; expected a LatentModel, several, a folder of "
        "runs, several, a data frame of records, or a backbone to train on"
    )


def default_plan(hypothesis: Hypothesis, target: Any) -> Plan:
    """5 seeds of 100 examples, or what a target in memory or a table has."""
    seeds, examples = 5, 100
    if isinstance(target, SteeredModel):
        seeds = 1
    elif isinstance(target, list | tuple):
        seeds = len(target)
    elif isinstance(target, pd.DataFrame) and len(target):
        own = target[target["split"].isin(list(hypothesis.terms))]
        seeds = max(1, int(own["seed"].nunique()))
        sizes = own.groupby(["method", "seed", "split"]).size()
        examples = int(sizes.min()) if len(sizes) else examples
    return make_plan(hypothesis, seeds, examples, measure=False)


def _from_subjects(plan: Plan, source: Source, folder: Path, progress: bool) -> Finding:
    h = plan.hypothesis
    conditions = h.contrast.conditions
    methods = list(dict.fromkeys(c.method for c in conditions if c.intervention != CHANCE))
    seeds = source.seeds(methods, plan.seeds)
    controls = controls_of(h, source.subject(conditions[0].method, seeds[0]).num_latents)
    wanted = _all(conditions, controls)
    frames: dict[Condition, list[pd.DataFrame]] = {c: [] for c in wanted}
    with progress_bar(len(seeds) * len(wanted), "test", "condition", progress) as bar:
        asked = [source.subject(m, s) for m in methods for s in seeds]
        kept = kept_eval_seed(asked, h, plan.examples)
        for seed in seeds:
            eval_seed = 1000 + seed if kept is None else kept
            for condition in wanted:
                bar.set_description(f"seed {seed}: {condition}"[:60])
                method = condition.method if condition.intervention != CHANCE else methods[0]
                subject = source.subject(method, seed)
                frames[condition].append(
                    answers(subject, condition, h, plan.examples, eval_seed, folder)
                )
                bar.update(1)
    together = {c: pd.concat(found, ignore_index=True) for c, found in frames.items()}
    return _finding(plan, together.__getitem__, controls, {})


def _from_table(plan: Plan, table: pd.DataFrame) -> Finding:
    h = plan.hypothesis
    if "method" not in table:
        raise SettingError(
            f"the records have no column method; expected one that says {h.contrast.treatment!r} "
            f"or {h.contrast.control!r} (as `effect` and `load_runs(..., records=True)` give)"
        )

    # Of an intervention's effect, `none` is the model as it is, and no method.
    methods = table["method"].map(lambda name: name if name == "none" else method_name(name))

    def fetch(condition: Condition) -> pd.DataFrame:
        names = {str(condition)}
        if condition.within == "replace(latents, text:.)" and condition.intervention == "none":
            names.add(f"filler({condition.method})")
        found = table[methods.isin(names)]
        if found.empty:
            have = ", ".join(map(repr, table["method"].unique()))
            raise SettingError(f"no records of {str(condition)!r}; there are {have}")
        return check_records(h, found, repr(str(condition)))

    paired = pair(h, *(fetch(condition) for condition in h.contrast.conditions))
    if (have := paired["seed"].nunique()) < plan.seeds:
        raise SettingError(
            f"the plan needs {plan.seeds} training seeds, and the records have {have}; plan with "
            "seeds=... fewer, or bring more"
        )
    least = int(paired.groupby(["seed", "split"]).size().min())
    if least < plan.examples:
        raise SettingError(
            f"the plan needs {plan.examples} examples per seed and split, and the records have "
            f"{least}; plan with examples=... fewer, or bring more"
        )
    controls, not_run = [], {}
    for control in controls_of(h):
        try:
            fetch(control.treatment), fetch(control.control)
            controls.append(control)
        except SettingError:
            not_run[control.name] = "the records hold none; test on models or run folders for it"
    return _finding(plan, fetch, controls, not_run)


def _finding(
    plan: Plan, fetch: Fetch, controls: Sequence[Control], not_run: dict[str, str]
) -> Finding:
    h = plan.hypothesis
    treatment, control = (fetch(condition) for condition in h.contrast.conditions)
    frame = pair(h, treatment, control)
    found, short = [], []
    for one in controls:
        other = pair(h, fetch(one.treatment), fetch(one.control))
        frame[f"difference_{one.name}"] = frame.merge(
            other, on=["seed", "split", "example", "key"], how="left", suffixes=("", "_c")
        )["difference_c"].to_numpy()
        frame["_beyond"] = frame["difference"] - frame[f"difference_{one.name}"]
        short.append(p_short_of(h, frame, "_beyond") * len(controls))
        found.append(
            ControlFinding(
                one.name,
                effect_of(h, frame, f"difference_{one.name}"),
                effect_of(h, frame, "_beyond"),
                effect_of(h, frame, "_beyond", 1 - 0.05 / len(controls)),
            )
        )
    frame = frame.drop(columns="_beyond", errors="ignore")
    made = [side["made"].min() for side in (treatment, control) if "made" in side]
    notes = [
        f"{name}: {note}"
        for name, side in (("treatment", treatment), ("control", control))
        if "note" in side
        for note in side["note"].unique()
        if note
    ]
    if not made:
        notes.append("the records came as a table: whether the plan was before them is not known")
    both = frame[["treatment", "control"]].mean()
    if h.metric != "agreement" and both.max() < 0.05:
        notes.append(
            f"treatment and control both score below 0.05 ({both.max():.2f} at most): this is "
            f"about "
            "how these were trained as much as about the claim"
        )
    frame.attrs["made"] = min(made) if made else None
    content = frame[["seed", "split", "key", "treatment", "control"]].to_csv(index=False)
    return Finding(
        h,
        plan,
        effect_of(h, frame, exact=True),
        tuple(found),
        not_run,
        frame,
        hashlib.sha256(content.encode()).hexdigest()[:16],
        tuple(sorted(map(int, frame["seed"].unique()))),
        min(1.0, 2 * min(p_short_of(h, frame), *short, 1.0)),
        tuple(notes),
        untried="note" in treatment
        and bool(treatment["note"].fillna("").str.contains(CHANGED_NOTHING).all()),
    )


def _all(conditions: Sequence[Condition], controls: Sequence[Control]) -> list[Condition]:
    found = [*conditions]
    for control in controls:
        found += [control.treatment, control.control]
    return list(dict.fromkeys(found))
