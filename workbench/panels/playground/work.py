"""Both sides' responses to one request, in one job: clean ones first, then the changed ones.

Knows models and progress; no widgets. The slots of a response are told as they come, on the worker.
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

__all__ = ["KINDS", "SIDES", "Answerer", "Answers", "Kind", "News", "Request"]

Kind = Literal["clean", "changed"]
KINDS: Final[tuple[Kind, Kind]] = ("clean", "changed")
SIDES: Final = ("A", "B")

#: By side and kind.
Answers = dict[tuple[str, Kind], Response]


@dataclass(frozen=True)
class Request:
    """Everything that the responses of both sides depend on; pairs are of A and of B.

    Attributes:
        adapters: names of the models.
        models: the models.
        prompt: what is asked.
        judge: task and example that the prompt is of; None if it was typed.
        limits: most new tokens.
        intervention: what is done to both, where it fits.
    """

    adapters: tuple[str, str]
    models: tuple[LatentModel, LatentModel]
    prompt: str
    judge: tuple[Task, Example] | None
    limits: tuple[int, int]
    intervention: Intervention

    @classmethod
    def of(cls, session: Session, typed_limit: int) -> Request:
        """What a session asks now; `typed_limit` is for a prompt that is no example's."""
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


class News(NamedTuple):
    """Slots that a response has now; `first`: they are those of its prompt."""

    side: str
    kind: Kind
    slots: Sequence[SlotView]
    first: bool


@final
class Answerer:
    """Answers requests, and remembers the latest responses."""

    def __init__(self) -> None:
        self._known: Recent[Response] = Recent()

    def answer(self, request: Request, tell: Callable[[News], None]) -> Answers:
        """All responses to a request.

        Args:
            request: what is asked.
            tell: told of slots as they come; not of a response that is known already.
        """
        kinds = KINDS if request.intervention.parts else KINDS[:1]
        found: Answers = {}
        with progress_bar(sum(request.limits) * len(kinds), "generate", "token") as bar:
            for kind in kinds:
                for number, side in enumerate(SIDES):
                    bar.set_description(f"{side}, {request.adapters[number]}")
                    end = bar.n + request.limits[number]
                    found[side, kind] = self._respond(request, number, kind, tell, bar)
                    bar.update(end - bar.n)
        return found

    def _respond(
        self, request: Request, number: int, kind: Kind, tell: Callable[[News], None], bar: tqdm
    ) -> Response:
        model, limit = request.models[number], request.limits[number]
        intervention = request.intervention if kind == "changed" else NOTHING
        first = True

        def more(slots: list[SlotView]) -> None:
            nonlocal first
            tell(News(SIDES[number], kind, slots, first))
            first = False

        def make() -> Response:
            judge, prompt = request.judge, request.prompt
            return respond(model, prompt, limit, intervention, judge, more, lambda: bar.update())

        key = (fingerprint(model), request.prompt, limit, str(intervention), request.judge)
        return self._known.get(key, make)
