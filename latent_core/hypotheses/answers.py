"""One adapter of a test, and its answers under a condition, kept so that a stopped test goes on.

Answers are files. The name of each follows from all that determines its records: the adapter's
numbers, the interventions, the examples, and the measure. All tests of a folder share the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import pandas as pd
import torch

from latent_core.analysis.tracing import attention_against_effect, trace
from latent_core.archives.folders import has_file, modified_ns
from latent_core.attention.capture import capture_attention
from latent_core.backbones.attention import attention_shape
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import SettingError
from latent_core.evaluation.edits import follow_edits
from latent_core.evaluation.evaluate import evaluate
from latent_core.files import write_file
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import CHANCE, Condition
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.running import running
from latent_core.models.build import load_model
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.progress import heartbeats_only
from latent_core.runs.evaluation_file import current_records
from latent_core.runs.find import StoredRun, find_runs
from latent_core.runs.folder import read_run
from latent_core.runs.own_files import RECORDS_FILE, RUN_FILE
from latent_core.slots.methods import Method
from latent_core.tasks.base import Example, Task
from latent_core.tasks.donors import donor_of

__all__ = [
    "SeedAdapter",
    "agreement_records",
    "answers",
    "kept_eval_seed",
    "latents_of",
    "saved_adapter",
    "stored_adapter",
]


@dataclass(frozen=True)
class SeedAdapter:
    """The adapter of one method and one training seed.

    Attributes:
        method: the method's name.
        seed: the training seed.
        load: returns the model; called when the model is first needed.
        folder: its run folder; None if it has none.
        versions: the libraries that it was trained with; empty if not known.
    """

    method: str
    seed: int
    load: Callable[[], SteeredModel]
    folder: Path | None = None
    versions: tuple[tuple[str, str], ...] = ()

    @cached_property
    def model(self) -> SteeredModel:
        """The model."""
        return self.load()

    @cached_property
    def records(self) -> pd.DataFrame | None:
        """The records of its evaluation; None if there are none."""
        if self.folder is None or not has_file(self.folder, RECORDS_FILE):
            return None
        return current_records(self.folder)

    @property
    def num_latents(self) -> int:
        """The number of latent vectors it places; 0 for baselines that place none."""
        return Method.parse(self.method).layout.num_latents


def stored_adapter(run: StoredRun, loaded: dict[tuple[str, str], Backbone]) -> SeedAdapter:
    """Return the adapter of a finished run.

    Args:
        run: the run.
        loaded: backbones by name and precision; a backbone that is loaded for the adapter is added.
    """
    folder, about = Path(run.path), run.about

    def load() -> SteeredModel:
        name, dtype = key = _backbone_of(run)
        if key not in loaded:
            loaded[key] = load_backbone(name, dtype=dtype)
        return load_model(folder, loaded[key])

    versions = read_run(folder).get("versions", {}) if has_file(folder, RUN_FILE) else {}
    return SeedAdapter(
        str(about["method"]), int(about["seed"]), load, folder, tuple(sorted(versions.items()))
    )


def saved_adapter(folder: Path, backbone: Backbone | None = None) -> SeedAdapter:
    """Return the only adapter in a folder.

    Raises:
        SettingError: if there are none or several.
    """
    runs = find_runs(folder)
    if len(runs) != 1:
        raise SettingError(f"{len(runs)} adapters in {folder}; expected one")
    return stored_adapter(runs[0], {} if backbone is None else {_backbone_of(runs[0]): backbone})


def _backbone_of(run: StoredRun) -> tuple[str, str]:
    """The name of a run's backbone, and the precision that it was trained in."""
    return str(run.about["backbone"]), str(run.about.get("dtype", "auto"))


# --- its answers ----------------------------------------------------------------------------------

_MOST_CELLS = 256
_KEPT = (
    *("task", "task_fingerprint", "backbone", "split", "level", "example", "key"),
    *("exact", "graded", "follows", "donor", "agreement"),
)


def answers(
    adapter: SeedAdapter,
    condition: Condition,
    hypothesis: Hypothesis,
    examples: int,
    eval_seed: int,
    folder: Path,
) -> pd.DataFrame:
    """Return the records of one adapter under one condition, from the disk if they are there.

    Returns:
        a row per example: the columns of `evaluate` that tests need, `seed` (of training), `note`
        (the intervention's warning) and `made` (the time, ISO 8601).
    """
    plain = condition.intervention == condition.within == "none"
    if plain and (kept := _kept(adapter, hypothesis, examples, eval_seed)) is not None:
        return kept
    if condition.intervention == CHANCE:
        return _by_chance(hypothesis, examples, eval_seed, adapter.seed)
    model = adapter.model
    asked = {
        split: hypothesis.loaded_task.examples(split, examples, eval_seed)
        for split in hypothesis.terms
    }
    own = hypothesis.metric in ("agreement", "follows", "donor")
    measure = hypothesis.metric if own else "score"
    if measure == "donor" and hypothesis.donor_seed != 1:
        measure = f"donor {hypothesis.donor_seed}"
    determined = [
        [_fingerprint_of(model), condition.intervention, condition.within, measure],
        {split: [(e.prompt, e.answer) for e in found] for split, found in asked.items()},
    ]
    digest = hashlib.sha256(json.dumps(determined, sort_keys=True).encode()).hexdigest()[:24]
    path = folder / "records" / f"{digest}.parquet"
    if path.is_file():
        return pd.read_parquet(path).assign(seed=adapter.seed)
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(heartbeats_only())
        for text in (condition.within, condition.intervention):
            if text != "none":
                change = parse_intervention(text).apply
                stack.enter_context(running(latents_of(model), change, text, notes.append))
        if measure == "agreement":
            frame = agreement_records(
                latents_of(model), hypothesis.loaded_task, list(asked), examples, eval_seed
            )
        else:
            answer = follow_edits if measure == "follows" else evaluate
            frame = answer(
                model,
                hypothesis.loaded_task,
                list(asked),
                examples,
                eval_seed,
                shots=model.shots,
                progress=False,
            )
    if hypothesis.metric == "donor":
        frame = frame.assign(donor=_scores_for_donors(hypothesis, asked, frame))
    frame = frame[[name for name in _KEPT if name in frame.columns]]
    frame = frame.assign(note="; ".join(notes), made=_now())
    write_file(path, frame.to_parquet(index=False))
    return frame.assign(seed=adapter.seed)


def _scores_for_donors(
    hypothesis: Hypothesis, asked: Mapping[str, Sequence[Example]], frame: pd.DataFrame
) -> list[float]:
    """Graded scores of responses as answers to their examples' donors."""
    task, seed = hypothesis.loaded_task, hypothesis.donor_seed
    return [
        task.score(donor_of(task, asked[split][number], seed), response).graded
        for split, number, response in frame[["split", "example", "response"]].itertuples(
            index=False
        )
    ]


def agreement_records(
    model: LatentModel, task: Task, splits: list[str], examples: int, eval_seed: int
) -> pd.DataFrame:
    """Correlate attention to latents with causal effect, for each example, by Spearman.

    The correlation is computed within each group and averaged over groups. A group with more of
    both would otherwise raise it. It runs over cells (layer, head), or over layers if all groups
    together have more than 256 cells. A cell's attention is the mass that its queries give to the
    group's latents. Its effect is the change in the log-probability of the right answer when the
    same edges are cut. The correlation is 0 if either does not vary.

    Returns:
        columns task, task_fingerprint, backbone, split, level, example, key, agreement.
    """
    shape = attention_shape(model.backbone)
    groups = len(model.placement.layout.groups)
    heads: Literal["each"] | None = (
        "each" if groups * len(shape.layers) * shape.heads <= _MOST_CELLS else None
    )
    rows: list[dict[str, Any]] = []
    for split in splits:
        for number, example in enumerate(task.examples(split, examples, eval_seed)):
            record = capture_attention(model, example.prompt, example.answer)
            effects = trace(model, example, heads=heads, progress=False)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the correlation over all cells, not used here
                within = attention_against_effect(record.by_group(), effects).within
            rows.append(
                {
                    "task": task.name,
                    "task_fingerprint": task.fingerprint,
                    "backbone": model.backbone.name,
                    "split": split,
                    "level": example.level,
                    "example": number,
                    "key": example.key,
                    "agreement": fmean(within.values()) if within else 0.0,
                }
            )
    return pd.DataFrame(rows)


def kept_eval_seed(
    adapters: list[SeedAdapter], hypothesis: Hypothesis, examples: int
) -> int | None:
    """Return the evaluation seed for which all adapters have the records needed, or None."""
    seeds = set()
    for adapter in adapters:
        records = adapter.records
        if records is None or "eval_seed" not in records or hypothesis.metric not in records:
            return None
        seeds |= set(records["eval_seed"])
        if len(seeds) != 1 or _kept(adapter, hypothesis, examples, int(max(seeds))) is None:
            return None
    return int(seeds.pop()) if seeds else None


def _kept(
    adapter: SeedAdapter, hypothesis: Hypothesis, examples: int, eval_seed: int
) -> pd.DataFrame | None:
    """The records of the adapter's evaluation on these examples, if it has them."""
    frame = adapter.records
    if frame is None or hypothesis.metric not in frame or "eval_seed" not in frame:
        return None
    wanted = frame["split"].isin(list(hypothesis.terms)) & (frame["eval_seed"] == eval_seed)
    found = frame[wanted & (frame["example"] < examples)]
    if len(found) != examples * len(hypothesis.terms):
        return None
    for split, rows in found.groupby("split"):
        asked = hypothesis.loaded_task.examples(str(split), examples, eval_seed)
        if [e.prompt for e in asked] != list(rows.sort_values("example")["prompt"]):
            raise SettingError(
                f"{adapter.folder} was evaluated on other examples of {split} than the task gives "
                "now; evaluate it anew (`latent evaluate`)"
            )
    assert adapter.folder is not None
    written = modified_ns(adapter.folder, RECORDS_FILE) / 1e9
    made = datetime.fromtimestamp(written, UTC).isoformat(timespec="milliseconds")
    return found.assign(seed=adapter.seed, note="", made=made)


def _by_chance(hypothesis: Hypothesis, examples: int, eval_seed: int, seed: int) -> pd.DataFrame:
    """Records of no association: an agreement of 0, by definition."""
    rows = [
        {"split": split, "example": number, "key": example.key, "agreement": 0.0}
        for split in hypothesis.terms
        for number, example in enumerate(
            hypothesis.loaded_task.examples(split, examples, eval_seed)
        )
    ]
    return pd.DataFrame(rows).assign(seed=seed, note="", made=_now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def latents_of(model: SteeredModel) -> LatentModel:
    """Return the model, if it has latents."""
    if not isinstance(model, LatentModel):
        raise SettingError(f"{model.method} has no latents to intervene on; expected a layout")
    return model


def _fingerprint_of(model: SteeredModel) -> str:
    """Name a model: its backbone, its method, the places of its latents, and its numbers."""
    layout, shots = model.placement.layout, model.shots
    backbone = model.backbone.fingerprint
    found = hashlib.sha256(f"{backbone}|{model.method}|{layout}|{shots}".encode())
    weights = model.trainable_weights()
    if isinstance(model, LatentModel):
        weights |= model.tables.named()
    for name, weight in sorted(weights.items()):
        found.update(name.encode())
        found.update(weight.contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:24]
