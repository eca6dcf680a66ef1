"""Verbal ids and a layout become slots: which vector each slot holds, its position id, its target.

`SlotStream` places latents while verbal tokens arrive one by one, which is how decoding works;
`Placement.insert` runs the same stream over a whole example, which is how training works. The two
agree by construction.

The slots of one gap, between verbal tokens v[i-1] and v[i], stand in this order:

1. groups whose place is known before v[i] is (`Start`, `End`, `k`, `After[...]`), in layout order;
   `Unsure` comes last of them: the slots so far predict v[i], and it stands there if they are not
   sure of it;
2. groups that go before the trigger v[i] (`Comma`, `Before[...]`), in layout order;
3. v[i].

The slot that predicts v[i] is the last latent of the last group of kind 1 with `predict_from =
"latent"`; without one, the slot of v[i-1]. No gap but one of `Unsure` needs a decode step of its
own: kind 1 is fed together with v[i-1], kind 2 together with v[i].

Knows no tensors and no tokenizer; pure Python on ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from latent_core.errors import PromptError
from latent_core.slots.layout import LatentGroup, LatentLayout, PositionScheme
from latent_core.slots.places import After, Before, End, Every, Start, Unsure

__all__ = ["IGNORE", "Placement", "RowOf", "Slot", "SlotStream", "Slots", "Triggers"]

IGNORE = -100
"""The label of a slot without a target, as in Transformers."""

Triggers = Mapping[str, frozenset[int]]
"""Token ids that fire each `Before`/`After` group, by group name."""


class Slot(NamedTuple):
    """One position of the augmented sequence: a verbal token or a latent.

    Attributes:
        token_id: the verbal token's id; -1 at a latent.
        row: the latent's row, as `LatentLayout.first_rows` counts; negative at a verbal token, -1
            unless an intervention marks it.
        position_id: what the backbone is told.
        verbal_index: index of the verbal token; for a latent, of the verbal token after it.
        group: index of the latent's group in the layout; -1 at a verbal token.
        member: which latent of its group this is, 0-based; -1 at a verbal token.
        occurrence: which occurrence of the group this is, 0-based; -1 at a verbal token.
    """

    token_id: int
    row: int
    position_id: int
    verbal_index: int
    group: int = -1
    member: int = -1
    occurrence: int = -1

    @property
    def is_latent(self) -> bool:
        """Whether the slot holds a latent rather than a verbal token."""
        return self.row >= 0


@dataclass(frozen=True, slots=True)
class Slots:
    """One example as slots.

    Attributes:
        slots: T slots in order.
        labels: T ids; `labels[t]` is the token that slot t itself predicts, or `IGNORE`. They are
            aligned with the slot that predicts, not shifted by one as Transformers' labels are.
    """

    slots: tuple[Slot, ...]
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.slots) == len(self.labels)

    @property
    def num_latents(self) -> int:
        """Latents placed in this example, M."""
        return sum(slot.is_latent for slot in self.slots)

    @property
    def verbal_ids(self) -> list[int]:
        """The verbal tokens, latents left out."""
        return [slot.token_id for slot in self.slots if not slot.is_latent]


RowOf = Callable[[int, int, int, int], int | None]
"""The row that a latent reads, or None to leave it out, by group number, member, occurrence, step.

The step is 0 in the prompt and for what follows it, n once n response tokens stand.
"""


@dataclass(frozen=True, slots=True)
class Placement:
    """Everything that decides where latents go in a sequence of verbal ids.

    Attributes:
        layout: the groups and their places.
        triggers: token ids that fire each `Before`/`After` group, by group name.
        rows: an intervention: maps each latent about to be placed to the row of the model's tables
            (which may have been extended) that it reads, or to None to leave it out; occurrences
            count on all the same. None: every latent is placed and reads its own row.
        mark: an intervention: the row of a verbal slot by its step, a negative number. None: -1.
        positions: an intervention: how a latent is numbered, by its step. None: as the layout says.
        computed: an intervention: whether what a row stands for depends on the slot before. None:
            as the layout says.
    """

    layout: LatentLayout
    triggers: Triggers
    rows: RowOf | None = None
    mark: Callable[[int], int] | None = None
    positions: Callable[[int], PositionScheme] | None = None
    computed: Callable[[int], bool] | None = None

    @property
    def is_edited(self) -> bool:
        """Whether it is that of an intervention."""
        return self.mark is not None

    @property
    def has_computed(self) -> bool:
        """Whether some slot may need the hidden state of the slot before it."""
        return self.computed is not None or self.layout.computed

    def computes(self, row: int) -> bool:
        """Whether a slot with this row needs the hidden state of the slot before it."""
        if self.computed is not None:
            return row >= 0 and self.computed(row)
        groups = self.layout.computing_groups
        return 0 <= row < len(groups) and groups[row] >= 0

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Probabilities below which groups stand before a token; none for most layouts."""
        places = (group.place for group in self.layout.groups)
        return tuple(place.threshold for place in places if isinstance(place, Unsure))

    def insert(
        self,
        prompt_ids: Sequence[int],
        response_ids: Sequence[int] | None = None,
        best: Sequence[float] = (),
    ) -> Slots:
        """Place the latents of one example.

        Args:
            prompt_ids: verbal ids of the prompt, at least one.
            response_ids: verbal ids of the response; each is the label of the slot that predicts
                it. None: no response yet, so the latents that stand ready after the prompt end the
                slots.
            best: for each response token, the best probability of any token in its place, before
                latents that stand there for want of confidence. By default there are no such.

        Raises:
            PromptError: if the prompt is empty.
        """
        stream = SlotStream(self, len(prompt_ids))
        slots: list[Slot] = []
        labels: dict[int, int] = {}
        for index, token_id in enumerate([*prompt_ids, *(response_ids or ())]):
            slots += stream.look_ahead()
            if index >= len(prompt_ids):
                if best:
                    slots += stream.hesitate(best[index - len(prompt_ids)])
                labels[stream.predictor] = token_id
            slots += stream.push(token_id)
        if response_ids is None:
            slots += stream.look_ahead()
        return Slots(tuple(slots), tuple(labels.get(t, IGNORE) for t in range(len(slots))))


class SlotStream:
    """Places latents between verbal tokens as these arrive.

    Call `look_ahead` once, then `push` each verbal token, which returns the slots that go into the
    model together with it, and `look_ahead` after each, which returns the latents whose place after
    that token is already known; `predictor` then says which slot predicts the next token.

    Args:
        placement: where latents go.
        prompt_length: verbal tokens of the prompt, at least 1; `End` goes after them.
    """

    def __init__(self, placement: Placement, prompt_length: int) -> None:
        if prompt_length < 1:
            raise PromptError("the prompt has no tokens; expected at least one")
        self.placement = placement
        self._layout = placement.layout
        self._triggers = placement.triggers
        self._rows = placement.rows
        self._mark = placement.mark
        self._positions = placement.positions
        self._prompt_length = prompt_length
        self._occurrences = [0] * len(placement.layout.groups)
        self._last_id: int | None = None
        self.num_slots = 0
        self.num_verbal = 0
        self.next_position = 0
        """Position id of the next slot."""
        self.predictor = -1
        """Index, among all slots so far, of the slot that predicts the next verbal token."""

    def look_ahead(self) -> list[Slot]:
        """The latents that stand after the verbal tokens so far, whatever the next one is."""
        slots: list[Slot] = []
        for number, group in enumerate(self._layout.groups):
            if group.known_ahead and self._fires_ahead(group):
                placed = self._place(number, group)
                slots += placed
                if placed and group.predict_from == "latent":
                    self.predictor = self.num_slots - 1
        return slots

    def hesitate(self, best: float) -> list[Slot]:
        """The latents before a response token of which the model is not sure.

        Args:
            best: the best probability of any token, by the slot that predicts so far.
        """
        slots: list[Slot] = []
        for number, group in enumerate(self._layout.groups):
            if isinstance(group.place, Unsure) and best < group.place.threshold:
                slots += self._place(number, group)
        if slots:
            self.predictor = self.num_slots - 1
        return slots

    def push(self, token_id: int) -> list[Slot]:
        """The latents that go before the verbal token `token_id`, and the token itself."""
        slots: list[Slot] = []
        for number, group in enumerate(self._layout.groups):
            if isinstance(group.place, Before) and token_id in self._triggers[group.name]:
                slots += self._place(number, group)
        mark = -1
        if self._mark is not None:
            mark = self._mark(max(0, self.num_verbal + 1 - self._prompt_length))
        slots.append(Slot(token_id, mark, self.next_position, self.num_verbal))
        self.next_position += 1
        self.num_slots += 1
        self.num_verbal += 1
        self.predictor = self.num_slots - 1
        self._last_id = token_id
        return slots

    def _fires_ahead(self, group: LatentGroup) -> bool:
        match group.place:
            case Start():
                return self.num_verbal == 0
            case End():
                return self.num_verbal == self._prompt_length
            case Every(k):
                return self.num_verbal > 0 and self.num_verbal % k == 0
            case After():
                return self._last_id in self._triggers[group.name]
            case Unsure():
                return False  # known when the slots so far have predicted: see `hesitate`
        raise AssertionError(group)

    def _place(self, number: int, group: LatentGroup) -> list[Slot]:
        first_row, occurrence = self._layout.first_rows[number], self._occurrences[number]
        self._occurrences[number] += 1
        step = max(0, self.num_verbal - self._prompt_length)
        scheme = self._layout.positions if self._positions is None else self._positions(step)
        slots = []
        for member in range(group.count):
            row: int | None = first_row + member
            if self._rows is not None:
                row = self._rows(number, member, occurrence, step)
            if row is not None:
                if self.num_slots == 0 and self.placement.computes(row):
                    raise PromptError(
                        f"the first slot would be a latent of {group.name}={group.filling}, which "
                        "is computed from the slot before it; begin the prompt with another token, "
                        "or put a learned Start group before it"
                    )
                position = self.next_position
                slots.append(Slot(-1, row, position, self.num_verbal, number, member, occurrence))
                self.next_position += scheme == "sequential"
                self.num_slots += 1
        return slots
