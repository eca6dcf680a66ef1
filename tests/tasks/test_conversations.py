"""Conversations as prompts: their notation, and task files that hold them."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

import latent_core as lc
from latent_core.errors import PromptError, TaskError
from latent_core.tasks.conversations import (
    asked_in,
    before_prompt,
    chat_prompt,
    messages_of,
    prompt_and_answer,
    unescaped,
)

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": 'What is "2+3"?\nSay: π'}
TOLD = {"role": "assistant", "content": "5"}


def test_a_conversation_is_text_and_comes_back() -> None:
    prompt = chat_prompt([SYSTEM, ASKED])
    assert prompt.startswith('chat:[{"role": "system"') and "π" in prompt
    assert messages_of(prompt) == [SYSTEM, ASKED]
    assert chat_prompt(messages_of(prompt)) == prompt
    assert messages_of(f"chat: {json.dumps([ASKED])}") == [ASKED]
    swapped = [{"content": one["content"], "role": one["role"]} for one in (SYSTEM, ASKED)]
    assert chat_prompt(swapped) == prompt  # one conversation is one text


@pytest.mark.parametrize(
    "text", ["", "chat", "chat: hello", "[1]", '[{"role": "user"}]', " chat:["]
)
def test_other_text_is_text(text: str) -> None:
    assert messages_of(text) is None


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("chat:[", "begins as a conversation, but is not valid JSON"),
        ("chat:[]", "has no messages"),
        ("chat:[1]", "message 0 is 1"),
        ('chat:[{"role": "user"}]', "message 0 is .* of text alone"),
        ('chat:[{"role": "", "content": "a"}]', "message 0 is"),
        ('chat:[{"role": "user", "content": [{"type": "image"}]}]', "of text alone"),
        ('chat:[{"role": "user", "content": "a", "tool_calls": []}]', "of text alone"),
    ],
)
def test_what_begins_as_a_conversation_and_is_none_is_refused(prompt: str, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        messages_of(prompt)


def test_a_typed_line_break_is_one_in_text_and_stays_json_in_a_conversation() -> None:
    assert unescaped("a\\nb") == "a\nb"
    typed = 'chat:[{"role": "user", "content": "a\\nb"}]'
    assert messages_of(unescaped(typed)) == [{"role": "user", "content": "a\nb"}]


def test_a_label_of_a_conversation_is_what_it_asks() -> None:
    assert asked_in(chat_prompt([SYSTEM, ASKED])) == ASKED["content"]
    assert asked_in("2+3=") == "2+3="


def test_solved_examples_are_earlier_turns_after_the_system_message() -> None:
    other = {"role": "user", "content": "1+1?"}
    solved = [(chat_prompt([SYSTEM, other]), "2")]
    found = messages_of(before_prompt(solved, chat_prompt([SYSTEM, ASKED])))
    assert found == [SYSTEM, other, {"role": "assistant", "content": "2"}, ASKED]
    assert messages_of(before_prompt(solved, chat_prompt([ASKED])))[0] == other
    assert before_prompt([("1+1=", "2")], "2+3=") == "1+1=2\n\n2+3="


def test_a_last_message_of_the_assistant_is_the_answer() -> None:
    assert prompt_and_answer([ASKED, TOLD], None) == (chat_prompt([ASKED]), "5")
    assert prompt_and_answer([ASKED], "6") == (chat_prompt([ASKED]), "6")
    for messages, answer, reason in (
        ([ASKED, TOLD], "5", "expected one of both"),
        ([ASKED], None, "there is no answer"),
        ([TOLD], None, "one that it answers"),
    ):
        with pytest.raises(PromptError, match=reason):
            prompt_and_answer(messages, answer)


# ---- task files ----


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "talk.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_file_of_conversations_is_a_task(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"messages": [SYSTEM, ASKED, TOLD], "split": "train"},
        {"messages": [ASKED], "answer": "6", "split": "id", "metric": "numeric"},
    )
    task = lc.load_task(path)
    (train,), (test,) = task.examples("train", 1, 0), task.examples("id", 1, 0)
    assert (train.prompt, train.answer) == (chat_prompt([SYSTEM, ASKED]), "5")
    assert (test.prompt, test.answer) == (chat_prompt([ASKED]), "6")
    turns = messages_of(task.few_shot(test, 1, seed=0))
    assert turns == [ASKED, TOLD, ASKED]
    assert task.score(test, "It is 6.").exact


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{"messages": [ASKED]}], "line 1: the last message is that of 'user'"),
        ([{"messages": [ASKED, TOLD], "prompt": "a"}], "line 1: 'prompt' stands beside"),
        ([{"messages": "hello", "answer": "a"}], "line 1: got 'hello' as a conversation"),
        ([{"messages": [ASKED, TOLD | {"content": " "}]}], "line 1: 'answer' must be text"),
        ([{"prompt": "chat:[", "answer": "a"}], "line 1: the prompt .* begins as a conversation"),
        (
            [{"messages": [ASKED, TOLD]}, {"prompt": "a", "answer": "b"}],
            "line 2: some lines are conversations and some are not",
        ),
    ],
)
def test_a_line_that_is_no_example_is_named(
    tmp_path: Path, lines: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(TaskError, match=reason):
        lc.load_task(written(tmp_path, *lines))


def test_datasets_and_frames_of_conversations_become_the_same_task(tmp_path: Path) -> None:
    rows = [{"messages": [SYSTEM, ASKED, TOLD]}, {"messages": [ASKED, TOLD]}]
    wanted = lc.load_task(written(tmp_path, *rows))
    # Arrow gives every message every key, None where it was not there.
    named = [{"messages": [one | {"name": None} for one in row["messages"]]} for row in rows]
    dataset = datasets.Dataset.from_list(named)
    frame = pd.DataFrame({"talk": [np.array(row["messages"], dtype=object) for row in named]})
    frame.to_parquet(tmp_path / "talk.parquet")
    columns = {"messages": "talk"}
    for number, (data, names) in enumerate(
        [(dataset, None), (frame, columns), (tmp_path / "talk.parquet", columns)]
    ):
        found = lc.tasks.convert(data, tmp_path / f"{number}" / "talk.jsonl", names)
        assert found.fingerprint == wanted.fingerprint
