"""Python that reproduces the playground: the responses of A and B, and their scores."""

from __future__ import annotations

from collections.abc import Sequence

from latent_core.interventions.kinds import parse_intervention
from workbench.panels.code import session_code
from workbench.panels.over_examples import OverExamples
from workbench.panels.playground.work import SIDES, Answers, Question
from workbench.responses import asks_for_examples
from workbench.session import Session

__all__ = ["playground_code"]


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
