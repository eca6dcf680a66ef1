"""Tokens of latents and of responses: against the model's own numbers, decoding and the loss."""

import pytest
import torch

import latent_core as lc
from latent_core.analysis.tokens import latent_contents, token_probabilities
from latent_core.errors import SettingError
from latent_core.models.latent import LatentModel

LAYOUT = "Start_1+End_2=hidden+Comma_1=mix(top_p=0.001)"
PROMPT, RESPONSE = "Repeat 2 times: 1+1=2\n", "1+1=2,1+1=2."


def shown(model: LatentModel, label: str, measure: str, **settings) -> list[tuple[str, float]]:
    frame = latent_contents(model, PROMPT, RESPONSE, **settings)
    rows = frame[(frame["label"] == label) & (frame["measure"] == measure)].sort_values("rank")
    return list(zip(rows["token"], rows["value"], strict=True))


def test_what_the_slot_before_predicts_is_the_model_s_own_prediction() -> None:
    model = LatentModel("tiny", LAYOUT)
    batch = model.batch([model.insert(PROMPT, RESPONSE)])
    slots = model.insert(PROMPT, RESPONSE).slots
    place = next(t for t, slot in enumerate(slots) if (slot.group, slot.member) == (1, 1))
    values, ids = model.logits(batch)[0, place - 1].softmax(dim=-1).topk(3)
    tokens, found = zip(*shown(model, "End.1", "probability", count=3), strict=True)
    assert list(tokens) == [model.backbone.token_texts[i] for i in ids.tolist()]
    torch.testing.assert_close(torch.tensor(found), values, rtol=1e-3, atol=1e-4)


def test_a_mixture_of_one_token_holds_that_token() -> None:
    model = LatentModel("tiny", LAYOUT)
    (held, *_), ((token, share), *rest) = (
        shown(model, "Comma.0", measure) for measure in ("cosine", "probability")
    )
    assert held == (token, pytest.approx(1.0, abs=1e-4)) and share == pytest.approx(1.0)
    assert all(value == 0 for _, value in rest)


def test_learned_latents_hold_their_vectors_and_are_predicted_by_nobody() -> None:
    model = LatentModel("tiny", LAYOUT, init="text:7")
    assert shown(model, "Start.0", "cosine")[0] == ("7", pytest.approx(1.0, abs=1e-4))
    assert shown(model, "Start.0", "probability") == []
    frame = latent_contents(model, PROMPT, count=1)
    (norm,) = frame[frame["label"] == "Start.0"]["norm"]
    assert norm == pytest.approx(float(model.tables.rows()[0].detach().norm()), rel=1e-4)
    assert frame["vocabulary_median"].nunique() == 1


def test_latents_are_shown_as_the_model_decodes() -> None:
    model = LatentModel("tiny", "8_1=hidden")
    (written,) = model.generate(PROMPT, 12, return_details=True)
    frame = latent_contents(model, PROMPT, count=1, max_new_tokens=12)
    places = [place for place, slot in enumerate(written.slots) if slot.group == "8"]
    assert sorted(set(frame["slot"])) == places
    assert len(places) > len(set(latent_contents(model, PROMPT, count=1)["slot"]))


def test_an_intervention_s_block_counts() -> None:
    model = LatentModel("tiny", LAYOUT)
    with lc.parse_intervention("replace(End.0, text:9)").on(model):
        assert shown(model, "End.0", "cosine")[0][0] == "9"
        assert shown(model, "End.0", "probability") == []
        assert len(shown(model, "End.1", "probability")) == 5


@pytest.mark.parametrize("count", [0, 10**6])
def test_a_count_beyond_the_vocabulary_is_refused(count: int) -> None:
    with pytest.raises(SettingError, match=r"expected 1 to .* tokens"):
        latent_contents(LatentModel("tiny", "End_1"), PROMPT, count=count)


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    return lc.LatentModel("tiny", "Start_1+Comma_1", seed=5)


def test_a_greedy_response_has_the_likeliest_token_everywhere(model: lc.LatentModel) -> None:
    (answer,) = model.generate("a=1,b=2,", 6, return_details=True)
    frame = token_probabilities(model, "a=1,b=2,", answer.response_ids)
    assert frame["token_id"].tolist() == list(answer.response_ids)
    assert set(frame["rank"]) == {1}
    for row in frame.itertuples():
        assert row.alternatives[0][0] == row.token_text
        chances = [p for _, p in row.alternatives]
        assert chances == sorted(chances, reverse=True) and len(chances) == 5
        assert torch.tensor(chances[0]).log().item() == pytest.approx(row.log_probability, abs=1e-4)


def test_their_sum_is_what_a_trace_starts_from(model: lc.LatentModel) -> None:
    frame = token_probabilities(model, "a=1,b=2,", "1,2.")
    clean = lc.trace(model, ("a=1,b=2,", "1,2."), layers=0, progress=False)["clean"].iloc[0]
    assert frame["log_probability"].sum() == pytest.approx(clean, abs=1e-3)


def test_an_intervention_around_it_is_seen(model: lc.LatentModel) -> None:
    before = token_probabilities(model, "a=1,b=2,", "1.")
    with lc.parse_intervention("scale(Comma, 30)").on(model):
        after = token_probabilities(model, "a=1,b=2,", "1.")
    assert before["log_probability"].tolist() != after["log_probability"].tolist()


def test_nothing_to_look_up_is_refused(model: lc.LatentModel) -> None:
    for response, top in (("", 5), ("1", 0)):
        with pytest.raises(SettingError, match="expected at least 1 of each"):
            token_probabilities(model, "a=1,", response, top)
