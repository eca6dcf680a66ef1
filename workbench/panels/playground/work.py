"""The responses of A and B to one question, in one job: clean first, then under the intervention.

The slots of a response are reported as they are generated, on the worker thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, final

from tqdm import tqdm

from latent_core.evaluation.evaluate import response_limit
from latent_core.interventions.base import Intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.latent import LatentModel
from latent_core.progress import progress_bar
from latent_core.slots.views import SlotView
from latent_core.tasks.base import Example, Task
from workbench.panels.recent import Recent
from workbench.responses import NOTHING, Response, fingerprint, respond
from workbench.session import Session

__all__ = ["KINDS", "SIDES", "Answerer", "Answers", "NewSlots", "Question", "ResponseKind"]

ResponseKind = Literal["clean", "changed"]
KINDS: Final[tuple[ResponseKind, ResponseKind]] = ("clean", "changed")
SIDES: Final = ("A", "B")

#: By side and kind.
Answers = dict[tuple[str, ResponseKind], Response]


@dataclass(frozen=True)
class Question:
    """Everything that the responses of both sides depend on; pairs are of A and of B.

    Attributes:
        adapters: names of the models.
        models: the models.
        prompt: the prompt.
        judge: task and example of the prompt; None if it was typed.
        limits: most new tokens.
        intervention: applied to both models, where it fits.
    """

    adapters: tuple[str, str]
    models: tuple[LatentModel, LatentModel]
    prompt: str
    judge: tuple[Task, Example] | None
    limits: tuple[int, int]
    intervention: Intervention

    @classmethod
    def of(cls, session: Session, typed_limit: int) -> Question:
        """The question of a session; `typed_limit` applies to a typed prompt."""
        models = session.model_a, session.model_b
        task, example = session.task, session.example
        limits = typed_limit, typed_limit
        if example is not None:
            a, b = models
            limits = response_limit(a, task, example), response_limit(b, task, example)
        return cls(
            adapters=(session.adapter_a, session.adapter_b),
            models=models,
            prompt=session.prompt,
            judge=None if example is None else (task, example),
            limits=limits,
            intervention=parse_intervention(session.intervention),
        )


class NewSlots(NamedTuple):
    """Slots that a response has gained; `first`: they are those of its prompt."""

    side: str
    kind: ResponseKind
    slots: Sequence[SlotView]
    first: bool


@final
class Answerer:
    """Generates responses, and remembers the latest."""

    def __init__(self) -> None:
        self._known: Recent[Response] = Recent()

    def answer(self, question: Question, tell: Callable[[NewSlots], None]) -> Answers:
        """Generate all responses to a question.

        Args:
            question: prompt, models and intervention.
            tell: called with new slots; not for a response that is remembered.
        """
        kinds = KINDS if question.intervention.parts else KINDS[:1]
        found: Answers = {}
        with progress_bar(sum(question.limits) * len(kinds), "generate", "token") as bar:
            for kind in kinds:
                for number, side in enumerate(SIDES):
                    bar.set_description(f"{side}, {question.adapters[number]}")
                    end = bar.n + question.limits[number]
                    found[side, kind] = self._respond(question, number, kind, tell, bar)
                    bar.update(end - bar.n)
        return found

    def _respond(
        self,
        question: Question,
        number: int,
        kind: ResponseKind,
        tell: Callable[[NewSlots], None],
        bar: tqdm,
    ) -> Response:
        model, limit = question.models[number], question.limits[number]
        intervention = question.intervention if kind == "changed" else NOTHING
        first = True

        def more(slots: list[SlotView]) -> None:
            nonlocal first
            tell(NewSlots(SIDES[number], kind, slots, first))
            first = False

        def make() -> Response:
            judge, prompt = question.judge, question.prompt
            return respond(model, prompt, limit, intervention, judge, more, lambda: bar.update())

        key = (fingerprint(model), question.prompt, limit, str(intervention), question.judge)
        return self._known.get(key, make)
