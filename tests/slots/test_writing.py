"""What is written as an argument is read back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_core.errors import SettingError
from latent_core.slots.notation import INTERVENTION
from latent_core.slots.writing import format_numbers, format_value, parse_numbers


@given(st.text(st.characters(codec="utf-8")) | st.text('ab=(),[]"\\& \n', max_size=12))
def test_any_text_is_one_argument(text: str) -> None:
    (call, other) = INTERVENTION.read(f"f(a, {format_value(text)}, b) & g(c)")
    assert [str(argument.value) for argument in call.arguments] == ["a", text, "b"]
    assert call.arguments[1].name is None and other.verb == "g"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Comma", "Comma"),
        ("drop(Comma, nearest=3)", "drop(Comma, nearest=3)"),
        ("Before[,|)|(]@1", "Before[,|)|(]@1"),
        ("text:a]b", "text:a]b"),
        ("", '""'),
        ("a, b", '"a, b"'),
        ("a & b", '"a & b"'),
        ("x=1", '"x=1"'),
        (" a", '" a"'),
        ('say "x', '"say \\"x"'),
        ("a)", '"a)"'),
        ("[a", '"[a"'),
        ("line\nbreak", "line\nbreak"),
        (0.5, "0.5"),
        (2.0, "2"),
        (3, "3"),
        ((0, 1, 2, 7), "0-2|7"),
    ],
)
def test_quotes_stand_where_they_are_needed(text: object, written: str) -> None:
    assert format_value(text) == written


@given(st.sets(st.integers(0, 40), min_size=1))
def test_numbers_are_read_back(numbers: set[int]) -> None:
    assert parse_numbers(format_numbers(numbers)) == tuple(sorted(numbers))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected numbers such as 5, 0-3 or 0-3|7"),
        ("a", "expected numbers such as"),
        ("3-", "expected a whole number at column 3, got the end"),
        ("3,4", r"expected '-', '\|' or the end at column 2, got ','"),
        ("5|3-1", "3-1 ends before it begins at column 3; write 1-3"),
        ("0-9999999999", "a number is '9999999999' at column 3; .* from 0 to 9,999"),
        ("1" * 5_000, "expected a whole number from 0 to 9,999"),
    ],
)
def test_what_is_no_numbers_is_pointed_at(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        parse_numbers(text)
