"""What a model answers, slot by slot as it comes, with an intervention or without one.

A response carries its verdict as marks on slots, and what is to be said of its intervention: which
parts did not fit the model, and whether it changed anything. Knows models and tasks; no widgets.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, Literal

import torch

from latent_core.errors import LatentError
from latent_core.generation.generate import Generation
from latent_core.interventions.base import Combined, Intervention
from latent_core.interventions.kinds import Patch
from latent_core.interventions.running import running
from latent_core.models.latent import LatentModel
from latent_core.models.together import generate_together, why_not_together
from latent_core.slots.placement import SlotStream
from latent_core.slots.views import SlotView, view_slots
from latent_core.tasks.base import Example, Mark, Score, Task
from latent_core.tasks.donors import answering
from workbench.chances import Chance, Held, slot_chances

__all__ = [
    "NOTHING",
    "Response",
    "SlotMark",
    "asks_for_examples",
    "can_share_passes",
    "fingerprint",
    "first_difference",
    "fitting",
    "respond",
    "respond_together",
    "slot_marks",
    "without_examples",
]

#: The verdict on one slot of a response; empty for none.
SlotMark = Literal["", "right", "wrong"]

#: No intervention.
NOTHING: Final = Combined()


@dataclass(frozen=True)
class Response:
    """One response of one model.

    Attributes:
        intervention: what was done, as text; `none` for the clean response.
        generation: prompt, response and all slots.
        limit: verbal tokens the response might have had.
        seconds: how long it took.
        score: the verifier's verdict; None if the prompt is no example.
        marks: one per slot of the generation.
        left_out: parts of the intervention that do not fit the model, and why, a sentence each.
        chances: one per slot of the generation: of a response token, its log-probability and the
            likely tokens there; of a computed latent, what it holds; None elsewhere.
        note: what there is to say of the effect, such as that nothing changed; empty for nothing.
    """

    intervention: str
    generation: Generation
    limit: int
    seconds: float
    score: Score | None
    marks: tuple[SlotMark, ...]
    left_out: tuple[str, ...] = ()
    note: str = ""
    chances: tuple[Chance | Held | None, ...] = ()


def respond(
    model: LatentModel,
    prompt: str,
    limit: int,
    intervention: Intervention = NOTHING,
    judge: tuple[Task, Example] | None = None,
    on_slots: Callable[[list[SlotView]], None] = lambda slots: None,
    on_token: Callable[[], None] = lambda: None,
) -> Response:
    """Answer a prompt greedily.

    Args:
        model: the model.
        prompt: a text.
        limit: verbal tokens at most.
        intervention: the parts of it that fit the model are applied.
        judge: the task and the example that the prompt is of, if it is of one.
        on_slots: called with the slots of the prompt, then with those that each token adds.
        on_token: called with every token.

    Raises:
        PromptError: if the prompt is empty or too long.
    """
    fits, left_out = fitting(model, intervention)
    if judge is None:
        why = "the prompt is no example of the task, so it has no other example; draw an example"
        fits, left_out = without_examples(fits, left_out, why)
    notes: list[str] = []
    started = time.perf_counter()
    block = running(model, fits.apply, str(fits), notes.append) if fits.parts else nullcontext()
    known = nullcontext() if judge is None else answering(judge[0], [judge[1]])
    with block, known:
        follow = _Follower(model, prompt)
        on_slots(follow.prompt_slots)

        def told(index: int, token_id: int, text: str) -> None:
            on_slots(follow.slots_of(token_id))
            on_token()

        (generation,) = model.generate(prompt, limit, return_details=True, on_token=told)
        seconds = time.perf_counter() - started
        chances = slot_chances(model, prompt, generation.slots, generation.response_ids)
    score, marks = _judged(model, generation, judge)
    note = " ".join(notes)
    return Response(str(fits), generation, limit, seconds, score, marks, left_out, note, chances)


def can_share_passes(models: Sequence[LatentModel]) -> bool:
    """Whether models give in one batch exactly what each gives alone: in float32, on one backbone.

    In bfloat16 a row's rounding depends on the rows beside it.
    """
    exact = all(model.backbone.dtype == torch.float32 for model in models)
    return exact and why_not_together(models) is None


def respond_together(
    models: Sequence[LatentModel],
    prompt: str,
    limits: Sequence[int],
    judge: tuple[Task, Example] | None = None,
    on_slots: Callable[[int, list[SlotView]], None] = lambda number, slots: None,
    on_token: Callable[[], None] = lambda: None,
) -> list[Response]:
    """Answer a prompt greedily with several models, in one batch; each as `respond` does.

    The seconds of a response go from the start of the batch to its own end.

    Args:
        models: those of which `can_share_passes` is true.
        prompt: a text.
        limits: verbal tokens at most, one for each model.
        judge: as in `respond`.
        on_slots: as in `respond`; the number is that of the model.
        on_token: called with every token of any model.

    Raises:
        PromptError: if the prompt is empty or too long.
    """
    started = time.perf_counter()
    follow = [_Follower(model, prompt) for model in models]
    for number, one in enumerate(follow):
        on_slots(number, one.prompt_slots)
    seconds = [0.0] * len(models)

    def told(number: int, token_id: int, text: str) -> None:
        on_slots(number, follow[number].slots_of(token_id))
        on_token()
        seconds[number] = time.perf_counter() - started

    found = generate_together(models, prompt, limits, on_token=told)
    responses = []
    for number, (model, generation) in enumerate(zip(models, found, strict=True)):
        chances = slot_chances(model, prompt, generation.slots, generation.response_ids)
        score, marks = _judged(model, generation, judge)
        responses.append(
            Response(
                str(NOTHING),
                generation,
                limits[number],
                seconds[number],
                score,
                marks,
                chances=chances,
            )
        )
    return responses


def _judged(
    model: LatentModel, generation: Generation, judge: tuple[Task, Example] | None
) -> tuple[Score | None, tuple[SlotMark, ...]]:
    """The verifier's verdict on a response, and its marks; no verdict without an example."""
    if judge is None:
        no_mark: SlotMark = ""
        return None, (no_mark,) * len(generation.slots)
    score = judge[0].score(judge[1], generation.text)
    return score, slot_marks(generation, score.marks, model.backbone.decode)


class _Follower:
    """Slots of a response as its tokens come: the same ones, in the same order, as in the end."""

    def __init__(self, model: LatentModel, prompt: str) -> None:
        self._model = model
        ids = model.backbone.encode(prompt)
        self._stream = SlotStream(model.placement, len(ids))
        self.prompt_slots = [slot for token_id in ids for slot in self.slots_of(token_id)]

    def slots_of(self, token_id: int) -> list[SlotView]:
        """The latents that stand before a verbal token, and itself."""
        slots = [*self._stream.look_ahead(), *self._stream.push(token_id)]
        text, layout = self._model.backbone.token_text, self._model.placement.layout
        return list(view_slots(slots, layout, text))


def fitting(model: LatentModel, intervention: Intervention) -> tuple[Intervention, tuple[str, ...]]:
    """The parts of an intervention that can be applied to a model, and why the others cannot.

    A part does not fit if it names a group, latent, layer or head that the model lacks.
    """
    fits: Intervention = NOTHING
    left_out: list[str] = []
    for part in intervention.parts:
        try:
            with (fits & part).on(model):
                pass
        except LatentError as error:
            left_out.append(f"{part} is left out here: {error}")
        else:
            fits = fits & part
    return fits, tuple(left_out)


def asks_for_examples(intervention: Intervention) -> bool:
    """Whether it gives latents the states of other examples, so that it needs to know the task."""
    return any(
        isinstance(part, Patch) and part.by in ("example", "mean") for part in intervention.parts
    )


def without_examples(
    fits: Intervention, left_out: tuple[str, ...], why: str
) -> tuple[Intervention, tuple[str, ...]]:
    """The parts that do without other examples; and the others beside those left out, with why."""
    kept: Intervention = NOTHING
    for part in fits.parts:
        if asks_for_examples(part):
            left_out = (*left_out, f"{part} is left out here: {why}")
        else:
            kept = kept & part
    return kept, left_out


def slot_marks(
    generation: Generation, marks: Sequence[Mark], decode: Callable[[Sequence[int]], str]
) -> tuple[SlotMark, ...]:
    """The verifier's marks of a response, which are stretches of characters, on its slots.

    A token with a character in a wrong stretch is wrong, else one with a character in a right
    stretch is right. Latents and prompt tokens have no mark.

    Args:
        generation: the response.
        marks: spans of `generation.text`.
        decode: ids to text; what it leaves out, as it does special tokens, has no mark.
    """
    spans = _spans(generation.response_ids, decode)
    found: list[SlotMark] = []
    verbal = -len(generation.prompt_ids)  # index of the next response token
    for slot in generation.slots:
        mark: SlotMark = ""
        if slot.group is None:
            if verbal >= 0:
                start, end = spans[verbal]
                met = [m.correct for m in marks if m.start < end and start < m.end]
                mark = "" if not met else "right" if all(met) else "wrong"
            verbal += 1
        found.append(mark)
    return tuple(found)


def _spans(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[tuple[int, int]]:
    """Characters of each token in the text of all; parts of an emoji share one."""
    spans = []
    start = 0
    for count in range(1, len(ids) + 1):
        text = decode(ids[:count])
        end = len(text)
        shares = end <= start and decode([ids[count - 1]]) != ""
        spans.append((end - 1, end) if shares else (min(start, end), end))
        start = end
    return spans


def first_difference(clean: Generation, other: Generation) -> int | None:
    """The slot of `other` that holds the first response token that differs; None if none does.

    If `other` ends early, the slot of its last token.
    """
    theirs, ours = clean.response_ids, other.response_ids
    if theirs == ours:
        return None
    common = next(
        (n for n, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b),
        min(len(theirs), len(ours)),
    )
    places = [place for place, slot in enumerate(other.slots) if slot.group is None]
    return places[min(len(other.prompt_ids) + common, len(places) - 1)]


def fingerprint(model: LatentModel) -> str:
    """What a model's responses depend on, backbone aside: layout, vectors and trained maps."""
    found = hashlib.sha256(str(model.layout).encode())
    for weight in (model.tables.rows().detach().float(), *model.trainable_weights().values()):
        found.update(weight.cpu().numpy().tobytes())
    return found.hexdigest()
