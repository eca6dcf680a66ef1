"""Conversations in training, evaluation, capture and the harness: one reading of them all."""

import json
from pathlib import Path
from typing import Any

import pytest

import latent_core as lc
from latent_core.analysis.mean_attention import attention_masses
from latent_core.backbones.backbone import Backbone
from latent_core.bridges.harness import HarnessModel
from latent_core.errors import PromptError
from latent_core.models.latent import LatentModel
from latent_core.tasks.base import Example
from latent_core.tasks.conversations import chat_prompt
from latent_core.training.examples import TrainingExamples
from tests.families import CHAT_TEMPLATE, CHAT_TOKENS, talking_backbone, tiny_backbone

SYSTEM = {"role": "system", "content": "ab"}


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


@pytest.fixture
def task(tmp_path: Path) -> lc.Task:
    lines: list[dict[str, Any]] = [
        {"messages": [SYSTEM, *user(f"{n},{n}="), {"role": "assistant", "content": f"{n},"}]}
        for n in range(10, 80)
    ]
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lc.load_task(path)


def names(backbone: Backbone, ids: list[int]) -> str:
    return "".join(backbone.tokenizer.convert_ids_to_tokens(ids))


def test_special_tokens_of_the_template_are_read_as_such_and_begin_once() -> None:
    backbone = talking_backbone()
    prompt = chat_prompt([SYSTEM, *user("1,2=")])
    ids = backbone.encode(prompt)
    assert names(backbone, ids) == "<begin><s>ab<turn>\n<u>1,2=<turn>\n<a>"
    assert len(ids) == 14 and names(backbone, ids[:2]) == "<begin><s>"
    assert backbone.read_prompt([SYSTEM, *user("1,2=")]) == backbone.read_prompt(prompt)
    model = LatentModel(backbone, "Start_1+Comma_1", seed=1)
    (told,) = model.generate(prompt, 4, return_details=True)
    (same,) = model.generate([SYSTEM, *user("1,2=")], 4, return_details=True)
    assert told == same and told.prompt_ids == tuple(ids)


def test_an_answer_ends_with_the_turn_and_any_other_text_with_the_sequence() -> None:
    backbone = talking_backbone()
    assert names(backbone, backbone.encode_example(chat_prompt(user("1")), "2")[1]) == "2<turn>"
    assert names(backbone, backbone.encode_example("1", "2")[1]) == "2<eos>"
    assert names(backbone, backbone.encode_response("2", end=False)) == "2"
    # Where a template's own token does not end a response, decoding would never stop at it.
    other = talking_backbone(ends=("<eos>",))
    assert names(other, other.encode_example(chat_prompt(user("1")), "2")[1]) == "2<eos>"


def test_training_and_decoding_have_the_same_slots(task: lc.Task) -> None:
    model = LatentModel(talking_backbone(), "Start_1+Comma_1+End_1", seed=1)
    backbone = model.backbone
    examples = TrainingExamples(model, task, 6, seed=0)
    for example, slots in zip(examples.examples, examples, strict=True):
        text = names(backbone, [slot.token_id for slot in slots.slots if not slot.is_latent])
        asked = json.loads(example.prompt.removeprefix("chat:"))[-1]["content"]
        assert text == f"<begin><s>ab<turn>\n<u>{asked}<turn>\n<a>{example.answer}<turn>"
        labels = [label for label in slots.labels if label >= 0]
        assert names(backbone, labels) == f"{example.answer}<turn>"
        decoded = model.place(backbone.encode(example.prompt), labels).slots
        assert decoded == slots.slots


def test_conversations_are_trained_checked_evaluated_and_looked_at(
    task: lc.Task, tmp_path: Path
) -> None:
    """With the same numbers as the texts that the template makes of them."""
    model = LatentModel(talking_backbone(), "Start_1+Comma_1", seed=1)
    result = lc.train(
        model, task, steps=8, batch_size=2, progress=False, check_every=4, learning_rate=0.5
    )
    assert result.log["loss"].iloc[-1] != result.log["loss"].iloc[0]
    records = lc.evaluate(model, task, splits="id", examples=4, progress=False)
    (example, *_) = task.examples("id", 4, seed=1)
    assert example.prompt in set(records["prompt"])
    few = lc.evaluate(model, task, splits="id", examples=2, shots=1, progress=False)
    assert (few["extra_slots"] > records["extra_slots"].max()).all()

    backbone = model.backbone
    ids, response = backbone.encode_example(example.prompt, example.answer)
    record = lc.capture_attention(model, example.prompt, example.answer)
    verbal = [slot.token_id for slot in model.place(ids, response).slots if not slot.is_latent]
    assert [one.label for one in record.slots if one.group is None] == [
        backbone.token_text(one) for one in verbal
    ]
    effects = lc.trace(model, example, progress=False)
    assert len(effects) and effects["effect"].notna().all()
    assert len(lc.token_probabilities(model, example.prompt, "1,")) == 2
    cost = lc.cost("Start_1+Comma_1", backbone, task, examples=2)
    assert cost.extra_slots == 3.0  # Start, a comma in the prompt and one in the answer


def test_a_backbone_without_a_chat_template_says_so_before_it_trains(
    task: lc.Task, tmp_path: Path
) -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_1")
    with pytest.raises(PromptError, match="llama has no chat template"):
        lc.train(model, task, steps=2, output_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "run.json").exists()
    with pytest.raises(PromptError, match="llama has no chat template"):
        lc.evaluate(model, task, splits="id", examples=2, progress=False)


# ---- characters ----


def test_characters_of_a_conversation_are_those_of_its_contents() -> None:
    backbone = talking_backbone()
    prompt = chat_prompt([SYSTEM, *user(" 1,2= ")])  # the template leaves the spaces out
    contents, spans = "ab 1,2= ", backbone.characters(prompt)
    assert len(spans) == len(backbone.encode(prompt))
    pairs = zip(backbone.encode(prompt), spans, strict=True)
    for token_id, (start, end) in pairs:
        token = names(backbone, [token_id])
        assert contents[start:end] == ("" if token in (*CHAT_TOKENS, "\n") else token)
    assert [start for start, end in spans if end] == [0, 1, 3, 4, 5, 6]
    assert backbone.characters("a1") == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    "template",
    [
        CHAT_TEMPLATE.replace("m.content | trim", "m.content | upper"),
        CHAT_TEMPLATE.replace("m.content | trim", "m.content ~ m.content"),
        CHAT_TEMPLATE.replace("{{ m.content | trim }}", "{{ m.content if loop.last }}"),
    ],
)
def test_a_template_that_rewrites_contents_has_no_known_characters(template: str) -> None:
    backbone = talking_backbone(template)
    with pytest.raises(PromptError, match="more with the contents of messages than to write them"):
        backbone.characters(chat_prompt([SYSTEM, *user("1,2=")]))


class Marked(lc.Task):
    """Which of two commas is asked for is marked by the characters of the contents."""

    name, description, hypothesis = "marked", "for a test", "none"
    exact_metric = graded_metric = "none"
    level_name, id_levels, ood_levels = "levels", (1,), ()

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        talks = [[SYSTEM, *user(f"{n},b,c=")] for n in range(count)]
        return [Example(chat_prompt(talk), "a", split, 1, str(n)) for n, talk in enumerate(talks)]

    def score(self, example: Example, response: str) -> lc.Score:
        return lc.Score(False, 0.0, ())

    def roles(self, example: Example) -> dict[str, list[tuple[int, int]]]:
        return {"asked": [(5, 6)]}  # of "ab0,b,c=", the second comma


def test_latents_of_a_role_are_found_in_the_text_of_a_conversation() -> None:
    model = LatentModel(talking_backbone(), "Comma_1", seed=1)
    masses = attention_masses(model, Marked(), "id", 2, progress=False)
    for number, example in enumerate(masses.examples):
        record = lc.capture_attention(model, example.prompt, example.answer)
        (_, place) = [t for t, slot in enumerate(record.slots) if slot.group is not None]
        queries = [t for t in range(place + 1, len(record.slots)) if record.slots[t].group is None]
        weights = record.weights[0, 1, queries, record.keys.index(place)]
        found = masses.of(0, 1, "Comma", "asked", "text -> latent")[number]
        assert float(weights.mean()) == pytest.approx(float(found), abs=1e-6)


# ---- the harness, and a real template ----


def test_the_harness_writes_prompts_with_the_same_template() -> None:
    model = LatentModel(talking_backbone(), "Start_1+Comma_1", seed=1)
    harness = HarnessModel(model, progress=False)
    talk = [SYSTEM, *user("1,2=")]
    text = harness.apply_chat_template(talk)
    assert harness.tok_encode(text) == model.backbone.encode(chat_prompt(talk))
    bare = HarnessModel(LatentModel(tiny_backbone("llama"), "Start_1"), progress=False)
    with pytest.raises(PromptError, match="no chat template"):
        bare.apply_chat_template(talk)


@pytest.mark.slow
def test_a_real_template_and_its_tokenizer_agree_with_transformers(smollm2_dir: Path) -> None:
    backbone = lc.load_backbone(smollm2_dir)
    talk = user("What is the capital of France?\nOne word.")
    answer = {"role": "assistant", "content": "Paris"}
    prompt, response = backbone.encode_example(chat_prompt(talk), answer["content"])
    template = backbone.tokenizer.apply_chat_template
    assert prompt == template(talk, add_generation_prompt=True, return_dict=False)
    whole = template([*talk, answer], return_dict=False)
    assert [*prompt, *response] == whole[: len(prompt) + len(response)]
    assert backbone.decode(whole[len(prompt) + len(response) :]).strip() == ""
    spans = backbone.characters(chat_prompt(talk))
    contents = talk[0]["content"]
    assert "".join(contents[start:end] for start, end in spans) == contents
