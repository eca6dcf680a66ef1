"""What the attention panel asks of a model: a capture, and the effect of cutting the same edges.

Both run as jobs, under the session's intervention if that is wanted. Knows no widgets.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd

from latent_core.analysis.tracing import trace
from latent_core.attention.capture import capture_attention
from latent_core.attention.hooks import attention_shape
from latent_core.errors import BackboneError, SettingError
from latent_core.interventions.base import Intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.running import InterventionWarning, running
from latent_core.models.latent import LatentModel
from latent_core.progress import heartbeat
from workbench.panels.attention.data import Captured, Direction
from workbench.responses import NOTHING, fitting

__all__ = ["MOST_BYTES", "OWN_TOKENS", "Request", "Taken", "capture", "trace_effects"]

#: A capture that would keep more than this is refused.
MOST_BYTES: Final = 2_000_000_000
#: Verbal tokens that a model may write where it answers itself.
OWN_TOKENS: Final = 128
#: Slots that `trace_effects` runs at a time: enough to be quick, few enough to be cancelled.
_SLOTS_AT_ONCE: Final = 1024


@dataclass(frozen=True)
class Request:
    """What is to be captured.

    Attributes:
        adapter: name of the model.
        prompt: what it is asked.
        answer: the response that it is given to read; None: its own.
        intervention: what is done to it, in text form.
        all_slots: whether attention onto all slots is kept, or onto the latents alone.
        gradient: whether derivatives of the loss are kept, too.
    """

    adapter: str
    prompt: str
    answer: str | None
    intervention: str = "none"
    all_slots: bool = False
    gradient: bool = False

    @property
    def subject(self) -> Request:
        """The same without what is kept: captures of one subject have the same slots."""
        return replace(self, all_slots=False, gradient=False)

    def satisfied_by(self, other: Request) -> bool:
        """Whether a capture for `other` holds all that this one needs."""
        return (
            self.subject == other.subject
            and self.all_slots <= other.all_slots
            and self.gradient <= other.gradient
        )


@dataclass(frozen=True, eq=False)
class Taken:
    """A capture and what it was for.

    Attributes:
        request: what was asked for.
        captured: what was found.
        response_ids: verbal ids of the response, its end included if it has one.
        response: the same as text.
        applied: the intervention, without the parts that do not fit the model.
        notes: which parts of the intervention do not fit the model, or that it changed nothing.
    """

    request: Request
    captured: Captured
    response_ids: tuple[int, ...]
    response: str
    applied: str
    notes: tuple[str, ...]


def capture(
    model: LatentModel,
    request: Request,
    measure: str,
    direction: Direction,
    known: Taken | None = None,
) -> Taken:
    """Capture what is asked for.

    Args:
        model: the model that the request names.
        request: what to capture.
        measure, direction: computed as well, if it takes long.
        known: an earlier capture of the same subject, whose response need not be written again.

    Raises:
        SettingError: if it would not fit in memory.
        PromptError: for a prompt that is empty or too long.
    """
    if known is not None and request.satisfied_by(known.request):
        known.captured.prepare(measure, direction)
        return known
    change, left_out = fitting(model, parse_intervention(request.intervention))
    with _under(model, change) as notes:
        if known is not None and known.request.subject == request.subject:
            ids = list(known.response_ids)
        elif request.answer is None:
            (own,) = model.generate(request.prompt, max_new_tokens=OWN_TOKENS, return_details=True)
            ids = list(own.response_ids)
        else:
            ids = model.backbone.encode_response(request.answer)
        _check_size(model, request, ids)
        heartbeat()
        record = capture_attention(
            model,
            request.prompt,
            ids,
            of="all" if request.all_slots else "latents",
            gradient="loss" if request.gradient else None,
        )
        heartbeat()
    captured = Captured(record)
    captured.prepare(measure, direction)
    text = model.backbone.decode(ids) if request.answer is None else request.answer
    return Taken(request, captured, tuple(ids), text, str(change), (*left_out, *notes))


def trace_effects(model: LatentModel, taken: Taken, direction: Direction) -> pd.DataFrame:
    """Cut the direction's edges of each latent group in each layer, all heads together.

    Returns:
        what `latent_core.trace` gives, for each group that the example holds. For edges from
        latents onto text, `group` is the one whose queries were cut.
    """
    record = taken.captured.record
    pair = (taken.request.prompt, taken.response)
    batch_size = max(1, _SLOTS_AT_ONCE // len(record.slots))
    if direction.target == "latent":
        queries = "verbal" if direction.source == "text" else "latents"
        sweeps: list[tuple[str, list[str], str | None]] = [(queries, list(record.groups), None)]
    else:
        sweeps = [(group, ["verbal"], group) for group in record.groups]
    frames = []
    with _under(model, parse_intervention(taken.applied)), warnings.catch_warnings():
        warnings.simplefilter("ignore", InterventionWarning)  # `edges` says the same
        for queries, groups, name in sweeps:
            frame = trace(model, pair, groups=groups, queries=queries, batch_size=batch_size)
            frames.append(frame if name is None else frame.assign(group=name))
    return pd.concat(frames, ignore_index=True)


@contextlib.contextmanager
def _under(model: LatentModel, change: Intervention) -> Iterator[list[str]]:
    """The model under an intervention; yields what that says of itself, once it is left."""
    notes: list[str] = []
    if change == NOTHING:
        yield notes
        return
    with running(model, change.apply, str(change), notes.append):
        yield notes


def _check_size(model: LatentModel, request: Request, response_ids: list[int]) -> None:
    slots = model.place(model.backbone.encode(request.prompt), response_ids).slots
    try:
        shape = attention_shape(model.backbone)
    except BackboneError:
        return  # the route without hooks says itself what it cannot do
    keys = len(slots) if request.all_slots else sum(slot.is_latent for slot in slots)
    kept = len(shape.layers) * shape.heads * len(slots) * keys * 4 * (1 + request.gradient)
    if kept > MOST_BYTES:
        raise SettingError(
            f"attention of {len(slots)} slots onto {keys} would take {kept / 1e9:.1f} GB, more "
            f"than {MOST_BYTES / 1e9:.0f} GB; leave 'All slots' off, or take a shorter example"
        )
