"""Activation patching from other texts: their latents' hidden states stand in for these.

A latent takes the states of the one with the same name in another text: the same group, member and
occurrence. Verbal slots have no counterpart in another text, nor have occurrences that it does not
reach; they stay as they are. A `Lender` decides which text that is for each row of a batch.

Knows scenes and slots.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.layers import decoder_layers, hidden_output
from latent_core.errors import SettingError
from latent_core.interventions.observer import Observer
from latent_core.interventions.scene import Flow, Scene
from latent_core.slots.batch import collate
from latent_core.slots.placement import Placement, Slots
from latent_core.slots.selection import PassSlots, Selection
from latent_core.tasks.base import Example
from latent_core.tasks.donors import Asked, asked_now, donor_of, other_examples

__all__ = ["AnotherExample", "Borrowing", "Lender", "Mean", "OtherPrompt"]

#: Texts that run side by side.
_BATCH: Final = 16

#: Number of examples that a mean is over.
EXAMPLES: Final = 64


class Lent(NamedTuple):
    """Hidden states of latents by name, for the rows of a batch.

    Attributes:
        text: (B,) the text of each row.
        places: (texts, groups, members, occurrences) numbers of states; -1 where there is none.
        states: by layer, (N, D).
    """

    text: Tensor
    places: Tensor
    states: dict[int, Tensor]


class Lender(ABC):
    """Says which texts' states the rows of a batch take."""

    def prepare(self, record: Recorder) -> None:  # noqa: B027 - most have nothing to prepare
        """Run what can run before the first batch, when the block is entered."""

    @abstractmethod
    def lend(self, record: Recorder, rows: int) -> Lent:
        """The states for a batch whose decoding begins.

        Args:
            record: runs texts.
            rows: B, of the batch.

        Raises:
            SettingError: if the texts cannot be known.
        """


@dataclass(frozen=True)
class OtherPrompt(Lender):
    """One text for all: a prompt, without a response."""

    prompt: str

    def prepare(self, record: Recorder) -> None:
        """See `Lender.prepare`."""
        self.lend(record, 1)

    def lend(self, record: Recorder, rows: int) -> Lent:
        """See `Lender.lend`."""
        ids = record.scene.backbone.encode(self.prompt)
        found = record.once(self.prompt, lambda: [record.placement.insert(ids)])
        return Lent(torch.zeros(rows, dtype=torch.long), *found)


@dataclass(frozen=True)
class AnotherExample(Lender):
    """For each row, another example of its task with its right answer: its donor.

    Attributes:
        seed: draws the donors; see `latent_core.tasks.donors.donor_of`.
        why: what needs them, for errors.
    """

    seed: int
    why: str

    def lend(self, record: Recorder, rows: int) -> Lent:
        """See `Lender.lend`."""
        asked = _asked(self.why, rows)
        donors = [donor_of(asked.task, example, self.seed) for example in asked.examples]
        slots = [record.slots_of(asked, donor) for donor in donors]
        return Lent(torch.arange(rows), *record(slots))


@dataclass(frozen=True)
class Mean(Lender):
    """The mean over examples of the row's split, with their right answers.

    Attributes:
        seed: draws the examples.
        why: what needs them, for errors.
    """

    seed: int
    why: str

    def lend(self, record: Recorder, rows: int) -> Lent:
        """See `Lender.lend`."""
        asked = _asked(self.why, rows)
        splits = list(dict.fromkeys(example.split for example in asked.examples))
        if len(splits) > 1:
            raise SettingError(
                f"{self.why} answers examples of {' and '.join(splits)} in one batch; expected one "
                "split, over which the mean is"
            )

        def drawn() -> list[Slots]:
            others = other_examples(asked.task, splits[0], EXAMPLES, self.seed)
            return [record.slots_of(asked, other) for other in others]

        key = (asked.task.fingerprint, splits[0], asked.shots, asked.seed)
        return Lent(torch.zeros(rows, dtype=torch.long), *record.once(key, drawn, mean=True))


def _asked(why: str, rows: int) -> Asked:
    asked = asked_now(why)
    if len(asked.examples) != rows:
        raise SettingError(
            f"{why} met {rows} texts while {len(asked.examples)} examples are answered; expected "
            "one text for each example"
        )
    return asked


class Recorder:
    """Runs texts as a scene says, and keeps the hidden states of their latents.

    Args:
        scene: places the latents of the texts and fills them.
        layers: numbers of the layers after which states are kept.
        observer: told that these passes are not the main run's.
    """

    def __init__(self, scene: Scene, layers: Sequence[int], observer: Observer) -> None:
        self.scene, self.layers, self._observer = scene, layers, observer
        self.placement = Placement(
            scene.layout, scene.triggers, scene.rows, positions=scene.positions
        )
        self._kept: dict[Hashable, tuple[Tensor, dict[int, Tensor]]] = {}

    def slots_of(self, asked: Asked, example: Example) -> Slots:
        """The slots of an example with its right answer."""
        prompt, end = asked.prompt(example), not asked.task.open_ended
        ids = self.scene.backbone.encode_example(prompt, example.answer, end)
        return self.placement.insert(*ids)

    def once(
        self, key: Hashable, texts: Callable[[], Sequence[Slots]], mean: bool = False
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """The same as calling it, once for each key; `mean` over the texts, as one text."""
        if key not in self._kept:
            found = self(texts())
            self._kept[key] = _mean(*found) if mean else found
        return self._kept[key]

    @torch.no_grad()
    def __call__(self, texts: Sequence[Slots]) -> tuple[Tensor, dict[int, Tensor]]:
        """Run texts.

        Returns:
            places and states; see `Lent`.
        """
        groups = self.scene.layout.groups
        latents = [
            (number, slot)
            for number, text in enumerate(texts)
            for slot in text.slots
            if slot.is_latent
        ]
        sizes = (
            max(1, len(groups)),
            max((group.count for group in groups), default=1),
            1 + max((slot.occurrence for _, slot in latents), default=0),
        )
        places = torch.full((len(texts), *sizes), -1, dtype=torch.long)
        for place, (number, slot) in enumerate(latents):
            places[number, slot.group, slot.member, slot.occurrence] = place
        device = self.scene.backbone.device
        states: dict[int, list[Tensor]] = {layer: [] for layer in self.layers}
        for start in range(0, len(texts), _BATCH):
            some = texts[start : start + _BATCH]
            chosen = [
                (number, place)
                for number, text in enumerate(some)
                for place, slot in enumerate(text.slots)
                if slot.is_latent
            ]
            index = torch.tensor(chosen, dtype=torch.long, device=device).reshape(-1, 2).T
            for layer, output in self._run(some).items():
                states[layer].append(output[index[0], index[1]])
        return places.to(device), {layer: torch.cat(found) for layer, found in states.items()}

    def _run(self, texts: Sequence[Slots]) -> dict[int, Tensor]:
        """Hidden states (B, T, D) after each layer."""
        scene, backbone = self.scene, self.scene.backbone
        batch = collate(list(texts)).to(backbone.device)
        outputs: dict[int, Tensor] = {}

        def keep(number: int) -> Any:
            def hook(module: nn.Module, args: Any, output: Any) -> None:
                outputs[number] = hidden_output(output)

            return hook

        outer, self._observer.run = self._observer.run, self  # nobody else's hooks act here
        try:
            with contextlib.ExitStack() as stack:
                layers = decoder_layers(backbone)
                for number in self.layers:
                    stack.callback(layers[number].register_forward_hook(keep(number)).remove)
                embeds = scene.mix(backbone.embed(batch.input_ids), batch.latent_rows)
                backbone.hidden_states(embeds, batch.attention_mask, batch.position_ids)
        finally:
            self._observer.run = outer
        return outputs


def _mean(places: Tensor, states: dict[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
    """The mean over texts of what each latent holds, over the texts that have it."""
    there = (places >= 0).any(dim=0)
    names = there.flatten().cumsum(dim=0).view_as(there) - 1
    found = torch.where(there, names, -1)
    number = found.unsqueeze(0).expand_as(places)[places >= 0]
    order = places[places >= 0]
    count = torch.zeros(int(there.sum()), device=places.device).index_add(
        0, number, torch.ones_like(number, dtype=torch.float)
    )
    means = {}
    for layer, held in states.items():
        total = held.new_zeros(len(count), held.shape[-1], dtype=torch.float)
        means[layer] = (total.index_add(0, number, held[order].float()) / count.unsqueeze(-1)).to(
            held.dtype
        )
    return found.unsqueeze(0), means


class Borrowing(Flow):
    """Puts hidden states of other texts' latents into the main run.

    Args:
        latents: the latents that take them.
        layers: numbers of the layers after which they are put in.
        source: the scene in which the other texts run.
        lender: says which texts.
        from_step: only slots from so many response tokens on.
    """

    def __init__(
        self,
        latents: Selection,
        layers: tuple[int, ...],
        source: Scene,
        lender: Lender,
        from_step: int,
    ) -> None:
        self.latents = latents
        self.layers = layers
        self.source = source
        self.lender = lender
        self.from_step = from_step

    def enter(
        self, stack: contextlib.ExitStack, observer: Observer, backbone: Backbone, run: object
    ) -> None:
        """See `Flow.enter`."""
        record = Recorder(self.source, self.layers, observer)
        self.lender.prepare(record)
        borrower = _Borrower(self, record, observer, run)
        before = backbone.trunk.register_forward_pre_hook(borrower.before, with_kwargs=True)
        stack.callback(before.remove)
        layers = decoder_layers(backbone)
        for layer in self.layers:
            stack.callback(layers[layer].register_forward_hook(borrower.at_layer(layer)).remove)


class _Borrower:
    """One borrowing while its block lasts."""

    def __init__(
        self, borrowing: Borrowing, record: Recorder, observer: Observer, run: object
    ) -> None:
        self._borrowing, self._record = borrowing, record
        self._observer, self._run = observer, run
        self._lent: Lent | None = None
        self._found: Tensor | None = None

    def before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Where decoding begins: the other texts' states."""
        slots = self._observer.slots
        if slots is None or self._observer.run is not self._run:
            return
        if slots.num_new == slots.group.shape[1]:
            lent = self._borrowing.lender.lend(self._record, len(slots.group))
            self._lent = lent._replace(text=lent.text.to(lent.places.device))
        self._found = self._counterparts(slots)

    def at_layer(self, layer: int) -> Any:
        """A forward hook of one layer."""

        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            if self._observer.slots is None or self._observer.run is not self._run:
                return None
            found, lent = self._found, self._lent
            if found is None or lent is None:
                return None
            own, states = hidden_output(output), lent.states[layer]
            if not len(states):
                return None
            patched = torch.where((found >= 0).unsqueeze(-1), states[found.clamp(min=0)], own)
            if self._run is None:
                self._observer.touch(_differ(patched, own))
            return (patched, *output[1:]) if isinstance(output, tuple) else patched

        return hook

    def _counterparts(self, slots: PassSlots) -> Tensor | None:
        """The state that each new slot takes, (B, T_new); -1 for none."""
        if self._lent is None:
            return None
        places, text = self._lent.places, self._lent.text[slots.example]
        new = slice(-slots.num_new, None)
        names = (slots.group[:, new], slots.member[:, new], slots.occurrence[:, new])
        known = self._borrowing.latents.mask(slots)[:, new] & (names[0] >= 0)
        known = known & (slots.step[:, new] >= self._borrowing.from_step)
        for name, size in zip(names, places.shape[1:], strict=True):
            known = known & (name < size)
        group, member, occurrence = (torch.where(known, name, 0) for name in names)
        return torch.where(known, places[text[:, None], group, member, occurrence], -1)


def _differ(ours: Tensor, theirs: Tensor) -> Tensor:
    """Where states (B, T, D) differ by more than rounding, (B, T): they come from other batches."""
    tolerance = torch.finfo(theirs.dtype).eps ** 0.5
    return (ours - theirs).float().norm(dim=-1) > tolerance * theirs.float().norm(dim=-1)
