"""What the playground computes: responses of A and B, facts about a latent, and the code for them.

The responses come in one job: clean first, side by side in one batch where that changes neither,
then under the intervention. The facts are a latent's
nearest tokens, its norm, and its logit lens. Nearest tokens and norm are those of the trained
vector. Of a computed latent they are those of what it holds, in its example and under the
intervention that is applied, as the lens always is.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, NamedTuple, TypeVar, final

import pandas as pd
from tqdm import tqdm

from latent_core.analysis.geometry import latent_norms, logit_lens, nearest_tokens
from latent_core.analysis.tokens import latent_contents
from latent_core.evaluation.evaluate import response_limit
from latent_core.interventions.base import Intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.latent import LatentModel
from latent_core.progress import progress_bar
from latent_core.slots.views import SlotView
from latent_core.tasks.base import Example, Task
from workbench.panels.code import session_code
from workbench.panels.over_examples import OverExamples
from workbench.responses import (
    NOTHING,
    Response,
    asks_for_examples,
    can_share_passes,
    fingerprint,
    respond,
    respond_together,
)
from workbench.session import Session

__all__ = [
    "KINDS",
    "SIDES",
    "Answerer",
    "Answers",
    "FactFinder",
    "NewSlots",
    "Question",
    "Recent",
    "ResponseKind",
    "SlotFacts",
    "playground_code",
]

_V = TypeVar("_V")


class Recent(Generic[_V]):
    """A cache that forgets what was asked for longest ago."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, _V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _V]) -> _V:
        """The value of a key, made if it is not known."""
        value = self._values[key] if key in self._values else make()
        self.put(key, value)
        return value

    def put(self, key: Hashable, value: _V) -> None:
        """Keep a value."""
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._limit:
            self._values.popitem(last=False)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values


# --- responses of A and B -------------------------------------------------------------------------

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

    def change(self, kind: ResponseKind) -> Intervention:
        """What is done to the models for a response of a kind."""
        return self.intervention if kind == "changed" else NOTHING


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
            self._answer_together(question, tell, bar)
            end = 0
            for kind in kinds:
                for number, side in enumerate(SIDES):
                    bar.set_description(f"{side}, {question.adapters[number]}")
                    found[side, kind] = self._respond(question, number, kind, tell, bar)
                    end += question.limits[number]
                    bar.update(max(0, end - bar.n))
        return found

    def _answer_together(
        self, question: Question, tell: Callable[[NewSlots], None], bar: tqdm
    ) -> None:
        """Generate the clean responses of A and B in one batch, where that changes neither."""
        keys = [self._key(question, number, "clean") for number in range(len(SIDES))]
        if (
            any(key in self._known for key in keys)
            or keys[0] == keys[1]
            or not can_share_passes(question.models)
        ):
            return
        told: set[int] = set()

        def more(number: int, slots: list[SlotView]) -> None:
            tell(NewSlots(SIDES[number], "clean", slots, number not in told))
            told.add(number)

        bar.set_description("A and B")
        responses = respond_together(
            question.models, question.prompt, question.limits, question.judge, more, bar.update
        )
        for key, response in zip(keys, responses, strict=True):
            self._known.put(key, response)

    def _key(self, question: Question, number: int, kind: ResponseKind) -> Hashable:
        model, limit = question.models[number], question.limits[number]
        change = str(question.change(kind))
        return fingerprint(model), question.prompt, limit, change, question.judge

    def _respond(
        self,
        question: Question,
        number: int,
        kind: ResponseKind,
        tell: Callable[[NewSlots], None],
        bar: tqdm,
    ) -> Response:
        model, limit = question.models[number], question.limits[number]
        change = question.change(kind)
        first = True

        def more(slots: list[SlotView]) -> None:
            nonlocal first
            tell(NewSlots(SIDES[number], kind, slots, first))
            first = False

        def make() -> Response:
            judge, prompt = question.judge, question.prompt
            return respond(model, prompt, limit, change, judge, more, bar.update)

        return self._known.get(self._key(question, number, kind), make)


# --- facts about a latent -------------------------------------------------------------------------

#: Nearest tokens, and most likely tokens of the lens at each layer.
_NEAREST: Final = 8
_LIKELIEST: Final = 5


@dataclass(frozen=True)
class SlotFacts:
    """One latent.

    Attributes:
        slot: its label, group and position.
        trained: the latent whose vector it reads, such as `Comma.1`; of a computed latent, itself.
        nearest: its nearest tokens, with `token` and `cosine`.
        norm: `norm`, `vocabulary_median`, `ratio`, `share_shorter`, as `latent_norms` gives them.
        predicted: of a computed latent, the tokens that the slot before predicts, with `token` and
            `value`, a probability; empty for others.
        lens: `layer`, `rank`, `token`, `probability`; empty if the slot is not in the text.
    """

    slot: SlotView
    trained: str
    nearest: pd.DataFrame
    norm: pd.Series
    predicted: pd.DataFrame
    lens: pd.DataFrame


@dataclass(frozen=True)
class FactFinder:
    """Finds facts of slots, and keeps them by model and by text."""

    _tables: Recent[tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=lambda: Recent(16))
    _contents: Recent[pd.DataFrame] = field(default_factory=lambda: Recent(16))
    _lenses: Recent[pd.DataFrame] = field(default_factory=lambda: Recent(16))

    def find(
        self,
        model: LatentModel,
        slot: SlotView,
        prompt: str,
        response: str | None,
        intervention: Intervention,
    ) -> SlotFacts:
        """Look up a latent slot.

        Args:
            model: the model.
            slot: a latent of prompt and response.
            prompt, response: the text. Re-encoding the response may change its tokens, so that the
                slot is not found.
            intervention: it has to fit the model.
        """
        key = fingerprint(model)
        nearest, norms = self._tables.get(
            key, lambda: (nearest_tokens(model, _NEAREST), latent_norms(model))
        )
        with intervention.on(model):
            layout = model.placement.layout
            lens = self._lenses.get(
                (key, prompt, response, str(intervention)),
                lambda: logit_lens(model, prompt, response, count=_LIKELIEST),
            )
        # If the group was moved or recounted, its latents use its own vectors in turn.
        names = [group.name for group in layout.groups]
        group = model.layout.groups[names.index(str(slot.group))]
        member = int(slot.label.rpartition(".")[2])
        trained = f"{group.name}.{member % group.count}"
        here = (
            (lens["group"] == slot.group)
            & (lens["member"] == member)
            & (lens["occurrence"] == slot.occurrence)
        )
        own = norms[norms["label"] == trained]
        if len(own):
            shown = nearest[nearest["label"] == trained]
            return SlotFacts(slot, trained, shown, own.iloc[0], shown[:0], lens[here])
        with intervention.on(model):
            contents = self._contents.get(
                (key, prompt, response, str(intervention)),
                lambda: latent_contents(model, prompt, response, count=_NEAREST),
            )
        held = contents[
            (contents["group"] == slot.group)
            & (contents["member"] == member)
            & (contents["occurrence"] == slot.occurrence)
        ]
        near = held[held["measure"] == "cosine"].rename(columns={"value": "cosine"})
        norm = near.iloc[0] if len(near) else pd.Series({"norm": math.nan})
        return SlotFacts(
            slot, slot.label, near, norm, held[held["measure"] == "probability"], lens[here]
        )


def playground_code(
    session: Session, question: Question, answers: Answers, found: Sequence[OverExamples] = ()
) -> str:
    """Write code that ends with `responses`, and with `scores` unless the prompt was typed.

    Args:
        session: whose models answer.
        question: what they are asked.
        answers: the responses that are shown.
        found: answers over examples, if they are shown; the code ends with their table then.
    """
    calls = [
        f"    ({side!r}, {kind!r}): answer(session.model_{side.lower()}, "
        f"{answer.intervention!r}, {question.limits[SIDES.index(side)]}),"
        for (side, kind), answer in answers.items()
    ]
    helper = "from workbench.panels.over_examples import answer_examples, over_examples_table"
    examples = question.judge is not None and any(
        asks_for_examples(parse_intervention(answer.intervention)) for answer in answers.values()
    )
    known = ", answering(session.task, [session.example])" if examples else ""
    lines = [
        "import latent_core as lc",
        *(["from latent_core.tasks.donors import answering"] if examples else []),
        *([helper] if found else []),
        session_code(session),
        "",
        "",
        "def answer(model, intervention, limit):",
        f"    with lc.parse_intervention(intervention).on(model){known}:",
        "        (found,) = model.generate(session.prompt, limit, return_details=True)",
        "    return found",
        "",
        "",
        "responses = {",
        *calls,
        "}",
    ]
    if question.judge is None:
        lines += ["for key, found in responses.items():", "    print(*key, repr(found.text))"]
    else:
        lines += [
            "scores = {",
            "    key: session.task.score(session.example, found.text)",
            "    for key, found in responses.items()",
            "}",
            "for key, found in responses.items():",
            "    print(*key, f'graded {scores[key].graded:.2f}', repr(found.text))",
        ]
    if found:
        lines += ["", "found = [", *map(_over_examples, found), "]", "over_examples_table(found)"]
    return "\n".join(lines) + "\n"


def _over_examples(found: OverExamples) -> str:
    """The call that gives the answers of one model again."""
    splits = found.records["split"].unique().tolist()
    examples = int(found.records.groupby(["split", "method"]).size().max())
    model = f"{found.name!r}, session.models[{found.name!r}], session.task"
    return f"    answer_examples({model}, {splits!r}, {examples}, {found.intervention!r}),"
