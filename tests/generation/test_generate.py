"""Decoding as users know it; that it is exact on every family is in `test_families`."""

import threading
import warnings

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    MaxLengthCriteria,
    NoRepeatNGramLogitsProcessor,
    PreTrainedTokenizerFast,
    StoppingCriteria,
    TextIteratorStreamer,
    TextStreamer,
)

import latent_core.generation.generate as generation_module
from latent_core.backbones.backbone import Backbone
from latent_core.errors import PromptError, SettingError
from latent_core.generation.streaming import INCOMPLETE, TextStream
from latent_core.models.latent import LatentModel
from tests.families import (
    EOS,
    FULL_ATTENTION,
    LAYOUTS,
    PROMPTS,
    VOCABULARY,
    character_tokenizer,
    random_model,
    tiny_backbone,
)
from tests.tracing import traced

LIMIT = 14
"""Twice the sliding window of the families that have one."""


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", FULL_ATTENTION)
def test_latents_ride_with_verbal_tokens_and_finished_rows_leave(family: str, layout: str) -> None:
    """One pass for the prompts, then one a token; the batch shrinks as rows end."""
    model = LatentModel(tiny_backbone(family), layout, seed=1)
    limits = [3, 9, 1, 6]
    trace = traced(model, PROMPTS, limits)
    lengths = [len(row.response_ids) for row in trace.rows]
    assert lengths[2] == 1 and max(lengths) > 2
    assert [rows for rows, _ in trace.shapes] == [
        sum(length > step for length in lengths) for step in range(max(lengths))
    ]


def test_a_sliding_window_gets_one_slot_a_row_and_pass() -> None:
    """No holes in the cache, hence exact; alone, a row has none and may ride."""
    model = LatentModel(tiny_backbone("mistral"), "1_2", seed=1)
    trace = traced(model, ["ab,c", "x"], 5)
    assert trace.shapes[0] == (2, 12)
    assert {slots for _, slots in trace.shapes[1:]} == {1}
    assert [slots for _, slots in traced(model, ["ab,c"], 5).shapes] == [12, 3, 3, 3, 3]


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_batches_of_any_size_give_the_same(family: str) -> None:
    model = LatentModel(tiny_backbone(family), "Start_1+2_1", seed=1)
    prompts = [*PROMPTS, "a=b", "1,2,3"]
    wanted = model.generate(prompts, 8)
    for batch_size in (1, 4, 6):
        assert model.generate(prompts, 8, batch_size=batch_size) == wanted


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_rows_end_at_any_end_of_sequence_token(family: str) -> None:
    """Each row by itself, and what others do then is as if it had never been there."""
    model = random_model(family)
    endless = LatentModel(Backbone(family, model, character_tokenizer()), "3_1", seed=1)
    free = endless.generate(PROMPTS, LIMIT, return_details=True)
    early, late = free[0].response_ids[4], free[1].response_ids[8]
    model.generation_config.eos_token_id = [early, late]
    ending = LatentModel(Backbone(family, model, character_tokenizer()), "3_1", seed=1)
    ends = {EOS, early, late}
    lengths = []
    for row, unended in zip(
        ending.generate(PROMPTS, LIMIT, return_details=True), free, strict=True
    ):
        ids = list(unended.response_ids)
        stop = next((i for i, token in enumerate(ids) if token in ends), len(ids) - 1)
        assert list(row.response_ids) == ids[: stop + 1]
        assert row.finished == (ids[stop] in ends)
        lengths.append(len(row.response_ids))
    assert len(set(lengths)) >= 3


def test_the_number_of_new_tokens_counts_verbal_tokens() -> None:
    model = LatentModel(tiny_backbone("llama"), "1_3", seed=1)
    (row,) = model.generate("ab", 5, return_details=True)
    assert len(row.response_ids) == 5 and not row.finished
    assert sum(slot.group is not None for slot in row.slots) == 3 * (2 + 4)


def test_limits_by_prompt() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1", seed=1)
    free = model.generate(PROMPTS, 9, return_details=True)
    limits = [2, 9, 1, 4]
    rows = model.generate(PROMPTS, limits, return_details=True)
    assert [row.response_ids for row in rows] == [
        row.response_ids[:limit] for row, limit in zip(free, limits, strict=True)
    ]


def test_what_a_row_tells() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1+Comma_2", seed=1)
    (row,) = model.generate("a,", 3, return_details=True)
    assert (row.prompt, row.prompt_ids) == ("a,", (2, 28))
    assert row.text == model.backbone.decode(row.response_ids)
    assert [slot.label for slot in row.slots[:5]] == ["Start.0", "a", "Comma.0", "Comma.1", ","]
    assert [slot.group for slot in row.slots[:5]] == ["Start", None, "Comma", "Comma", None]
    assert [slot.position_id for slot in row.slots[:5]] == [0, 0, 1, 1, 1]
    assert [slot.token_id for slot in row.slots[:5]] == [None, 2, None, None, 28]
    assert [slot.occurrence for slot in row.slots[:5]] == [0, None, 0, 0, None]
    assert [slot.token_id for slot in row.slots if slot.token_id is not None] == [
        *row.prompt_ids,
        *row.response_ids,
    ]


def test_one_prompt_or_many_or_none() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    assert model.generate("ab", 4) == model.generate(["ab"], 4)
    assert model.generate([], 4) == []


def test_tokens_are_told_as_they_are_chosen() -> None:
    model = LatentModel(tiny_backbone("llama"), "2_1", seed=1)
    told = []
    rows = model.generate(
        PROMPTS, 6, on_token=lambda *token: told.append(token), batch_size=3, return_details=True
    )
    for index, row in enumerate(rows):
        mine = [(token_id, text) for number, token_id, text in told if number == index]
        assert [token_id for token_id, _ in mine] == list(row.response_ids)
        assert "".join(text for _, text in mine) == row.text
    assert [number for number, _, _ in told[:6]] == [0, 1, 2, 0, 1, 2]
    assert told[-1][0] == 3


# ---- sampling ----


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


# ---- settings, as in Transformers ----


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


def test_lengths_count_verbal_tokens() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_4+1_2", seed=1)
    rows = model.generate(["ab,c", "x"], max_length=7, return_details=True)
    assert [len(row.response_ids) for row in rows] == [3, 6]
    assert [len(r.response_ids) for r in model.generate("x", return_details=True)] == [64]


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


# ---- where a response ends ----


def test_a_stop_string_ends_a_response() -> None:
    """It may begin in one token and end in another; what the prompt says does not count."""
    model = LatentModel(tiny_backbone("llama"), "2_1", seed=1)
    free = model.generate(PROMPTS, 12, return_details=True)
    stop = free[0].text[3:5]
    assert len(stop) == 2
    rows = model.generate(PROMPTS, 12, stop_strings=stop, return_details=True)
    for row, unstopped in zip(rows, free, strict=True):
        end = unstopped.text.find(stop)
        wanted = unstopped.text if end < 0 else unstopped.text[: end + 2]
        assert row.text == wanted
        assert row.finished == (end >= 0)
    assert rows[0].finished
    prompt = "ab" + stop[0]
    (row,) = model.generate(prompt, 4, stop_strings=[prompt, prompt[-1] + "?"], return_details=True)
    assert len(row.response_ids) == 4


def test_stop_strings_can_be_special_tokens() -> None:
    model = LatentModel(tiny_backbone("llama"), "2_1", seed=1)
    forced = {"forced_eos_token_id": 1, "eos_token_id": [33], "stop_strings": ["<unk>"]}
    (row,) = model.generate("ab", 4, return_details=True, **forced)
    assert row.response_ids[-1] == 1 and row.finished


class StopAfter(StoppingCriteria):
    """Ends a row once it has so many verbal tokens."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs) -> torch.Tensor:
        assert scores.shape == (1, VOCABULARY)
        return torch.tensor([input_ids.shape[1] >= 8])


def test_stopping_criteria_see_verbal_ids() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_3+1_1", seed=1)
    own = model.generate(PROMPTS[:2], 9, stopping_criteria=[StopAfter()], return_details=True)
    theirs = model.generate(PROMPTS[:2], 9, stopping_criteria=[MaxLengthCriteria(8)])
    assert [len(row.response_ids) for row in own] == [2, 4]
    assert all(row.finished for row in own) and [row.text for row in own] == theirs
    (slow,) = model.generate(["ab"], 9, max_time=0.0, return_details=True)
    assert len(slow.response_ids) == 1


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_finished_rows_cost_nothing(family: str) -> None:
    """Also in a batch that is fed a slot at a time, where rows end in the middle of a token."""
    model = LatentModel(tiny_backbone(family), "Start_2+2_3", seed=1)
    limits = [2, 12, 2, 2, 1, 2]
    trace = traced(model, ["ab", "cd", "ef,g", "a,b", "x", "yy"], limits)
    lengths = [len(row.response_ids) for row in trace.rows]
    assert lengths == limits
    fed = [rows for rows, _ in trace.shapes]
    assert fed[0] == 6 and fed[-1] == 1 and fed == sorted(fed, reverse=True)
    own = sum(len(row.slots) for row in trace.rows)  # all but the last token of each was fed
    assert len(trace.fed) < own


# ---- streaming ----


def byte_level_backbone() -> Backbone:
    """One token a byte, so that characters take several."""
    tokenizer = Tokenizer(
        models.BPE(
            {t: i for i, t in enumerate(["<eos>", *pre_tokenizers.ByteLevel.alphabet()])}, []
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    return Backbone("bytes", random_model("llama", vocab_size=len(fast)), fast)


class Dictate(LogitsProcessor):
    """Makes the model write these ids."""

    def __init__(self, ids: list[int], prompt_length: int) -> None:
        self.ids, self.start = ids, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = torch.full_like(scores, -torch.inf)
        scores[:, self.ids[input_ids.shape[1] - self.start]] = 0
        return scores


TEXTS = ("né 🙂, 漢字!", "plain", "\N{REPLACEMENT CHARACTER}x", "🙂" * 3)


@pytest.mark.parametrize("text", TEXTS)
def test_characters_come_whole(text: str) -> None:
    backbone = byte_level_backbone()
    ids = backbone.encode_response(text, end=False)
    for cut in (len(ids), len(ids) - 1):  # a response may end within a character
        told: list[str] = []
        model = LatentModel(backbone, "Start_1+2_1", seed=1)
        (row,) = model.generate(
            "ab",
            cut,
            logits_processor=[Dictate(ids, 2)],
            on_token=lambda *token, told=told: told.append(token[2]),
            return_details=True,
        )
        assert len(told) == cut
        assert "".join(told) == row.text == backbone.decode(ids[:cut])
        allowed = row.text.count(INCOMPLETE)
        assert sum(piece.count(INCOMPLETE) for piece in told[:-1]) <= allowed
    if "x" not in text:
        assert not any(INCOMPLETE in piece for piece in told[:-1])


def test_blanks_that_a_tokenizer_drops_at_the_start_are_streamed_in_between() -> None:
    """As SentencePiece's: a token's own text lacks the blank that it has within a text."""
    words = ["<unk>", "▁hello", "▁wide", "▁world", "s"]
    tokenizer = Tokenizer(models.Unigram([(word, -1.0) for word in words], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    stream = TextStream(lambda ids: tokenizer.decode(ids))
    assert [stream.push(i) for i in (1, 2, 3, 4)] == ["hello", " wide", " world", "s"]
    assert stream.end() == "" and stream.text == "hello wide worlds"


def test_a_streamer_shows_verbal_text(capsys: pytest.CaptureFixture[str]) -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2+1_1", seed=1)
    streamer = TextStreamer(model.backbone.tokenizer, skip_prompt=True)
    (text,) = model.generate("ab,c", 12, streamer=streamer)
    assert capsys.readouterr().out == f"{text}\n"
    with pytest.raises(SettingError, match="a streamer shows one response; got 2 prompts"):
        model.generate(["a", "b"], 3, streamer=streamer)


def test_a_thread_that_reads_a_streamer_ends_even_if_generation_fails() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2", seed=1)
    streamer = TextIteratorStreamer(model.backbone.tokenizer, timeout=20)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(streamer))
    reader.start()

    def fail(*token: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.generate("ab", 5, streamer=streamer, on_token=fail)
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert "".join(read).startswith("ab")


# ---- conversations ----

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'nobody' %}{{ raise_exception('no such role') }}"
    "{% endif %}{{ m.role[0] }}={{ m.content }}{{ eos_token if not loop.last }}\n{% endfor %}"
    "{% if add_generation_prompt %}a={% endif %}"
)


def chatty() -> LatentModel:
    tokenizer = character_tokenizer()
    tokenizer.chat_template = TEMPLATE
    backbone = Backbone("chatty", tiny_backbone("llama").model, tokenizer)
    return LatentModel(backbone, "Start_1+Equals_1", seed=1)


def test_a_list_of_messages_is_a_prompt() -> None:
    model = chatty()
    talk = [{"role": "user", "content": "ab"}]
    (row,) = model.generate(talk, 5, return_details=True)
    assert row.prompt == "u=ab\na="
    assert row.prompt_ids == tuple(model.backbone.encode("u=ab\na="))
    assert row.text == model.generate("u=ab\na=", 5)[0]
    longer = [*talk, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}]
    (other,) = model.generate(longer, 5, return_details=True)
    assert EOS in other.prompt_ids and other.prompt.endswith("u=d\na=")
    assert model.generate([talk, "ab", longer], 5) == [
        row.text,
        *model.generate("ab", 5),
        other.text,
    ]


def test_a_last_message_of_the_models_own_is_gone_on_with() -> None:
    talk = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cd,"}]
    (row,) = chatty().generate(talk, 5, return_details=True)
    assert row.prompt.endswith("a=cd,")


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        ([{"role": "user"}], "expected a list of messages"),
        ([[{"role": "user", "content": "a"}, "b"]], "expected a list of messages"),
        ([[]], "expected a list of messages"),
        ([{"role": "nobody", "content": "a"}], "cannot take these messages: no such role"),
    ],
)
def test_conversations_that_make_no_sense_are_refused(prompts, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        chatty().generate(prompts, 3)


def test_a_tokenizer_without_a_chat_template_says_so() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    with pytest.raises(PromptError, match=r"llama has no chat template.*pass the prompt as text"):
        model.generate([{"role": "user", "content": "ab"}], 3)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": [3, 0]}, "max_new_tokens"),
        ({"max_new_tokens": [3]}, "a list of 2, one for each prompt"),
        ({"max_new_tokens": 2.5}, "max_new_tokens is 2.5; expected a whole number of at least 1"),
        ({"max_new_tokens": True}, "max_new_tokens is True; expected a whole number"),
        ({"max_new_tokens": [3, 2.5]}, "max_new_tokens is 2.5; expected a whole number"),
        ({"max_new_tokens": "5"}, "max_new_tokens is 5; expected .* a list of 2"),
        (
            {"generation_config": GenerationConfig(max_new_tokens=2.5)},
            "max_new_tokens is 2.5; expected a whole number",
        ),
        ({"max_length": 7.5}, "max_length is 7.5; expected a whole number"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 1.5}, "batch_size is 1.5; expected a whole number"),
        ({"batch_size": True}, "batch_size is True"),
        ({"do_sample": True, "seed": 1.5}, "seed is 1.5; expected a whole number of at least 0"),
        ({"num_return_sequences": 1.5, "do_sample": True}, "num_return_sequences is 1.5"),
        ({"do_sample": True, "temperature": 0.0}, "temperature.* strictly positive"),
        ({"do_sample": True, "temperature": float("nan")}, "temperature.* strictly positive"),
        ({"do_sample": True, "top_k": -1}, "top_k.* strictly positive"),
        ({"do_sample": True, "top_p": 1.5}, "top_p.* > 0 and < 1"),
        ({"repetition_penalty": -1.0}, "penalty.* strictly positive"),
        ({"num_return_sequences": 0, "do_sample": True}, "num_return_sequences is 0"),
        ({"num_return_sequences": 2}, "greedy responses to one prompt are all the same"),
        ({"num_beams": 4}, "beam search is not available.*do_sample=True"),
        ({"generation_config": GenerationConfig(num_beams=4)}, "beam search is not available"),
        ({"prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens=3: this is not available"),
        ({"cache_implementation": "static"}, "keeps a dynamic cache"),
        ({"output_scores": True}, "a logits_processor, which sees every score"),
        ({"temprature": 0.5}, "no setting 'temprature'; did you mean temperature"),
        ({"max_length": 2}, "max_length is 2, prompt included, but a prompt has 2 tokens"),
        ({"stop_strings": [""]}, "a stop string is empty"),
    ],
)
def test_numbers_out_of_range_are_refused(kwargs, reason: str) -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    with pytest.raises(SettingError, match=reason):
        model.generate(["ab", "c"], **kwargs)


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (5, "got 5 as a prompt; expected a text, a list of messages, or a list of verbal ids"),
        (None, "got None as a prompt; expected a text"),
        (b"ab", "got b'ab' as a prompt; expected a text"),
        ({"role": "user", "content": "a"}, "got {'role': .* as a prompt; expected a text"),
        (["ab", 5], "prompt 1 is 5; expected a text"),
        (["ab", None], "prompt 1 is None; expected a text"),
        ([1.5, 2.5], "prompt 0 is 1.5; expected a text"),
        (torch.tensor([1, 2]), r"prompt 0 is tensor\(1\); expected a text"),
        ([VOCABULARY], f"outside the vocabulary of llama; expected 0 to {VOCABULARY - 1}"),
        ([[3, -1]], "outside the vocabulary of llama"),
    ],
)
def test_what_is_no_prompt_is_refused(prompts: object, said: str) -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    with pytest.raises(PromptError, match=said):
        model.generate(prompts, 3)


def test_prompts_that_cannot_be_answered_are_refused_before_any_work(monkeypatch) -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_5")
    monkeypatch.setattr(generation_module, "decode", None)
    with pytest.raises(PromptError, match="the prompt is empty"):
        model.generate(["ab", ""])
    with pytest.raises(PromptError, match="96 tokens, but llama has a context window of 96"):
        model.generate("a" * 96, 1)
    with pytest.raises(PromptError, match=r"has 93 tokens; with max_new_tokens=4 .*llama, 96"):
        model.generate("a" * 93, 4)


def test_the_whole_context_window_can_be_used() -> None:
    """Latents share positions, so they take no room of it."""
    model = LatentModel(tiny_backbone("gpt2"), "Start_5+End_5", seed=1)
    (row,) = model.generate("a" * 80, 16, return_details=True)
    assert len(row.response_ids) > 2
    assert max(slot.position_id for slot in row.slots) == 80 + len(row.response_ids) - 1


def test_sequential_positions_do_not_run_out_of_the_window() -> None:
    model = LatentModel(tiny_backbone("gpt2"), "2_2; positions=sequential", seed=1)
    with pytest.raises(PromptError, match=r"positions=sequential numbers beyond .*gpt2, 96"):
        model.generate("a" * 60, 4)
    assert model.generate("a" * 44, 4)
    with pytest.raises(PromptError, match="positions=sequential"):
        model.generate("a" * 44, 40)


def test_verbal_ids_are_fed_as_they_are() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2+Comma_1", seed=1)
    ids = [model.backbone.encode(prompt) for prompt in PROMPTS]
    assert model.generate(ids, 6) == model.generate(list(PROMPTS), 6)
    assert model.generate(ids[0], 6) == model.generate(PROMPTS[0], 6)
