"""The attention panel's computations: a capture, and the effect of cutting the same edges.

Both run as jobs, under the session's intervention if that is wanted.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd

from latent_core.analysis.tracing import trace
from latent_core.attention.capture import capture_attention
from latent_core.backbones.attention import attention_shape
from latent_core.errors import BackboneError, SettingError
from latent_core.interventions.base import Intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.running import InterventionWarning, running
from latent_core.models.latent import LatentModel
from latent_core.progress import heartbeat
from workbench.chances import Chance, ChanceChange, Held, slot_chances
from workbench.panels.attention.measures import MEASURES, AttentionMaps, Direction, aligned
from workbench.responses import NOTHING, fitting, without_examples

__all__ = [
    "MOST_BYTES",
    "NEW_TOKENS",
    "Capture",
    "CaptureRequest",
    "CaptureStore",
    "capture",
    "said_of_slots",
    "trace_effects",
]

#: A capture that would keep more than this is refused.
MOST_BYTES: Final = 2_000_000_000
#: Verbal tokens at most in a response that the model generates itself.
NEW_TOKENS: Final = 128
#: Slots that `trace_effects` runs at a time: enough to be quick, few enough to be cancelled.
_SLOTS_AT_ONCE: Final = 1024


@dataclass(frozen=True)
class CaptureRequest:
    """What is to be captured.

    Attributes:
        adapter: name of the model.
        prompt: the text before the response.
        answer: the response that the model reads; None if it generates one.
        intervention: what is done to the model, in text form.
        all_slots: whether attention onto all slots is kept, or onto the latents alone.
        gradient: whether derivatives of the loss are kept, too.
        clean_response: whether a response of its own is generated without the intervention.
        chances: whether the probability of each response token is kept, too.
    """

    adapter: str
    prompt: str
    answer: str | None
    intervention: str = "none"
    all_slots: bool = False
    gradient: bool = False
    clean_response: bool = False
    chances: bool = False

    @property
    def subject(self) -> CaptureRequest:
        """The request apart from what is kept: captures of one subject have the same slots."""
        return replace(self, all_slots=False, gradient=False, chances=False)

    def satisfied_by(self, other: CaptureRequest) -> bool:
        """Whether a capture for `other` holds all that this one needs."""
        return (
            self.subject == other.subject
            and self.all_slots <= other.all_slots
            and self.gradient <= other.gradient
            and self.chances <= other.chances
        )


@dataclass(frozen=True, eq=False)
class Capture:
    """The attention of one model on one text.

    Attributes:
        request: what was asked for.
        maps: the record and its measures.
        response_ids: verbal ids of the response, its end included if it has one.
        response: the same as text.
        applied: the intervention, without the parts that do not fit the model.
        notes: the parts of the intervention that do not fit, or that it changed nothing.
        chances: of each slot that holds a response token, if they were asked for, or if latents
            are computed; and what each of these holds.
    """

    request: CaptureRequest
    maps: AttentionMaps
    response_ids: tuple[int, ...]
    response: str
    applied: str
    notes: tuple[str, ...]
    chances: tuple[Chance | Held | None, ...] = ()


def capture(
    model: LatentModel,
    request: CaptureRequest,
    measure: str,
    direction: Direction,
    known: Capture | None = None,
) -> Capture:
    """Capture what is asked for.

    Args:
        model: the model that the request names.
        request: what to capture.
        measure, direction: computed as well, if that takes long.
        known: an earlier capture of the same subject, whose response need not be generated again.

    Raises:
        SettingError: if it would not fit in memory.
        PromptError: for a prompt that is empty or too long.
    """
    if known is not None and request.satisfied_by(known.request):
        known.maps.prepare(measure, direction)
        return known
    change, left_out = fitting(model, parse_intervention(request.intervention))
    why = "attention is of one text, which has no other example; the playground shows its response"
    change, left_out = without_examples(change, left_out, why)
    ids: list[int] | None = None
    if known is not None and known.request.subject == request.subject:
        ids = list(known.response_ids)
    elif request.answer is not None:
        ids = model.backbone.encode_response(request.answer, prompt=request.prompt)
    elif request.clean_response:
        _check_size(model, request, measure)
        ids = _generated(model, request.prompt)
    with _under(model, change) as notes:
        if ids is None:
            _check_size(model, request, measure)
            ids = _generated(model, request.prompt)
        _check_size(model, request, measure, ids)
        heartbeat()
        record = capture_attention(
            model,
            request.prompt,
            ids,
            of="all" if request.all_slots else "latents",
            gradient="loss" if request.gradient else None,
        )
        heartbeat()
        chances: tuple[Chance | Held | None, ...] = ()
        if request.chances or model.placement.layout.computed:
            chances = slot_chances(model, request.prompt, record.slots, ids)
    maps = AttentionMaps(record)
    maps.prepare(measure, direction)
    text = model.backbone.decode(ids) if request.answer is None else request.answer
    return Capture(request, maps, tuple(ids), text, str(change), (*left_out, *notes), chances)


def _generated(model: LatentModel, prompt: str) -> list[int]:
    (own,) = model.generate(prompt, max_new_tokens=NEW_TOKENS, return_details=True)
    return list(own.response_ids)


def said_of_slots(found: Sequence[Capture], changes: bool) -> list[ChanceChange | Held | None]:
    """What stands under each slot that all captures have, in small.

    Args:
        found: one capture, or two of which the second is subtracted from the first.
        changes: whether they are of one text, changed and clean.

    Returns:
        how the intervention changes the chance of each token, or what each computed latent holds;
        empty for neither.
    """
    if not changes:
        alone = found[0].chances if len(found) == 1 else ()
        return [one if isinstance(one, Held) else None for one in alone]
    changed, clean = found
    one, other, _ = aligned(changed.maps, clean.maps)
    pairs = [
        (changed.chances[a], clean.chances[b])
        for a, b in zip(one.places, other.places, strict=True)
    ]
    return [
        ChanceChange(a, b) if isinstance(a, Chance) and isinstance(b, Chance) else None
        for a, b in pairs
    ]


def trace_effects(model: LatentModel, captured: Capture, direction: Direction) -> pd.DataFrame:
    """Cut the direction's edges of each latent group in each layer, all heads together.

    Returns:
        the frame of `latent_core.trace`, for each group that the example holds. For edges from
        latents onto text, `group` is the one whose queries were cut.
    """
    record = captured.maps.record
    pair = (captured.request.prompt, captured.response)
    batch_size = max(1, _SLOTS_AT_ONCE // len(record.slots))
    if direction.target == "latent":
        queries = "verbal" if direction.source == "text" else "latents"
        sweeps: list[tuple[str, list[str], str | None]] = [(queries, list(record.groups), None)]
    else:
        sweeps = [(group, ["verbal"], group) for group in record.groups]
    frames = []
    with _under(model, parse_intervention(captured.applied)), warnings.catch_warnings():
        warnings.simplefilter("ignore", InterventionWarning)  # the column `edges` says the same
        for queries, groups, name in sweeps:
            frame = trace(model, pair, groups=groups, queries=queries, batch_size=batch_size)
            frames.append(frame if name is None else frame.assign(group=name))
    return pd.concat(frames, ignore_index=True)


class CaptureStore:
    """The latest capture of each subject, and the effects that were measured of it."""

    def __init__(self) -> None:
        self._captures: dict[CaptureRequest, Capture] = {}  # by subject, newest last
        self._effects: dict[tuple[CaptureRequest, str], pd.DataFrame] = {}

    def find(self, request: CaptureRequest, measure: str) -> Capture | None:
        """A capture that holds what is requested, with the measure computed."""
        found = self._captures.get(request.subject)
        if found is None or not request.satisfied_by(found.request):
            return None
        return found if found.maps.is_prepared(measure) else None

    def widened(self, request: CaptureRequest) -> tuple[CaptureRequest, Capture | None]:
        """The request with all that is kept of its subject, so that nothing is lost; and that."""
        known = self._captures.get(request.subject)
        if known is None:
            return request, None
        return replace(
            request,
            all_slots=request.all_slots or known.request.all_slots,
            gradient=request.gradient or known.request.gradient,
            chances=request.chances or known.request.chances,
        ), known

    def keep(self, found: Iterable[Capture], subjects: Iterable[CaptureRequest]) -> None:
        """Keep what was found, and of all captures only those of these subjects."""
        for one in found:
            self._captures.pop(one.request.subject, None)
            self._captures[one.request.subject] = one
        wanted = set(subjects)
        self._captures = {k: v for k, v in self._captures.items() if k in wanted}
        self._effects = {k: v for k, v in self._effects.items() if k[0] in wanted}

    def effects(self, request: CaptureRequest, direction: str) -> pd.DataFrame | None:
        """The effects of cutting a direction's edges, if they were measured."""
        return self._effects.get((request.subject, direction))

    def keep_effects(self, request: CaptureRequest, direction: str, effects: pd.DataFrame) -> None:
        """Keep the effects of cutting a direction's edges."""
        self._effects[request.subject, direction] = effects

    def clear(self) -> None:
        """Forget everything."""
        self._captures.clear()
        self._effects.clear()


@contextlib.contextmanager
def _under(model: LatentModel, change: Intervention) -> Iterator[list[str]]:
    """Put the model under an intervention; yields the intervention's notes, complete at the end."""
    notes: list[str] = []
    if change == NOTHING:
        yield notes
        return
    with running(model, change.apply, str(change), notes.append):
        yield notes


def _check_size(
    model: LatentModel, request: CaptureRequest, measure: str, response_ids: Sequence[int] = ()
) -> None:
    """Refuse what does not fit, before a response is generated and again when it is there."""
    slots = model.place(model.backbone.encode(request.prompt), list(response_ids)).slots
    try:
        shape = attention_shape(model.backbone)
    except BackboneError:
        return  # `capture_attention` explains what this family cannot do
    keys = len(slots) if request.all_slots else sum(slot.is_latent for slot in slots)
    kept = len(shape.layers) * shape.heads * len(slots) * keys * 4 * (1 + request.gradient)
    if kept > MOST_BYTES:
        remedy = "choose a shorter example"
        if MEASURES[measure].all_slots or MEASURES[measure].gradient:
            remedy = "choose the measure raw, or a shorter example"
        elif request.all_slots:
            remedy = (
                "look from text to latents without 'Show all slots', or choose a shorter example"
            )
        raise SettingError(
            f"attention of {len(slots)} slots onto {keys} would take {kept / 1e9:.1f} GB, more "
            f"than {MOST_BYTES / 1e9:.0f} GB; {remedy}"
        )
