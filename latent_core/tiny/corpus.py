"""The text `tiny` is pre-trained on: documents made by rule, with no end to their number.

Seven kinds: copying, repeating, chains of numbers under stated rules, look-up, look-up with
addition, arithmetic, counting. Each comes in several notations, so that the model learns
the skill rather than one form of it. No document has a prompt of the tasks or its wording,
and no chain moves digits as the generation task's hidden rule does: its whole permutation
is left out, whatever the increments.

A document is a list of (text, determined) pieces: text that follows from what stands
before it, as opposed to text that is drawn at random and that no reader could foretell.
Knows nothing of tokens or tensors.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations
from string import ascii_letters, ascii_lowercase, digits, punctuation
from typing import Final

from latent_core.tasks.chains import HIDDEN_RULE, DigitRule

Document = list[tuple[str, bool]]
Numbers = Callable[[random.Random], int]

_ALPHABETS: Final = (digits, ascii_lowercase, digits + ascii_lowercase, ascii_letters + " ")
_ANY: Final = ascii_letters + digits + punctuation + " "
_PERMUTATIONS: Final = tuple(p for p in permutations(range(4)) if p != HIDDEN_RULE.sources)


def draw_document(rng: random.Random, mixture: str = "broad") -> Document:
    """One random document of a mixture: "broad" or "finishing"."""
    make = rng.choices(tuple(MIXTURES[mixture]), weights=tuple(MIXTURES[mixture].values()))[0]
    return make(rng)


def _word(rng: random.Random, shortest: int, longest: int) -> str:
    alphabet = rng.choice(_ALPHABETS) if rng.random() < 0.9 else _ANY
    return "".join(rng.choices(alphabet, k=rng.randint(shortest, longest)))


def _number(rng: random.Random) -> int:
    return rng.randint(0, 9) if rng.random() < 0.15 else rng.randint(10, 99)


def _small_number(rng: random.Random) -> int:
    return rng.randint(0, 9) if rng.random() < 0.1 else rng.randint(10, 49)


def _equation(rng: random.Random, number: Numbers = _number, sums: float = 0.75) -> tuple[str, str]:
    """An equation's left side with its sign, and its result: a share of sums, or differences."""
    a, b = number(rng), number(rng)
    if rng.random() < sums:
        return f"{a}+{b}=", str(a + b)
    a, b = max(a, b), min(a, b)
    return f"{a}-{b}=", str(a - b)


def _length(rng: random.Random, longest: int) -> int:
    """A length from 1 to `longest`, short ones more often."""
    return rng.randint(1, rng.randint(1, longest))


def _copying(rng: random.Random) -> Document:
    words = [_word(rng, 1, 12) for _ in range(rng.randint(1, 6))]
    between = rng.choice(" ,;/\n")
    text = between.join(words)
    opening, middle = rng.choice((("copy ", "|"), ("", "\n"), ("say: ", " = "), ("<", "><")))
    return [(opening + text, False), (middle, False), (text, True)]


def _repeating(rng: random.Random, most: int = 24) -> Document:
    item = "".join(_equation(rng)) if rng.random() < 0.5 else _word(rng, 1, 9)
    count = _length(rng, most)
    between = "," if rng.random() < 0.6 else rng.choice(";/ \n")
    end = "." if rng.random() < 0.7 else rng.choice(";!")
    form = rng.choice(("{count}x {item}|", "{item} *{count}:", "<{count}> {item} = "))
    heading = form.format(count=count, item=item)
    return [(heading, False), (between.join([item] * count) + end, True)]


def _repeating_few(rng: random.Random) -> Document:
    return _repeating(rng, 9)


def spell(rule: DigitRule) -> str:
    """A rule as text: for each digit of the result its source, a to d, and its increment."""
    parts = zip(rule.sources, rule.increments, strict=True)
    return "".join(f"{'abcd'[source]}{by}" for source, by in parts)


def spell_short(rule: DigitRule) -> str:
    """The same with one letter for a digit, a capital one for an increment of one."""
    parts = zip(rule.sources, rule.increments, strict=True)
    return "".join("abcd"[source].upper() if by else "abcd"[source] for source, by in parts)


def _rule(rng: random.Random) -> DigitRule:
    increments = [rng.choice((0, 0, 1)) for _ in range(4)]
    if rng.random() < 0.3:
        increments = [0] * 4
    return DigitRule(rng.choice(_PERMUTATIONS), tuple(increments))


def _chain(rng: random.Random, spelling: Callable[[DigitRule], str] = spell) -> Document:
    rule = _rule(rng)
    number = "".join(rng.choices(digits, k=4))
    between = "," if rng.random() < 0.7 else rng.choice(";\n ")
    text = between.join(rule.chain(number, _length(rng, 44)))
    if rng.random() < 0.3:  # the rule has to be read off the chain
        return [(text[:9], False), (text[9:], True)]
    heading = rng.choice(("{} ", "{}|", "rule {}: ")).format(spelling(rule))
    return [(heading + number, False), (text[4:], True)]


def _chain_short(rng: random.Random) -> Document:
    return _chain(rng, spell_short)


def _table(
    rng: random.Random, longest: int, number: Numbers = _number, letter_names: bool = False
) -> tuple[str, list[tuple[str, str]], str]:
    """A list of names and values as text, its pairs, and the sign between name and value.

    Names have one to three lowercase letters, or are single letters of either case.
    """
    size = rng.randint(2, rng.randint(3, longest))
    width = 1 if letter_names else rng.choice((1, 2, 2, 2, 3))
    alphabet = ascii_letters if letter_names else ascii_lowercase
    names: dict[str, None] = {}
    while len(names) < min(size, len(alphabet) - 6 if width == 1 else size):
        names["".join(rng.choices(alphabet, k=width))] = None
    pairs = [(name, str(number(rng))) for name in names]
    equals = "=" if rng.random() < 0.6 else rng.choice(":>-")
    between = "," if rng.random() < 0.6 else rng.choice(";\n ")
    return between.join(name + equals + value for name, value in pairs), pairs, equals


def _looking_up(rng: random.Random, letter_names: bool = False) -> Document:
    text, pairs, equals = _table(rng, 55, letter_names=letter_names)
    document: Document = [(text, False)]
    asked = rng.choices(pairs, k=rng.randint(1, 8))
    between = rng.choice(("\n", "|", "; ", "? "))
    for name, value in asked:
        document += [(between + name + equals, False), (value, True)]
    return document


def _looking_up_letters(rng: random.Random) -> Document:
    return _looking_up(rng, letter_names=True)


def _adding_up(rng: random.Random, number: Numbers = _number) -> Document:
    text, pairs, _ = _table(rng, 50, number)
    document: Document = [(text, False)]
    form = rng.choice(("|sum {} {}: ", "\nadd {},{}|", " <{} & {}> "))
    for _ in range(rng.randint(1, 5)):
        (first, a), (second, b) = rng.choice(pairs), rng.choice(pairs)
        document += [(form.format(first, second), False), (f"{a}+{b}={int(a) + int(b)}.", True)]
    return document


def _adding_up_small(rng: random.Random) -> Document:
    return _adding_up(rng, _small_number)


def _asking_for_two(rng: random.Random) -> Document:
    """A table, then questions for two of its values: their sum if a word says so, else the two.

    The word stands before the names, seldom before the table; another word asks for the two
    turned round. So a question without a word is never answered by a sum. (Where a block of text
    begins inside a document, a word before the table is cut off; hence seldom.)
    """
    text, pairs, _ = _table(rng, 25, _small_number, letter_names=rng.random() < 0.7)
    word = rng.choice(("sum", "sum", "add", "add", "turn", "", "", ""))
    front = bool(word) and rng.random() < 0.2
    opening, between = rng.choice("|\n ;"), rng.choice(" ,+&/")
    closing = rng.choice((": ", "|", "\n", "> ", "? "))
    if word and not front:
        opening += f"{word} "
    document: Document = [(f"{word}: {text}" if front else text, False)]
    for _ in range(rng.randint(1, 6)):
        (first, a), (second, b) = rng.choice(pairs), rng.choice(pairs)
        document += [
            (f"{opening}{first}{between}{second}{closing}", False),
            (_answer_for_two(word, a, b), True),
        ]
    return document


def _answer_for_two(word: str, a: str, b: str) -> str:
    if word in ("sum", "add"):
        return f"{a}+{b}={int(a) + int(b)}."
    return f"{b},{a}." if word == "turn" else f"{a},{b}."


def _arithmetic(
    rng: random.Random, longest: int = 8, number: Numbers = _number, sums: float = 0.75
) -> Document:
    document: Document = []
    between = rng.choice((",", "\n", "; "))
    for _ in range(rng.randint(1, longest)):
        left, result = _equation(rng, number, sums)
        document += [(left, False), (result, True), (between, False)]
    return document[:-1]


def _arithmetic_small(rng: random.Random) -> Document:
    return _arithmetic(rng, 24, _small_number)


def _arithmetic_even(rng: random.Random) -> Document:
    return _arithmetic(rng, 24, _small_number, sums=0.4)


def _counting_letters(rng: random.Random) -> Document:
    """Several questions about a few letters each: the shorter, the more is learned from one."""
    document: Document = []
    alphabet = rng.choice(("ab", "xyz", "01"))
    for _ in range(rng.randint(2, 12)):
        letters = "".join(rng.choices(alphabet, k=rng.randint(1, 9)))
        wanted = rng.choice(alphabet)
        count = str(letters.count(wanted))
        document += [(f"how many {wanted} in {letters}: ", False), (count, True), ("\n", False)]
    return document[:-1]


def _counting(rng: random.Random) -> Document:
    if rng.random() < 0.5:
        first, step = rng.randint(0, 99), rng.choice((1, 1, 2, -1))
        terms = [str(first + step * i) for i in range(rng.randint(3, 12))]
        known = 2 if step != 1 else 1
        opening = "count up " if step == 1 else ""
        head = ",".join(terms[:known])
        return [(opening + head, False), ("," + ",".join(terms[known:]), True)]
    letters = "".join(rng.choices(rng.choice(("ab", "xyz", "01")), k=rng.randint(1, 15)))
    wanted = rng.choice(letters)
    return [(f"how many {wanted} in {letters}: ", False), (str(letters.count(wanted)), True)]


#: How often each kind of document is drawn.
MIXTURES: Final[dict[str, dict[Callable[[random.Random], Document], float]]] = {
    "broad": {
        _copying: 0.10,
        _repeating: 0.18,
        _chain: 0.22,
        _looking_up: 0.14,
        _adding_up: 0.14,
        _arithmetic: 0.14,
        _counting: 0.08,
    },
    "finishing": {
        _copying: 0.06,
        _repeating: 0.14,
        _chain: 0.12,
        _chain_short: 0.14,
        _looking_up: 0.10,
        _adding_up: 0.04,
        _adding_up_small: 0.14,
        _arithmetic: 0.04,
        _arithmetic_small: 0.18,
        _counting: 0.04,
    },
    "polishing": {
        _copying: 0.05,
        _repeating_few: 0.13,
        _chain: 0.12,
        _chain_short: 0.24,
        _looking_up_letters: 0.04,
        _asking_for_two: 0.22,
        _arithmetic_even: 0.10,
        _counting: 0.05,
        _counting_letters: 0.05,
    },
}
