"""A frozen decoder with its tokenizer: text in, text out, and the places of latents.

Its tensors are the business of `latent_core.backbones.decoder`; it is loaded by
`latent_core.backbones.loading`.

A trigger stands for tokens that text may never fire. A vocabulary may hold tokens that its
tokenizer never writes, or writes in some places only: an emoji that has a token of its own may be
written as several tokens all the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, cast, final

from transformers import PreTrainedTokenizerBase

from latent_core.backbones.chat import (
    Conversation,
    Prompt,
    content_places,
    is_verbal_ids,
    render_chat,
    turn_end,
    within,
)
from latent_core.backbones.decoder import Decoder
from latent_core.backbones.fingerprints import vocabulary_fingerprint
from latent_core.backbones.probing import refuse_unfit
from latent_core.errors import LayoutError, PromptError
from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import Placement
from latent_core.slots.places import After, Before
from latent_core.tasks.conversations import messages_of

__all__ = ["Backbone", "refuse_unwritten"]

#: Tokens of a trigger that are looked for in text before it is refused.
LOOKED_FOR: Final = 200
#: What stands for bytes that are no whole character.
INCOMPLETE: Final = "\ufffd"


def refuse_unwritten(
    text: str,
    ids: frozenset[int],
    encode: Callable[[str], list[int]],
    token_texts: Sequence[str],
    group: str,
    name: str,
) -> None:
    """Refuse a trigger that no text fires; warn of a character that fires in some places only.

    Args:
        text: the trigger's text.
        ids: the tokens that contain it.
        encode: the tokenizer, without special tokens.
        token_texts: what each token id decodes to.
        group, name: of the group and of the backbone, for the error.

    Raises:
        LayoutError: if no token contains the text, or the tokenizer writes none of those that do.
    """
    if not ids:
        raise LayoutError(
            f"group {group!r}: no token of {name}'s vocabulary contains {text!r}; choose another "
            "trigger text, or a shorter one"
        )
    if INCOMPLETE in text:
        raise LayoutError(
            f"group {group!r}: {text!r} stands for bytes that are no whole character, and many of "
            f"{name}'s tokens are such bytes; expected a text that a prompt can hold"
        )
    shown = [token_texts[token_id] for token_id in sorted(ids)[:3]]
    places = {"after a letter": f"a{text}b", "after a space": f"a {text} b"}
    missed = {
        place: written
        for place, example in places.items()
        if ids.isdisjoint(written := encode(example))
    }
    if len(missed) == len(places) and not _is_written(ids, encode, token_texts):
        raise LayoutError(
            f"group {group!r}: {name} has tokens that contain {text!r} "
            f"({', '.join(map(repr, shown))}), but writes none of them: "
            f"{_written(places, missed, token_texts)}. Choose another trigger text"
        )
    if missed and len(text) == 1:
        warnings.warn(
            f"group {group!r}: {text!r} fires only where {name} writes a token that contains it "
            f"({', '.join(map(repr, shown))}), not in {_written(places, missed, token_texts)}",
            stacklevel=4,
        )


def _is_written(
    ids: frozenset[int], encode: Callable[[str], list[int]], token_texts: Sequence[str]
) -> bool:
    """Whether one of the tokens comes out where its own text stands in a text."""
    return any(
        token_id in encode(before + token_texts[token_id])
        for token_id in sorted(ids)[:LOOKED_FOR]
        for before in ("", "a", "a ", "\n")
    )


def _written(
    places: dict[str, str], missed: dict[str, list[int]], token_texts: Sequence[str]
) -> str:
    return " and ".join(
        f"{places[place]!r} ({place}), whose tokens are "
        f"{', '.join(repr(token_texts[token_id]) for token_id in ids)}"
        for place, ids in missed.items()
    )


@final
@dataclass(frozen=True, eq=False, repr=False)
class Backbone(Decoder):
    """A frozen decoder-only Transformer and its tokenizer.

    On creation a forward pass over five tokens checks that the decoder can carry latent tokens.

    Attributes:
        name: the name it was loaded by: a short name, a hub id or a directory.
        model: the causal language model, in evaluation mode, without gradients.
        tokenizer: its tokenizer.
        asked_dtype: see `Decoder`.

    Raises:
        BackboneError: if the decoder cannot carry latent tokens, with the reason.

    Example:
        >>> import latent_core as lc
        >>> backbone = lc.load_backbone("tiny")
        >>> backbone.decode(backbone.encode("1+1="))
        '1+1='
        >>> backbone.hidden_size
        128
    """

    tokenizer: PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unfit(self)

    @cached_property
    def eos_ids(self) -> frozenset[int]:
        """Token ids that end a response."""
        found: set[int] = set()
        config = self.model.generation_config
        for ids in (self.tokenizer.eos_token_id, config.eos_token_id if config else None):
            found.update([ids] if isinstance(ids, int) else ids or ())
        return frozenset(found)

    def chat_text(self, messages: Conversation) -> str:
        """A conversation as the text the model was trained on, ready for its answer.

        Raises:
            PromptError: if the tokenizer has no chat template, or that cannot take these messages.
        """
        return render_chat(self.tokenizer, messages, self.name)

    def read_prompt(self, prompt: Prompt) -> tuple[str, list[int]]:
        """A prompt as text and as verbal ids, whatever form it has.

        Args:
            prompt: a text; a conversation, as a list of messages or in the notation of
                `lc.tasks.chat_prompt`, whose chat template writes special tokens itself; or verbal
                ids, which are taken as they are.

        Raises:
            PromptError: if the prompt is empty, too long, or a conversation or ids that this
                backbone cannot take.
        """
        if is_verbal_ids(prompt):
            ids = list(cast("Sequence[int]", prompt))
            if not 0 <= min(ids) <= max(ids) < self.vocabulary_size:
                raise PromptError(
                    f"the prompt {ids!r:.40} has ids outside the vocabulary of {self.name}; "
                    f"expected 0 to {self.vocabulary_size - 1}"
                )
            return self.decode(ids, special=True), ids
        text, special = self._rendered(cast("str | Conversation", prompt))
        # Not verbose: Transformers' warning about length would come before the error below.
        ids = self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        if self.context_length is not None and len(ids) >= self.context_length:
            shown = text if len(text) <= 40 else f"{text[:40]}..."
            raise PromptError(
                f"the prompt {shown!r} has {len(ids)} tokens, but {self.name} has a context "
                f"window of {self.context_limit}; shorten it"
            )
        return text, ids

    def encode(self, prompt: str) -> list[int]:
        """Encode a prompt as verbal ids, with the tokenizer's special tokens.

        They are added unless the text begins with its beginning-of-sequence token already, as chat
        templates write it.

        Args:
            prompt: the text, or a conversation in the notation of `lc.tasks.chat_prompt`.

        Raises:
            PromptError: if the prompt is empty, longer than the context window, or a conversation
                that this backbone cannot take.
        """
        return self.read_prompt(prompt)[1]

    def encode_example(
        self, prompt: str, response: str, end: bool = True
    ) -> tuple[list[int], list[int]]:
        """Encode a prompt and its response as verbal ids, as training and evaluation do.

        Args:
            prompt: see `encode`.
            response: its text.
            end: close it by the token that ends a response to this prompt.

        Raises:
            PromptError: as `encode`.
        """
        return self.encode(prompt), self.encode_response(response, end, prompt)

    def encode_response(self, response: str, end: bool = True, prompt: str = "") -> list[int]:
        """Verbal ids of a response.

        Args:
            response: its text.
            end: close it by the end-of-sequence token.
            prompt: what it answers. After a conversation, the token that ends a turn in the chat
                template closes it.
        """
        ids = self.tokenizer(response, add_special_tokens=False)["input_ids"]
        if not end:
            return ids
        closing = self.tokenizer.eos_token_id
        if messages_of(prompt) is not None:
            closing = self._turn_end
        return ids if closing is None else [*ids, closing]

    def characters(self, prompt: str) -> list[tuple[int, int]]:
        """The characters that each token of a prompt stands for, from `start` to before `end`.

        Args:
            prompt: see `encode`. In a conversation, the characters of the messages' contents count,
                one after another.

        Returns:
            one span a token; (0, 0) for special tokens, and for what a chat template writes.

        Raises:
            PromptError: as `encode`; or if a chat template changes the contents of messages.
        """
        text, ids = self.read_prompt(prompt)
        _, special = self._rendered(prompt)
        if self.tokenizer.is_fast:
            found = self.tokenizer(
                text, add_special_tokens=special, return_offsets_mapping=True, verbose=False
            )
            spans = [(int(start), int(end)) for start, end in found["offset_mapping"]]
        else:
            ends = [len(self.decode(ids[: count + 1])) for count in range(len(ids))]
            spans = list(zip([0, *ends], ends, strict=False))
        messages = messages_of(prompt)
        if messages is None:
            return spans
        places = content_places(messages, self.chat_text, self.name)
        return [within(span, places) for span in spans]

    def _rendered(self, prompt: str | Conversation) -> tuple[str, bool]:
        """A prompt as text, and whether the tokenizer has to add special tokens to it."""
        messages = messages_of(prompt) if isinstance(prompt, str) else prompt
        if messages is not None:
            return self.chat_text(messages), False
        text = cast(str, prompt)
        if not text:
            raise PromptError("the prompt is empty; expected at least one character")
        begin = self.tokenizer.bos_token
        return text, not (isinstance(begin, str) and text.startswith(begin))

    @cached_property
    def _turn_end(self) -> int | None:
        return turn_end(self.tokenizer, self.eos_ids)

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """Text of verbal ids, special tokens left out unless `special`."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=not special, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def token_text(self, *token_ids: int) -> str:
        """What token ids decode to together, special tokens by their names."""
        text = self.tokenizer.decode(list(token_ids), clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    @cached_property
    def token_texts(self) -> tuple[str, ...]:
        """What each token id decodes to on its own; empty for special and unused ids."""
        size = max(len(self.tokenizer), self.vocabulary_size)
        texts = self.tokenizer.batch_decode(
            [[token_id] for token_id in range(size)], clean_up_tokenization_spaces=False
        )
        special = {
            token_id
            for token_id, token in self.tokenizer.added_tokens_decoder.items()
            if token.special
        }.union(self.tokenizer.all_special_ids)
        return tuple("" if token_id in special else text for token_id, text in enumerate(texts))

    @cached_property
    def _scans(self) -> dict[str, frozenset[int]]:
        """What `trigger_ids` has found so far, by text."""
        return {}

    def trigger_ids(self, texts: Iterable[str]) -> frozenset[int]:
        """Ids of all tokens whose text contains one of `texts`: `,` is in `,`, `),` and `",`."""
        found: frozenset[int] = frozenset()
        for text in texts:
            if text not in self._scans:
                tokens = enumerate(self.token_texts)
                self._scans[text] = frozenset(token_id for token_id, t in tokens if text in t)
            found |= self._scans[text]
        return found

    def place(self, layout: LatentLayout) -> Placement:
        """The layout with its triggers looked up in this tokenizer's vocabulary.

        Raises:
            LayoutError: if no single token contains a trigger's text, or the tokenizer writes none
                of those that do.
        """
        triggers: dict[str, frozenset[int]] = {}
        for group in layout.groups:
            if isinstance(group.place, Before | After):
                for text in group.place.texts:
                    self._refuse_unwritten(text, group.name)
                triggers[group.name] = self.trigger_ids(group.place.texts)
        return Placement(layout, triggers)

    def _refuse_unwritten(self, text: str, group: str) -> None:
        if text not in self._written:
            refuse_unwritten(
                text,
                self.trigger_ids([text]),
                lambda running: self.encode_response(running, end=False),
                self.token_texts,
                group,
                self.name,
            )
            self._written.add(text)

    @cached_property
    def _written(self) -> set[str]:
        """The trigger texts that are known to occur in text."""
        return set()

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """Tells vocabularies apart."""
        return vocabulary_fingerprint(self.tokenizer)
