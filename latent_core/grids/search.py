"""The choice of learning rate and steps, by one rule for every method.

It rests on the validation accuracy of the trials, which is in distribution. The trials have been
run before: this module reads their folders.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from latent_core.errors import LatentError, SettingError
from latent_core.grids.spec import RunSpec, Training
from latent_core.runs.evaluation_file import overall_graded, read_summary
from latent_core.runs.folder import read_run

__all__ = ["RULE", "choose", "settled"]

RULE: Final = (
    "best graded accuracy on the validation split (in distribution), the same trials for every "
    "method; ties: lower training loss, then fewer steps, then the lower learning rate"
)


def choose(spec: RunSpec, root: str | Path) -> tuple[Training, dict[str, Any]]:
    """Choose by the trials of a run's search.

    Args:
        spec: a run with a search.
        root: the grid's folder, which holds the trials.

    Returns:
        the run's training settings with the choice, and an account of the search: rule, budget,
        every trial's result, and the choice.

    Raises:
        SettingError: if a trial is missing, or all have failed.
    """
    assert spec.search is not None and spec.training is not None
    trials = spec.trials()
    steps_of = _full_steps(spec)
    rows: list[dict[str, Any]] = []
    groups: dict[tuple[float, int], list[RunSpec]] = {}
    for trial in trials:
        assert trial.training is not None
        key = getattr(trial.training, spec.searched), trial.training.steps
        groups.setdefault(key, []).append(trial)
    for (rate, steps), group in groups.items():
        rows.append({"learning_rate": rate, "steps": steps_of[steps]} | _result(group, root))
    able = [row for row in rows if "error" not in row]
    if not able:
        raise SettingError(
            f"every trial of the search for {spec.method} on {spec.task_name} failed: "
            f"{rows[0]['error']}. Give other learning_rates, or try them again (--retry-failed)"
        )
    best = min(
        able, key=lambda row: (-row["graded"], row["loss"], row["steps"], row["learning_rate"])
    )
    chosen = {spec.searched: best["learning_rate"], "steps": best["steps"]}
    account = {
        "rule": RULE,
        "share": spec.search.share,
        "examples": spec.search.examples,
        "seeds": list(spec.search.seeds),
        "trials": rows,
        "chosen": chosen,
    }
    return replace(spec.training, **chosen), account


def settled(spec: RunSpec, root: str | Path) -> tuple[Training, dict[str, Any]] | None:
    """Return the choice that this run, or the same run with another seed, started with, or None.

    A trial that is repeated may lead to another choice. But a run keeps the rate that it started
    with, and the runs of one method differ in nothing but the seed.
    """
    assert spec.training is not None
    own = Path(root) / spec.folder
    for path in (own, *sorted(own.parent.glob("seed-*"))):
        seed = path.name.split("-")[1]
        # The folder's name is the same if all settings but the seed are.
        if not seed.isdecimal() or Path(root) / replace(spec, seed=int(seed)).folder != path:
            continue
        with contextlib.suppress(OSError, SettingError):
            account = read_run(path).get("notes", {}).get("search")
            if account is not None:
                return replace(spec.training, **account["chosen"]), account
    return None


def _full_steps(spec: RunSpec) -> dict[int, int]:
    """Return the steps of a run by the steps of its trials."""
    assert spec.search is not None and spec.training is not None
    full = list(spec.search.steps or [spec.training.steps])
    short = list(dict.fromkeys(t.training.steps for t in spec.trials() if t.training))
    if len(short) < len(full):
        raise SettingError(
            f"search.steps {full} are the same at a share of {spec.search.share}; "
            "expected values further apart, or a larger share"
        )
    return dict(zip(short, full, strict=True))


def _result(trials: Sequence[RunSpec], root: str | Path) -> dict[str, Any]:
    """Return mean graded accuracy and loss over the seeds of one setting, or the first error."""
    graded, losses = [], []
    for trial in trials:
        folder = Path(root) / trial.folder
        try:
            run = read_run(folder)
        except OSError as error:
            raise SettingError(f"the trial in {folder} has not been run") from error
        if run["status"] == "failed":
            return {"error": run.get("error", "failed")}
        try:
            summary = read_summary(folder)
        except (OSError, ValueError, LatentError) as error:
            raise SettingError(f"the trial in {folder} has no records ({error})") from error
        graded.append(overall_graded(summary))
        losses.append(float(run["loss"]))
    return {"graded": round(fmean(graded), 6), "loss": round(fmean(losses), 6)}
