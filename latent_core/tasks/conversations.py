"""Conversations as prompts: text in a notation that a backbone renders with its chat template.

    chat:[{"role": "user", "content": "What is 2+3?"}]

An example's prompt is text, so it can stand in records, in a command and in a panel. A prompt in
this notation is a conversation there, too. Which tokens it becomes, only the backbone knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from latent_core.errors import PromptError
from latent_core.files import parse_json

__all__ = [
    "asked_in",
    "before_prompt",
    "chat_prompt",
    "messages_of",
    "prompt_and_answer",
    "spoken",
    "unescaped",
]

_MARK: Final = "chat:"
_BEGIN: Final = re.compile(r"chat:\s*\[")
_EXPECTED: Final = 'expected a list of messages, each {"role": "user", "content": "..."}'

Message = dict[str, str]


def chat_prompt(messages: Iterable[Mapping[str, Any]]) -> str:
    """Write a conversation as a prompt, which every command and function takes as text.

    Args:
        messages: in order, each with a `role` and a `content`. The last one is what the model
            answers, such as a user's.

    Raises:
        PromptError: if these are no messages.

    Example:
        >>> import latent_core as lc
        >>> lc.tasks.chat_prompt([{"role": "user", "content": "What is 2+3?"}])
        'chat:[{"role": "user", "content": "What is 2+3?"}]'
    """
    return _MARK + json.dumps(_checked(messages), ensure_ascii=False)


def messages_of(prompt: str) -> list[Message] | None:
    """The messages of a prompt in the notation; None for any other text.

    Raises:
        PromptError: if it begins as a conversation, and is none.
    """
    if not _BEGIN.match(prompt):
        return None
    try:
        found = parse_json(prompt.removeprefix(_MARK))
    except ValueError as error:
        raise PromptError(
            f"the prompt {prompt!r:.60} begins as a conversation, but is not valid JSON ({error}); "
            f"after {_MARK} {_EXPECTED}"
        ) from error
    return _checked(found)


def asked_in(prompt: str) -> str:
    """What a prompt asks, for a label: a conversation's last message, or the text itself."""
    messages = messages_of(prompt)
    return prompt if messages is None else messages[-1]["content"]


def spoken(prompt: str) -> str:
    """The words of a prompt: what the messages of a conversation say, each with a line end."""
    messages = messages_of(prompt)
    return prompt if messages is None else "".join(f"{one['content']}\n" for one in messages)


def unescaped(prompt: str) -> str:
    """A prompt that was typed in one line; a conversation is JSON, which has escapes of its own."""
    return prompt if _BEGIN.match(prompt) else prompt.replace("\\n", "\n")


def before_prompt(solved: Iterable[tuple[str, str]], prompt: str) -> str:
    """A prompt with solved ones in front of it.

    Of conversations, these are earlier turns; they come after the prompt's own system message, and
    theirs are left out.

    Args:
        solved: prompts and their answers.
        prompt: what is asked.
    """
    messages = messages_of(prompt)
    if messages is None:
        return "".join(f"{one}{answer}\n\n" for one, answer in solved) + prompt
    turns: list[Message] = []
    for one, answer in solved:
        own = messages_of(one)
        turns += [{"role": "user", "content": one}] if own is None else _without_system(own)
        turns.append({"role": "assistant", "content": answer})
    rest = _without_system(messages)
    return chat_prompt([*messages[: len(messages) - len(rest)], *turns, *rest])


def prompt_and_answer(messages: Any, answer: str | None) -> tuple[str, str]:
    """The prompt and the answer of a conversation, as datasets of conversations have it.

    Args:
        messages: if the last one is the assistant's, it is the answer.
        answer: the answer, if the conversation ends before it.

    Raises:
        PromptError: if these are no messages, or there is no answer or two of them.
    """
    found = _checked(messages)
    if found[-1]["role"] != "assistant":
        if answer is None:
            raise PromptError(
                f"the last message is that of {found[-1]['role']!r}, and there is no answer; "
                "expected an 'answer', or a last message of the assistant"
            )
        return chat_prompt(found), answer
    if answer is not None:
        raise PromptError(
            "the last message is the assistant's, and there is an answer beside it; expected one "
            "of both"
        )
    if len(found) == 1:
        raise PromptError("the only message is the assistant's; expected one that it answers")
    return chat_prompt(found[:-1]), found[-1]["content"]


def _without_system(messages: Sequence[Message]) -> list[Message]:
    first = next((n for n, one in enumerate(messages) if one["role"] != "system"), len(messages))
    return list(messages[first:])


def _checked(messages: Any) -> list[Message]:
    """The messages as plain text by role and content, in this order.

    Raises:
        PromptError: naming the message.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        raise PromptError(f"got {messages!r:.80} as a conversation; {_EXPECTED}")
    found = []
    for number, message in enumerate(messages):
        fields = dict(message) if isinstance(message, Mapping) else {}
        texts = [fields.pop(name, None) for name in ("role", "content")]
        if fields or not all(isinstance(text, str) for text in texts) or not texts[0]:
            raise PromptError(f"message {number} is {message!r:.80}; {_EXPECTED}, of text alone")
        found.append({"role": str(texts[0]), "content": str(texts[1])})
    if not found:
        raise PromptError(f"the conversation has no messages; {_EXPECTED}")
    return found
