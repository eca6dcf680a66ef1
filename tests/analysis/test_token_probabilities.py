"""Probabilities of tokens are those that decoding and the loss have."""

import pytest
import torch

import latent_core as lc
from latent_core.analysis.token_probabilities import token_probabilities
from latent_core.errors import SettingError


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
