"""What strangers' text may do to a terminal: nothing; and what a narrow one may cost: no name."""

import io
import itertools
import warnings

import pandas as pd
import pytest
from rich.table import Table
from rich.text import Text

from latent_core.cli.app import console, show_words, table_of, table_of_numbers
from latent_core.cli.comparing import show_comparison, show_summary
from latent_core.cli.terminal import Terminal, neutral, neutral_warnings, print_rows, say
from latent_core.evaluation.comparison import compare
from latent_core.statistics.means import summarise
from tests.evaluation.test_comparison import BY, records

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202etxt\ud800"


@pytest.mark.parametrize("name", ["After[a]_1", "Before[/]_1", "Before[bold]_1", ":smile:_1"])
def test_brackets_and_colons_of_a_name_are_printed(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    frame = records(name, 0, [1, 0, 0, 0]).assign(run="a", training_seconds=1.0)
    show_comparison(compare(frame), "graded")
    show_summary(summarise(frame, BY, "graded"), "graded")
    console.print(f"runs/[{name}]: {name}")
    table = table_of(name, title=name)
    table.add_row(name)
    console.print(table)
    assert capsys.readouterr().out.count(name) == 7


def test_control_characters_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    console.print(HOSTILE)
    show_words(HOSTILE, {HOSTILE: HOSTILE})
    say(f"latent: {HOSTILE}")
    out, err = capsys.readouterr()
    assert "a?[31mred?]0;title" in out and "a?[31mred?]0;title??" in err
    for char in "\x1b\x07\r\x9b\u202e\ud800":
        assert char not in out + err


def test_a_warning_is_neutral_too(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with neutral_warnings():
            warnings.warn(f"left out: {HOSTILE}", UserWarning, stacklevel=1)
    said = capsys.readouterr().err
    assert "UserWarning: left out: a?[31mred?]0;title??" in said and "\x1b" not in said
    assert warnings.showwarning is before


def test_line_breaks_tabs_and_letters_stay() -> None:
    text = "a\n\tb é 字 🦉 [x]"
    assert neutral(text) == text
    assert neutral(HOSTILE).isprintable()


@pytest.mark.parametrize("width", [40, 50, 60, 80, 120])
def test_no_width_costs_a_method_its_name(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    methods = ("Start_1+Comma_1", "filler(Start_4+Comma_4)", "8_2")
    frames = [records(m, 0, [1, 0, 0, 0]).assign(trainable=1_234_567) for m in methods]
    whole = pd.concat(frames).assign(run="a", training_seconds=1234.0)
    for show, frame in (
        (show_comparison, compare(whole)),
        (show_summary, summarise(whole, BY, "graded")),
    ):
        show(frame, "graded")
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= width
        rule = next(number for number, line in enumerate(lines) if line.startswith("─"))
        heading = lines[rule - 1]
        first = heading.index("ID" if show is show_comparison else "id")
        column = "".join(line[:first].strip() for line in lines[rule + 1 :])
        assert "".join(methods) in column


def test_what_is_left_out_of_a_narrow_table_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = compare(records("Start_2", 0, [1, 0, 0, 0]).assign(run="a", training_seconds=1234.0))
    monkeypatch.setenv("COLUMNS", "120")
    show_comparison(frame, "graded")
    assert "left out" not in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "45")
    show_comparison(frame, "graded")
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "columns not shown, because the terminal is too narrow:" in said
        and said.count("train s") == 1
    )
    assert "[0.00, 1.00]" in said


CELLS = ("a", "finished", "Start_2 (steps=20)", "repetition/Start_1+Comma_1/seed-3", "0.53", "-")
ODD = ("", "字字字", "é", "two\nlines", "tab\there", "  lead", "trail  ", "a b c d", "x" * 70)


@pytest.mark.parametrize("width", [12, 20, 40, 80, 250])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_many_rows_look_as_rich_prints_them(width: int, terminal: bool, wrapped: bool) -> None:
    def table() -> Table:
        made = table_of_numbers("run", "status", "learning rate", "ood-10", texts=2, title="runs")
        for column in made.columns[1:]:
            column.no_wrap = not wrapped
        return made

    def printed(rows: list[tuple[str, ...]], fast: bool) -> str:
        out = Terminal()
        out.file, out.width = io.StringIO(), width
        out._force_terminal = terminal
        one = table()
        if fast:
            print_rows(out, one, rows)
        else:
            for row in rows:
                one.add_row(*map(Text, row))
            out.print(one)
        return out.file.getvalue()

    everything = itertools.cycle((*CELLS, *ODD, HOSTILE))
    several = [tuple(itertools.islice(everything, 4)) for _ in range(9)]
    for rows in (
        [CELLS[:4]],
        [(cell,) * 4 for cell in CELLS],
        several,
        *([row] for row in several),
    ):
        assert printed(rows, fast=True) == printed(rows, fast=False)
    assert width < 80 or "finished" in printed([CELLS[:4]], fast=True)


def test_rich_lays_out_one_row_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out: list[Text] = []
    render = Terminal.render
    monkeypatch.setattr(
        Terminal,
        "render",
        lambda self, one, *rest: laid_out.append(one) or render(self, one, *rest),
    )
    out = Terminal()
    out.file, out.width = io.StringIO(), 60
    print_rows(out, table_of_numbers("run", "status", texts=2), [("a" * 9, "b")] * 500)
    assert out.file.getvalue().count("a" * 9) == 500
    assert len(laid_out) < 20
