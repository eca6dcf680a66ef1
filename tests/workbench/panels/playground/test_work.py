"""Answers to a question without a widget."""

from dataclasses import replace

import pytest

import latent_core as lc
from latent_core.evaluation.evaluate import response_limit
from workbench.panels.playground import work
from workbench.panels.playground.work import Answerer, NewSlots, Question
from workbench.responses import respond
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
    for name in ("respond", "respond_together"):
        monkeypatch.setattr(work, name, None)
    told: list[NewSlots] = []
    assert answerer.answer(question, told.append) == first
    assert told == []


def test_a_and_b_answer_in_one_batch_as_each_does_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question.of(session, 7)
    alone = [
        respond(model, question.prompt, limit, judge=question.judge)
        for model, limit in zip(question.models, question.limits, strict=True)
    ]
    told: list[NewSlots] = []
    with monkeypatch.context() as patch:
        patch.setattr(work, "respond", None)
        answers = Answerer().answer(question, told.append)
    for side, own in zip("AB", alone, strict=True):
        found = answers[side, "clean"]
        assert replace(found, seconds=0.0) == replace(own, seconds=0.0)
        assert found.seconds > 0 and found.chances
    sides = [news.side for news in told]
    # The rest of A's prompt, and its first tokens, come before the last of B's.
    assert sides[:2] == ["A", "B"] and "A" in sides[2 : sides.index("B", 2) + 2]


@pytest.mark.parametrize("why", ["bfloat16", "two backbones", "one model"])
def test_they_answer_in_turn_where_a_batch_could_change_an_answer(
    why: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, other = session.model_a, session.model_b
    if why == "bfloat16":
        backbone = lc.load_backbone("tiny", dtype="bfloat16")
        model, other = (lc.LatentModel(backbone, layout) for layout in ("Start_1", "Start_2"))
    elif why == "two backbones":
        other = lc.LatentModel(lc.load_backbone("tiny", dtype="float32"), "Start_2")
        other.backbone.model.load_state_dict(model.backbone.model.state_dict())
    else:
        other = model
    question = replace(Question.of(session, 5), models=(model, other), limits=(5, 5))
    monkeypatch.setattr(work, "respond_together", None)
    answers = Answerer().answer(question, lambda news: None)
    assert all(len(one.generation.response_ids) for one in answers.values())
