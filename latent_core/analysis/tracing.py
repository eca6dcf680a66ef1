"""Which latents matter where: the sweep of knock-outs over layers, groups and heads.

Many conditions run side by side, each a row of one teacher-forced batch with its own cut edges. In
bfloat16, the same row gives other numbers in a batch of another size, by up to 0.05 nats. So the
clean row is measured in batches of three sizes, and the largest difference is the noise floor below
which an effect cannot be told from rounding.

Knows models and knock-outs; nothing of tasks but their examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from latent_core.backbones.attention import attention_shape
from latent_core.backbones.layers import pick
from latent_core.errors import SettingError
from latent_core.interventions.flow import Cut, EdgeRule, KnockOut, NoRule
from latent_core.interventions.running import InterventionWarning, running
from latent_core.interventions.scene import Scene
from latent_core.models.latent import LatentModel
from latent_core.progress import progress_bar
from latent_core.slots.placement import IGNORE, Slots
from latent_core.tasks.base import Example

__all__ = ["Agreement", "Metric", "attention_against_effect", "log_probability", "trace"]

Metric = Callable[[Tensor, Tensor], Tensor]
"""From logits (N, V) at the slots that predict, and the N answer tokens, to N numbers."""


def log_probability(logits: Tensor, targets: Tensor) -> Tensor:
    """Natural log-probability of each answer token, (N,)."""
    return logits.log_softmax(dim=-1).gather(1, targets[:, None]).squeeze(1)


#: Sizes of the further batches in which the clean row is measured.
_PROBES: Final = (1, 2)


class _Condition(NamedTuple):
    """One cell of the sweep; None in `group` is the clean run."""

    group: str | None = None
    layer: int | None = None
    head: int | None = None


def trace(
    model: LatentModel,
    examples: Example | tuple[str, str] | Sequence[Example | tuple[str, str]],
    metric: Metric = log_probability,
    *,
    groups: Sequence[str] | str | None = None,
    layers: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | Literal["each"] | None = None,
    queries: str = "all",
    per_token: bool = False,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Knock out the edges onto each latent group, in each layer, and measure the answer anew.

    Args:
        model: the model; inside an intervention's block, the model under that intervention.
        examples: one or several, each an `Example` or a pair of prompt and answer.
        metric: of each answer token; the tokens' values are added up.
        groups: selections of keys, such as `Comma`, `Comma.0` or `prompt`; by default every group.
        layers: in which to cut, one at a time; by default every layer.
        heads: in which to cut, one at a time; `each` for every head; None cuts all heads together.
        queries: a selection; only its edges are cut.
        per_token: one row per answer token instead of one for the whole answer.
        batch_size: conditions that run side by side.
        progress: show a bar with the time left.

    Returns:
        one row per example and condition: `example`, `group`, `layer`, `head` (missing where all
        were cut), `clean`, `knocked_out`, `effect` (knocked_out - clean: below 0 where the answer
        needs the edges), `edges` (pairs of slots cut; 0 where the group does not occur), `noise`
        (the noise floor of `effect`); with `per_token` also `token` and `token_text`.

    Warns:
        InterventionWarning: if no condition cut any edge.

    Raises:
        LayoutError, SettingError: for a group, layer or head that does not exist, or no examples.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> effects = lc.trace(model, ("a=1,b=2,", "1."), progress=False)
        >>> effects.groupby("group")["effect"].size().to_dict()  # one row per layer
        {'Comma': 4, 'Start': 4}
    """
    pairs = [
        (e.prompt, e.answer) if isinstance(e, Example) else e
        for e in ([examples] if isinstance(examples, Example | tuple) else examples)
    ]
    for pair in pairs:
        if len(pair) != 2 or not pair[1]:
            raise SettingError(f"cannot trace {pair!r}; expected a prompt and its answer")
    if not pairs or batch_size < 1:
        raise SettingError(
            f"{len(pairs)} examples in batches of {batch_size}; expected at least 1 of each"
        )
    conditions = _conditions(model, groups, layers, heads)
    cut = Cut((NoRule(),))
    rules: dict[_Condition, EdgeRule] = {}

    def change(scene: Scene) -> Scene:
        rules.update((c, _rule(c, queries, scene)) for c in conditions)
        return scene.with_flow(cut)

    values: dict[tuple[int, _Condition], tuple[Tensor, int]] = {}
    with (
        torch.no_grad(),
        running(model, change, "none"),
        progress_bar(len(pairs) * len(conditions), "trace", "run", progress) as bar,
    ):
        backbone = model.backbone
        slots = [
            model.place(*backbone.encode_example(prompt, answer, end=False))
            for prompt, answer in pairs
        ]
        work = [(number, condition) for number in range(len(pairs)) for condition in conditions]
        for start in range(0, len(work), batch_size):
            chunk = work[start : start + batch_size]
            cut.rules = tuple(rules[condition] for _, condition in chunk)
            found = _measure(model, [slots[number] for number, _ in chunk], metric, cut)
            values.update(zip(chunk, found, strict=True))
            bar.update(len(chunk))
        again = [[_clean(model, one, copies, metric, cut) for copies in _PROBES] for one in slots]
    rows = [
        row
        for number, example in enumerate(slots)
        for condition in conditions[1:]
        for row in _rows(model, number, example, condition, values, again[number], per_token)
    ]
    frame = pd.DataFrame(rows).astype({"layer": "Int64", "head": "Int64"})
    if not frame["edges"].any():
        warnings.warn(
            "no edge was cut, so nothing changed: none of the groups occurs in these examples",
            InterventionWarning,
            stacklevel=2,
        )
    return frame


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far attention goes with causal effect.

    Attributes:
        rho: Spearman's rank correlation of mass with the size of the effect, over `edges` cells.
        p_value: against no association, as if cells were independent, which cells of one model
            are not: a description, no verdict.
        within: the same correlation within each group. Over all cells together, attention and
            effect agree as soon as one group has more of both; missing where a group has fewer
            than three cells or one side does not vary.
        edges: cells (group, layer and, if swept, head) that have both.
        frame: the cells: `group`, `layer`, `head`, `mass`, `effect` (means over examples, 0 below
            the noise floor).
    """

    rho: float
    p_value: float
    within: dict[str, float]
    edges: int
    frame: pd.DataFrame


def attention_against_effect(mass: pd.DataFrame, effects: pd.DataFrame) -> Agreement:
    """Compare where a model looks with what it needs.

    Effects below their noise floor count as no effect, so that rounding is not ranked.

    Args:
        mass: `group`, `layer`, `head`, `mass`: what `AttentionRecord.by_group` gives, of one
            example or of several one below the other.
        effects: what `trace` gives. Without heads, the heads' masses are averaged.

    Raises:
        SettingError: if a column is missing, or fewer than three cells are in both.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> prompt, answer = "a=1,b=2,", "1."
        >>> mass = lc.capture_attention(model, prompt, answer).by_group()
        >>> effects = lc.trace(model, (prompt, answer), heads="each", progress=False)
        >>> agreement = lc.attention_against_effect(mass, effects)
        >>> -1 <= agreement.rho <= 1
        True
    """
    cell = ["group", "layer"] if effects["head"].isna().all() else ["group", "layer", "head"]
    for name, frame, column in (("mass", mass, "mass"), ("effects", effects, "effect")):
        if missing := {*cell, column} - set(frame.columns):
            raise SettingError(
                f"{name} has no column {', '.join(sorted(missing))}; it has "
                f"{', '.join(frame.columns)}"
            )
    if "noise" in effects.columns:
        is_noise = effects["effect"].abs() <= effects["noise"]
        effects = effects.assign(effect=effects["effect"].mask(is_noise, 0.0))
    sides = [
        frame.assign(group=frame["group"].astype(str)).groupby(cell)[column].mean()
        for frame, column in ((mass, "mass"), (effects, "effect"))
    ]
    both = pd.concat(sides, axis=1, join="inner").dropna().reset_index()
    if len(both) < 3:
        raise SettingError(
            f"mass and effects share {len(both)} cells of {', '.join(cell)}; expected at least 3: "
            "capture and trace the same model, groups and layers"
        )
    result = stats.spearmanr(both["mass"], both["effect"].abs())
    within = {
        str(group): float(stats.spearmanr(cells["mass"], cells["effect"].abs()).statistic)
        for group, cells in both.groupby("group")
        if len(cells) >= 3 and cells["mass"].nunique() > 1 < cells["effect"].abs().nunique()
    }
    return Agreement(float(result.statistic), float(result.pvalue), within, len(both), both)


def _conditions(
    model: LatentModel,
    groups: Sequence[str] | str | None,
    layers: Sequence[int] | int | None,
    heads: Sequence[int] | int | Literal["each"] | None,
) -> list[_Condition]:
    """The clean run, then every cell of the sweep."""
    shape = attention_shape(model.backbone)
    names = [group.name for group in model.placement.layout.groups] if groups is None else groups
    if not names:
        raise SettingError("the model has no latents to trace; expected a layout with a group")
    swept: Iterable[int | None] = [None]
    if heads is not None:
        every = None if heads == "each" else heads
        swept = pick("head", every, range(shape.heads), model.backbone.name)
    cells = [
        _Condition(name, layer, head)
        for name in dict.fromkeys([names] if isinstance(names, str) else names)
        for layer in pick("layer", layers, shape.layers, model.backbone.name)
        for head in swept
    ]
    return [_Condition(), *cells]


def _rule(condition: _Condition, queries: str, scene: Scene) -> EdgeRule:
    if condition.group is None:
        return NoRule()
    return KnockOut(queries, condition.group, condition.layer, condition.head).rule(scene)


def _measure(
    model: LatentModel, rows: list[Slots], metric: Metric, cut: Cut
) -> list[tuple[Tensor, int]]:
    """For each row, the metric of its answer tokens and the edges that were cut."""
    batch = model.batch(rows)
    cut.cut_per_row = torch.zeros(len(rows), dtype=torch.long, device=batch.labels.device)
    labelled = batch.labels != IGNORE
    logits = model.backbone.logits(model.hidden_states(batch)[labelled]).float()
    values = metric(logits, batch.labels[labelled])
    if values.shape != logits.shape[:1]:
        raise SettingError(
            f"the metric gave shape {tuple(values.shape)} for {len(logits)} answer tokens; "
            "expected one number per token"
        )
    parts = values.float().cpu().split(labelled.sum(dim=1).tolist())
    return list(zip(parts, cut.cut_per_row.tolist(), strict=True))


def _clean(model: LatentModel, row: Slots, copies: int, metric: Metric, cut: Cut) -> Tensor:
    """The metric of a clean row's answer tokens, in a batch of so many copies of it."""
    cut.rules = (NoRule(),) * copies
    return _measure(model, [row] * copies, metric, cut)[0][0]


def _rows(
    model: LatentModel,
    number: int,
    slots: Slots,
    condition: _Condition,
    values: dict[tuple[int, _Condition], tuple[Tensor, int]],
    again: Sequence[Tensor],
    per_token: bool,
) -> list[dict[str, Any]]:
    clean, _ = values[number, _Condition()]
    value, edges = values[number, condition]
    cell = {"example": number, **condition._asdict()}
    names: list[dict[str, Any]] = [{}]
    if per_token:
        targets = [label for label in slots.labels if label != IGNORE]
        texts = [model.backbone.decode([target]) for target in targets]
        names = [{"token": index, "token_text": text} for index, text in enumerate(texts)]
    else:
        clean, value = clean.sum()[None], value.sum()[None]
        again = [one.sum()[None] for one in again]
    measured = torch.stack([clean, *again])
    # No smaller than half a unit in the last place: batches may agree by luck.
    least = clean.abs() * torch.finfo(model.backbone.dtype).eps / 2
    noise = torch.maximum(measured.amax(0) - measured.amin(0), least)
    return [
        cell
        | name
        | {
            "clean": float(before),
            "knocked_out": float(after),
            "effect": float(after) - float(before),
            "edges": edges,
            "noise": float(floor),
        }
        for name, before, after, floor in zip(names, clean, value, noise, strict=True)
    ]
