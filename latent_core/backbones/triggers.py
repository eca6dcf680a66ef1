"""Whether text fires the tokens that a trigger stands for.

A vocabulary may hold tokens that its tokenizer never writes, or writes in some places only: an
emoji that has a token of its own may be written as several tokens all the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Final

from latent_core.errors import LayoutError

__all__ = ["refuse_unwritten"]

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
