"""Latent tokens are exact on every family of decoders, whatever the layout; or are refused.

The invariants are the library's own, those of `latent backbones --check`; that each can fail is
shown here too, by breaking what it watches over. On the backbones that ship, the invariants that
matter most are tried with trained weights and real tokenizers.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
import transformers as hf
from typer.testing import CliRunner

import latent_core.generation.decoding as decoding_module
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.cli import app
from latent_core.invariants.examined import ExaminedModel
from latent_core.invariants.reports import INVARIANTS, check_backbone
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import collate
from latent_core.slots.placement import Placement
from latent_core.slots.tables import LatentTables
from latent_core.tasks import load_task
from latent_core.training.train import train
from tests.families import (
    EOS,
    FAMILIES,
    LAYOUTS,
    PROMPTS,
    VOCABULARY,
    character_tokenizer,
    random_from,
    tiny_backbone,
)
from tests.tracing import own_decoding_agrees, references_agree, traced

LIMIT = 14
"""Twice the sliding window of the families that have one."""

SUM = "Start_2+Before[,|a|c|j|1|8|=]_1+4_1+End_1@verbal"
PLACES = ("Start_2", "End_2", "Before[,|a|c|e|g|i|k|m|o|1|3|5|7|9|=| ]_2", "3_2", SUM)
"""Start, End, Comma's kind (with more triggers, so that responses have some), k, and a sum."""

CASES = [(family, layout) for family in FAMILIES for layout in PLACES]
CASES += [(f, layout) for f in ("llama", "mistral") for layout in LAYOUTS if layout not in PLACES]

NO_SDPA = dict.fromkeys(("gemma2", "gpt_oss"), "it knows no sdpa")
FIXED = dict.fromkeys(("gpt_neo", "gptj", "falcon"), "it cannot be switched once it is loaded")
DOES_NOT_APPLY = {(f, "eager = SDPA"): why for f, why in (NO_SDPA | FIXED).items()}
DOES_NOT_APPLY["gpt_neo", "static cache = one pass"] = (
    "it cannot use static caches, with latents or without"
)


def subject(family: str, layout: str, prompts: tuple[str, ...] = PROMPTS) -> ExaminedModel:
    return ExaminedModel(LatentModel(tiny_backbone(family), layout, seed=1), prompts, LIMIT)


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_latent_tokens_are_exact(family: str, layout: str) -> None:
    examined = subject(family, layout)
    findings = {
        name: invariant.check(examined)
        for name, invariant in INVARIANTS.items()
        if invariant.each_layout or layout == SUM
    }
    assert {name: f for name, f in findings.items() if f.holds is False} == {}
    unclear = {(family, name): f.note for name, f in findings.items() if f.holds is None}
    assert unclear == {key: DOES_NOT_APPLY[key] for key in unclear}
    assert len(unclear) == sum(key[0] == family and key[1] in findings for key in DOES_NOT_APPLY)

    # Ragged: triggers fire at different steps, also beyond the window.
    assert len({len(example.slots) for example in examined.examples}) >= 3
    if layout not in ("Start_2", "End_2", "Comma_2"):
        inside = [
            slot.verbal_index - len(row.prompt_ids)
            for row, example in zip(examined.together.rows, examined.examples, strict=True)
            for slot in example.slots
            if slot.is_latent and slot.verbal_index > len(row.prompt_ids)
        ]
        assert len(set(inside)) >= 3, "hardly any latents in responses: it tests too little"


@pytest.mark.parametrize("family", ["falcon"])
def test_eager_and_sdpa_agree_where_they_are_chosen_on_loading(family: str) -> None:
    logits = []
    for name in ("eager", "sdpa"):
        config = FAMILIES[family]()
        config._attn_implementation = name
        backbone = Backbone(family, random_from(config), character_tokenizer())
        assert backbone.model.config._attn_implementation == name
        model = LatentModel(backbone, SUM, seed=1)
        logits.append(model.logits(model.batch([model.insert("ab,cd=", "12,3")])))
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)


# ---- every invariant can fail ----


def other_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_module, "collate", lambda chunks, side: collate(chunks, "right"))


def riding_despite_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backbone, "has_sliding_window", False)


def training_padded_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LatentModel, "batch", lambda self, examples: collate(examples, "left"))


def another_head(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Backbone.logits
    monkeypatch.setattr(Backbone, "logits", lambda self, hidden: head(self, hidden) * 1.01)


def labels_shifted_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    insert = Placement.insert

    def shifted(self, *ids):
        slots = insert(self, *ids)
        return dataclasses.replace(slots, labels=(*slots.labels[1:], slots.labels[0]))

    monkeypatch.setattr(Placement, "insert", shifted)


def decoding_counts_positions_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(chunks, side):
        batch = collate(chunks, side)
        return dataclasses.replace(batch, position_ids=batch.position_ids * 2)

    monkeypatch.setattr(decoding_module, "collate", moved)


def latents_move_once_there_is_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    run = LatentModel.hidden_states

    def moved(self, batch, mask=None, cache=None, before=None):
        if cache is not None and mask.shape[1] > batch.input_ids.shape[1]:
            positions = batch.position_ids - (batch.latent_rows >= 0).long()
            batch = dataclasses.replace(batch, position_ids=positions)
        return run(self, batch, mask, cache, before)

    monkeypatch.setattr(LatentModel, "hidden_states", moved)


def no_mask_is_passed_on_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Backbone.hidden_states

    def unmasked(self, embeds, mask, positions, cache=None):
        if mask is not None:
            return run(self, embeds, mask, positions, cache)
        kwargs = {"inputs_embeds": embeds, "position_ids": positions, "use_cache": False}
        return self.model.base_model(**kwargs).last_hidden_state

    monkeypatch.setattr(Backbone, "hidden_states", unmasked)


def one_implementation_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = LatentModel.logits

    def biased(self, batch):
        return logits(self, batch) * (
            2 if self.base_model.config._attn_implementation == "eager" else 1
        )

    monkeypatch.setattr(LatentModel, "logits", biased)


def low_precision_is_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = LatentModel.logits

    def biased(self, batch):
        return logits(self, batch) * (1.3 if self.backbone.dtype == torch.bfloat16 else 1)

    monkeypatch.setattr(LatentModel, "logits", biased)


def recomputing_starts_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = LatentModel.forward

    def other(self, **batch):
        output = forward(self, **batch)
        factor = 2 if self._checkpointed_layers() else 1
        return output | {"loss": output["loss"] * factor}

    monkeypatch.setattr(LatentModel, "forward", other)


def weights_are_not_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Backbone, "__post_init__", lambda self: self.model.eval().requires_grad_(True)
    )


def loading_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assign = LatentTables.assign

    def rounded(self, rows):
        assign(self, {name: table.bfloat16() for name, table in rows.items()})

    monkeypatch.setattr(LatentTables, "assign", rounded)


def detached_keeps_its_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def attached(self) -> Iterator[LatentModel]:
        yield self

    monkeypatch.setattr(LatentModel, "detached", attached)


def tokens_depend_on_the_farthest_position(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Backbone.hidden_states

    def scaled(self, embeds, mask, positions, cache=None):
        return run(self, embeds, mask, positions, cache) * (1 + positions.max() / 1000)

    monkeypatch.setattr(Backbone, "hidden_states", scaled)


BREAKS: list[tuple[str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("zero latents = own generate", another_head),
    ("ragged batch = row alone", other_padding),
    ("ragged batch = row alone", riding_despite_a_window),
    ("padded training row = row alone", training_padded_left),
    ("row beside a far one = row alone", tokens_depend_on_the_farthest_position),
    ("decoding = one pass", labels_shifted_by_one),
    ("batch = slot by slot from scratch", tokens_depend_on_the_farthest_position),
    ("slots fed = slots trained", decoding_counts_positions_otherwise),
    ("dynamic cache = one pass", latents_move_once_there_is_a_cache),
    ("static cache = one pass", latents_move_once_there_is_a_cache),
    ("masks: none = 2-D = 4-D", no_mask_is_passed_on_as_none),
    ("eager = SDPA", one_implementation_differs),
    ("bf16 = fp32 but for rounding", low_precision_is_worse),
    ("checkpointing on = off", recomputing_starts_dropout),
    ("training leaves the backbone", weights_are_not_frozen),
    ("saved and loaded = same bits", loading_rounds),
    ("detached = backbone", detached_keeps_its_latents),
]


@pytest.mark.parametrize(("name", "broken"), BREAKS)
def test_every_invariant_can_fail(name: str, broken, monkeypatch: pytest.MonkeyPatch) -> None:
    examined = subject("mistral", SUM)
    assert INVARIANTS[name].check(examined).holds
    broken(monkeypatch)
    assert INVARIANTS[name].check(subject("mistral", SUM)).holds is False


def test_every_invariant_was_seen_to_fail() -> None:
    assert {name for name, _ in BREAKS} == set(INVARIANTS)


def test_a_check_is_a_table_and_what_raises_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(LatentModel, "save_pretrained", None)
    frame = check_backbone(
        tiny_backbone("llama"),
        ["Start_1", "Before[;]_1", "Comma_1"],
        PROMPTS[:2],
        2,
        progress=lambda *check: asked.append(check),
    )
    tried = frame[frame["layout"] != "Before[;]_1"]
    assert list(zip(tried["layout"], tried["invariant"], strict=True)) == asked
    failed = tried[~tried["holds"].astype(bool)]
    assert set(failed["invariant"]) == {"saved and loaded = same bits"}
    assert failed["note"].str.startswith("TypeError").all()
    untried = frame[frame["layout"] == "Before[;]_1"]
    assert untried["holds"].isna().all() and untried["note"].str.contains("';'").all()
    once = {name for name, invariant in INVARIANTS.items() if not invariant.each_layout}
    assert set(tried.loc[tried["layout"] == "Comma_1", "invariant"]) == set(INVARIANTS)
    assert not once & set(tried.loc[tried["layout"] == "Start_1", "invariant"])


def test_the_command_shows_the_table_and_its_exit_code_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner, arguments = CliRunner(), ["backbones", "--check", "tiny"]
    checked = partial(
        check_backbone, layouts=("Start_1", "Start_1+Comma_1"), prompts=("a=1,", "b"), new_tokens=2
    )
    monkeypatch.setattr("latent_core.invariants.reports.check_backbone", checked)
    good = runner.invoke(app, arguments)
    assert good.exit_code == 0 and "all applicable checks passed" in good.output
    assert all(name in good.output for name in INVARIANTS)
    loading_rounds(monkeypatch)
    bad = runner.invoke(app, arguments)
    assert bad.exit_code == 1 and "2 of" in bad.output
    assert "saved and loaded = same bits, Start_1+Comma_1: FAILED" in bad.output


def test_a_decoder_that_says_it_is_its_own_base_model_is_taken_apart() -> None:
    """Llama 4."""
    config = hf.Llama4TextConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, intermediate_size_mlp=40,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        num_local_experts=2, num_experts_per_tok=1, max_position_embeddings=96,
        bos_token_id=None, eos_token_id=EOS, pad_token_id=None, initializer_range=0.4,
    )  # fmt: skip
    backbone = Backbone("llama4", random_from(config), character_tokenizer())
    assert backbone.model.base_model is backbone.model
    examined = ExaminedModel(LatentModel(backbone, SUM, seed=1), PROMPTS, LIMIT)
    for name in ("ragged batch = row alone", "decoding = one pass", "masks: none = 2-D = 4-D"):
        assert INVARIANTS[name].check(examined).holds, name


TYPICAL_PROMPTS = ["Repeat 2 times: 12+34=46\n", "a=7,b=12,c=3", "One, two,"]
TYPICAL_LIMIT = 10


@pytest.fixture(
    scope="module",
    params=["tiny", pytest.param("smollm2-135m", marks=pytest.mark.slow)],
)
def backbone(request: pytest.FixtureRequest) -> Iterator[Backbone]:
    if request.param != "tiny":
        request.getfixturevalue("smollm2_dir")
    yield load_backbone(request.param, dtype="float32", device="cpu")


def weights(backbone: Backbone) -> dict[str, str]:
    """A hash of every bit of every weight."""
    return {
        name: hashlib.sha256(weight.numpy().tobytes()).hexdigest()
        for name, weight in backbone.model.state_dict().items()
    }


def test_zero_latents_give_the_backbones_own_greedy_output(backbone: Backbone) -> None:
    own_decoding_agrees(backbone, TYPICAL_PROMPTS, TYPICAL_LIMIT)


@pytest.mark.parametrize(
    "layout",
    ["Start_1+Comma_2+End_1", "3_1+After[=|,]_2@verbal; tied", "2_1; positions=sequential"],
)
def test_decoding_agrees_with_every_reference(backbone: Backbone, layout: str) -> None:
    model = LatentModel(backbone, layout, seed=1)
    latents = references_agree(model, TYPICAL_PROMPTS, TYPICAL_LIMIT, tolerance=3e-3)
    assert latents >= 2 or "_1+After" not in layout


def test_latents_ride_with_verbal_tokens(backbone: Backbone) -> None:
    trace = traced(LatentModel(backbone, "Start_2+1_2", seed=1), TYPICAL_PROMPTS[1:], 4)
    assert len(trace.shapes) == max(len(row.response_ids) for row in trace.rows)


def test_a_training_run_leaves_every_bit_of_the_backbone(backbone: Backbone) -> None:
    model = LatentModel(backbone, "Start_1+Comma_1", seed=0)
    before, start = weights(backbone), model.tables.rows().clone()
    train(model, load_task("repetition"), steps=2, batch_size=2, progress=False)
    assert weights(backbone) == before
    assert all(weight.grad is None for weight in backbone.model.parameters())
    assert ((model.tables.rows() - start).abs().amax(1) > 1e-3).all()


def test_commas_are_found_in_every_token_that_has_one(backbone: Backbone) -> None:
    found = backbone.trigger_ids([","])
    texts = {backbone.token_texts[token_id] for token_id in found}
    known = {","} if backbone.name == "tiny" else {",", '",', "),", "],", "',"}
    assert known <= texts
    assert not found & set(backbone.tokenizer.all_special_ids)
    for prompt in (*TYPICAL_PROMPTS, 'He said "no", then (yes), and [1,2],3 ,4'):
        ids = backbone.encode(prompt)
        if backbone.tokenizer.unk_token_id in ids:
            continue
        assert sum(token_id in found for token_id in ids) == prompt.count(",")


def test_weights_in_two_precisions_have_one_fingerprint(backbone: Backbone) -> None:
    low = load_backbone(backbone.name, dtype=torch.bfloat16, device="cpu")
    assert low.fingerprint == backbone.fingerprint
    assert low.dtype == torch.bfloat16
