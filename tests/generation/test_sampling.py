"""Sampling and settings: what is drawn, and what Transformers' own settings do."""

import hashlib
import re
import warnings

import pytest
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    NoRepeatNGramLogitsProcessor,
)

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.generation.sampling import PROCESSORS, WARPERS, Chooser, RowFacts, read_settings
from latent_core.models.latent import LatentModel
from tests.families import (
    EOS,
    PROMPTS,
    VOCABULARY,
    tiny_backbone,
)
from tests.tracing import traced


def test_sampling_follows_its_seed() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+2_1", seed=1)
    first, same, other = (
        model.generate(PROMPTS, 10, do_sample=True, temperature=2.0, seed=seed)
        for seed in (5, 5, 6)
    )
    assert first == same
    assert first != other
    unseeded = {
        tuple(model.generate(PROMPTS, 10, do_sample=True, temperature=2.0)) for _ in range(3)
    }
    assert len(unseeded) > 1


def test_sampling_from_one_token_is_greedy() -> None:
    model = LatentModel(tiny_backbone("qwen2"), "Start_1+2_1", seed=1)
    wanted = model.generate(PROMPTS, 10)
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        assert model.generate(PROMPTS, 10, do_sample=True, seed=0, **narrow) == wanted, narrow


def test_sampling_draws_by_the_probabilities() -> None:
    """2,000 first tokens against softmax(logits / temperature), cut to the first three."""
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    (logits,) = traced(model, ["ab"], 1).logits[0]
    best = (logits / 3.0).softmax(-1).topk(3)
    rows = model.generate(
        ["ab"] * 2000,
        1,
        do_sample=True,
        temperature=3.0,
        top_k=3,
        seed=0,
        batch_size=2000,
        return_details=True,
    )
    drawn = torch.tensor([row.response_ids[0] for row in rows])
    shares = torch.stack([(drawn == token_id).float().mean() for token_id in best.indices])
    torch.testing.assert_close(shares, best.values / best.values.sum(), rtol=0, atol=0.04)


def test_what_is_drawn_does_not_hang_on_the_batch() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+2_1", seed=1)
    settings = {"do_sample": True, "temperature": 2.0, "top_p": 0.9, "seed": 3}
    wanted = model.generate(PROMPTS, 8, **settings)
    for batch_size in (1, 3):
        assert model.generate(PROMPTS, 8, batch_size=batch_size, **settings) == wanted
    assert model.generate(PROMPTS[:2], 8, **settings) == wanted[:2]


def test_what_is_drawn_does_not_hang_on_the_place_in_the_list() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+2_1", seed=1)
    settings = {"do_sample": True, "temperature": 2.0, "seed": 3}
    wanted = model.generate(PROMPTS, 8, **settings)
    assert model.generate(PROMPTS[::-1], 8, **settings) == wanted[::-1]
    assert [model.generate(prompt, 8, **settings)[0] for prompt in PROMPTS] == wanted


def test_a_prompt_given_twice_draws_as_often_as_two_returned_sequences() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+2_1", seed=1)
    settings = {"do_sample": True, "temperature": 2.0, "seed": 3}
    twice = model.generate(["ab,c", "x", "ab,c"], 8, **settings)
    assert twice[0] != twice[2]
    assert [twice[0], twice[2]] == model.generate("ab,c", 8, num_return_sequences=2, **settings)


def test_prompts_of_like_seed_draw_differently() -> None:
    """Otherwise rows of equal probabilities would all draw the same token."""
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    rows = model.generate(
        [f"{'a' * number}b" for number in range(1, 30)],
        1,
        do_sample=True,
        temperature=1e6,
        seed=0,
        return_details=True,
    )
    assert len({row.response_ids for row in rows}) > 10


def test_several_responses_to_each_prompt() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+2_1", seed=1)
    rows = model.generate(
        PROMPTS, 8, do_sample=True, num_return_sequences=3, seed=0, return_details=True
    )
    assert [row.prompt for row in rows] == [prompt for prompt in PROMPTS for _ in range(3)]
    assert len({row.text for row in rows[:3]}) > 1


def generated_by(backbone: Backbone, prompt: str, **settings: object) -> list[int]:
    """What Transformers' own `generate` answers."""
    ids = torch.tensor([backbone.encode(prompt)])
    whole = backbone.model.generate(
        ids, attention_mask=torch.ones_like(ids), pad_token_id=EOS, **settings
    )
    return whole[0, ids.shape[1] :].tolist()


SETTINGS = (
    {"repetition_penalty": 3.0},
    {"no_repeat_ngram_size": 2},
    {"bad_words_ids": [[17], [28, 13]]},
    {"suppress_tokens": [4, 9]},
    {"begin_suppress_tokens": [3, 4, 5]},
    {"sequence_bias": [[[6], 4.0]]},
    {"forced_eos_token_id": EOS},
    {"eos_token_id": [5, 9, 11, 20]},
    {"min_new_tokens": 6, "eos_token_id": [5, 9, 11, 20]},
    {"min_length": 9, "eos_token_id": [5, 9, 11, 20]},
    {"exponential_decay_length_penalty": [1, 1.5], "eos_token_id": [5, 9, 11, 20]},
    {"repetition_penalty": 0.5, "top_k": 1, "do_sample": True, "temperature": 3.0},
)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings)))
def test_settings_do_what_they_do_in_transformers(settings: dict[str, object]) -> None:
    """Without latents, on a ragged batch, as keywords and as an object."""
    backbone = tiny_backbone("llama")
    model = LatentModel(backbone, "none")
    wanted = [generated_by(backbone, p, max_new_tokens=9, **settings) for p in PROMPTS]
    rows = model.generate(PROMPTS, 9, return_details=True, **settings)
    assert [list(row.response_ids) for row in rows] == wanted
    config = GenerationConfig(max_new_tokens=9, **settings)
    assert model.generate(PROMPTS, generation_config=config, return_details=True) == rows
    plain = model.generate(PROMPTS, 9, return_details=True)
    assert rows != plain, "the setting changed nothing: it tests nothing"


def test_keywords_win_over_the_object_which_stays_as_it_was() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    config = GenerationConfig(max_new_tokens=3, do_sample=True, temperature=2.0)
    assert [len(r.response_ids) for r in model.generate("ab", 5, return_details=True)] == [5]
    drawn = model.generate("ab", generation_config=config, seed=1, return_details=True)
    assert len(drawn[0].response_ids) == 3
    greedy = model.generate("ab", 5, generation_config=config, do_sample=False, temperature=1.0)
    assert greedy == model.generate("ab", 5)
    assert (config.max_new_tokens, config.do_sample) == (3, True)


def test_what_has_no_effect_is_said() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    with pytest.warns(UserWarning, match="temperature, top_p: without effect"):
        model.generate("ab", 2, temperature=0.5, top_p=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = GenerationConfig(pad_token_id=0, num_beams=1, use_cache=True, temperature=1.0)
        model.generate("ab", 2, generation_config=config)


class Watcher(LogitsProcessor):
    """Keeps the ids it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        assert scores.shape == (len(input_ids), VOCABULARY)
        self.seen += map(tuple, input_ids.tolist())
        return scores.masked_fill_(torch.arange(VOCABULARY) % 3 == 0, -torch.inf)


def test_processors_see_verbal_ids_alone_and_may_change_scores() -> None:
    watcher = Watcher()
    model = LatentModel(tiny_backbone("llama"), "Start_3+1_1", seed=1)
    rows = model.generate(PROMPTS, 6, logits_processor=[watcher], return_details=True)
    assert all(token_id % 3 for row in rows for token_id in row.response_ids)
    assert set(watcher.seen) == {
        (*row.prompt_ids, *row.response_ids[:count]) for row in rows for count in range(6)
    }
    # A ragged batch is as each row alone, for processors too.
    ngrams = [NoRepeatNGramLogitsProcessor(1)]
    together = model.generate(PROMPTS, 6, logits_processor=ngrams)
    assert together == [model.generate(p, 6, logits_processor=ngrams)[0] for p in PROMPTS]
    assert together != model.generate(PROMPTS, 6)


# ---- the parts ----


def facts(*prompt_ids: int, limit: int = 4, eos: tuple[int, ...] = (0,)) -> RowFacts:
    return RowFacts(prompt_ids, limit, list(eos), torch.device("cpu"))


def chosen(settings: GenerationConfig, logits: list[list[float]], *rows: RowFacts, **of) -> object:
    chooser = Chooser(settings, **of)
    return chooser.choose(
        torch.tensor(logits), [chooser.scores_of(row) for row in rows], lambda n: rows[n].prompt_ids
    )


def test_the_likeliest_token_and_the_scores_it_was_chosen_from() -> None:
    logits = [[0.0, 2.0, 1.0], [3.0, 0.0, 1.0]]
    ids, scores = chosen(read_settings(None), logits, facts(1), facts(2))
    assert ids.tolist() == [1, 0] and scores.tolist() == logits
    settings = read_settings(None, suppress_tokens=[1], renormalize_logits=True)
    ids, scores = chosen(settings, logits, facts(1), facts(2))
    assert ids.tolist() == [2, 0]
    wanted = torch.tensor([[0.0, -torch.inf, 1.0], [3.0, -torch.inf, 1.0]]).log_softmax(-1)
    torch.testing.assert_close(scores, wanted)


def test_a_row_s_settings_look_at_its_own_ids() -> None:
    """The penalty halves the score of what was there: 1 in the first row, 0 in the second."""
    logits = torch.tensor([[3.0, 4.0, 1.0], [3.0, 4.0, 1.0]])
    chooser = Chooser(read_settings(None, repetition_penalty=2.0))
    scores = [chooser.scores_of(facts(7)), chooser.scores_of(facts(7))]
    ids, left = chooser.choose(logits, scores, ([1, 1], [0]).__getitem__)
    assert ids.tolist() == [0, 1]
    assert left.tolist() == [[3.0, 2.0, 1.0], [1.5, 4.0, 1.0]]
    assert logits.tolist() == [[3.0, 4.0, 1.0]] * 2, "what came is not changed"


def test_draws_are_those_of_a_generator_of_seed_occurrence_and_prompt() -> None:
    settings = read_settings(None, do_sample=True, temperature=2.0)
    logits = [[0.0] * 50] * 4
    rows = (facts(4, 5), facts(4, 5), facts(6), facts(4, 5))
    ids, scores = chosen(settings, logits, *rows, seed=9)
    wanted = []
    for numbers in ((9, 0, 4, 5), (9, 1, 4, 5), (9, 0, 6), (9, 2, 4, 5)):
        digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
        seed = int.from_bytes(digest, "big") >> 1
        generator = torch.Generator().manual_seed(seed)
        wanted.append(int(torch.multinomial(torch.full((50,), 0.02), 1, generator=generator)))
    assert ids.tolist() == wanted and len(set(wanted)) > 2
    assert scores.shape == (4, 50)
    with pytest.raises(SettingError, match=r"^seed is -1; expected a whole number"):
        Chooser(settings, seed=-1)


def test_what_processors_forbid_is_not_drawn() -> None:
    settings = read_settings(None, do_sample=True, suppress_tokens=[0, 2])
    ids, scores = chosen(settings, [[5.0, 0.0, 5.0]] * 2, facts(1), facts(2), seed=3)
    assert ids.tolist() == [1, 1] and scores.isfinite().sum() == 2


def test_without_a_seed_each_chooser_draws_anew() -> None:
    settings = read_settings(None, do_sample=True)
    drawn = {int(chosen(settings, [[0.0] * 5000], facts(1))[0]) for _ in range(3)}
    assert len(drawn) > 1
    assert (
        chosen(settings, [[0.0] * 5000], facts(1), seed=0)[0].tolist()
        == chosen(settings, [[0.0] * 5000], facts(1), seed=0)[0].tolist()
    )


@pytest.mark.parametrize(
    ("setting", "value", "left"),
    [
        ("top_k", 2, [0, 1]),
        ("top_p", 0.75, [0, 1]),
        ("min_p", 0.4, [0, 1]),
        ("typical_p", 0.2, [1]),
        ("epsilon_cutoff", 0.2, [0, 1]),
        ("eta_cutoff", 0.2, [0, 1, 2]),
        ("top_h", 0.5, [0]),
    ],
)
def test_what_a_setting_of_sampling_leaves(setting: str, value: float, left: list[int]) -> None:
    """Of probabilities 0.5, 0.3, 0.15 and 0.05."""
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().tolist()
    settings = read_settings(None, do_sample=True, **{setting: value})
    _, scores = chosen(settings, logits, facts(1), seed=0)
    assert scores[0].isfinite().nonzero().flatten().tolist() == left


@pytest.mark.parametrize("name", sorted({*PROCESSORS, *WARPERS}))
def test_a_setting_at_the_value_that_means_off_adds_nothing(name: str) -> None:
    off, _ = (PROCESSORS | WARPERS)[name]
    for value in (off, None):
        settings = GenerationConfig(do_sample=True)
        setattr(settings, name, value)
        chooser = Chooser(settings, seed=0)
        assert not chooser.scores_of(facts(1)).processors
        logits = [[1.0, -1e9, -1e9]]
        assert chosen(settings, logits, facts(1), seed=0)[1].tolist() == logits


def test_what_needs_an_end_of_sequence_token_is_left_out_without_one() -> None:
    """Transformers' own would fail on a list without tokens."""
    settings = read_settings(
        None, min_length=3, min_new_tokens=2, exponential_decay_length_penalty=(1, 1.5)
    )
    chooser = Chooser(settings)
    assert len(chooser.scores_of(facts(1)).processors) == 3
    assert not chooser.scores_of(facts(1, eos=())).processors


def test_settings_are_those_given_on_top_of_the_object_s() -> None:
    config = GenerationConfig(top_k=5, do_sample=True, num_beams=1, cache_implementation="dynamic")
    found = read_settings(config, top_k=None, top_p=0.5)
    assert (found.top_k, found.top_p, found.do_sample) == (5, 0.5, True)
    assert found is not config and config.top_p is None
    plain = read_settings(None)
    assert (plain.top_k, plain.max_length, plain.do_sample) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("temprature", "no setting 'temprature'; did you mean temperature"),
        ("xyzzy", "no setting 'xyzzy'; did you mean do_sample or temperature?"),
        ("_from_model_config", "no setting '_from_model_config'"),
    ],
)
def test_a_setting_that_does_not_exist_is_answered_with_those_that_do(name: str, said: str) -> None:
    with pytest.raises(SettingError, match=re.escape(said)):
        read_settings(None, **{name: 1})


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"temperature": 0.5, "top_k": 3}, "temperature, top_k: without effect"),
        ({"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}, None),
        ({"temperature": 0.5, "do_sample": True}, None),
    ],
)
def test_a_warning_names_the_settings_without_effect(settings, idle: str | None) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        read_settings(None, **settings)
    assert [str(one.message)[: len(idle or "")] for one in seen] == ([idle] if idle else [])


@pytest.mark.parametrize("value", [2, [1, 2], "static"])
def test_a_setting_that_is_not_available_is_refused_unless_it_is_off(value: object) -> None:
    read_settings(GenerationConfig(num_beams=1, guidance_scale=1, diversity_penalty=0.0))
    with pytest.raises(SettingError, match=r"penalty_alpha=.*: this is not available with latent"):
        read_settings(None, penalty_alpha=value)


def test_a_reason_is_given_where_there_is_one_and_a_model_s_own_settings_are_taken() -> None:
    with pytest.raises(SettingError, match="output_scores=True: generate returns text; see "):
        read_settings(None, output_scores=True)
    assert not read_settings(GenerationConfig(output_scores=False)).output_scores
    of_model = tiny_backbone("llama").model.generation_config
    assert of_model._from_model_config, "which is no setting that could be refused"
    assert read_settings(of_model).eos_token_id == EOS
