"""Captures, measures and effects without a widget."""

import numpy as np
import pandas as pd
import pytest
import torch

import latent_core as lc
from latent_core.errors import SettingError
from workbench.chances import Held
from workbench.panels.attention.measures import DIRECTIONS, MEASURES, difference
from workbench.panels.attention.view import agreement_words
from workbench.panels.attention.work import (
    CaptureRequest,
    CaptureStore,
    capture,
    said_of_slots,
    trace_effects,
)

TEXT_TO_LATENT = DIRECTIONS["text → latent"]
PROMPT, ANSWER = "Repeat 2 times: 70+30=100\n", "70+30=100,70+30=100"


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    return lc.LatentModel(lc.load_backbone("tiny"), "Start_1+Comma_1", seed=0)


def request(answer: str | None = ANSWER, **changes: bool) -> CaptureRequest:
    return CaptureRequest("one", PROMPT, answer, **changes)


def test_a_capture_holds_what_was_asked_for(model: lc.LatentModel) -> None:
    found = capture(model, request(), "raw", TEXT_TO_LATENT)
    record = lc.capture_attention(model, PROMPT, ANSWER)
    assert torch.equal(found.maps.record.weights, record.weights)
    mass = record.mass().query("source == 'text' and target == 'latent'")
    table = mass.pivot(index="layer", columns="head", values="mass").to_numpy()
    np.testing.assert_allclose(found.maps.overview("raw", TEXT_TO_LATENT), table, atol=1e-6)
    assert (found.response, found.applied, found.notes) == (ANSWER, "none", ())


def test_a_wider_request_is_captured_again_with_the_same_response(model: lc.LatentModel) -> None:
    narrow = capture(model, request(None), "raw", TEXT_TO_LATENT)
    assert capture(model, request(None), "raw", TEXT_TO_LATENT, narrow) is narrow
    wide = capture(model, request(None, all_slots=True), "rollout", TEXT_TO_LATENT, narrow)
    assert wide.response_ids == narrow.response_ids
    assert not request(None, all_slots=True).satisfied_by(narrow.request)
    assert request(None).satisfied_by(wide.request)
    assert wide.maps.is_prepared("rollout") and not narrow.maps.is_prepared("rollout")


def test_the_strip_says_what_computed_latents_hold() -> None:
    model = lc.LatentModel("tiny", "Start_1+Comma_1=hidden", seed=0)
    found = capture(model, request(), "raw", TEXT_TO_LATENT)
    said = said_of_slots([found], changes=False)
    held = lc.latent_contents(model, PROMPT, found.response_ids, count=1)
    words = held.loc[held["measure"] == "probability", "token"].tolist()
    shown = [(slot.group, said[n]) for n, slot in enumerate(found.maps.record.slots) if said[n]]
    assert [(group, one.short) for group, one in shown if isinstance(one, Held)] == [
        ("Comma", word) for word in words
    ]
    assert len(shown) == len(words) > 0
    assert said_of_slots([found, found], changes=False) == []


def test_a_capture_beyond_memory_is_refused_before_it_is_made(
    model: lc.LatentModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.panels.attention.work.MOST_BYTES", 1000)
    monkeypatch.setattr(type(model), "generate", None)  # nothing is generated for what is refused
    for asked, measure, remedy in (
        (request(), "raw", "; choose a shorter example"),
        (request(None, all_slots=True), "raw", "without 'Show all slots'"),
        (request(None, all_slots=True), "rollout", "choose the measure raw"),
    ):
        with pytest.raises(SettingError, match=remedy):
            capture(model, asked, measure, TEXT_TO_LATENT)


def test_difference_of_two_responses_stops_where_they_part(model: lc.LatentModel) -> None:
    answers = ("70+30=100,", "70+31=100,70")
    a, b = (
        capture(model, request(answer, all_slots=True), "rollout", TEXT_TO_LATENT).maps
        for answer in answers
    )
    one, other, note = difference(a, b)
    common = len(model.insert(PROMPT, "70+3").slots) - 1  # without the end
    assert len(one.record.slots) == len(other.record.slots) == common
    assert f"the first {common} slots" in note
    assert torch.equal(one.record.weights, a.record.weights[:, :, :common, :common])
    np.testing.assert_allclose(
        one.layer("rollout", 3)[0], a.layer("rollout", 3)[0, :common, :common], atol=1e-6
    )


def test_a_store_keeps_the_latest_of_each_subject_and_forgets_others(
    model: lc.LatentModel,
) -> None:
    store, first = CaptureStore(), capture(model, request(), "raw", TEXT_TO_LATENT)
    store.keep([first], [first.request.subject])
    assert store.find(request(), "raw") is first
    assert store.find(request(gradient=True), "raw") is None
    assert store.widened(request(gradient=True)) == (request(gradient=True), first)
    store.keep_effects(request(), "text → latent", pd.DataFrame({"effect": [1.0]}))
    other = capture(model, request("1,"), "raw", TEXT_TO_LATENT)
    store.keep([other], [other.request.subject])
    assert store.find(request(), "raw") is None
    assert store.effects(request(), "text → latent") is None


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_effects_are_those_of_trace(model: lc.LatentModel, direction: str) -> None:
    found = capture(model, request(), "raw", DIRECTIONS[direction])
    effects = trace_effects(model, found, DIRECTIONS[direction])
    if direction == "latent → text":
        wanted = lc.trace(model, (PROMPT, ANSWER), groups=["verbal"], queries="Comma")
    else:
        queries = "verbal" if direction.startswith("text") else "latents"
        wanted = lc.trace(model, (PROMPT, ANSWER), groups=["Comma"], queries=queries)
    mine = effects[effects["group"] == "Comma"]
    np.testing.assert_allclose(mine["effect"], wanted["effect"], atol=1e-4)


def test_agreement_is_said_with_its_limits() -> None:
    mass = pd.DataFrame(
        {"group": ["g"] * 3, "layer": [0, 1, 2], "head": [0] * 3, "mass": [0.1, 0.2, 0.3]}
    )
    effects = pd.DataFrame(
        {"group": ["g"] * 3, "layer": [0, 1, 2], "head": [pd.NA] * 3, "edges": [4] * 3}
        | {"effect": [-1.0, -2.0, -3.0]}
    )
    said = agreement_words(mass, effects)
    assert "+1.00 over 3 cells" in said and "a description, not a test" in said
    assert "each latent attends only to itself" in agreement_words(mass, effects.assign(edges=0))


def test_every_measure_says_what_it_means() -> None:
    for name, measure in MEASURES.items():
        assert measure.meaning.lower().startswith(name.split()[0].lower())
        assert measure.meaning.endswith(".")
