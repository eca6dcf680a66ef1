"""The grammar: what breaks it is pointed at in any language, and what is written is read back."""

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_core.errors import LatentError, SettingError
from latent_core.slots import notation
from latent_core.slots.notation import (
    INTERVENTION,
    Language,
    format_numbers,
    format_value,
    parse_numbers,
    whole_number,
)
from latent_core.slots.pointing import Part, pointed

pytestmark = pytest.mark.timed

LANGUAGES = {name: found for name, found in vars(notation).items() if isinstance(found, Language)}


def test_an_error_says_what_was_expected_what_came_and_where() -> None:
    with pytest.raises(SettingError) as caught:
        INTERVENTION.read("drop(Comma, after=3) drop(Start)")
    assert str(caught.value) == (
        "expected '&' or the end at column 22, got 'drop'\n"
        "    drop(Comma, after=3) drop(Start)\n"
        "                         ^ expected '&' or the end"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drop", "expected an intervention such as drop.* at column 1, got 'drop'"),
        ("drop(Comma,)", r"expected an argument at column 12, got '\)'"),
        ("drop(,Comma)", r"expected an argument or '\)' at column 6, got ','"),
        ("drop(Comma", r"expected ',' or '\)' at column 11, got the end"),
        ("drop(Comma))", r"expected '&' or the end at column 12, got '\)'"),
        ("drop(Comma) &", "expected an intervention such as .* at column 14, got the end"),
        ("& drop(Comma)", "expected an intervention such as .* at column 1, got '&'"),
        ('replace(Comma, "a)', 'expected a closing " for the " at column 16, got the end'),
        ('replace(Comma, "a" b)', r"expected ',' or '\)' at column 20, got 'b'"),
        ('replace(Comma, "a\\q")', "cannot read .* as a quoted text: invalid .* at column 18"),
        ("replace(Comma, text:[a)", r"expected a closing \] for the \[ at column 21"),
        ("drop(a b) c", "expected '&' or the end at column 11, got 'c'"),
        ("drop(Comma, x\ud800)", "half of a character at column 14"),
    ],
)
def test_a_broken_intervention_is_pointed_at(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        INTERVENTION.read(text)


def test_free_text_keeps_commas_in_brackets_parentheses_and_quotes() -> None:
    (call,) = INTERVENTION.read('f( a[\\],],b(,),c"," , x = d ,"e, f", y=)')
    assert call.verb == "f"
    assert [(argument.name, str(argument.value)) for argument in call.arguments] == [
        (None, r"a[\],]"),
        (None, "b(,)"),
        (None, 'c","'),
        ("x", "d"),
        (None, "e, f"),
        ("y", ""),
    ]


def test_a_part_knows_where_it_stands_in_the_whole_text() -> None:
    text = 'f(a) & g(b, name = "c d")'
    argument = INTERVENTION.read(text)[1].arguments[1]
    assert argument.name is not None
    for part in (argument.name, argument.value):
        assert text[part.start : part.start + part.length] == part
        assert part.source == text
    fault = argument.value.within(2, 3).fault(SettingError, "no d", "write c")
    assert str(fault) == f"no d at column 23; write c\n    {text}\n    {' ' * 22}^"


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize(
    "bomb",
    [
        "(" * 10_000,
        "f(" * 10_000 + ")" * 10_000,
        "f(" + "(" * 9_000 + ")" * 9_000 + ")",
        "[" * 10_000,
        '"' * 9_999,
        "+".join(["a"] * 100_000),
        "\ud800",
    ],
    ids=lambda bomb: f"{bomb[:4]!a}x{len(bomb)}",
)
def test_bombs_are_refused_at_once(name: str, bomb: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(LatentError) as caught:
        LANGUAGES[name].read(bomb)
    assert time.perf_counter() - begun < 5
    assert len(str(caught.value)) < 600
    str(caught.value).encode()


def test_the_limits_are_said() -> None:
    with pytest.raises(SettingError, match="nested 29 deep at column 3; expected at most 20"):
        INTERVENTION.read("f(x" + "(" * 29 + ")" * 29 + ")")
    INTERVENTION.read("f(x" + "(" * 20 + ")" * 20 + ")")
    with pytest.raises(SettingError, match="at most 50,000 characters, got 50,001 characters"):
        INTERVENTION.read("f" * 50_001)


@given(st.sampled_from(sorted(LANGUAGES)), st.text('aS_1+,;@.()[]"\\&=-|> \n', max_size=30))
def test_any_text_is_read_or_refused_with_a_column(name: str, text: str) -> None:
    try:
        LANGUAGES[name].read(text)
    except LatentError as error:
        said = str(error)
        assert "at column " in said.splitlines()[0]
        assert len(said.splitlines()) == (3 if text else 1)


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), ("+3", 3), ("-3", -3), ("1_000", 1000), ("10" + "0" * 17, 10**18)],
)
def test_a_whole_number_is_read(text: str, number: int) -> None:
    assert whole_number(Part(text), "n", SettingError) == number


@pytest.mark.parametrize("text", ["", "x", "3.0", "1__0", "٣", "--1", "1" * 19, "9" * 5_000])
def test_what_is_no_whole_number_within_limits_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="expected a whole number between -10\\^18 and 10\\^18"):
        whole_number(Part(text), "n", SettingError)
    with pytest.raises(SettingError, match=r"n is '5' at column 1; expected .* from 6 to 1,000"):
        whole_number(Part("5"), "n", SettingError, 6, 1_000)


def test_a_long_text_is_shown_around_the_mistake() -> None:
    shown, carets = pointed("a" * 500 + "XYZ" + "b" * 500, 500, 3, "here").strip("\n").splitlines()
    assert len(shown) < 130
    at = carets.index("^")
    assert shown[at : at + 3] == "XYZ"
    assert carets.strip() == "^^^ here"
    assert pointed("", 0) == ""


def test_control_characters_move_no_caret_and_reach_no_terminal() -> None:
    shown, carets = pointed("a\x1b[31m\n\tb", 8).strip("\n").splitlines()
    assert shown == "    a?[31m  b"
    assert carets.index("^") == shown.index("b")


def test_nothing_is_built_before_the_first_text() -> None:
    code = (
        "import sys, latent_core, latent_core.cli\n"
        "assert 'lark' not in sys.modules, 'lark came with import latent_core'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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
