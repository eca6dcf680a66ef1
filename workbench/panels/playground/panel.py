"""The playground: responses of A and B to one prompt, clean and under the intervention.

    session = Session("smollm2-135m", adapters=["Start_2", "End_2"])
    Playground(session)

Decoding is greedy, so a prompt has one response. For sampling, use `LatentModel.generate`.
"""

from __future__ import annotations

import queue
from typing import Final, final

import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import SettingError
from latent_core.interventions.base import Intervention
from latent_core.interventions.kinds import parse_intervention
from workbench.jobs import Job
from workbench.panels.base import Panel
from workbench.panels.controls import Evaluating, checkbox, row
from workbench.panels.over_examples import over_examples_table
from workbench.panels.playground.example_picker import ExamplePicker
from workbench.panels.playground.intervention_controls import InterventionControls
from workbench.panels.playground.view import (
    ResponseView,
    change_line,
    latent_card,
    verbal_card,
    verdict_line,
    waiting_card,
)
from workbench.panels.playground.work import (
    KINDS,
    SIDES,
    Answerer,
    Answers,
    FactFinder,
    NewSlots,
    Question,
    ResponseKind,
    SlotFacts,
    playground_code,
)
from workbench.pictures.slots import SlotStrip, member_of
from workbench.pictures.still import slots_figure
from workbench.pictures.theme import colours_of
from workbench.session import Session
from workbench.widgets.slot_card import SlotCard
from workbench.widgets.status_line import standing
from workbench.widgets.visibility import Visibility

__all__ = ["Playground"]

#: Backbones of up to so many weights generate on every change.
_AUTO_WEIGHTS: Final = 500_000_000


@final
class Playground(Panel):
    """Generate with A and B side by side, inspect latents, and intervene on them.

    Attributes:
        picker: task, split, level, example and prompt.
        controls: the intervention.
        generate_button: generates the responses.
        auto: whether a new example, adapter or intervention is answered without the button, when
            the panel is in view.
        positions: whether position ids stand under the slots.
        views: by side, the adapter and its responses.
        card: facts about the selected slot.
        evaluating: answers many examples of the chosen split.
        answers: by side and kind (`clean`, `changed`), the responses that are shown.
    """

    title = "Playground"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.answers: Answers = {}
        self._due = False  # whether something is not answered since the panel was out of view
        self._asked: Question | None = None  # the latest question
        self._job: Job | None = None  # and the job that answers it
        self._answered: Question | None = None  # what `answers` answers
        self._shown_change = "none"  # the intervention whose answer was shown last
        self._answerer = Answerer()
        self._facts = FactFinder()
        self.picker = ExamplePicker(self)
        self.controls = InterventionControls(self)
        self.generate_button = self.button(
            "Generate responses",
            self.generate,
            "Generate the responses of A and B to the prompt",
            button_style="primary",
        )
        weights = sum(weight.numel() for weight in session.backbone.model.parameters())
        self.auto = checkbox(
            "Generate on every change",
            "Generate again when the example, an adapter or the intervention changes",
            weights <= _AUTO_WEIGHTS,
        )
        self.evaluating = Evaluating(
            self, "Evaluate over examples", lambda: [self.picker.split.value]
        )
        self.positions = checkbox("Show position ids", "Show the position id under each slot", True)
        self.views = {side: ResponseView(self, side, self._choose_slot) for side in SIDES}
        self.card = SlotCard()
        self.visibility = Visibility()
        self.on(self.visibility, "seen", self._look)
        self.on(self.positions, "value", self._show_positions)
        self.follow(self._expect, "prompt", "example", "task", "adapter_a", "adapter_b")
        self._follow_at_once("example", "adapter_a", "adapter_b", "intervention")
        self.build(
            self.visibility,
            self.picker,
            self.controls,
            row(
                self.generate_button,
                self.auto,
                self.positions,
                margin="0 0 0 96px",  # in line with the fields above
            ),
            row(*self.views.values(), align_items="flex-start", grid_gap="8px 24px"),
            self.card,
            self.evaluating,
        )
        self._due = bool(session.prompt)  # nothing is answered yet

    # --- generating -------------------------------------------------------------------------------

    def generate(self) -> Job | None:
        """Generate the responses of A and B to the session's prompt; None if there is no prompt.

        A second call with the same question returns the same job; with another question, it stops
        the first job.
        """
        if not self.session.prompt:
            self.status.say("Type a prompt, or choose an example")
            return None
        self._due = False
        question = self._wanted()
        if question == self._asked and self._job is not None and self._job.active:
            return self._job
        self._asked = question
        news: queue.SimpleQueue[NewSlots] = queue.SimpleQueue()

        def watch(job: Job) -> None:
            if job.state == "queued" and self._asked is question and not self.answers:
                for view in self.views.values():
                    view.wait(standing(job))
            while not news.empty():
                self._hear(question, news.get())
            if self._asked is question and job.state in ("cancelled", "failed"):
                for side, view in self.views.items():
                    done = (side, "clean") in self.answers
                    view.stop(
                        "Cancelled" if job.state == "cancelled" else "Failed: see below", done
                    )

        job = self.start(
            lambda: self._answerer.answer(question, news.put),
            lambda answers: self._finish(question, answers),
            replace=True,
            watch=watch,
        )
        self._job = job
        return job

    def _look(self, seen: bool) -> None:
        """Answer what nobody has seen an answer to, once somebody looks."""
        if seen and self._due and self.auto.value and self._answered != self._wanted():
            self.generate()

    def prepare(self) -> None:
        """See `Panel.prepare`."""
        if self._answered != self._wanted() and (job := self.generate()) is not None:
            self.session.jobs.settle(job)

    def _wanted(self) -> Question:
        return Question.of(self.session, int(self.picker.limit.value))

    def _hear(self, question: Question, news: NewSlots) -> None:
        if self._asked is not question or self._answered is question:
            return  # `prepare` holds the loop, so these arrive after the finished responses
        view = self.views[news.side]
        if news.first:
            name = str(question.intervention) if news.kind == "changed" else ""
            view.begin(news.kind, name, news.slots)
        else:
            view.add(news.kind, news.slots)

    def _finish(self, question: Question, answers: Answers) -> None:
        if self._asked is not question:
            return
        self._answered, self.answers = question, answers
        for side, view in self.views.items():
            view.colours = self._colours()
            view.finish(answers[side, "clean"], answers.get((side, "changed")))
            for kind, strip in view.strips.items():
                if strip.selected >= 0:
                    self._choose_slot(side, kind, strip.selected)
        if wrong := _fits_nowhere(question.intervention, answers):
            self.controls.say(wrong)
        change, self._shown_change = self._shown_change, str(question.intervention)
        if change != self._shown_change and self.visibility.seen:
            self._reveal_change()

    def _reveal_change(self) -> None:
        """Scroll to what a new intervention has changed."""
        for view in self.views.values():
            if view.shows_change:
                self.reveal(view.strips["changed"])
                return

    def _follow_at_once(self, *traits: str) -> None:
        def changed(change: object) -> None:
            if self.auto.value and self.session.prompt:
                if self.visibility.seen:
                    self.generate()
                else:
                    self._due = True
            elif self.session.intervention == "none":
                for view in self.views.values():
                    view.hide_change()

        self.session.observe(self.safely(changed), list(traits))

    def _expect(self) -> None:
        """Remove the responses and their error: they belong to another prompt or adapter."""
        if self._job is not None:
            self._job.cancel()
            if self._job.state == "failed":
                self.status.say("")
        self._asked = self._answered = None
        self.answers = {}
        self.card.clear()
        for view, model in zip(
            self.views.values(), (self.session.model_a, self.session.model_b), strict=True
        ):
            changed = self.session.intervention != "none"
            view.expect(model, self.session.prompt, self._colours(), changed)

    def _colours(self) -> dict[str, str]:
        """By group: the same colour in A, in B and in models that are added later."""
        models = self.session.models.values()
        names = [group.name for model in models for group in model.layout.groups]
        for view in self.views.values():
            for slots in view.shown.values():
                names += [slot.group for slot in slots if slot.group is not None]
        return colours_of(names)

    # --- slots ------------------------------------------------------------------------------------

    def _show_positions(self, shown: bool) -> None:
        for view in self.views.values():
            for strip in view.strips.values():
                strip.show_positions = shown

    def _choose_slot(self, side: str, kind: ResponseKind, index: int) -> None:
        """Show the card of a slot that was clicked, and deselect those of other strips."""
        view, answer = self.views[side], self.answers.get((side, kind))
        if index < 0 or index >= len(view.shown[kind]):
            if not any(s.selected >= 0 for v in self.views.values() for s in v.strips.values()):
                self.card.clear()
            return
        for other in self.views.values():
            for strip in other.strips.values():
                if strip is not view.strips[kind]:
                    strip.selected = -1
        slot = view.shown[kind][index]
        where = f"in {side}, {view.adapter.value}"
        intervention = parse_intervention("none")
        if kind == "changed" and answer is not None:
            where += f", with {answer.intervention}"
            intervention = parse_intervention(answer.intervention)
        if slot.group is None:
            self.card.show(verbal_card(slot, where))
            return
        model = self.session.model_a if side == "A" else self.session.model_b
        colour = view.strips[kind].colours[slot.group]
        response = None if answer is None else answer.generation.text
        prompt = self.session.prompt
        self.card.show(waiting_card(slot, where, colour))

        def show(facts: SlotFacts) -> None:
            if view.strips[kind].selected == index:
                self.card.show(latent_card(facts, where, colour))

        self.start(
            lambda: self._facts.find(model, slot, prompt, response, intervention),
            show,
            key="card",
            replace=True,
        )

    # --- exports ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row per slot, side and kind (`clean`, or `changed` by the intervention).

        Columns: side, adapter, kind, intervention, slot, part (prompt or response), text, group,
        member, occurrence (0-based), position_id, token_id, mark.

        Raises:
            SettingError: before anything was generated.
        """
        question = self._shown()
        rows = []
        for (side, kind), answer in self.answers.items():
            generation = answer.generation
            length = SlotStrip.of(generation).bar
            pairs = zip(generation.slots, answer.marks, strict=True)
            for number, (slot, mark) in enumerate(pairs):
                rows.append(
                    {
                        "side": side,
                        "adapter": question.adapters[SIDES.index(side)],
                        "kind": kind,
                        "intervention": answer.intervention,
                        "slot": number,
                        "part": "prompt" if number < length else "response",
                        "text": slot.label,
                        "group": slot.group,
                        "member": member_of(slot),
                        "occurrence": slot.occurrence,
                        "position_id": slot.position_id,
                        "token_id": slot.token_id,
                        "mark": mark,
                    }
                )
        whole = ["member", "occurrence", "token_id"]
        return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))

    def readable(self) -> dict[str, pd.DataFrame]:
        """See `Panel.readable`: accuracy over examples, if it is shown."""
        found = self.evaluating.found
        return {"Over examples": over_examples_table(found)} if found else {}

    def picture(self) -> Figure:
        """All strips, each under its verdict.

        Raises:
            SettingError: before anything was generated.
        """
        question = self._shown()
        strips = []
        for number, side in enumerate(SIDES):
            clean = self.answers[side, "clean"]
            for kind in KINDS:
                answer = self.answers.get((side, kind))
                if answer is None or (kind == "changed" and answer.intervention == "none"):
                    continue
                line = verdict_line(answer) if kind == "clean" else change_line(clean, answer)
                strips.append(
                    SlotStrip(
                        answer.generation.slots,
                        len(answer.generation.prompt_ids),
                        f"{side}, {question.adapters[number]}: {line.text}",
                        answer.marks,
                        self.views[side].strips[kind].flagged,
                        self._colours(),
                    )
                )
        title = f"{question.adapters[0]} and {question.adapters[1]} on {self.session.backbone.name}"
        return slots_figure(title, strips)

    def code(self) -> str:
        """Python that generates the responses that are shown, and scores them."""
        question = self._shown()
        return playground_code(self.session, question, self.answers, self.evaluating.found)

    def _shown(self) -> Question:
        if self._answered is None:
            raise SettingError("nothing has been generated yet; press 'Generate responses'")
        return self._answered


def _fits_nowhere(intervention: Intervention, answers: Answers) -> str:
    """The parts of the intervention that fit neither A nor B, and why."""
    changed = [answers[side, "changed"] for side in SIDES if (side, "changed") in answers]
    applied = {part for answer in changed for part in parse_intervention(answer.intervention).parts}
    nowhere = [str(part) for part in intervention.parts if part not in applied]
    return "\n".join(
        why for part in nowhere for why in changed[0].left_out if why.startswith(f"{part} is ")
    )
