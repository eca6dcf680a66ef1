"""The text of a response while it grows, in whole characters.

A token may hold part of a character, such as some bytes of an emoji. The text of a token may also
depend on the tokens before it: SentencePiece drops a blank at the start. So the new text is the
difference between the last tokens decoded with the new one and without it. It is held back while it
ends in an incomplete character.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["TextStream"]

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Decodes ids one by one.

    Args:
        decode: ids -> text.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._context = 0
        self._told = 0
        self.text = ""
        """All text so far; incomplete characters are left out."""

    def push(self, token_id: int) -> str:
        """The text that is certain now and was not before; often empty, or several characters."""
        self._ids.append(token_id)
        known = self._decode(self._ids[self._context : self._told])
        text = self._decode(self._ids[self._context :])
        if len(text) <= len(known) or text.endswith(INCOMPLETE):
            return ""
        self._context, self._told = self._told, len(self._ids)
        self.text += text[len(known) :]
        return text[len(known) :]

    def end(self) -> str:
        """What was held back, when no more ids come."""
        rest = self._decode(self._ids)[len(self.text) :]
        self.text += rest
        return rest
