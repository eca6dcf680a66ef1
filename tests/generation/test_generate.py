"""Generation as users know it: prompts, limits, conversations, and what is refused."""

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    GenerationConfig,
    TextStreamer,
)

import latent_core.generation.generate as generation_module
from latent_core.backbones.backbone import Backbone
from latent_core.errors import PromptError, SettingError
from latent_core.models.latent import LatentModel
from tests.families import (
    EOS,
    PROMPTS,
    VOCABULARY,
    character_tokenizer,
    tiny_backbone,
)


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


def test_lengths_count_verbal_tokens() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_4+1_2", seed=1)
    rows = model.generate(["ab,c", "x"], max_length=7, return_details=True)
    assert [len(row.response_ids) for row in rows] == [3, 6]
    assert [len(r.response_ids) for r in model.generate("x", return_details=True)] == [64]
    assert model.generate([], max_length=1) == [], "no prompt is too long"


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


def test_what_a_tokenizer_adds_to_a_text_is_not_added_to_a_conversation() -> None:
    """The template has written it already."""
    backbone = chatty().backbone
    (begin,) = backbone.encode("z")
    added = TemplateProcessing(single="z $A", special_tokens=[("z", begin)])
    backbone.tokenizer.backend_tokenizer.post_processor = added
    model = LatentModel(backbone, "Start_1", seed=1)
    talk = [{"role": "user", "content": "ab"}]
    told, plain = model.generate([talk, "u=ab\na="], 1, return_details=True)
    assert plain.prompt_ids == (begin, *told.prompt_ids)


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


def test_verbal_ids_are_fed_as_they_are() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2+Comma_1", seed=1)
    ids = [model.backbone.encode(prompt) for prompt in PROMPTS]
    assert model.generate(ids, 6) == model.generate(list(PROMPTS), 6)
    assert model.generate(ids[0], 6) == model.generate(PROMPTS[0], 6)


def test_the_first_and_the_last_id_of_the_vocabulary_are_prompts() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    (row,) = model.generate([0, VOCABULARY - 1, EOS], 1, return_details=True)
    assert row.prompt_ids == (0, VOCABULARY - 1, EOS)
    assert row.prompt == model.backbone.decode(row.prompt_ids, special=True)
    assert row.prompt != model.backbone.decode(row.prompt_ids), "special tokens are named"


def test_a_streamer_shows_one_response_and_no_more() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    streamer = TextStreamer(model.backbone.tokenizer)
    one = {"num_return_sequences": 1, "do_sample": True, "seed": 0}
    assert len(model.generate("ab", 2, streamer=streamer, **one)) == 1
    two = one | {"num_return_sequences": 2}
    for prompts, settings in ((["ab", "c"], one), (["ab"], two), (["ab", "c"], two), ([], one)):
        with pytest.raises(SettingError, match="a streamer shows one response"):
            model.generate(prompts, 2, streamer=streamer, **settings)
