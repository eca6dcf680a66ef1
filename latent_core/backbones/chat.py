"""Conversations become prompts, through the tokenizer's own chat template.

Knows a tokenizer; nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, cast

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from latent_core.errors import PromptError

__all__ = [
    "Conversation",
    "Prompt",
    "as_prompts",
    "content_places",
    "is_conversation",
    "is_verbal_ids",
    "render_chat",
    "turn_end",
    "within",
]

Conversation = Sequence[Mapping[str, Any]]
"""Messages in order, each `{"role": "user", "content": "..."}`, as Transformers has them."""

Prompt = str | Conversation | Sequence[int]
"""A text, a conversation, or verbal ids that are fed as they are."""

_EXPECTED: Final = (
    "expected a text, a list of messages, or a list of verbal ids; or a list of several of these"
)


def is_conversation(prompt: Any) -> bool:
    """Whether this is one conversation, rather than a text or a list of prompts."""
    return (
        isinstance(prompt, Sequence)
        and not isinstance(prompt, str)
        and len(prompt) > 0
        and isinstance(prompt[0], Mapping)
    )


def is_verbal_ids(prompt: Any) -> bool:
    """Whether this is one prompt as verbal ids, rather than a text or a list of prompts."""
    return (
        isinstance(prompt, Sequence)
        and not isinstance(prompt, bytes)
        and len(prompt) > 0
        and all(isinstance(one, int) and not isinstance(one, bool) for one in prompt)
    )


def as_prompts(prompts: Prompt | Iterable[Prompt]) -> list[Prompt]:
    """A list of prompts, of one or many.

    Raises:
        PromptError: if it is neither.
    """
    if _is_prompt(prompts):
        return [cast("Prompt", prompts)]
    if isinstance(prompts, Mapping | bytes) or not isinstance(prompts, Iterable):
        raise PromptError(f"got {prompts!r:.80} as a prompt; {_EXPECTED}")
    found = list(cast("Iterable[Prompt]", prompts))
    for number, prompt in enumerate(found):
        # What is wrong with a list of messages, its own reader says.
        if not _is_prompt(prompt) and not isinstance(prompt, list | tuple):
            raise PromptError(f"prompt {number} is {prompt!r:.80}; {_EXPECTED}")
    return found


def _is_prompt(prompt: object) -> bool:
    return isinstance(prompt, str) or is_conversation(prompt) or is_verbal_ids(prompt)


def render_chat(tokenizer: PreTrainedTokenizerBase, messages: Conversation, name: str) -> str:
    """The text of a conversation, special tokens included, up to where the model goes on.

    That is the beginning of its answer; or, if the last message is its own, the end of that.

    Args:
        tokenizer: has the chat template.
        messages: the conversation.
        name: what errors call the backbone.

    Raises:
        PromptError: if the tokenizer has no chat template, or that cannot take these messages.
    """
    if not is_conversation(messages) or not all(
        isinstance(message, Mapping) and {"role", "content"} <= message.keys()
        for message in messages
    ):
        raise PromptError(
            f"got {messages!r:.80} as a conversation; expected a list of messages, each "
            '{"role": "user", "content": "..."}'
        )
    if not tokenizer.chat_template:
        raise PromptError(
            f"the tokenizer of {name} has no chat template, so it cannot take a list of messages; "
            "pass the prompt as text, or set backbone.tokenizer.chat_template"
        )
    own = messages[-1]["role"] == "assistant"
    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=not own,
            continue_final_message=own,
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise PromptError(f"the chat template of {name} cannot take these messages: {error}") from (
            error
        )
    assert isinstance(text, str)
    return text


def turn_end(tokenizer: PreTrainedTokenizerBase, ends: Collection[int]) -> int | None:
    """The token that ends the assistant's turn in the tokenizer's chat template.

    Args:
        tokenizer: has the chat template.
        ends: ids of tokens that end a response.

    Returns:
        the first of `ends` that the template writes after an answer; the end-of-sequence token if
        it writes none.
    """
    answer = "the answer"
    talk = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}]
    try:
        text = str(tokenizer.apply_chat_template(talk, tokenize=False))
    except (TemplateError, ValueError, TypeError):
        return tokenizer.eos_token_id
    after = tokenizer(text.rpartition(answer)[2], add_special_tokens=False)["input_ids"]
    return next((token_id for token_id in after if token_id in ends), tokenizer.eos_token_id)


def content_places(
    messages: Conversation, render: Callable[[Conversation], str], name: str
) -> list[tuple[int, int, int]]:
    """Where the contents of messages stand in the text of a conversation.

    Args:
        messages: the conversation.
        render: gives the text of a conversation.
        name: what errors call the backbone.

    Returns:
        for each content: where it begins and ends in the text, and where it begins among all
        contents, one after another. A template may leave out spaces at both ends.

    Raises:
        PromptError: if the template does more with a content than to write it.
    """
    text = render(messages)
    # What the template writes itself is what stands between contents that are nowhere else.
    signs = [f"\ue000{number}\ue001" for number in range(len(messages))]
    marked = render([{**one, "content": sign} for one, sign in zip(messages, signs, strict=True)])
    pieces = re.split("|".join(map(re.escape, signs)), marked)
    places, at, before = [], len(pieces[0]), 0
    for message, after in zip(messages, pieces[1:], strict=False):
        whole = message["content"]
        for content in (whole, whole.strip()):
            if text.startswith(content + after, at):
                places.append((at, at + len(content), before + whole.index(content)))
                at += len(content + after)
                before += len(whole)
                break
    if len(places) != len(messages) or len(pieces) != len(messages) + 1:
        raise PromptError(
            f"the chat template of {name} does more with the contents of messages than to write "
            "them, so it is not known where parts of them stand; expected a template that writes "
            "each content once"
        )
    return places


def within(span: tuple[int, int], places: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    """The part of a span of a text that lies in the contents of messages; (0, 0) if none does."""
    for start, end, before in places:
        first, last = max(span[0], start), min(span[1], end)
        if first < last:
            return first - start + before, last - start + before
    return 0, 0
