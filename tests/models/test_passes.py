"""Computed latents: passes, caches and gradients, against what is written out slot by slot."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from latent_core.backbones.backbone import Backbone
from latent_core.errors import LatentError, PromptError
from latent_core.generation.decoding import decoding_passes
from latent_core.invariants.examined import ExaminedModel
from latent_core.invariants.reports import INVARIANTS
from latent_core.models.latent import LatentModel
from latent_core.slots.batch import LatentBatch
from latent_core.slots.placement import IGNORE
from tests.families import (
    FULL_ATTENTION,
    PROMPTS,
    character_tokenizer,
    random_model,
    tiny_backbone,
)

LIMIT = 10
OFTEN = "Before[,|a|c|e|g|i|k|m|o|1|3|5|7|9|=| ]"
"""Comma's kind, with so many triggers that responses have some."""

MIXED = f"Start_1+{OFTEN}_1=fused(0.5, proj=2)+End_3=hidden(norm)"
FILLED = (
    "End_3=hidden",
    f"Start_1+{OFTEN}_2=hidden(norm)",
    "3_2=mix(top_p=0.9, temperature=0.7)",
    "After[=|3|e|a|5|j|9|o]_1@verbal=hidden(proj=3)+End_2@verbal=text(1,)",
    MIXED,
)
"""Every filling, at every kind of place that can have it."""

EXACT_FAMILIES = (
    "llama",
    "qwen3",
    "mistral",
    "gemma",
    "gemma2",
    "gemma3",
    "gpt_oss",
    "gpt2",
    "opt",
)
EXACT_FAMILIES += ("gpt_neo", "falcon", "phi", "olmo2", "granite", "cohere2", "deepseek_v3")
GRADIENT_FAMILIES = ("llama", "mistral", "gemma", "gemma3", "gpt_oss", "gpt2", "opt", "cohere2")

EXAMPLES = [("ab,cd=", "12,3"), ("x", "4"), ("a,b,c", "3,2,1,0,5,5")]


def made(family: str, layout: str, backbone: Backbone | None = None) -> LatentModel:
    """A model whose trained maps do something."""
    model = LatentModel(backbone or tiny_backbone(family), layout, seed=1)
    torch.manual_seed(5)
    model.tables.assign(
        {name: 0.3 * torch.randn(w.shape) for name, w in model.tables.named().items()}
    )
    return model


def calm(family: str) -> Backbone:
    """A backbone of the test's own, in which a chain of latents does not amplify the last bit."""
    name = "init_std" if family == "opt" else "initializer_range"
    return Backbone(family, random_model(family, **{name: 0.1}), character_tokenizer())


def batch_of(model: LatentModel) -> LatentBatch:
    return model.batch([model.insert(*example) for example in EXAMPLES])


def count_passes(model: LatentModel, run: Callable[[], object]) -> list[int]:
    """Slots of each pass through the backbone."""
    widths: list[int] = []
    hook = model.backbone.trunk.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["inputs_embeds"].shape[1]),
        with_kwargs=True,
    )
    try:
        run()
    finally:
        hook.remove()
    return widths


CASES = [(family, MIXED) for family in EXACT_FAMILIES]
CASES += [(family, layout) for family in ("llama", "mistral") for layout in FILLED[:-1]]


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_computed_latents_are_exact(family: str, layout: str) -> None:
    examined = ExaminedModel(made(family, layout, calm(family)), PROMPTS, LIMIT)
    findings = {
        name: invariant.check(examined)
        for name, invariant in INVARIANTS.items()
        if invariant.each_layout or layout == MIXED
    }
    assert {name: f for name, f in findings.items() if f.holds is False} == {}
    assert findings["batch = slot by slot from scratch"].holds
    assert len({len(example.slots) for example in examined.examples}) >= 3


@pytest.mark.parametrize("family", ["llama", "gemma", "gemma3", "mistral", "opt", "cohere"])
def test_tied_heads_too(family: str) -> None:
    """In float64: each latent is computed from the one before, so rounding grows along a chain."""
    model = random_model(family, tie_word_embeddings=True).double()
    tied = Backbone(family, model, character_tokenizer())
    assert tied.model.get_output_embeddings().weight is tied.model.get_input_embeddings().weight
    examined = ExaminedModel(made(family, MIXED, tied), PROMPTS, LIMIT)
    for name in ("batch = slot by slot from scratch", "decoding = one pass"):
        assert INVARIANTS[name].check(examined).holds


@pytest.mark.parametrize("family", ["llama", "gemma", "granite"])
def test_a_mixture_of_one_token_is_that_token_s_embedding(family: str) -> None:
    backbone = tiny_backbone(family)
    weights = torch.zeros(3, backbone.vocabulary_size)
    ids = torch.tensor([3, 7, 11])
    weights[torch.arange(3), ids] = 1
    torch.testing.assert_close(backbone.mean_embedding(weights), backbone.embed(ids))


# ---- how many passes ----


def test_rows_line_up_and_the_longest_chain_counts() -> None:
    """Prompts of 6, 1 and 5 tokens; three latents after each."""
    model = made("llama", "End_3=hidden")
    batch = batch_of(model)
    widths = count_passes(model, lambda: model.hidden_states(batch))
    assert widths == [6, 1, 1, 1 + 11 + 1]
    commas = made("llama", "Comma_1=hidden")
    assert len(count_passes(commas, lambda: commas.hidden_states(batch_of(commas)))) == 1 + 7


def test_learned_latents_take_one_pass_and_no_cache() -> None:
    model = made("llama", "Start_1+Comma_2+End_2=text(.)")
    batch = batch_of(model)
    assert count_passes(model, lambda: model.hidden_states(batch)) == [batch.input_ids.shape[1]]
    assert not model.tables.computes and not model.placement.has_computed


@pytest.mark.parametrize("family", ["llama", "mistral"])
@pytest.mark.parametrize(
    ("layout", "extra"),
    [
        ("End_3", lambda fed: 0),
        ("End_3=hidden", lambda fed: 3),
        # The prompt's own comma is not sampled, so that the slot before it has to be fed first.
        ("Before[,]_1=hidden", lambda fed: fed[:4].count(",")),
        (f"{OFTEN}_3=mix", lambda fed: 3 * often(fed[:4]) + 2 * often(fed[4:])),
        ("2_1=mix", lambda fed: len(fed) // 2),
    ],
)
def test_decoding_says_how_many_passes_it_takes(
    family: str, layout: str, extra: Callable[[str], int]
) -> None:
    """A group before a sampled trigger takes m - 1 more an occurrence, any other m."""
    model = made(family, layout)
    rows = []

    def run() -> None:
        rows.extend(model.generate("bd,c", 8, return_details=True))

    widths = count_passes(model, run)
    (row,) = rows
    tokens = [model.backbone.token_text(i) for i in (*row.prompt_ids, *row.response_ids[:-1])]
    fed = "".join(token if len(token) == 1 else "?" for token in tokens)
    assert len(fed) >= 6, "it ends too early to show anything"
    assert row.decode_steps == len(widths) == len(row.response_ids) + extra(fed)
    placed = model.placement, row.prompt_ids, row.response_ids
    assert decoding_passes(*placed) == row.decode_steps


def often(fed: str) -> int:
    """Tokens before which `OFTEN` stands."""
    return sum(token in ",acegikmo13579= " for token in fed)


# ---- gradients ----


def unrolled_loss(model: LatentModel, example: tuple[str, str]) -> tuple[Tensor, int]:
    """The summed loss of one example and its number of labels, slot by slot without a cache."""
    batch = model.batch([model.insert(*example)])
    numbers = model.tables.fillers_at(batch.latent_rows)[0].tolist()
    static = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)[0]
    inputs: list[Tensor] = []
    states: list[Tensor] = []
    for slot, number in enumerate(numbers):
        if number >= 0:
            inputs.append(model.tables.fillers[number](states[-1][None])[0].to(static.dtype))
        else:
            inputs.append(static[slot])
        until = slice(0, slot + 1)
        hidden = model.backbone.hidden_states(
            torch.stack(inputs)[None], batch.attention_mask[:, until], batch.position_ids[:, until]
        )
        states.append(hidden[0, -1])
    labels = batch.labels[0]
    logits = model.backbone.logits(torch.stack(states))[labels != IGNORE].float()
    return F.cross_entropy(logits, labels[labels != IGNORE], reduction="sum"), len(logits)


def gradients(model: LatentModel, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", GRADIENT_FAMILIES)
@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_through_fillings_are_those_of_an_unrolled_loop(
    family: str, recompute: bool
) -> None:
    model = made(family, MIXED, calm(family))
    unrolled = [unrolled_loss(model, example) for example in EXAMPLES]
    wanted_loss = sum(loss for loss, _ in unrolled) / sum(count for _, count in unrolled)
    wanted = gradients(model, wanted_loss)
    model.train()
    if recompute:
        model.activation_checkpointing_enable()
        assert model.recomputes
    loss = model(**batch_of(model).as_dict())["loss"]
    torch.testing.assert_close(loss, wanted_loss, rtol=1e-4, atol=1e-5)
    found = gradients(model, loss)
    assert set(found) == set(wanted) and len(found) == 3
    for name, grad in wanted.items():
        scale = grad.abs().max()
        assert scale > 1e-3
        torch.testing.assert_close(found[name] / scale, grad / scale, rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_differences_in_float64() -> None:
    # A family whose norms stay in float64.
    model = random_model("gpt2", initializer_range=0.2).double()
    backbone = Backbone("gpt2", model, character_tokenizer())
    latents = made("gpt2", "Start_1+Comma_1=fused(0.6, proj=1)+End_2=hidden(norm)", backbone)
    latents.tables.double()
    batch = batch_of(latents)

    def loss() -> Tensor:
        labelled = batch.labels != IGNORE
        logits = backbone.logits(latents.hidden_states(batch)[labelled])
        return F.cross_entropy(logits, batch.labels[labelled])

    wanted = gradients(latents, loss())
    step = 1e-6
    with torch.no_grad():
        for name, weight in latents.named_parameters():
            if not weight.requires_grad:
                continue
            flat = weight.view(-1)
            for index in range(0, len(flat), 7):
                flat[index] += step
                above = float(loss())
                flat[index] -= 2 * step
                below = float(loss())
                flat[index] += step
                slope = (above - below) / (2 * step)
                assert slope == pytest.approx(
                    float(wanted[name].view(-1)[index]), abs=1e-7, rel=1e-5
                )


# ---- files, settings, errors ----


def test_saved_and_loaded_maps_have_the_same_bits(tmp_path) -> None:
    model = made("llama", MIXED)
    model.save_pretrained(tmp_path)
    loaded = LatentModel.from_pretrained(tmp_path, model.backbone)
    assert str(loaded.layout) == MIXED and len(loaded.tables.named()) == 3
    for name, weight in model.tables.named().items():
        assert torch.equal(loaded.tables.named()[name], weight)
    assert torch.equal(loaded.logits(batch_of(loaded)), model.logits(batch_of(model)))


def test_text_is_what_fillers_are() -> None:
    text = LatentModel(tiny_backbone("llama"), "End_3=text(1,)")
    filler = LatentModel(tiny_backbone("llama"), "End_3", init="text:1,")
    assert text.num_trainable == 0
    assert torch.equal(text.logits(batch_of(text)), filler.logits(batch_of(filler)))


@pytest.mark.parametrize("family", FULL_ATTENTION)
def test_no_number_is_lost_to_padding(family: str) -> None:
    """Rows that are all padding in a pass give no NaN to the others' gradients."""
    model = made(family, MIXED)
    model(**batch_of(model).as_dict())["loss"].backward()
    for parameter in model.tables.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()


def test_a_computed_latent_before_everything_is_refused() -> None:
    model = made("llama", "Comma_1=hidden")
    with pytest.raises(PromptError, match="first slot would be a latent of Comma=hidden"):
        model.generate(",a")
    with pytest.raises(PromptError, match="begin the prompt with another token"):
        model.insert(",a", "b")
    assert made("llama", "Start_1+Comma_1=hidden").generate(",a", 2)


def test_a_batch_that_begins_with_a_computed_latent_needs_the_state_before() -> None:
    model = made("llama", "End_1=hidden")
    batch = batch_of(model)
    cut = LatentBatch(**{name: tensor[:1, 6:] for name, tensor in batch.as_dict().items()})
    with pytest.raises(LatentError, match="expected before="):
        model.hidden_states(cut)
