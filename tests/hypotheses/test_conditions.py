"""Conditions and contrasts: what they read, how they are written, what they refuse."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_core.errors import LatentError, LayoutError, SettingError
from latent_core.hypotheses.conditions import Condition, Contrast


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", Condition()),
        ("none", Condition()),
        ("none & none", Condition()),
        ("chance", Condition(intervention="chance")),
        ("drop( Comma ,after=3)", Condition(intervention="drop(Comma, after=3)")),
        ("Start_1 + Comma_1", Condition("Start_1+Comma_1")),
        ("none; tied", Condition("zero-shot")),
        ("few-shot", Condition("few-shot-4")),
        ("none under drop(Comma)", Condition("zero-shot", "drop(Comma)")),
        ("Start_2 under none", Condition("Start_2")),
        ("lora under drop(a) & drop(b)", Condition("lora-r4", "drop(a) & drop(b)")),
        ("drop(a) within scale(b, 2)", Condition("", "drop(a)", "scale(b, 2)")),
        ("End_2 under drop(a) within drop(b)", Condition("End_2", "drop(a)", "drop(b)")),
        (
            "matched(End_2=hidden &lora-r8,compute,learned)",
            Condition("matched(End_2=hidden & lora-r8, compute, learned)"),
        ),
        ("matched(Start_2;tied,compute)", Condition("matched(Start_2; tied, compute, start)")),
        ("adapter:runs/a b under drop(x)", Condition("adapter:runs/a b", "drop(x)")),
        ('adapter:"a under b" under drop(x)', Condition("adapter:a under b", "drop(x)")),
        ('patch(a, prompt="under it") ', Condition("", "patch(a, prompt=under it)")),
        ('Start_2 under patch(a, prompt="x under y)")', None),
    ],
)
def test_a_condition_is_read(text: str, condition: Condition | None) -> None:
    found = Condition.parse(text)
    if condition is not None:
        assert found == condition
    assert Condition.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("Start_2 under", SettingError, "expected an intervention such as .* at column 14"),
        ("Start_2 under x", SettingError, "expected an intervention such as .* at column 15"),
        ("Start_2 under drop(Comma) drop(a)", SettingError, "at column 27, got 'drop'"),
        ("Start_2 udner drop(Comma)", SettingError, "'under' or the end at column 9, got 'udner'"),
        ("drop(Comma) within", SettingError, "at column 19, got the end"),
        ("dorp(Comma)", SettingError, "unknown intervention 'dorp' at column 1; did you mean"),
        ("Start_2 under dorp(a)", SettingError, "unknown intervention 'dorp' at column 15"),
        ("Strat_2 under drop(a)", LayoutError, "unknown place 'Strat' at column 1"),
        ("lora-x", LayoutError, "'lora-x' is no method"),
        ("Start_x", SettingError, "expected a count of at least 1 at column 7"),
        ("chance under drop(a)", SettingError, "expected the end at column 8"),
        ("adapter:", SettingError, "adapter: has no folder"),
        ("matched(Start_2)", SettingError, "expected ',' or '&' at column 16"),
        ("matched(Start_2, luck)", SettingError, "cannot match by 'luck' at column 18"),
        ("matched(Start_2, compute, edn)", SettingError, "'edn' at column 27; did you mean 'end'?"),
        ("matched(Strat_2, compute)", LayoutError, "unknown place 'Strat' at column 9"),
        ("matched(Start_2, compute, end", SettingError, r"expected '\)' at column 30"),
    ],
)
def test_what_is_no_condition_is_pointed_at(text: str, error: type[LatentError], said: str) -> None:
    with pytest.raises(error, match=said):
        Condition.parse(text)


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip()))
def test_any_folder_can_hold_an_adapter(folder: str) -> None:
    read = Condition.parse(f"adapter:{json.dumps(folder)} under drop(a)")
    assert read == Condition(f"adapter:{folder}", "drop(a)")
    assert Condition.parse(str(read)) == read


def test_two_spellings_of_one_condition_are_no_contrast() -> None:
    with pytest.raises(SettingError, match="expected two conditions that differ"):
        Contrast("Start_1 + Comma_1", "Start_1+Comma_1")
    assert not Contrast("Start_2", "adapter:matched(x)").needs_backbone
    assert Contrast("Start_2", "matched(Start_2, compute)").needs_backbone


def test_a_matched_layout_keeps_its_options() -> None:
    for text in ("matched(none; tied, parameters, start)", "matched(Start_2; tied, compute, end)"):
        assert Condition.parse(text).method == text
