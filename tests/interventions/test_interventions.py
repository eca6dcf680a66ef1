"""Interventions do what their text says, on cases with a known answer, and leave no trace."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from latent_core.attention.capture import capture_attention
from latent_core.backbones.attention import AttentionHook, attention_shape, hooked
from latent_core.backbones.layers import decoder_layers
from latent_core.errors import AdapterError, BackboneError, LatentError, LayoutError, SettingError
from latent_core.evaluation.evaluate import evaluate
from latent_core.generation.generate import Generation
from latent_core.interventions.base import Combined
from latent_core.interventions.flow import KnockOut
from latent_core.interventions.kinds import VERBS, Patch, parse_intervention
from latent_core.interventions.places import Drop
from latent_core.interventions.running import InterventionWarning
from latent_core.interventions.vectors import Replace, Scale, Shuffle, Swap
from latent_core.models.latent import LatentModel
from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import IGNORE
from latent_core.tasks import load_task
from tests.families import FULL_ATTENTION, MAIN_FAMILIES, OTHER_FAMILIES, tiny_backbone
from tests.made_backbones import HEAD, LAYER, copying_model, holding

PROMPTS = ["ab,cd=", "12,3", "a,b,c,dddddd,e", "x"]
LAYOUT = "Start_2+Comma_2+3_1"

TEXTS = [
    "none",
    "drop(Comma)",
    "drop(Comma.1@2, from_step=4)",
    "drop(Start+Comma.0, after=3)",
    "drop(latents, nearest=1)",
    "drop(Before[,|)|(]@1)",
    "replace(Comma, zero)",
    "replace(Comma, random, seed=3, from_step=1)",
    'replace(Comma, "text:a, (b) & c")',
    "replace(Comma, Start)",
    "replace(Comma, adapter:runs/a)",
    "shuffle(latents)",
    "shuffle(Comma, of=occurrences, seed=2)",
    "swap(Start, Comma)",
    "scale(Start, 0.5)",
    "scale(Start, -2)",
    "recount(Comma, 1)",
    "recount(Comma, 3, from_step=2)",
    "move(Comma, 8@verbal)",
    "move(Comma, 2, from_step=1)",
    "positions(sequential)",
    "positions(sequential, from_step=2)",
    "freeze(Comma, 1)",
    "freeze(Comma, 1, from_step=2)",
    "knock_out(all -> Comma)",
    "knock_out(verbal <-> Comma.0, layers=0-3|7, heads=2, from_step=3)",
    "patch(Comma)",
    "patch(Comma, layers=0-1)",
    "patch(Comma, layers=0, from_step=1)",
    "patch(Start, layers=1, source=drop(Comma, nearest=3))",
    'patch(Comma, layers=1, prompt="a, b)\\n")',
    "patch(Comma, by=example)",
    "patch(Comma, layers=0-1, source=scale(Start, 0.5), by=mean, seed=2)",
    "patch(Comma.1, from_step=2, by=noise)",
    "drop(Comma, after=3) & scale(Start, 0.5)",
]


def random_latents(family: str, layout: str = LAYOUT, seed: int = 0) -> LatentModel:
    return LatentModel(tiny_backbone(family), layout, seed=seed, init="gaussian")


@contextmanager
def quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InterventionWarning)
        yield


def answer(model: LatentModel, text: str, prompts: list[str] = PROMPTS) -> list[Generation]:
    with quietly(), parse_intervention(text).on(model):
        return model.generate(prompts, max_new_tokens=8, return_details=True)


def labels(generation: Generation) -> list[str]:
    """Label and occurrence of every slot, in order."""
    return [
        slot.label if slot.group is None else f"{slot.label}@{slot.occurrence}"
        for slot in generation.slots
    ]


# --- the text form --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_form_is_read_and_written_back(text: str) -> None:
    assert str(parse_intervention(text)) == text


def test_every_verb_has_a_text_that_is_tested() -> None:
    assert set(VERBS) == {text.split("(")[0] for text in TEXTS} - {"none"}


def test_short_forms_and_spaces_mean_the_same() -> None:
    assert parse_intervention("knock_out(Comma)") == KnockOut("all", "Comma")
    assert parse_intervention(" drop( Comma ,after = 3 ) ") == Drop("Comma", after=3)
    assert parse_intervention("scale(latents=Start, factor=.5)") == Scale("Start", 0.5)
    assert KnockOut("all", "Comma", layers=2) == KnockOut("all", "Comma", layers=(2,))
    assert KnockOut("all", "Comma", layers=(3, 1)) == parse_intervention(
        "knock_out(Comma, layers=1|3)"
    )


def test_and_joins_flat() -> None:
    a, b, c = Drop("Comma"), Swap("Start", "Comma"), Scale("Start", 2.0)
    assert (a & b) & c == a & (b & c) == Combined((a, b, c))
    assert (Combined() & a).parts == (a,)
    assert parse_intervention(a & b) == a & b
    assert parse_intervention(f"none & {a}") == parse_intervention(f"{a} & none") == a


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_words_can_be_an_argument(words: str) -> None:
    intervention = Replace("Comma", f"text:{words}") & Drop("Start")
    assert parse_intervention(str(intervention)) == intervention


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drop", "expected an intervention such as .* at column 1, got 'drop'"),
        ("dorp(Comma)", "unknown intervention 'dorp' at column 1; did you mean 'drop'?"),
        ("drop(Start) & f(Comma)", "unknown intervention 'f' at column 15; expected one of drop,"),
        ("drop(Comma, after=3) drop(Start, after=2)", "expected '&' or the end at column 22, got"),
        ("drop()", r"drop lacks latents at column 1; expected drop\(latents, after="),
        ("drop(Comma, 1, 2, 3, 4)", r"drop takes no '4' at column 22; expected drop\(latents"),
        ("drop(Comma, latents=Start)", "latents is given twice at column 13"),
        ("drop(Comma, after=3, after=4)", "after is given twice at column 22"),
        ("drop(Comma, 3, after=4)", "after is given twice at column 16"),
        ("drop(Comma,)", "expected an argument at column 12"),
        (
            "drop(Comma, form_step=3)",
            "no argument 'form_step' at column 13; did you mean 'from_ste",
        ),
        (
            "drop(Comma, befor=3)",
            r"no argument 'befor' at column 13; expected drop\(latents, after=",
        ),
        ("drop(Comma, after=x)", "after is 'x' at column 19; expected a whole number"),
        ("drop(Comma, after=)", "after is '' at column 18; expected a whole number"),
        ("drop(Comma, after=" + "9" * 5_000 + ")", "a whole number between"),
        ("drop(Comma+)", r"expected a group such as Comma at column 12, got the end"),
        ('drop("Comma+")', r"expected a group such as Comma at column 13, got the end"),
        ("scale(Comma, much)", "factor is 'much' at column 14; expected a number"),
        ("positions(random)", "scheme is 'random' at column 11; expected shared or sequential"),
        ("patch(a, by=x)", "by is 'x' at column 13; expected example or mean or noise or previous"),
        ("shuffle(Comma, of=rows)", "of is 'rows' at column 19; expected members or occurrences"),
        ("recount(Comma+Start, 1)", r"expected the end at column 14, got '\+'"),
        ("knock_out(Comma, layers=a)", "expected numbers such as 5, 0-3 .* at column 25"),
        ("knock_out(Comma, layers=3-1)", "3-1 ends before it begins at column 25; write 1-3"),
        ("knock_out(Comma, layers=0-9999999999)", "at column 27; .* from 0 to 9,999"),
        ("knock_out(a -> b -> c)", "expected the end at column 18, got '-'"),
        ("knock_out(-> b)", "expected queries -> keys, queries <-> keys, or keys at column 11"),
        ("knock_out(a <-> b, both=False)", "both is given twice at column 20"),
        ("knock_out(a, b, c, both=yes)", "expected numbers"),
        ("knock_out(a, both=yes)", "both is 'yes' at column 19; expected True or False"),
        ("patch(a, source=drop(Comma) drop(Start))", "expected '&' or the end at column 29"),
        ("patch(" * 2_000 + ")" * 2_000, "nested 1,999 deep at column 7; expected at most 20"),
        ('replace(Comma, "x)', 'expected a closing "'),
    ],
)
def test_a_text_that_cannot_be_read_is_explained(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        parse_intervention(text)


def test_spaces_in_a_selection_make_no_other_intervention() -> None:
    assert parse_intervention("drop( Start +\tComma.1 )") == Drop("Start+Comma.1")
    assert parse_intervention("knock_out(a+ b<->c )") == KnockOut("a+b", "c", both=True)


# --- leaving restores everything ------------------------------------------------------------------


def state(model: LatentModel) -> dict[str, object]:
    """Everything that a block touches, by identity or by value."""
    base = model.backbone.model.base_model
    return {
        "placement": id(model.placement),
        "tables": id(model.tables),
        "layout": str(model.layout),
        "modules": [name for name, _ in model.named_modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in base.modules()],
        "attention": model.backbone.model.config._attn_implementation,
    }


def weights(model: LatentModel) -> list[Tensor]:
    every = [*model.state_dict().values(), *model.backbone.model.state_dict().values()]
    return [weight.clone() for weight in every]


@pytest.mark.parametrize("text", TEXTS[1:])
def test_leaving_restores_the_model_bit_for_bit(text: str) -> None:
    if any(words in text for words in ("adapter:", "Before", "by=example", "by=mean")):
        text = "drop(Comma.1@0) & knock_out(Comma) & patch(Start, 0)"
    model = random_latents("llama")
    before, numbers, clean = state(model), weights(model), model.generate(PROMPTS, 6)
    text = text.replace("0-3|7", "0-1").replace("heads=2", "heads=1-2")
    with quietly(), pytest.raises(ZeroDivisionError), parse_intervention(text).on(model):
        model.generate(PROMPTS, 4)
        assert state(model) != before
        raise ZeroDivisionError
    with quietly(), parse_intervention(text).on(model) as same:
        assert same is model
    assert state(model) == before
    assert all(map(torch.equal, weights(model), numbers))
    assert model.generate(PROMPTS, 6) == clean


def test_blocks_nest_and_each_leaves_what_it_found() -> None:
    model = random_latents("llama")
    outer, inner = "knock_out(Comma, layers=0) & scale(Start, 2)", "drop(Start.0) & patch(Comma, 0)"
    alone, both = answer(model, outer), answer(model, f"{outer} & drop(Start.0)")
    with parse_intervention(outer).on(model):
        before = state(model)
        with quietly(), parse_intervention("drop(Start.0)").on(model):
            nested = model.generate(PROMPTS, 8, return_details=True)
        with quietly(), pytest.raises(KeyError), parse_intervention(inner).on(model):
            model.generate(PROMPTS, 2)
            raise KeyError
        assert state(model) == before
        assert model.generate(PROMPTS, 8, return_details=True) == alone
    assert nested == both != alone


def test_an_unreadable_intervention_changes_nothing() -> None:
    model = random_latents("llama")
    before = state(model)
    with pytest.raises(LayoutError), (Scale("Start", 2.0) & Drop("Nowhere")).on(model):
        pass
    assert state(model) == before


def test_saving_inside_a_block_saves_the_adapter_as_it_is(tmp_path: Path) -> None:
    model = random_latents("llama")
    with quietly(), Replace("latents", "zero").on(model):
        model.save_pretrained(tmp_path)
        with pytest.raises(LatentError, match="cannot be assigned inside"):
            model.tables.assign({})
    again = LatentModel.from_pretrained(tmp_path, model.backbone)
    assert torch.equal(again.tables.rows(), model.tables.rows())


def test_slots_from_outside_a_block_are_refused() -> None:
    model = random_latents("llama")
    outside = model.batch([model.insert("a,b")])
    with pytest.raises(LatentError, match="placed outside"), Drop("Start").on(model):
        model.hidden_states(outside)


def test_detached_inside_a_block_is_the_backbone() -> None:
    model = random_latents("llama")
    with model.detached():
        plain = model.generate(PROMPTS, 6)
    with quietly(), (Drop("Start") & KnockOut("all", "all")).on(model), model.detached():
        assert model.generate(PROMPTS, 6) == plain


# --- on tokens: the same as a model that is made so -----------------------------------------------


def made(layout: str, tables: dict[str, Tensor]) -> LatentModel:
    model = LatentModel(tiny_backbone("llama"), layout)
    model.tables.assign(tables)
    return model


def equivalents() -> list[tuple[str, str, str]]:
    """An intervention on Start_2+Comma_2, a layout, and how to fill its tables."""
    return [
        ("drop(Comma)", "Start_2", "Start=s"),
        ("drop(latents)", "none", ""),
        ("drop(Start.0)", "Start_1+Comma_2", "Start=s[1:];Comma=c"),
        ("drop(Start.0+Comma)", "Start_1", "Start=s[1:]"),
        ("replace(Comma, zero)", "Start_2+Comma_2", "Start=s;Comma=c*0"),
        ("replace(Comma, Start)", "Start_2+Comma_2", "Start=s;Comma=s"),
        ("replace(Comma.1, Start)", "Start_2+Comma_2", "Start=s;Comma=cat(c[:1],s[1:])"),
        ("swap(Start, Comma)", "Start_2+Comma_2", "Start=c;Comma=s"),
        ("shuffle(Comma)", "Start_2+Comma_2", "Start=s;Comma=c.flip(0)"),
        ("scale(Start, -2)", "Start_2+Comma_2", "Start=s*-2;Comma=c"),
        ("swap(Start, Comma) & scale(Start, 0.5)", "Start_2+Comma_2", "Start=c*0.5;Comma=s"),
        ("scale(Start, 0.5) & swap(Start, Comma)", "Start_2+Comma_2", "Start=c;Comma=s*0.5"),
        ("recount(Comma, 1)", "Start_2+Comma_1", "Start=s;Comma=c[:1]"),
        ("recount(Comma, 3)", "Start_2+Comma_3", "Start=s;Comma=cat(c,c[:1])"),
        ("move(Comma, End)", "Start_2+End_2@verbal", "Start=s;End=c"),
        ("move(Start, End)", "End_2+Comma_2", "End=s;Comma=c"),
        ("move(Start, 3@verbal)", "3_2@verbal+Comma_2", "3=s;Comma=c"),
        ("move(Comma, End@latent)", "Start_2+End_2", "Start=s;End=c"),
        ("move(Comma, 3) & drop(3.0)", "Start_2+3_1@verbal", "Start=s;3=c[1:]"),
        ("positions(sequential)", "Start_2+Comma_2; positions=sequential", "Start=s;Comma=c"),
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "layout", "tables"), equivalents())
def test_an_intervention_equals_a_model_made_so(text: str, layout: str, tables: str) -> None:
    model = random_latents("llama", "Start_2+Comma_2")
    own = model.tables.named()
    known = {"s": own["Start"], "c": own["Comma"], "cat": lambda *parts: torch.cat(parts)}
    filled = dict(part.split("=", 1) for part in tables.split(";") if part)
    wanted = made(layout, {name: eval(value, known) for name, value in filled.items()})
    expected = wanted.generate(PROMPTS, 8, return_details=True)
    found = answer(model, text)
    assert [row.response_ids for row in found] == [row.response_ids for row in expected]
    if "Start.0" not in text and "3.0" not in text:  # what is left keeps its number
        assert [labels(row) for row in found] == [labels(row) for row in expected]
    assert any(a.text != b for a, b in zip(found, model.generate(PROMPTS, 8), strict=True))


def test_occurrences_and_steps() -> None:
    model = random_latents("llama", "Comma_1+1_1")
    prompt = "a,b,c"

    def placed(text: str) -> list[str]:
        with quietly(), parse_intervention(text).on(model):
            slots = model.place(model.backbone.encode(prompt), model.backbone.encode("d,e")).slots
        names = [group.name for group in model.layout.groups]
        return [f"{names[s.group]}@{s.occurrence}" for s in slots if s.is_latent]

    ones = [f"1@{number}" for number in range(7)]
    assert placed("drop(1)") == ["Comma@0", "Comma@1", "Comma@2"]
    assert placed("drop(1) & drop(Comma, after=2)") == ["Comma@0", "Comma@1"]
    assert placed("drop(1) & drop(Comma@1)") == ["Comma@0", "Comma@2"]
    assert placed("drop(Comma)") == ones
    # Five prompt tokens, then three: 1@4 follows the prompt, at step 0; 1@5 stands at step 1.
    assert placed("drop(Comma) & drop(1, from_step=1)") == ones[:5]
    assert placed("drop(Comma) & drop(1, from_step=0)") == []
    assert placed("drop(Comma) & drop(1, from_step=2)") == ones[:6]
    # The response's comma is its second token: one token stands before it.
    assert placed("drop(1) & drop(Comma, from_step=1)") == ["Comma@0", "Comma@1"]
    assert placed("drop(1) & drop(Comma, from_step=2)") == ["Comma@0", "Comma@1", "Comma@2"]


def test_counts_and_places_from_a_step_on() -> None:
    model = random_latents("llama", "Start_1+Comma_2")

    def placed(text: str) -> str:
        with parse_intervention(text).on(model):
            slots = model.place(model.backbone.encode("a,b"), model.backbone.encode("c,d,")).slots
            names = [group.name for group in model.placement.layout.groups]
        texts = [
            f"[{names[s.group]}.{s.member}]" if s.is_latent else model.backbone.decode([s.token_id])
            for s in slots
        ]
        return "".join(texts)

    two, three = "[Comma.0][Comma.1]", "[Comma.0][Comma.1][Comma.2]"
    assert placed("none") == f"[Start.0]a{two},bc{two},d{two},"
    assert placed("recount(Comma, 1, from_step=3)") == f"[Start.0]a{two},bc{two},d[Comma.0],"
    assert placed("recount(Comma, 3, from_step=1)") == f"[Start.0]a{two},bc{three},d{three},"
    assert placed("move(Comma, 5, from_step=1)") == f"[Start.0]a{two},bc,[5.0][5.1]d,"
    assert placed("move(Comma, 2, from_step=1)") == f"[Start.0]a{two},bc[2.0][2.1],d[2.0][2.1],"


def test_numbers_go_on_from_a_step() -> None:
    model = random_latents("llama", "Comma_2")

    def numbers(text: str) -> list[int]:
        with parse_intervention(text).on(model):
            slots = model.place(model.backbone.encode("a,b"), model.backbone.encode("c,d,e")).slots
        return [slot.position_id for slot in slots]

    # a [..] , b | c [..] , d [..] , e
    assert numbers("none") == [0, 1, 1, 1, 2, 3, 4, 4, 4, 5, 6, 6, 6, 7]
    assert numbers("positions(sequential)") == list(range(14))
    assert numbers("positions(sequential, from_step=1)") == [0, 1, 1, 1, *range(2, 12)]
    first = "positions(sequential, from_step=1) & positions(shared, from_step=3)"
    assert numbers(first) == [0, 1, 1, 1, *range(2, 8), 8, 8, 8, 9]
    assert numbers("positions(shared, from_step=1) & positions(sequential)") == list(range(14))


def test_vectors_from_a_step_on() -> None:
    model = random_latents("llama", "Start_2+Comma_2")
    own = model.tables.rows()
    for text, wanted in [
        ("replace(Comma, zero, from_step=1)", own[2:] * 0),
        ("replace(Comma, Start, from_step=1)", own[:2]),
        ("scale(Comma, -2, from_step=1)", own[2:] * -2),
        ("shuffle(Comma, from_step=1)", own[2:].flip(0)),
        ("swap(Start, Comma, from_step=1)", own[:2]),
    ]:
        with parse_intervention(text).on(model):
            ids = model.backbone.encode
            batch = model.batch([model.place(ids("a,b"), ids("c,d"))])
            embeds = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)
        found = embeds[0, batch.latent_rows[0] >= 0]
        assert torch.equal(found, torch.cat([own, wanted])), text


def vectors(model: LatentModel, text: str, group: str) -> Tensor:
    """What the group's latents read in a prompt with two commas, (slots, D)."""
    with quietly(), parse_intervention(text).on(model):
        slots = model.insert("a,b,c")
        batch = model.batch([slots])
        embeds = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)
        names = [g.name for g in model.placement.layout.groups]
    return embeds[0, [s.is_latent and names[s.group] == group for s in slots.slots]]


def test_random_vectors_keep_each_norm_and_follow_the_seed() -> None:
    model = random_latents("llama")
    own = vectors(model, "none", "Comma")
    one = vectors(model, "replace(Comma, random, seed=1)", "Comma")
    assert torch.allclose(one.norm(dim=-1), own.norm(dim=-1))
    assert not torch.allclose(one, own)
    assert torch.equal(one[:2], one[2:])  # the same at every occurrence
    assert torch.equal(one, vectors(model, "replace(Comma, random, seed=1)", "Comma"))
    assert not torch.equal(one, vectors(model, "replace(Comma, random, seed=2)", "Comma"))
    assert torch.equal(vectors(model, "replace(Comma, random)", "Start"), model.tables.rows()[:2])


def test_vocabulary_vectors() -> None:
    model = random_latents("llama")
    backbone = model.backbone
    words = backbone.embed(torch.tensor(backbone.encode("bc")))
    found = vectors(model, "replace(Comma, text:bc)", "Comma")
    assert torch.equal(found, torch.cat([words, words]))
    tokens = backbone.embed(torch.arange(2, backbone.vocabulary_size))
    mean = vectors(model, "replace(Comma, mean)", "Comma")
    assert torch.allclose(mean, tokens.mean(0).expand(4, -1), atol=1e-6)
    drawn = vectors(model, "replace(Comma, vocab, seed=5)", "Comma")
    assert all((row == tokens).all(-1).any() for row in drawn)


def test_another_adapters_vectors(tmp_path: Path) -> None:
    model, other = random_latents("llama"), random_latents("llama", "Comma_1+Start_2", seed=9)
    other.save_pretrained(tmp_path / "a")
    text = f"replace(Comma, adapter:{tmp_path / 'a'})"
    assert str(parse_intervention(text)) == text
    assert torch.equal(vectors(model, text, "Comma"), other.tables.named()["Comma"].expand(4, -1))
    tied = random_latents("llama", "Start_1+Comma_2; tied", seed=3)
    tied.save_pretrained(tmp_path / "tied")
    text = f"replace(Comma, adapter:{tmp_path / 'tied'})"
    assert torch.equal(vectors(model, text, "Comma")[:2], tied.tables.named()["tied"])
    random_latents("gpt2").save_pretrained(tmp_path / "b")
    with pytest.raises(AdapterError, match="was made for backbone gpt2"):
        vectors(model, f"replace(Comma, adapter:{tmp_path / 'b'})", "Comma")
    with pytest.raises(LayoutError, match="no group '3'"):
        vectors(model, f"replace(3, adapter:{tmp_path / 'a'})", "3")


def test_shuffles_deal_out_the_same_vectors() -> None:
    model = random_latents("llama", "Start_2+Comma_5")
    own = model.tables.rows()
    for text in ("shuffle(latents, seed=1)", "shuffle(latents, seed=2)"):
        found = torch.cat([vectors(model, text, "Start"), vectors(model, text, "Comma")[:5]])
        order = [int((own == row).all(-1).nonzero()) for row in found]
        assert sorted(order) == list(range(7)) and all(i != j for i, j in enumerate(order))
    found = vectors(model, "shuffle(Comma, of=occurrences)", "Comma")
    assert not torch.equal(found[:5], found[5:])
    assert torch.equal(found[:5].sort(0).values, found[5:].sort(0).values)


def test_tied_groups_are_changed_one_by_one() -> None:
    model = random_latents("llama", "Start_2+Comma_2; tied")
    own = model.tables.rows()
    assert torch.equal(vectors(model, "scale(Comma, 3)", "Comma")[:2], own * 3)
    assert torch.equal(vectors(model, "scale(Comma, 3)", "Start"), own)


# --- decoding and teacher forcing agree -----------------------------------------------------------

MIXED = [
    "drop(Comma, after=1)",
    "drop(latents, from_step=2)",
    "replace(latents, random, from_step=3)",
    "move(Comma, 2) & positions(sequential)",
    "drop(Comma+3, nearest=1)",
    "drop(3, nearest=2, from_step=3)",
    "knock_out(verbal -> Comma, layers=0)",
    "knock_out(latents <-> verbal, heads=1|3)",
    "knock_out(response -> Start, from_step=2) & knock_out(Comma@0, layers=1)",
    "knock_out(response -> prompt)",
    "patch(latents, 0, source=knock_out(latents -> verbal))",
    "replace(Start, zero) & patch(Comma, 0)",
    'patch(latents, 0, prompt="c,a,b,c")',
    "scale(3, 2) & knock_out(Comma.1) & patch(verbal, 0, source=shuffle(Comma))",
    "recount(Comma, 3, from_step=1) & positions(sequential, from_step=2)",
    "recount(Start, 1) & move(3, 2, from_step=2)",
    "patch(all, 0, source=knock_out(Start), from_step=2)",
    'patch(3, 0, prompt="c,a,b,c", from_step=2)',
    "patch(Comma+3, by=noise, seed=3)",
    "patch(3+Comma.1, 0, by=previous)",
    "replace(Start, zero) & patch(Comma, by=previous, from_step=2)",
]


# Qwen2's attention differs from Llama's in nothing that matters here.
@pytest.mark.parametrize("text", MIXED)
@pytest.mark.parametrize("family", sorted({*MAIN_FAMILIES} - {"qwen2"}))
def test_decoding_with_a_cache_equals_one_pass_and_each_row_alone(family: str, text: str) -> None:
    model = random_latents(family)
    together = answer(model, text)
    with quietly(), parse_intervention(text).on(model):
        alone = [model.generate([p], 8, return_details=True)[0] for p in PROMPTS]
        examples = [model.place(row.prompt_ids, row.response_ids) for row in together]
        single = [model.logits(model.batch([example]))[0] for example in examples]
        batch = model.batch(examples)
        batched = model.logits(batch)
    assert together == alone
    for row, example, logits in zip(together, examples, single, strict=True):
        places = [place for place, label in enumerate(example.labels) if label != IGNORE]
        assert logits[places].argmax(-1).tolist() == list(row.response_ids)
    if family in FULL_ATTENTION:
        for number, logits in enumerate(single):
            assert torch.allclose(batched[number, : len(logits)], logits, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_other_families_agree_or_are_refused(family: str) -> None:
    text = "knock_out(verbal -> Comma, layers=0) & patch(latents, 0, source=knock_out(Start))"
    model = random_latents(family)
    try:
        attention_shape(model.backbone)
    except BackboneError:
        with pytest.raises(BackboneError), parse_intervention(text).on(model):
            pass
        text = "drop(Comma) & scale(Start, -2)"
    else:
        together = answer(model, text)
        assert [row.text for row in together] != model.generate(PROMPTS, 8)
    test_decoding_with_a_cache_equals_one_pass_and_each_row_alone(family, text)


def test_each_mixed_case_changes_something() -> None:
    model = random_latents("llama")
    clean = model.generate(PROMPTS, 8)
    same = [text for text in MIXED if [row.text for row in answer(model, text)] == clean]
    assert same == []


# --- on the flow: the head that copies ------------------------------------------------------------

CASES = ["b,c", "bbbbbb,c,d", "b"]
COPIED, SILENT = ["aaaa", "aaaa", ""], ["", "", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", COPIED),
        (f"knock_out(verbal -> Comma.1, layers={LAYER}, heads={HEAD})", SILENT),
        (f"knock_out(Comma@0, layers={LAYER})", ["", "aaaa", ""]),
        ("knock_out(Comma.1)", SILENT),
        ("knock_out(response -> Comma)", ["a", "a", ""]),
        ("knock_out(prompt -> Comma)", SILENT),
        ("knock_out(Comma, from_step=2)", ["aa", "aa", ""]),
        ("knock_out(Comma -> verbal)", COPIED),
        ("knock_out(Comma <-> verbal)", SILENT),
        ("knock_out(latents -> Comma)", COPIED),
        ("knock_out(Comma.0+Start)", COPIED),
        (f"knock_out(Comma, layers={LAYER}, heads=0-1|3)", COPIED),
        ("knock_out(Comma, layers=0|2)", COPIED),
        ("drop(Comma, nearest=1)", COPIED),
        ("drop(Comma, nearest=1) & knock_out(Comma@1)", ["aaaa", "", ""]),
        ("replace(Comma.1@0, zero) & drop(Comma, nearest=1)", ["", "aaaa", ""]),
        ("drop(Comma@0)", ["", "aaaa", ""]),
        ("replace(Comma.1, zero)", SILENT),
        ("replace(Comma.1, zero) & patch(Comma.1, 0)", COPIED),
        (f"replace(Comma.1, zero) & patch(Comma.1, {LAYER})", SILENT),
        ("patch(Comma, 0, source=replace(Comma, zero))", SILENT),
        ("patch(verbal, 0, source=replace(Comma, zero))", COPIED),
        (f"patch(verbal, {LAYER}, source=replace(Comma, zero))", SILENT),
        (f"patch(verbal, {LAYER}, source=knock_out(Comma, layers=2))", COPIED),
        (f"patch(verbal, {LAYER}, source=knock_out(Comma, heads={HEAD}))", SILENT),
        (f"knock_out(Comma) & patch(verbal, {LAYER})", COPIED),
        ("knock_out(Comma) & patch(verbal, 0)", SILENT),
        ('replace(Comma, zero) & patch(Comma, 0, prompt="x,y")', COPIED),
        ('replace(Comma, zero) & patch(Comma.0, 0, prompt="x,y")', SILENT),
        (f'replace(Comma, zero) & patch(Comma, {LAYER}, prompt="x,y")', SILENT),
        ('replace(Comma, zero) & patch(Comma, 0, prompt="xy")', SILENT),
        ('patch(Comma, 0, source="replace(Comma, zero)", prompt="x,y")', ["", "aaaa", ""]),
        (f"patch(verbal, {LAYER}, source=replace(Comma, zero), from_step=2)", ["aa", "aa", ""]),
        ('replace(Comma, zero) & patch(Comma, 0, prompt="x,y", from_step=1)', SILENT),
        ("drop(Comma.1)", SILENT),
        ("drop(Comma.1, from_step=1)", COPIED),
        ("replace(Comma.1, Start)", SILENT),
        ("replace(Comma.1, random)", SILENT),
        ("scale(Comma.1, 0)", SILENT),
        ("scale(Comma.1, 0, from_step=1)", COPIED),
        ("shuffle(Comma)", COPIED),
        ("shuffle(Comma) & drop(Comma.0)", SILENT),
        ("swap(Start, Comma)", SILENT),
        ("recount(Comma, 1)", SILENT),
        ("recount(Comma, 1, from_step=1)", COPIED),
        ("recount(Comma, 4) & drop(Comma.1)", COPIED),
        ("move(Comma, End@latent)", ["aaaa", "aaaa", "aaaa"]),
        ("move(Comma, Newline)", SILENT),
        ("move(Comma, Newline, from_step=1)", COPIED),
        ("positions(sequential)", COPIED),
    ],
)
def test_one_head_copies_from_one_latent(text: str, expected: list[str]) -> None:
    model = copying_model()
    with quietly(), parse_intervention(text).on(model):
        assert model.generate(CASES, 4) == expected
        assert [model.generate(case, 4)[0] for case in CASES] == expected


def test_cutting_another_edge_changes_no_bit_and_cutting_this_one_leaves_nothing() -> None:
    model = copying_model()

    def logits(text: str) -> Tensor:
        with quietly(), parse_intervention(text).on(model):
            slots = model.insert("b,c,d")
            return model.logits(model.batch([slots]))[0]

    clean = logits("none")
    assert torch.equal(clean, logits("knock_out(Comma.1, layers=0|2)"))
    assert torch.equal(clean, logits(f"knock_out(Comma.1, layers={LAYER}, heads=0-1|3)"))
    verbal = [not slot.is_latent for slot in model.insert("b,c,d").slots]
    cut = logits(f"knock_out(verbal -> Comma.1, layers={LAYER}, heads={HEAD})")[verbal]
    assert torch.equal(cut, torch.zeros_like(cut))
    assert clean[-1].argmax() == model.backbone.encode("a")[0] and clean[-1].max() > 5


def test_nearest_lets_the_newest_speak() -> None:
    """The first comma's latent says a, the second one's b: whom does the last slot hear?"""
    model = copying_model()
    a, b = (holding(character, model.backbone) for character in "ab")
    only_b = copying_model("b")
    assert only_b.generate(["c,d,e"], 2) == ["bb"]
    model.tables.assign({"Start": b[None], "Comma": torch.stack([torch.zeros_like(a), a])})
    two = "replace(Comma.1, Start, after=1) & knock_out(Start)"
    for text, expected in [
        (two, {"a", "b"}),
        (f"{two} & drop(Comma, nearest=1)", {"b"}),
        (f"{two} & drop(Comma, nearest=2)", {"a", "b"}),
        (f"{two} & knock_out(Comma@1)", {"a"}),
    ]:
        with parse_intervention(text).on(model):
            slots = model.insert("c,d,e")
            logits = model.logits(model.batch([slots]))[0, -1]
        loud = {model.backbone.decode([i]) for i in (logits > 1).nonzero().flatten().tolist()}
        assert loud == expected, text


def test_a_cut_edge_has_no_weight_and_the_others_share_it() -> None:
    class Watch(AttentionHook):
        def __init__(self) -> None:
            self.weights: dict[int, Tensor] = {}

        def before(self, call):
            scores = call.query @ call.key.repeat_interleave(2, dim=1).transpose(2, 3)
            hidden = scores.mul(call.scaling).masked_fill(~call.allowed(), -torch.inf)
            self.weights[call.layer] = hidden.softmax(-1)

    model, watch = random_latents("llama"), Watch()
    text = "knock_out(verbal -> Comma.1, layers=1, heads=2)"
    with parse_intervention(text).on(model), hooked(model.backbone, watch):
        slots = model.insert("a,b,c")
        model.logits(model.batch([slots]))
    latent = torch.tensor([s.group == 1 and s.member == 1 for s in slots.slots])
    verbal = torch.tensor([not s.is_latent for s in slots.slots])
    reach = torch.ones(len(latent), len(latent)).tril(-1).bool() & latent & verbal[:, None]
    assert reach.sum() == 4 + 2
    assert watch.weights[1][0, 2][reach].max() == 0
    assert watch.weights[1][0, [0, 1, 3]][:, reach].min() > 0
    assert watch.weights[0][0][:, reach].min() > 0
    assert torch.allclose(watch.weights[1].sum(-1), torch.ones(1))


def test_patching_with_the_clean_run_undoes_and_with_itself_does_nothing() -> None:
    model = random_latents("llama")
    with quietly(), parse_intervention("patch(all, 1, source=drop(Comma, nearest=1))").on(model):
        patched = model.logits(model.batch([model.insert("a,b,c")]))
    with parse_intervention("drop(Comma, nearest=1)").on(model):
        source = model.logits(model.batch([model.insert("a,b,c")]))
    assert torch.equal(patched, source)
    clean = model.logits(model.batch([model.insert("a,b,c")]))
    with quietly(), parse_intervention("knock_out(Comma) & patch(all, 1)").on(model):
        assert torch.equal(model.logits(model.batch([model.insert("a,b,c")])), clean)
    with pytest.warns(InterventionWarning, match="changed nothing"), Patch("all", 0).on(model):
        assert torch.equal(model.logits(model.batch([model.insert("a,b,c")])), clean)


def test_patching_from_another_prompt_gives_its_latents_states() -> None:
    model = random_latents("llama")
    layer = decoder_layers(model.backbone)[1]
    seen: list[Tensor] = []
    for prompt, text in (("c,b,a", "none"), ("a,b,c", 'patch(latents, 0, prompt="c,b,a")')):
        with quietly(), parse_intervention(text).on(model):
            slots = model.insert(prompt)
            handle = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
            model.logits(model.batch([slots]))
            handle.remove()
    theirs, ours = seen
    latent = torch.tensor([slot.is_latent for slot in slots.slots])
    assert torch.equal(theirs[latent], ours[latent])
    assert not torch.isclose(theirs[~latent], ours[~latent]).all(-1)[[0, -1]].any()


# --- evaluation and attention follow --------------------------------------------------------------


def test_a_capture_inside_a_block_is_of_the_changed_model() -> None:
    model = random_latents("llama")
    with Drop("Comma").on(model):
        assert capture_attention(model, "a,b,c", "1,2").groups == ("Start", "3")
    with KnockOut("verbal", "Comma.1", layers=1, heads=(2,)).on(model):
        record = capture_attention(model, "a,b,c", "1,2", gradient="loss")
        generated = capture_attention(model, "a,b,c", max_new_tokens=3)
    for found in (record, generated):
        frame = found.to_frame()
        cut = (frame["key_label"] == "Comma.1") & frame["query_group"].isna()
        here = (frame["layer"] == 1) & (frame["head"] == 2)
        assert cut.any() and (frame.loc[cut & here, "weight"] == 0).all()
        assert (frame.loc[cut & ~here, "weight"] > 0).all()
        assert (frame.loc[~cut & here, "weight"] > 0).all()
    assert record.gradients is not None and record.gradients.abs().max() > 0


def test_evaluation_inside_a_block_is_of_the_changed_model() -> None:
    model, task = random_latents("llama", "Start_2+Comma_2"), load_task("repetition")
    plain = evaluate(model, task, "id", 2, progress=False)
    with parse_intervention("recount(Comma, 1)").on(model):
        fewer = evaluate(model, task, "id", 2, progress=False)
    assert set(plain["layout"]) == {"Start_2+Comma_2"} and set(fewer["layout"]) == {
        "Start_2+Comma_1"
    }
    assert list(plain["prompt"]) == list(fewer["prompt"])


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prompt", "said"),
    [
        ("drop(latents)", "a,b", "left no latents: the model ran as the backbone alone"),
        (
            "drop(Comma, after=9)",
            "a,b",
            "changed nothing: latents were placed, but",
        ),
        ("drop(Comma)", "abc", "changed nothing"),
        ("shuffle(Start.0)", "a", "changed nothing"),
        ("knock_out(Comma)", "abc", "changed nothing"),
        ("knock_out(Comma, from_step=3)", "a,b", "changed nothing"),
        ("drop(Start, from_step=1)", "a,b", "changed nothing"),
        ("recount(Comma, 1)", "abc", "changed nothing"),
        ("recount(Comma, 3)", "abc", "changed nothing"),
        ("recount(Comma, 1, from_step=3)", "a,b", "changed nothing"),
        ("recount(Comma, 3, from_step=3)", "a,b", "changed nothing"),
        ("move(Comma, 2, from_step=3)", "a,b", "changed nothing"),
        ("positions(sequential, from_step=3)", "a,b", "changed nothing"),
        ("patch(Comma, 0, source=knock_out(Start), from_step=3)", "a,b", "changed nothing"),
        ("drop(Start) & move(Comma, Newline)", "a,b", "left no latents"),
    ],
)
def test_an_intervention_without_effect_says_so(text: str, prompt: str, said: str) -> None:
    model = random_latents("llama", "Start_2+Comma_2")
    with pytest.warns(InterventionWarning, match=said) as seen, parse_intervention(text).on(model):
        model.logits(model.batch([model.insert(prompt)]))
    assert seen[0].filename == __file__


def test_a_prompt_without_triggers_is_said() -> None:
    model = random_latents("llama", "Comma_2")
    with pytest.warns(InterventionWarning, match="token that triggers"), Drop("Comma").on(model):
        model.insert("abc")


def test_an_effect_or_an_idle_block_is_not_commented() -> None:
    model = random_latents("llama")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in (
            "none",
            "drop(Comma)",
            "positions(sequential)",
            "knock_out(Comma)",
            "recount(Comma, 1)",
            "recount(Comma, 3)",
            "move(Comma, Newline)",
        ):
            with parse_intervention(text).on(model):
                model.logits(model.batch([model.insert("a,b,c")]))
        with Drop("Comma", after=99).on(model):
            pass


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (
            "drop(Newline)",
            LayoutError,
            "no group 'Newline' at column 1; its groups: Start, Comma, 3",
        ),
        ("drop(Comma.2)", SettingError, "its 2 latents are Comma.0 to Comma.1"),
        ("drop(verbal)", SettingError, "verbal slots too"),
        ("drop(Comma+)", SettingError, "expected a group"),
        ("drop(Comma, after=-1)", SettingError, "after is -1"),
        ("drop(Comma, nearest=0)", SettingError, "nearest is 0"),
        ("drop(Comma, after=1, nearest=1)", SettingError, "not both"),
        ("drop(Comma, from_step=-1)", SettingError, "from_step is -1"),
        ("scale(Comma, nan)", SettingError, "factor is nan"),
        ("recount(Comma, 1, from_step=-1)", SettingError, "from_step is -1"),
        ("move(Comma, 5, from_step=-1)", SettingError, "from_step is -1"),
        ("positions(shared, from_step=-1)", SettingError, "from_step is -1"),
        ("patch(Comma, 0, from_step=-1)", SettingError, "from_step is -1"),
        ("patch(Comma, by=mode)", SettingError, "by is 'mode'"),
        ("patch(Comma, prompt=x, by=mean)", SettingError, "expected one of them"),
        ("patch(Comma, source=drop(Start), by=noise)", SettingError, "leave out source"),
        ("patch(verbal, by=noise)", SettingError, "means verbal slots too"),
        ("patch(Start, by=example)", SettingError, "are the same in every prompt"),
        ("replace(Comma, noise)", SettingError, "cannot replace by 'noise'"),
        ("replace(Comma, adapter:/nowhere)", AdapterError, "no adapter in"),
        ("shuffle(Comma, of=rows)", SettingError, "expected members or occurrences"),
        ("swap(Start, End)", LayoutError, "no group 'End'"),
        ("recount(Comma, 0)", SettingError, "count is 0"),
        ("move(Comma, Nowhere)", LayoutError, "unknown place"),
        ("move(Comma, Start)", LayoutError, "appears twice"),
        ("move(Comma, Start+End)", LayoutError, "expected '@' or the end at column 18"),
        ("move(Start, Comma@latent)", LayoutError, "cannot use '@latent'"),
        ("positions(random)", SettingError, "expected shared or sequential"),
        ("knock_out(Comma, layers=2)", SettingError, "no layer 2; its 2 layers are 0 to 1"),
        ("knock_out(Comma, heads=1|4|9)", SettingError, "no head 4, 9; its 4 heads are 0 to 3"),
        ("knock_out(End)", LayoutError, "no group 'End'"),
        ("knock_out(Comma, from_step=-1)", SettingError, "from_step is -1"),
        ("patch(Comma, 2)", SettingError, "no layer 2"),
        ("patch(Comma, 0, source=move(Comma, 2))", SettingError, "over the same slots"),
        ("positions(sequential, from_step=1) & patch(Comma, 0)", SettingError, "the same slots"),
        ('patch(Comma, 0, source="knock_out(Start)", prompt="a")', SettingError, "tokens only"),
        ('patch(Start, prompt="a")', SettingError, "cannot change anything: Start stands before"),
        ('scale(Comma, 2) & patch(Start.1, prompt="a")', SettingError, "cannot change anything"),
        (
            'patch(Start, source="scale(Comma, 2)", prompt="a")',
            SettingError,
            "the same in every prompt; expected latents that stand after a token, such as End",
        ),
        ('patch(verbal, 0, prompt="a")', SettingError, "means verbal slots too"),
    ],
)
def test_what_does_not_exist_is_refused(text: str, error: type[Exception], said: str) -> None:
    model = random_latents("llama")
    with pytest.raises(error, match=said), parse_intervention(text).on(model):
        pass


@pytest.mark.parametrize(
    "text",
    [
        'patch(End, prompt="Repeat 2 times: ")',
        'patch(Start+End, prompt="a")',
        'patch(Start, source="scale(Start, -3)", prompt="a")',
        'replace(Start, zero) & patch(Start, prompt="a")',
    ],
)
def test_a_patch_from_another_prompt_that_is_accepted_changes_something(text: str) -> None:
    model = random_latents("llama", "Start_2+End_2")
    unpatched = text.partition(" & ")[0] if " & " in text else "none"
    found = []
    for change in (unpatched, text):
        with parse_intervention(change).on(model):
            found.append(model.logits(model.batch([model.insert("ab,c")])))
    assert not torch.allclose(*found, atol=1e-2)


def test_states_that_differ_by_rounding_alone_count_as_unchanged() -> None:
    """Both prompts begin alike, and the other one ran in a batch of another shape."""
    model = random_latents("llama", "3_2")
    with (
        pytest.warns(InterventionWarning, match="changed nothing"),
        parse_intervention('patch(3@0, prompt="12,9")').on(model),
    ):
        model.generate(["12,3", "12,44444444444"], 3)


def test_a_source_that_drops_is_refused_when_it_happens() -> None:
    model = random_latents("llama")
    with (
        pytest.raises(SettingError, match="leaves out a latent"),
        parse_intervention("patch(Comma, 0, source=drop(Start))").on(model),
    ):
        model.generate("a,b", 2)
    assert model.generate("a,b", 2)


def test_layers_of_nothing_are_refused() -> None:
    with pytest.raises(SettingError, match="at least one"):
        KnockOut("all", "Comma", layers=())


def test_a_custom_layout_object_keeps_its_triggers() -> None:
    model = random_latents("llama", "Start_2+Comma_2")
    other = frozenset(model.backbone.encode("="))
    model.placement = replace(model.placement, triggers={"Comma": other})
    with parse_intervention("recount(Comma, 1)").on(model):
        assert model.insert("a=b,c").num_latents == 3
    assert LatentLayout.parse("Start_2+Comma_2") == model.layout
    assert copy.copy(model.placement.triggers) == {"Comma": other}
    assert isinstance(parse_intervention("shuffle(Comma)"), Shuffle)
