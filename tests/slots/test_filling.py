"""Fillings in the notation: what is read, how it is written, and what is refused."""

import pytest

from latent_core.errors import LayoutError
from latent_core.slots.filling import FILLINGS, Fused, Hidden, Learned, Mix, Text
from latent_core.slots.layout import LatentGroup, LatentLayout
from latent_core.slots.methods import Method
from latent_core.slots.places import End, Start


@pytest.mark.parametrize(
    ("text", "filling", "written"),
    [
        ("End_6=learned", Learned(), "End_6"),
        ("End_6 = hidden", Hidden(), "End_6=hidden"),
        ("End_6=hidden(raw)", Hidden(), "End_6=hidden"),
        ("End_6=hidden( norm )", Hidden("norm"), "End_6=hidden(norm)"),
        ("8_1@verbal=hidden(proj=08)", Hidden("proj", 8), "8_1@verbal=hidden(proj=8)"),
        ("Comma_1@verbal=mix", Mix(), "Comma_1=mix"),
        (
            "End_1=mix(temperature=.7,top_p=0.90)",
            Mix(0.9, 0.7),
            "End_1=mix(top_p=0.9, temperature=0.7)",
        ),
        ("End_1=mix(top_p=1, temperature=1.0)", Mix(), "End_1=mix"),
        ("End_1=fused(0.6)", Fused(0.6), "End_1=fused(0.6)"),
        ("End_1=fused(1, norm)", Fused(1.0, Hidden("norm")), "End_1=fused(1, norm)"),
        (
            "End_1=fused(weight=0.5, top_p=0.9, proj=2)",
            Fused(0.5, Hidden("proj", 2), Mix(0.9)),
            "End_1=fused(0.5, proj=2, top_p=0.9)",
        ),
        ("End_2=text(.)", Text("."), "End_2=text(.)"),
        (
            "Start_2=text( so, (a\\) b\\\\ )",
            Text(" so, (a) b\\ "),
            "Start_2=text( so, (a\\) b\\\\ )",
        ),
        ("End_2=text(a\\nb)", Text("a\nb"), "End_2=text(a\\nb)"),
    ],
)
def test_a_filling_is_read_and_written(text: str, filling: object, written: str) -> None:
    layout = LatentLayout.parse(text)
    assert layout.groups[0].filling == filling
    assert str(layout) == written
    assert LatentLayout.parse(written) == layout


def test_fillings_stand_in_sums_with_options() -> None:
    text = "Start_1=text(.)+Comma_1=fused(0.6, norm)+End_2; tied; positions=sequential"
    assert str(LatentLayout.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("End_6=hiden", "unknown filling 'hiden' at column 7; did you mean 'hidden'?"),
        ("End_6=", "expected a filling such as hidden or text.WORDS. at column 7, got the end"),
        ("End_6=hidden(8)", "hidden takes no '8' at column 14; expected hidden, hidden.norm."),
        ("End_6=hidden(proj)", "proj has no rank at column 14; expected raw, norm or proj=8"),
        ("End_6=hidden(proj=0)", "the rank of proj is '0' at column 19"),
        ("End_6=hidden(proj=norm)", "the rank of proj is 'norm' at column 19"),
        ("End_6=hidden(norm, proj=8)", "hidden has two scalings at column 7"),
        ("End_6=hidden(big)", "hidden takes no .big. at column 14; expected hidden, hidden.norm."),
        (
            "End_6=fused(0.5, big)",
            "unknown scaling .big. at column 18; expected raw, norm or proj=8",
        ),
        ("End_6=mix(norm)", "mix takes no 'norm' at column 11"),
        ("End_6=mix(top_p=0)", "top_p is '0' at column 17; expected a number above 0"),
        ("End_6=mix(top_p=nan)", "top_p is 'nan' at column 17"),
        ("End_6=mix(temperature=inf)", "temperature is 'inf' at column 23"),
        ("End_6=mix(top_p=0.5, top_p=0.6)", "top_p is given twice at column 22"),
        ("End_6=fused", "fused lacks an argument at column 7; expected fused.0.6."),
        ("End_6=fused(norm)", "fused lacks an argument at column 7"),
        ("End_6=fused(1.5)", "weight is '1.5' at column 13; expected a number from 0 to 1"),
        ("End_6=text", "text lacks an argument at column 7; expected text.WORDS."),
        ("End_6=text()", "text.. has no text at column 7"),
        ("Start_2=hidden", "'Start' cannot be filled by hidden at column 9; it has no slot before"),
    ],
)
def test_what_is_no_filling_is_refused_with_its_column(text: str, said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        LatentLayout.parse(text)


def test_values_check_themselves() -> None:
    for made in (
        lambda: Hidden("norm", 2),
        lambda: Hidden("proj"),
        lambda: Hidden("other"),
        lambda: Mix(top_p=1.5),
        lambda: Mix(temperature=0),
        lambda: Fused(-0.1),
        lambda: Text(""),
        lambda: LatentGroup("Start", 1, Start(), "latent", Mix()),
    ):
        with pytest.raises(LayoutError):
            made()


def test_rows_count_tables_first_and_then_what_is_not_learned() -> None:
    layout = LatentLayout.parse("End_2=hidden(proj=3)+Start_3+8_1=text(.)+Comma_2")
    assert layout.table_sizes == {"Start": 3, "Comma": 2}
    assert layout.first_rows == (5, 0, 7, 3)
    assert layout.computing_groups == (-1, -1, -1, -1, -1, 0, 0, -1)
    assert layout.weight_shapes(7) == {
        "Start": (3, 7),
        "Comma": (2, 7),
        "End.down": (3, 7),
        "End.up": (7, 3),
    }
    tied = LatentLayout.parse("End_2=mix+Start_3+Comma_2; tied")
    assert tied.table_sizes == {"tied": 3}
    assert tied.first_rows == (3, 0, 0)


def test_a_group_says_whether_it_is_computed_and_a_layout_whether_it_trains() -> None:
    assert LatentGroup("End", 1, End(), "latent", Hidden()).computed
    assert not LatentLayout.parse("End_2+Start_1=text(.)").computed
    for text, trains in {
        "End_2": True,
        "End_2=hidden": False,
        "End_2=hidden(proj=1)": True,
        "End_2=fused(0.5, proj=1)": True,
        "End_2=mix+Start_1": True,
        "End_2=text(.)": False,
    }.items():
        assert LatentLayout.parse(text).trains is Method.parse(text).trained is trains


def test_every_listed_filling_can_be_read() -> None:
    for form in FILLINGS:
        text = form.replace("WORDS", ".").replace("(A)", "(0.5)")
        assert LatentLayout.parse(f"End_1={text}").groups
