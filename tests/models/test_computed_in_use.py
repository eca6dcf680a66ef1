"""Computed latents beside the rest of the library: training, looking, intervening, refusals."""

import warnings

import pytest
import torch

import latent_core as lc
from latent_core.analysis.tracing import trace
from latent_core.attention.capture import capture_attention
from latent_core.bridges.export import export_model
from latent_core.errors import SettingError
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.latent import LatentModel
from tests.families import character_tokenizer, random_model, tiny_backbone
from tests.models.test_passes import made

LAYOUT = "Start_1+Comma_1=hidden(proj=2)+End_2=hidden(norm)"
PROMPT, ANSWER = "ab,c", "1,2"


def model(family: str = "llama") -> LatentModel:
    return made(family, LAYOUT)


def logits(latents: LatentModel) -> torch.Tensor:
    return latents.logits(latents.batch([latents.insert(PROMPT, ANSWER)]))[0]


def test_training_moves_the_map_and_is_loaded_again(tmp_path) -> None:
    latents = LatentModel("tiny", "Start_1+End_2=hidden(proj=2)")
    before = latents.trainable_weights()
    result = lc.train(latents, "repetition", 4, 2, output_dir=tmp_path / "run", progress=False)
    after = latents.trainable_weights()
    assert len(result.log) == 4 and set(before) == set(after) and len(after) == 3
    assert all(not torch.equal(before[name], after[name]) for name in before)
    loaded = lc.load_model(tmp_path / "run", latents.backbone)
    assert loaded.method == "Start_1+End_2=hidden(proj=2)"
    for name, weight in loaded.trainable_weights().items():
        assert torch.equal(weight, after[name])


def test_what_has_nothing_to_train_says_so() -> None:
    with pytest.raises(SettingError, match="nothing to train"):
        lc.train(LatentModel("tiny", "End_2=hidden"), "repetition", 1, 1, progress=False)


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_captured_attention_is_that_of_the_filled_slots(family: str) -> None:
    latents = model(family)
    record = capture_attention(latents, PROMPT, ANSWER, of="all")
    batch = latents.batch([latents.insert(PROMPT, ANSWER)])
    embeds = latents.slot_embeddings(batch)
    backbone = latents.backbone
    eager = type(backbone)("eager", random_model(family), character_tokenizer())
    eager.model.set_attn_implementation("eager")
    maps = eager.trunk(
        inputs_embeds=embeds,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        output_attentions=True,
    ).attentions
    wanted = torch.stack([layer[0] for layer in maps])
    torch.testing.assert_close(record.weights, wanted.detach(), rtol=1e-3, atol=1e-4)


def test_one_pass_over_filled_slots_gives_what_the_passes_give() -> None:
    latents = model()
    batch = latents.batch([latents.insert(PROMPT, ANSWER), latents.insert("x,", "1")])
    with torch.no_grad():
        embeds = latents.slot_embeddings(batch)
        once = latents.run_slots(embeds, batch.attention_mask, batch.position_ids)
        passes = latents.hidden_states(batch)
    real = batch.attention_mask.bool()
    torch.testing.assert_close(once[real], passes[real], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "same_as"),
    [
        ("drop(End)", "Start_1+Comma_1=hidden(proj=2)"),
        ("replace(End, text:a)", "Start_1+Comma_1=hidden(proj=2)+End_2=text(a)"),
        ("replace(Comma, text:a) & drop(End)", "Start_1+Comma_1=text(a)"),
        ("move(End, to=2)", "Start_1+Comma_1=hidden(proj=2)+2_2=hidden(norm)"),
        ("recount(End, 1)", "Start_1+Comma_1=hidden(proj=2)+End_1=hidden(norm)"),
    ],
)
def test_an_intervention_leaves_the_model_that_it_says(change: str, same_as: str) -> None:
    latents = model()
    other = LatentModel(latents.backbone, same_as)
    shared = latents.tables.named()
    other.tables.assign({name: shared[name] for name in other.tables.named()})
    own = logits(latents)
    with parse_intervention(change).on(latents):
        changed = logits(latents)
        text = latents.generate(PROMPT, 6)
    torch.testing.assert_close(changed, logits(other), rtol=1e-4, atol=1e-4)
    assert text == other.generate(PROMPT, 6)
    assert torch.equal(logits(latents), own)


def test_a_latent_may_become_computed_by_another_s_filling() -> None:
    latents = made("llama", "Start_1+Comma_1+End_1=hidden")
    other = LatentModel(latents.backbone, "Start_1+Comma_1=hidden+End_1=hidden")
    other.tables.assign({"Start": latents.tables.named()["Start"]})
    with parse_intervention("replace(Comma, End)").on(latents):
        torch.testing.assert_close(logits(latents), logits(other), rtol=1e-4, atol=1e-4)


def test_cut_edges_change_what_later_latents_are_computed_from() -> None:
    latents = model()
    batch = latents.batch([latents.insert(PROMPT, ANSWER)])
    own = latents.slot_embeddings(batch)
    with parse_intervention("knock_out(End.0 -> Comma)").on(latents):
        inside = latents.batch([latents.insert(PROMPT, ANSWER)])
        cut = latents.slot_embeddings(inside)
    moved = (own - cut).abs().amax(-1)[0] > 1e-4
    names = [(s.group, s.member) for s in latents.insert(PROMPT, ANSWER).slots]
    # End.1 is computed from End.0's state; End.0 from that of the prompt's last token.
    assert moved[names.index((2, 1))] and not moved[names.index((2, 0))]


def test_a_trace_counts_the_edges_of_all_passes_once() -> None:
    computed, learned = model(), LatentModel(tiny_backbone("llama"), "Start_1+Comma_1+End_2")
    frames = [
        trace(m, [(PROMPT, ANSWER)] * 2, layers=0, progress=False) for m in (computed, learned)
    ]
    assert frames[0]["edges"].tolist() == frames[1]["edges"].tolist()
    assert (frames[0]["effect"].abs() > 1e-5).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("shuffle(latents)", "changes vectors"),
        ("swap(Start, End)", "changes vectors"),
        ("replace(Start, data:repetition)", "learned latents hold the same in every prompt"),
        ("replace(End, data:)", "expected data:TASK or prompt:TEXT"),
        ("replace(End, data:nothing)", "unknown task 'nothing'"),
        ("freeze(Comma, 1)", "Comma has a single latent"),
        ("freeze(End, 2)", "expected after below 2"),
        ("freeze(End, 0)", "after is 0; expected a whole number of at least 1"),
        ("patch(End, 0)", "cannot run beside computed latents"),
        ("move(End, to=Start)", "'Start' cannot be filled by hidden"),
    ],
)
def test_what_cannot_work_is_refused_by_name(change: str, said: str) -> None:
    latents = model()
    with pytest.raises(ValueError, match=said), parse_intervention(change).on(latents):
        pass


def test_learned_groups_beside_computed_ones_stay_free_to_change() -> None:
    latents = model()
    own = logits(latents)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with parse_intervention("scale(Start, 3)").on(latents):
            assert not torch.allclose(logits(latents), own)


def test_an_export_of_computed_latents_is_refused(tmp_path) -> None:
    with pytest.raises(SettingError, match=r"End_2=hidden\(norm\) cannot be exported"):
        export_model(model(), tmp_path / "out")


def test_vectors_are_shown_of_learned_groups_only() -> None:
    assert set(lc.latent_norms(model())["group"].dropna()) <= {"Start", "vocabulary"}
    assert set(lc.nearest_tokens(model(), count=1)["group"]) == {"Start"}
