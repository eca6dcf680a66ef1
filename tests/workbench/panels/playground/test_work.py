"""Answers to a question without a widget."""

import pytest

import latent_core as lc
from latent_core.evaluation.evaluate import response_limit
from workbench.panels.playground.work import Answerer, NewSlots, Question
from workbench.session import Session


@pytest.fixture(scope="module")
def session() -> Session:
    backbone = lc.load_backbone("tiny")
    models = [lc.LatentModel(backbone, layout) for layout in ("Start_2+Comma_1", "Start_1")]
    session = Session(backbone, models)
    session.draw("id", level=1)
    return session


def test_a_question_is_all_that_the_session_says(session: Session) -> None:
    session.intervention = "drop(Comma)"
    question = Question.of(session, 7)
    assert question.adapters == (session.adapter_a, session.adapter_b)
    assert question.judge == (session.task, session.example)
    limits = [response_limit(m, session.task, session.example) for m in question.models]
    assert question.limits == tuple(limits)
    session.intervention = "none"
    assert question != Question.of(session, 7) == Question.of(session, 9)
    example, session.prompt = session.example, "1+1="
    typed = Question.of(session, 7)
    session.example = example
    assert (typed.limits, typed.judge) == ((7, 7), None)


def test_clean_responses_come_first_and_each_tells_its_prompt_then_its_tokens(
    session: Session,
) -> None:
    session.intervention = "scale(Start, 0.5)"
    question, told = Question.of(session, 7), []
    session.intervention = "none"
    answers = Answerer().answer(question, told.append)
    order = [(news.side, news.kind) for news in told if news.first]
    assert order == [("A", "clean"), ("B", "clean"), ("A", "changed"), ("B", "changed")]
    for (side, kind), answer in answers.items():
        mine = [news for news in told if (news.side, news.kind) == (side, kind)]
        slots = [slot for news in mine for slot in news.slots]
        assert tuple(slots) == answer.generation.slots
        assert answer.intervention == ("none" if kind == "clean" else "scale(Start, 0.5)")


def test_a_known_response_is_not_generated_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerer, question = Answerer(), Question.of(session, 7)
    first = answerer.answer(question, lambda news: None)
    monkeypatch.setattr(lc.LatentModel, "generate", None)
    told: list[NewSlots] = []
    assert answerer.answer(question, told.append) == first
    assert told == []
