"""The evidence of a test: a plan is run, and its effect and controls are estimated.

Answers come from adapters, condition by condition and seed by seed, or from a table of records.
`latent_core.hypotheses.verdict` judges the evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from latent_core.errors import SettingError
from latent_core.hypotheses.answers import answers, kept_eval_seed
from latent_core.hypotheses.claim import Control, Hypothesis, controls_of
from latent_core.hypotheses.conditions import CHANCE, Condition
from latent_core.hypotheses.pairs import check_records, effect_of, p_short_of, pair
from latent_core.hypotheses.plan import Plan
from latent_core.hypotheses.sources import Source
from latent_core.interventions.running import CHANGED_NOTHING
from latent_core.progress import progress_bar
from latent_core.slots.methods import method_name
from latent_core.statistics.inference import Effect

__all__ = [
    "ControlEvidence",
    "Evidence",
    "evidence_from_records",
    "gather_evidence",
    "usual_eval_seed",
]

_FULL_STOPS = "replace(latents, text:.)"
_Fetch = Callable[[Condition], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class ControlEvidence:
    """The effect that remains when the latents are replaced, and the effect beyond it.

    Attributes:
        name: the control's name.
        effect: the effect of the contrast with the replaced latents.
        specific: the claim's effect minus `effect`, example by example.
        specific_wide: the same with an interval of 1 - 0.05 / controls. A claim is refuted if any
            one control shows its effect, so this interval allows for all of them.
    """

    name: str
    effect: Effect
    specific: Effect
    specific_wide: Effect


@dataclass(frozen=True)
class Evidence:
    """The estimates of a test, before they are judged.

    Attributes:
        hypothesis, plan: the claim and its plan.
        effect: the effect of the contrast.
        controls: the evidence of each control.
        not_run: controls that could not be run, with the reason.
        frame: one row per example: seed, split, level, example, key, treatment, control,
            difference, and a column `difference_NAME` for each control.
        records_digest: names the records; equal for equal records.
        seeds: the training seeds.
        p_short: two-sided p-value of the hypothesis that the effect, and the effect beyond each
            control, reaches the smallest effect. If it is small, the claim is refuted.
        notes: warnings for the reader.
        untried: whether the treatment's intervention met no latent in any example.
    """

    hypothesis: Hypothesis
    plan: Plan
    effect: Effect
    controls: tuple[ControlEvidence, ...]
    not_run: Mapping[str, str]
    frame: pd.DataFrame
    records_digest: str
    seeds: tuple[int, ...]
    p_short: float
    notes: tuple[str, ...] = ()
    untried: bool = False

    @property
    def records_made(self) -> str | None:
        """The time when the oldest record was made; None if it is not known."""
        made = self.frame.attrs.get("made")
        return None if made is None else str(made)


def usual_eval_seed(seed: int) -> int:
    """The seed of the examples that adapters of a training seed answer, where no records exist."""
    return 1000 + seed


def gather_evidence(plan: Plan, source: Source, folder: Path, progress: bool) -> Evidence:
    """Run a plan on adapters.

    Args:
        plan: the plan.
        source: gives the adapters.
        folder: keeps the answers. A test that was stopped goes on from them.
        progress: show a bar with the time left.

    Raises:
        SettingError: if the source cannot answer what the plan asks, with the reason.
    """
    h = plan.hypothesis
    methods = h.contrast.methods
    seeds = source.seeds(methods, plan.seeds)
    controls = controls_of(h, source.adapter(h.contrast.conditions[0].method, seeds[0]).num_latents)
    wanted = _all(h.contrast.conditions, controls)
    frames: dict[Condition, list[pd.DataFrame]] = {c: [] for c in wanted}
    with progress_bar(len(seeds) * len(wanted), "test", "condition", progress) as bar:
        asked = [source.adapter(m, s) for m in methods for s in seeds]
        kept = kept_eval_seed(asked, h, plan.examples)
        for seed in seeds:
            eval_seed = usual_eval_seed(seed) if kept is None else kept
            for condition in wanted:
                bar.set_description(f"seed {seed}: {condition}"[:60])
                method = condition.method if condition.intervention != CHANCE else methods[0]
                adapter = source.adapter(method, seed)
                frames[condition].append(
                    answers(adapter, condition, h, plan.examples, eval_seed, folder)
                )
                bar.update(1)
    together = {c: pd.concat(found, ignore_index=True) for c, found in frames.items()}
    return _estimated(plan, together.__getitem__, controls, {})


def evidence_from_records(plan: Plan, records: pd.DataFrame) -> Evidence:
    """Take the answers from a table of records with a column `method`.

    Raises:
        SettingError: if the records do not hold what the plan asks, with the reason.
    """
    h = plan.hypothesis
    if "method" not in records:
        raise SettingError(
            f"the records have no column method; expected one that says {h.contrast.treatment!r} "
            f"or {h.contrast.control!r}, as in the records of `evaluate_intervention` and of "
            "`load_runs(..., records=True)`"
        )

    # Records of an intervention call the unchanged model `none`, which is not a method.
    methods = records["method"].map(lambda name: name if name == "none" else method_name(name))

    def fetch(condition: Condition) -> pd.DataFrame:
        names = {str(condition)}
        if condition.within == _FULL_STOPS and condition.intervention == "none":
            names.add(f"filler({condition.method})")
        found = records[methods.isin(names)]
        if found.empty:
            have = ", ".join(map(repr, records["method"].unique()))
            raise SettingError(f"no records of {str(condition)!r}; the table has {have}")
        return check_records(h, found, repr(str(condition)))

    paired = pair(h, *(fetch(condition) for condition in h.contrast.conditions))
    if (have := paired["seed"].nunique()) < plan.seeds:
        raise SettingError(
            f"the plan needs {plan.seeds} training seeds, and the records have {have}; plan with "
            "fewer seeds, or add records of more seeds"
        )
    least = int(paired.groupby(["seed", "split"]).size().min())
    if least < plan.examples:
        raise SettingError(
            f"the plan needs {plan.examples} examples per seed and split, and the records have "
            f"{least}; plan with fewer examples, or add records of more examples"
        )
    controls, not_run = list[Control](), dict[str, str]()
    for control in controls_of(h):
        try:
            fetch(control.treatment), fetch(control.control)
            controls.append(control)
        except SettingError:
            not_run[control.name] = (
                "the records do not contain it; test models or run folders instead"
            )
    return _estimated(plan, fetch, controls, not_run)


def _estimated(
    plan: Plan, fetch: _Fetch, controls: Sequence[Control], not_run: dict[str, str]
) -> Evidence:
    h = plan.hypothesis
    treatment, control = (fetch(condition) for condition in h.contrast.conditions)
    frame = pair(h, treatment, control)
    found, short = [], [p_short_of(h, frame)]
    for one in controls:
        other = pair(h, fetch(one.treatment), fetch(one.control))
        under = frame.merge(
            other, on=["seed", "split", "example", "key"], how="left", suffixes=("", "_c")
        )["difference_c"]
        if lost := int(under.isna().sum()):
            raise SettingError(
                f"{lost} of {len(frame)} examples were not answered under the control {one.name}; "
                "expected the same examples as in the contrast. Add their records, or leave the "
                "control out"
            )
        frame[f"difference_{one.name}"] = under.to_numpy()
        frame["_beyond"] = frame["difference"] - frame[f"difference_{one.name}"]
        short.append(p_short_of(h, frame, "_beyond") * len(controls))
        found.append(
            ControlEvidence(
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
        notes.append("the records came as a table, so they may be older than the plan")
    both = frame[["treatment", "control"]].mean()
    if h.metric != "agreement" and both.max() < 0.05:
        notes.append(
            f"treatment and control both score below 0.05 (at most {both.max():.2f}), so the "
            "result may come from the training and not from the claim"
        )
    frame.attrs["made"] = min(made) if made else None
    content = frame[["seed", "split", "key", "treatment", "control"]].to_csv(index=False)
    return Evidence(
        h,
        plan,
        effect_of(h, frame, exact=True),
        tuple(found),
        not_run,
        frame,
        hashlib.sha256(content.encode()).hexdigest()[:16],
        tuple(sorted(map(int, frame["seed"].unique()))),
        min(1.0, 2 * min(short)),
        tuple(notes),
        untried="note" in treatment
        and bool(treatment["note"].astype(str).str.contains(CHANGED_NOTHING).all()),
    )


def _all(conditions: Sequence[Condition], controls: Sequence[Control]) -> list[Condition]:
    found = [*conditions]
    for control in controls:
        found += [control.treatment, control.control]
    return list(dict.fromkeys(found))
