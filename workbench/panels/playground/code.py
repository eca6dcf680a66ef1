"""Python that reproduces the playground: the responses of A and B, and their scores."""

from __future__ import annotations

from workbench.panels.code import session_code
from workbench.panels.playground.work import SIDES, Answers, Question
from workbench.session import Session

__all__ = ["playground_code"]


def playground_code(session: Session, question: Question, answers: Answers) -> str:
    """Write code that ends with `responses`, and with `scores` unless the prompt was typed.

    Args:
        session: whose models answer.
        question: what they are asked.
        answers: the responses that are shown.
    """
    calls = [
        f"    ({side!r}, {kind!r}): answer(session.model_{side.lower()}, "
        f"{answer.intervention!r}, {question.limits[SIDES.index(side)]}),"
        for (side, kind), answer in answers.items()
    ]
    lines = [
        "import latent_core as lc",
        session_code(session),
        "",
        "",
        "def answer(model, intervention, limit):",
        "    with lc.parse_intervention(intervention).on(model):",
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
    return "\n".join(lines) + "\n"
