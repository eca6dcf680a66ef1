"""Conversations become prompts, through the tokenizer's own chat template.

Knows a tokenizer; nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from latent_core.errors import PromptError

__all__ = ["Conversation", "as_prompts", "is_conversation", "render_chat"]

Conversation = Sequence[Mapping[str, Any]]
"""Messages in order, each `{"role": "user", "content": "..."}`, as Transformers has them."""


def is_conversation(prompt: Any) -> bool:
    """Whether this is one conversation, rather than a text or a list of prompts."""
    return (
        isinstance(prompt, Sequence)
        and not isinstance(prompt, str)
        and len(prompt) > 0
        and isinstance(prompt[0], Mapping)
    )


def as_prompts(
    prompts: str | Conversation | Sequence[str | Conversation],
) -> list[str | Conversation]:
    """A list of prompts, of one or many."""
    if isinstance(prompts, str) or is_conversation(prompts):
        return [cast("str | Conversation", prompts)]
    return list(cast("Sequence[str | Conversation]", prompts))


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
