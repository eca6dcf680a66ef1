"""What the playground shows: one side with its responses, and the text of a slot's card.

A side has a model, its clean response, and its response under the intervention.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import ipywidgets as widgets

from latent_core.errors import LatentError
from latent_core.generation.generate import Generation
from latent_core.models.latent import LatentModel
from latent_core.slots.views import SlotView, view_slots
from latent_core.wording import counted
from workbench.chances import Chance, Held
from workbench.panels.base import Panel
from workbench.panels.choosers import AdapterChooser
from workbench.panels.playground.work import KINDS, ResponseKind, SlotFacts
from workbench.pictures.slots import SlotStrip
from workbench.responses import Response, SlotMark, first_difference
from workbench.widgets.slot_card import CardText
from workbench.widgets.text_line import TextLine
from workbench.widgets.token_strip import TokenStrip

__all__ = [
    "ResponseView",
    "VerdictLine",
    "change_line",
    "latent_card",
    "verbal_card",
    "verdict_line",
    "waiting_card",
]


class VerdictLine(NamedTuple):
    """The text above a strip."""

    text: str
    kind: Literal["", "good", "bad"]


class ResponseView(widgets.VBox):
    """A dropdown over the session's models, and two strips, each under its verdict.

    Attributes:
        side: `A` or `B`.
        adapter: the dropdown.
        strips: the clean response's, and the one under the intervention, which is hidden without.
        trained: a note if the adapter was trained on another task than the session's.
        lines: the verdict above each strip.
        note: the parts of the intervention that do not fit this side.
        shown: the slots that each strip shows.
    """

    def __init__(
        self, panel: Panel, side: str, chosen: Callable[[str, ResponseKind, int], None]
    ) -> None:
        """`chosen` is called with side, kind and the index of the selected slot, or -1."""
        self.side, self._session, self._trait = side, panel.session, f"adapter_{side.lower()}"
        chosen_side: Literal["a", "b"] = "a" if side == "A" else "b"
        self.adapter = AdapterChooser(panel.session, chosen_side, panel.safely, width="auto")
        self.trained = TextLine(quiet=True)
        self.lines = {kind: TextLine() for kind in KINDS}
        self.strips: dict[ResponseKind, TokenStrip] = {
            "clean": TokenStrip(label=f"{side}: prompt and response"),
            "changed": TokenStrip(label=f"{side}: prompt and response under the intervention"),
        }
        self.note = TextLine(quiet=True)
        self.shown: dict[ResponseKind, list[SlotView]] = {kind: [] for kind in KINDS}
        self.colours: Mapping[str, str] = {}
        super().__init__(
            [
                self.adapter,
                self.trained,
                self.lines["clean"],
                self.strips["clean"],
                self.note,
                self.lines["changed"],
                self.strips["changed"],
            ],
            layout={"flex": "1 1 320px", "min_width": "0"},
        )
        for kind in KINDS:
            strip = self.strips[kind]
            panel.on(strip, "selected", functools.partial(chosen, side, kind))
        panel.follow(self._show_trained, "task", self._trait)

    def expect(
        self, model: LatentModel, prompt: str, colours: Mapping[str, str], changed: bool
    ) -> None:
        """Show where latents go in a prompt without a response.

        Args:
            model: of this side.
            prompt: the prompt.
            colours: by latent group.
            changed: whether an intervention is set, so that there will be two responses.
        """
        self.colours = colours
        self.note.say("")
        for kind in KINDS:
            self.strips[kind].streaming = False
            self.strips[kind].selected = -1
        line = self.lines["clean"]
        try:
            views = _placed(model, prompt)
        except LatentError as error:
            views = []
            line.say(str(error), "error" if prompt else "")
        else:
            line.say("Press 'Generate responses'.")
        self._show("clean", views, -1)
        if changed:
            self.lines["changed"].say("")
            self._show("changed", [], -1)
        else:
            self.hide_change()

    def hide_change(self) -> None:
        """Hide the second strip, which shows the response under an intervention."""
        for part in (self.strips["changed"], self.lines["changed"]):
            part.layout.display = "none"
        self.strips["changed"].selected = -1

    def wait(self, line: str) -> None:
        """Say which job a response waits for."""
        self.lines["clean"].say(f"{line} …")

    def begin(self, kind: ResponseKind, intervention: str, slots: Sequence[SlotView]) -> None:
        """Begin a response: show the slots of its prompt."""
        strip = self.strips[kind]
        for part in (strip, self.lines[kind]):
            part.layout.display = None
        strip.streaming = True
        self.lines[kind].say(
            f"with {intervention}\nGenerating …" if intervention else "Generating …"
        )
        self._show(kind, slots, len(slots))

    def add(self, kind: ResponseKind, slots: Sequence[SlotView]) -> None:
        """Add slots to a response."""
        self.shown[kind] += slots
        self.strips[kind].add(slots)

    def stop(self, line: str, answered: bool) -> None:
        """Mark unfinished responses; `answered` says whether the clean response is complete."""
        for kind in KINDS:
            if self.strips[kind].streaming or (kind == "clean" and not answered):
                self.lines[kind].say(line, "note")
            self.strips[kind].streaming = False

    def finish(self, clean: Response, changed: Response | None) -> None:
        """Show responses and verdicts."""
        self._finish("clean", clean)
        self.lines["clean"].say(*verdict_line(clean))
        self.note.say("")
        if changed is None:
            self.hide_change()
            return
        self.note.say("\n".join(changed.left_out), "note" if changed.left_out else "")
        if changed.intervention == "none":  # nothing of it fits this side
            self.hide_change()
            return
        self._finish("changed", changed)
        difference = first_difference(clean.generation, changed.generation)
        self.strips["changed"].flagged = -1 if difference is None else difference
        self.lines["changed"].say(*change_line(clean, changed))
        for part in (self.strips["changed"], self.lines["changed"]):
            part.layout.display = None

    @property
    def shows_change(self) -> bool:
        """Whether a response under the intervention is shown."""
        return self.strips["changed"].layout.display != "none"

    def _finish(self, kind: ResponseKind, response: Response) -> None:
        generation = response.generation
        bar = SlotStrip.of(generation).bar
        self._show(kind, generation.slots, bar, response.marks, response.chances)
        self.strips[kind].streaming = False

    def _show(
        self,
        kind: ResponseKind,
        slots: Sequence[SlotView],
        prompt_length: int,
        marks: Sequence[SlotMark] = (),
        chances: Sequence[Chance | Held | None] = (),
    ) -> None:
        strip = self.strips[kind]
        self.shown[kind] = list(slots)
        strip.flagged = -1
        strip.prompt_length = prompt_length
        strip.show(slots, marks, self.colours, chances)

    def _show_trained(self) -> None:
        task = self._session.task.name
        trained_on = self._session.trained_on.get(getattr(self._session, self._trait), task)
        same = trained_on == task
        self.trained.say(
            "" if same else f"Trained on {trained_on}; the prompt is from {task}.", "note"
        )


def _placed(model: LatentModel, prompt: str) -> list[SlotView]:
    """The slots of a prompt alone. The model itself may be in use by a job, under a change."""
    backbone, layout = model.backbone, model.layout
    slots = backbone.place(layout).insert(backbone.encode(prompt)).slots
    return list(view_slots(slots, layout, backbone.token_text))


def verdict_line(response: Response) -> VerdictLine:
    """The verdict, length and time of a response."""
    generation = response.generation
    tokens = len(generation.response_ids)
    cost = f"{counted(tokens, 'token')} in {response.seconds:.1f} s"
    if not generation.finished:
        cost += ", stopped at max new tokens"
    if response.score is None:
        return VerdictLine(f"typed prompt, not graded · {cost}", "")
    exact = "exact" if response.score.exact else "not exact"
    line = f"{exact} · graded {response.score.graded:.2f} · {cost}"
    return VerdictLine(line, "good" if response.score.exact else "bad")


def change_line(clean: Response, changed: Response) -> VerdictLine:
    """The verdict of a response under an intervention, and its difference from the clean one."""
    line, kind = verdict_line(changed)
    if clean.score is not None and changed.score is not None:
        was, now = clean.score.graded, changed.score.graded
        line = line.replace(f"graded {now:.2f}", f"graded {was:.2f} → {now:.2f}")
    line = f"with {changed.intervention}\n{line} · {_difference(clean.generation, changed)}"
    return VerdictLine(f"{line}\n{changed.note}" if changed.note else line, kind)


def _difference(clean: Generation, changed: Response) -> str:
    ours, theirs = changed.generation.response_ids, clean.response_ids
    if ours == theirs:
        return "the same response"
    same = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    if same is None:
        how = "shorter" if len(ours) < len(theirs) else "longer"
        return f"{how}; the first {min(len(ours), len(theirs))} tokens are equal (≠)"
    return f"differs from token {same + 1} on (≠)"


def verbal_card(slot: SlotView, where: str) -> CardText:
    """The card of a verbal token; `where` says in which response it stands."""
    ids = f"token id {slot.token_id}, position id {slot.position_id}"
    return CardText(f"verbal token, {where}", [f"text {slot.label!r}", ids])


def waiting_card(slot: SlotView, where: str, colour: str) -> CardText:
    """The card of a latent whose facts are being computed."""
    occurrence = f"occurrence {(slot.occurrence or 0) + 1}, position id {slot.position_id}"
    return CardText(
        f"latent of group {slot.group}, {where}",
        [occurrence],
        chip=slot.label,
        colour=colour,
        hint="Computing …",
    )


def latent_card(facts: SlotFacts, where: str, colour: str) -> CardText:
    """The card of a latent."""
    slot, norm = facts.slot, facts.norm
    lines = []
    if "share_shorter" in norm:
        lines.append(
            f"norm {norm['norm']:.3g}: {norm['ratio']:.2g} times the vocabulary's median of "
            f"{norm['vocabulary_median']:.3g}, larger than the norm of "
            f"{norm['share_shorter']:.0%} of the tokens"
        )
    elif "filling" in norm:
        lines.append(
            f"computed by {norm['filling']}, norm {norm['norm']:.3g}: "
            f"{norm['norm'] / norm['vocabulary_median']:.2g} times the vocabulary's median"
        )
    if facts.trained != slot.label:
        lines.append(f"uses the vector of {facts.trained}")
    layers = facts.lens.sort_values("rank").groupby("layer")
    pairs = [
        (int(layer), list(zip(rows.token, map(float, rows.probability), strict=True)))
        for layer, rows in layers
    ]
    cosines = map(float, facts.nearest["cosine"])
    start = waiting_card(slot, where, colour)
    return replace(
        start,
        facts=[*start.facts, *lines],
        nearest=list(zip(facts.nearest["token"], cosines, strict=True)),
        predicted=list(
            zip(facts.predicted["token"], map(float, facts.predicted["value"]), strict=True)
        )
        if len(facts.predicted)
        else [],
        lens=pairs,
        hint="" if pairs else "No logit lens: tokenized again, the text has no such slot.",
    )
