"""Conversations become prompts, through the tokenizer's own chat template.

Knows a tokenizer; nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from latent_core.errors import PromptError

__all__ = [
    "Conversation",
    "Prompt",
    "as_prompts",
    "is_conversation",
    "is_verbal_ids",
    "render_chat",
]

Conversation = Sequence[Mapping[str, Any]]
"""Messages in order, each `{"role": "user", "content": "..."}`, as Transformers has them."""

Prompt = str | Conversation | Sequence[int]
"""A text, a conversation, or verbal ids that are fed as they are."""


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
        and len(prompt) > 0
        and all(isinstance(one, int) and not isinstance(one, bool) for one in prompt)
    )


def as_prompts(prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """A list of prompts, of one or many."""
    if isinstance(prompts, str) or is_conversation(prompts) or is_verbal_ids(prompts):
        return [cast("Prompt", prompts)]
    return list(cast("Sequence[Prompt]", prompts))


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
