"""Attention over the examples of a split: by head, latent group and occurrence, with intervals.

Examples differ in length, so their slots cannot be averaged one by one. An occurrence of a group
has a role that every example has:

- `all`: every occurrence;
- `first`, `last`: the first of the text, and the last of the prompt;
- `nearest`: the last one before the query;
- roles of the task (`Task.roles`), such as `asked`; `others` are the prompt's other occurrences.

Each number is the weight on the latents of a role, averaged over the queries that can see them.
Without the first slot, its weight counts nowhere.
Attention says where a model looks, and not what it uses: `latent_core.mean_effect` measures that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latent_core.attention.capture import capture_attention
from latent_core.attention.record import AttentionRecord
from latent_core.errors import SettingError, whole_number
from latent_core.models.latent import LatentModel
from latent_core.progress import progress_bar
from latent_core.slots.places import After
from latent_core.statistics.means import column_differences, column_means
from latent_core.tasks.base import Example, Task

__all__ = [
    "DIRECTIONS",
    "AttentionMasses",
    "attention_masses",
    "mean_attention",
    "with_and_without",
]

#: Which slots look at which, in the column `direction`.
DIRECTIONS: Final = ("text -> latent", "latent -> text", "latent -> latent")
CELL: Final = ["layer", "head", "group", "occurrence_role", "direction"]

Mask = NDArray[np.bool_]
Masses = NDArray[np.float64]


def mean_attention(
    model: LatentModel,
    task: Task,
    split: str,
    examples: int = 50,
    eval_seed: int = 1,
    *,
    without_first: bool = False,
    confidence: float = 0.95,
    progress: bool = True,
) -> pd.DataFrame:
    """Average attention over examples of a split, with the reference answer as response.

    The attention of one example is in memory at a time.

    Args:
        model: the model; inside an intervention's block, the model under that intervention.
        task: gives the examples, and the roles of its prompts' parts.
        split: the name of a split.
        examples: how many.
        eval_seed: draws the examples, as in `evaluate`.
        without_first: leave out the first slot as a key, onto which many heads put most weight.
        confidence: share of the intervals.
        progress: show a bar with the time left.

    Returns:
        one row per layer, head, group, occurrence_role and direction (`text -> latent`,
        `latent -> text` or `latent -> latent`): mean, low and high (Student's t over examples), and
        examples, the number that have such edges. A role of `latent -> text` is that of the query.

    Raises:
        TaskError: if the task has no such split.
        SettingError: if the model has no latents, or `examples` is below 1.

    Example:
        >>> import latent_core as lc
        >>> model, task = lc.LatentModel("tiny", "Start_1+Comma_1"), lc.load_task("summation")
        >>> frame = lc.mean_attention(model, task, "id", examples=2, progress=False)
        >>> sorted(frame.query("group == 'Comma'")["occurrence_role"].unique())
        ['all', 'asked', 'first', 'last', 'nearest', 'others']
    """
    masses = attention_masses(
        model, task, split, examples, eval_seed, without_first=without_first, progress=progress
    )
    return masses.frame(confidence)


@dataclass(frozen=True, eq=False)
class AttentionMasses:
    """Attention of each example of a split, before it is averaged.

    Attributes:
        cells: C rows of layer, head, group, occurrence_role and direction.
        values: (N, C), the mass of each example; NaN where it has no such edges.
        examples: the N examples.

    Example:
        >>> import latent_core as lc
        >>> model, task = lc.LatentModel("tiny", "Comma_1"), lc.load_task("summation")
        >>> near = lc.attention_masses(model, task, "id", 2, progress=False)
        >>> far = lc.attention_masses(model, task, "ood-20", 2, progress=False)
        >>> gap = far.minus(near)
        >>> len(gap) == len(near.cells)
        True
    """

    cells: pd.DataFrame
    values: Masses
    examples: tuple[Example, ...]

    def frame(self, confidence: float = 0.95) -> pd.DataFrame:
        """Average over the examples; see `mean_attention`."""
        return self.cells.join(column_means(self.values, confidence))

    def minus(self, other: AttentionMasses, confidence: float = 0.95) -> pd.DataFrame:
        """Subtract the averages of another split, where both have the cell; columns as `frame`."""
        both = self.cells.reset_index().merge(
            other.cells.reset_index(), on=CELL, suffixes=("", "_other")
        )
        found = column_differences(
            self.values[:, both["index"]], other.values[:, both["index_other"]], confidence
        )
        return both[CELL].join(found)

    def by_group(self, direction: str = "text -> latent", confidence: float = 0.95) -> pd.DataFrame:
        """Average over layers and heads: the mass of all occurrences of each group.

        Args:
            direction: one of `text -> latent`, `latent -> text` and `latent -> latent`.
            confidence: share of the intervals over examples.

        Returns:
            one row per group: group, mean, low, high, examples.

        Raises:
            SettingError: for another direction.

        Example:
            >>> import latent_core as lc
            >>> model, task = lc.LatentModel("tiny", "Start_1+Comma_1"), lc.load_task("summation")
            >>> masses = lc.attention_masses(model, task, "id", 2, progress=False)
            >>> masses.by_group()["group"].tolist()
            ['Start', 'Comma']
        """
        if direction not in DIRECTIONS:
            raise SettingError(f"direction={direction!r}; expected one of {', '.join(DIRECTIONS)}")
        all_of = self.cells["occurrence_role"] == "all"
        chosen = self.cells[all_of & (self.cells["direction"] == direction)]
        groups = chosen.groupby("group", sort=False).groups
        means = [self.values[:, rows].mean(axis=1) for rows in groups.values()]
        found = column_means(np.array(means).reshape(len(means), -1).T, confidence)
        return pd.DataFrame({"group": list(groups)}).join(found)

    def of(self, layer: int, head: int, group: str, role: str, direction: str) -> Masses:
        """(N,) the mass of each example in one cell.

        Raises:
            SettingError: if there is no such cell.
        """
        wanted = (layer, head, group, role, direction)
        same = np.logical_and.reduce(
            [self.cells[name] == value for name, value in zip(CELL, wanted, strict=True)]
        )
        if not same.any():
            raise SettingError(f"no cell {wanted}; expected one of the rows of `cells`")
        return self.values[:, int(np.flatnonzero(same)[0])]


def attention_masses(
    model: LatentModel,
    task: Task,
    split: str,
    examples: int = 50,
    eval_seed: int = 1,
    *,
    without_first: bool = False,
    progress: bool = True,
) -> AttentionMasses:
    """Measure the attention of each example, which `mean_attention` averages.

    Args:
        model: the model; inside an intervention's block, the model under that intervention.
        task: gives the examples, and the roles of its prompts' parts.
        split: the name of a split.
        examples: how many.
        eval_seed: draws the examples, as in `evaluate`.
        without_first: leave out the first slot as a key, onto which many heads put most weight.
        progress: show a bar with the time left.

    Example:
        >>> import latent_core as lc
        >>> model, task = lc.LatentModel("tiny", "Comma_1"), lc.load_task("summation")
        >>> masses = lc.attention_masses(model, task, "id", 2, progress=False)
        >>> masses.of(0, 1, "Comma", "first", "text -> latent").shape
        (2,)
    """
    both = with_and_without(model, task, split, examples, eval_seed, progress=progress)
    return both[without_first]


def with_and_without(
    model: LatentModel,
    task: Task,
    split: str,
    examples: int = 50,
    eval_seed: int = 1,
    *,
    progress: bool = True,
) -> tuple[AttentionMasses, AttentionMasses]:
    """`attention_masses` with the first slot as a key, and without it, of one capture."""
    if not model.placement.layout.groups:
        raise SettingError("the model has no latents; expected a layout with a group")
    drawn = task.examples(split, whole_number("examples", examples, 1), eval_seed)
    found: tuple[list[dict[_Part, Masses]], ...] = ([], [])
    record: AttentionRecord | None = None
    with progress_bar(len(drawn), "attention", "example", progress) as bar:
        for example in drawn:
            record = capture_attention(model, example.prompt, example.answer, of=["latents", 0])
            spans = task.roles(example)
            for first_key, rows in enumerate(found):
                rows.append(dict(_parts(model, record, example, spans, first_key)))
            bar.update()
    assert record is not None
    with_first, without = (_stacked(rows, record, drawn) for rows in found)
    return with_first, without


def _stacked(
    rows: Sequence[Mapping[_Part, Masses]], record: AttentionRecord, drawn: Sequence[Example]
) -> AttentionMasses:
    """The masses of all examples, with the layers and heads of one of their records."""
    parts = list(dict.fromkeys(part for row in rows for part in row))
    maps = len(record.layers) * len(record.heads)
    nothing = np.full(maps, np.nan)
    values = np.array([[row.get(part, nothing) for part in parts] for row in rows])
    layers, heads = (
        np.repeat(record.layers, len(record.heads)),
        np.tile(record.heads, len(record.layers)),
    )
    cells = pd.DataFrame(
        {
            "layer": np.tile(layers, len(parts)),
            "head": np.tile(heads, len(parts)),
            "group": np.repeat([part.group for part in parts], maps),
            "occurrence_role": np.repeat([part.role for part in parts], maps),
            "direction": np.repeat([part.direction for part in parts], maps),
        }
    )
    return AttentionMasses(cells, values.reshape(len(rows), -1), tuple(drawn))


class _Part(NamedTuple):
    """What one (L, H) map is of."""

    group: str
    role: str
    direction: str


def _parts(
    model: LatentModel,
    record: AttentionRecord,
    example: Example,
    spans: Mapping[str, Sequence[tuple[int, int]]],
    first_key: int,
) -> Iterator[tuple[_Part, Masses]]:
    """The (L * H,) masses of one example onto slots from `first_key`, where it has such edges."""
    weights = record.weights.double().numpy()  # (L, H, T, M)
    slots, keys = np.arange(len(record.slots)), np.array(record.keys, dtype=np.int64)
    apart = record.is_latent[keys] | (keys < first_key)
    onto_text = record.totals.double().numpy() - weights[..., apart].sum(axis=-1)  # (L, H, T)
    for group in record.groups:
        roles = _roles(model, record, example, spans, group)
        columns = {
            role: chosen
            for role, places in roles.items()
            if (chosen := np.isin(keys, places) & (keys >= first_key)).any()
        }
        for direction, queries in (
            ("text -> latent", slots[~record.is_latent]),
            ("latent -> latent", slots[record.is_latent]),
        ):
            for role, chosen in columns.items():
                seen = queries[queries >= keys[chosen].min()]
                if len(seen):
                    mass = weights[:, :, seen][..., chosen].sum(axis=-1).mean(axis=-1)
                    yield _Part(group, role, direction), mass.reshape(-1)
            if "first" in roles and "all" in columns:
                seen = queries[queries >= keys[columns["all"]].min()]
                if len(seen):
                    near = _nearest(record, group, seen) & (keys >= first_key)
                    mass = (weights[:, :, seen] * near).sum(axis=-1).mean(axis=-1)
                    yield _Part(group, "nearest", direction), mass.reshape(-1)
        for role, places in roles.items():
            yield _Part(group, role, "latent -> text"), onto_text[..., places].mean(-1).reshape(-1)


def _roles(
    model: LatentModel,
    record: AttentionRecord,
    example: Example,
    spans: Mapping[str, Sequence[tuple[int, int]]],
    group: str,
) -> dict[str, list[int]]:
    """The slots of a group by role; a group that occurs once by its place has one role."""
    own = [place for place, slot in enumerate(record.slots) if slot.group == group]
    roles = {"all": own}
    (layout_group,) = (g for g in model.placement.layout.groups if g.name == group)
    if not layout_group.repeats:
        return roles
    prompt = [place for place in own if place < record.prompt_length]
    asked = record.slots[(prompt or own)[-1]].occurrence
    roles["first"] = [place for place in own if record.slots[place].occurrence == 0]
    roles["last"] = [place for place in own if record.slots[place].occurrence == asked]
    if not spans or not prompt:
        return roles
    where = model.backbone.characters(example.prompt)
    verbal = np.cumsum([slot.group is None for slot in record.slots])  # tokens up to each slot
    back = 1 if isinstance(layout_group.place, After) else 0
    others = set(prompt)
    for role, stretches in spans.items():
        found = []
        for place in prompt:
            start, end = where[min(int(verbal[place]) - back, len(where) - 1)]
            if any(start < last and first < end for first, last in stretches):
                found.append(place)
        if found:
            roles[role] = found
            others -= set(found)
    if others:
        roles["others"] = sorted(others)
    return roles


def _nearest(record: AttentionRecord, group: str, queries: NDArray[np.int64]) -> Mask:
    """(Q, M), the columns of the group's last occurrence before each query."""
    keys = np.array(record.keys, dtype=np.int64)
    occurrence = np.array(
        [
            -1 if (slot := record.slots[key]).group != group else slot.occurrence
            for key in record.keys
        ]
    )
    seen = np.where(keys[None, :] <= queries[:, None], occurrence[None, :], -1)
    last = seen.max(axis=1, keepdims=True)
    return (seen == last) & (last >= 0)
