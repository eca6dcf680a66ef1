"""Effects pair the same examples, and the sweep finds the one edge that matters."""

import warnings

import pandas as pd
import pytest
import torch

from latent_core.analysis.tracing import attention_against_effect, trace
from latent_core.attention.capture import capture_attention
from latent_core.errors import LayoutError, SettingError
from latent_core.evaluation.interventions import evaluate_intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.places import Drop
from latent_core.interventions.running import InterventionWarning
from latent_core.models.latent import LatentModel
from latent_core.statistics.means import paired_difference
from latent_core.tasks import Example, Score, Task
from tests.families import VOCABULARY, tiny_backbone
from tests.made_backbones import HEAD, HEADS, LAYER, LAYERS, LAYOUT, copying_backbone, copying_model


class Letters(Task):
    """Say `a` four times; some prompts have no comma, and so no latent that could tell."""

    name = "letters"
    id_levels, ood_levels = (1,), (2,)
    open_ended = True

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        self.check_request(split, count)
        commas = "," * (split != "validation")
        return [
            Example(f"{'b' * (1 + (i + seed) % 3)}{commas}c", "aaaa", split, 1, f"{split}{i}")
            for i in range(count)
        ]

    def score(self, example: Example, response: str) -> Score:
        right = sum(a == b for a, b in zip(response, example.answer, strict=False))
        return Score(right == 4, right / 4, ())


# --- effect ---------------------------------------------------------------------------------------


def test_records_pair_up_and_show_the_known_effect() -> None:
    model, text = copying_model(), "knock_out(response -> Comma)"
    frame = evaluate_intervention(
        model, Letters(), text, ["id", "ood"], examples=5, eval_seed=3, progress=False
    )
    assert len(frame) == 2 * 2 * 5
    pairs = frame.groupby(["split", "example"], sort=False)
    assert all(list(pair["method"]) == ["none", text] for _, pair in pairs)
    assert all(pair["prompt"].nunique() == pair["key"].nunique() == 1 for _, pair in pairs)
    assert set(frame.loc[frame["method"] == "none", "response"]) == {"aaaa"}
    assert set(frame.loc[frame["method"] == text, "response"]) == {"a"}
    assert frame["changed"].all() and not frame["note"].any() and set(frame["seed"]) == {0}
    interval = paired_difference(frame, text, "none")
    assert interval.mean == -0.75
    assert interval.low < -0.75 < interval.high < -0.4, "of ten examples that all agree"
    assert interval.records == 10
    assert model.generate("b,c", 4) == ["aaaa"]


def test_a_control_can_be_another_intervention() -> None:
    model = copying_model()
    frame = evaluate_intervention(
        model, Letters(), Drop("Comma.1"), "id", 3, control="drop(Comma.0)", progress=False,
        seed=7,
    )  # fmt: skip
    assert frame.groupby("method", sort=False)["graded"].mean().to_dict() == {
        "drop(Comma.0)": 1.0,
        "drop(Comma.1)": 0.0,
    }
    assert set(frame["seed"]) == {7}


def test_an_effect_of_nothing_is_noted_and_said() -> None:
    with pytest.warns(InterventionWarning, match="changed nothing") as seen:
        frame = evaluate_intervention(
            copying_model(), Letters(), "drop(Comma)", "validation", 2, progress=False
        )
    assert [warning.filename for warning in seen] == [__file__]
    assert not frame["changed"].any()
    notes = frame.groupby("method")["note"].first()
    assert notes["none"] == "" and "changed nothing" in notes["drop(Comma)"]


def test_bad_requests_are_refused() -> None:
    model = copying_model()
    with pytest.raises(SettingError, match="two different"):
        evaluate_intervention(model, Letters(), "none")
    with pytest.raises(LayoutError, match="no group 'End'"):
        evaluate_intervention(model, Letters(), "drop(End)", "id", 2, progress=False)


# --- trace ----------------------------------------------------------------------------------------


def test_the_trace_finds_the_head_that_copies() -> None:
    model = copying_model()
    frame = trace(model, [("b,c", "aaa"), ("bb,c,c", "aa")], heads="each", progress=False)
    assert len(frame) == 2 * 2 * LAYERS * HEADS
    assert list(frame.columns) == [
        "example", "group", "layer", "head", "clean", "knocked_out", "effect", "edges",
        "noise",
    ]  # fmt: skip
    here = (frame["group"] == "Comma") & (frame["layer"] == LAYER) & (frame["head"] == HEAD)
    assert here.sum() == 2
    assert (frame.loc[~here, "effect"] == 0).all()
    uniform = -torch.tensor(float(VOCABULARY)).log()
    for example, tokens in ((0, 3), (1, 2)):
        row = frame[here & (frame["example"] == example)].iloc[0]
        assert row["knocked_out"] == pytest.approx(tokens * float(uniform), abs=1e-4)
        assert row["clean"] > -0.2 * tokens
        assert row["effect"] == row["knocked_out"] - row["clean"]
    # Two latents of the comma in b,c: seen by `,`, `c` and two of the answer's a, as the last is
    # fed in a teacher-forced pass too: 2 x 5, and one that the second latent casts on the first.
    assert set(frame.loc[here & (frame["example"] == 0), "edges"]) == {2 * 5 + 1}


def test_a_trace_by_token_adds_up_and_batches_alike() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2+Comma_2", init="gaussian")
    examples = [Example("ab,c", "1,2", "id", 1, "k"), ("12,,3", "4")]
    whole = trace(model, examples, progress=False)
    small = trace(model, examples, batch_size=1, progress=False)
    pd.testing.assert_frame_equal(whole, small, atol=1e-3, rtol=1e-3)
    tokens = trace(model, examples, per_token=True, batch_size=3, progress=False)
    assert list(tokens.loc[tokens["example"] == 0, "token_text"][:3]) == ["1", ",", "2"]
    added = tokens.groupby(["example", "group", "layer"], sort=False)["effect"].sum()
    assert added.to_numpy() == pytest.approx(whole["effect"].to_numpy(), abs=1e-3)
    assert (whole["effect"].abs() > 1e-3).any() and whole["head"].isna().all()


def test_a_cell_of_the_trace_is_the_intervention_it_names() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2+Comma_2", init="gaussian")
    prompt, answer = "ab,c", "1,2"
    frame = trace(
        model, (prompt, answer), groups="Comma.1", layers=1, heads=3, queries="verbal",
        progress=False,
    )  # fmt: skip
    with parse_intervention("knock_out(verbal -> Comma.1, layers=1, heads=3)").on(model):
        ids = model.backbone.encode_response(answer, end=False)
        batch = model.batch([model.place(model.backbone.encode(prompt), ids)])
        logits = model.logits(batch)[batch.labels != -100].log_softmax(-1)
    wanted = float(logits[range(3), ids].sum())
    assert frame["knocked_out"].tolist() == pytest.approx([wanted], abs=1e-4)
    assert frame[["group", "layer", "head"]].to_numpy().tolist() == [["Comma.1", 1, 3]]


def test_a_trace_inside_a_block_is_of_the_changed_model() -> None:
    model = copying_model()
    with parse_intervention("swap(Start, Comma) & drop(Comma)").on(model):
        frame = trace(model, ("b,c", "aa"), groups=["Start"], progress=False)
    assert (frame["clean"] < -6).all()  # Start reads Comma.0, which holds nothing
    assert (frame["effect"] == 0).all()


def test_another_metric() -> None:
    def right(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (logits.argmax(-1) == targets).float()

    frame = trace(copying_model(), ("b,c", "aaa"), right, groups=["Comma"], progress=False)
    assert frame["clean"].tolist() == [3.0] * LAYERS
    assert frame["knocked_out"].tolist() == [0.0 if n == LAYER else 3.0 for n in range(LAYERS)]
    with pytest.raises(SettingError, match="one number per token"):
        trace(copying_model(), ("b,c", "aaa"), lambda a, b: a, progress=False)


def test_a_trace_without_edges_says_so() -> None:
    with pytest.warns(InterventionWarning, match="no edge was cut") as seen:
        frame = trace(copying_model(), ("bc", "aa"), groups=["Comma"], progress=False)
    assert seen[0].filename == __file__
    assert (frame["effect"] == 0).all() and (frame["edges"] == 0).all()


def test_a_bad_trace_is_refused_and_leaves_the_model_alone() -> None:
    model = copying_model()
    before = model.placement
    for said, arguments in [
        ("no layer 3", {"layers": [3]}),
        ("no head 4", {"heads": [4]}),
        ("no layer is chosen", {"layers": []}),
        ("no head is chosen", {"heads": []}),
        ("batches of 0", {"batch_size": 0}),
    ]:
        with pytest.raises(SettingError, match=said):
            trace(model, ("b,c", "a"), progress=False, **arguments)
    for example in (("b,c", ""), ["b,c"]):
        with pytest.raises(SettingError, match="expected a prompt and its answer"):
            trace(model, example, progress=False)
    with pytest.raises(SettingError, match="0 examples"):
        trace(model, [], progress=False)
    with pytest.raises(LayoutError, match="no group 'End'"):
        trace(model, ("b,c", "a"), groups=["End"], progress=False)
    with pytest.raises(SettingError, match="no latents to trace"):
        trace(LatentModel(model.backbone, "none"), ("b,c", "a"), progress=False)
    assert model.placement is before


# --- attention beside it --------------------------------------------------------------------------


def test_attention_agrees_with_effect_where_it_should() -> None:
    cells = [("Comma", layer, head) for layer in range(2) for head in range(2)]
    mass = pd.DataFrame(cells, columns=["group", "layer", "head"]).assign(mass=[1, 2, 3, 4])
    effects = mass.drop(columns="mass").assign(effect=[-0.1, -0.5, 0.6, -9.0])
    assert attention_against_effect(mass, effects).rho == pytest.approx(1.0)
    turned = effects.assign(effect=[-9.0, 0.6, 0.5, 0.0])
    assert attention_against_effect(mass, turned).rho == pytest.approx(-1.0)
    twice = pd.concat([effects, effects.assign(effect=-effects["effect"] * 2)])
    assert attention_against_effect(mass, twice).edges == 4
    # Two groups, each opposed to its effect, agree together: one has more of both.
    start = mass.assign(group="Start", mass=[11, 12, 13, 14])
    both = pd.concat([turned, turned.assign(group="Start", effect=turned["effect"] - 100)])
    found = attention_against_effect(pd.concat([mass, start]), both)
    assert found.rho > 0.4 and found.within == pytest.approx({"Comma": -1.0, "Start": -0.2})
    few = {"group": ["a", "a", "b", "b"]}
    assert attention_against_effect(mass.assign(**few), effects.assign(**few)).within == {}
    with pytest.raises(SettingError, match="share 1 cells"):
        attention_against_effect(mass[:1], effects)
    with pytest.raises(SettingError, match="no column mass"):
        attention_against_effect(mass.drop(columns="mass"), effects)


def test_attention_of_a_record_against_a_trace() -> None:
    model = copying_model()
    effects = trace(model, ("b,c", "aaa"), heads="each", progress=False)
    record = capture_attention(model, "b,c", "aaa")
    found = attention_against_effect(record.by_group(), effects)
    assert found.edges == 2 * LAYERS * HEADS
    most = found.frame.loc[found.frame["mass"].idxmax()]
    assert (most["group"], most["layer"], most["head"]) == ("Comma", LAYER, HEAD)
    assert most["effect"] == found.frame["effect"].min() < -5
    by_layer = attention_against_effect(
        record.by_group(), trace(model, ("b,c", "aaa"), progress=False)
    )
    assert by_layer.edges == 2 * LAYERS


def test_the_model_is_the_one_described() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert copying_model("b").generate(["c,d"], 3) == ["bbb"]
        assert LatentModel(copying_backbone(), LAYOUT).num_trainable == 3 * 128


def test_what_does_not_fit_is_refused_before_anything_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "latent_core.evaluation.interventions.evaluate", lambda *_, **__: pytest.fail("answered")
    )
    with pytest.raises(SettingError, match="has no layer 10"):
        evaluate_intervention(
            copying_model(), Letters(), "knock_out(response -> Comma, layers=10-12)"
        )
