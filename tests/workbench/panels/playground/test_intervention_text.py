"""Switches of groups, and the text form that they read and write."""

import pytest

from latent_core.errors import LayoutError, SettingError
from latent_core.interventions.kinds import parse_intervention
from workbench.panels.playground.intervention_text import (
    OPERATIONS,
    Switch,
    joined,
    operation,
    read_switches,
    write_switch,
)

GROUPS = ("Start", "Comma")


@pytest.mark.parametrize(
    ("text", "start", "comma"),
    [
        ("none", Switch(), Switch()),
        ("drop(Comma)", Switch(), Switch(on=False)),
        ("drop(Start+Comma)", Switch(on=False), Switch(on=False)),
        ("drop(latents)", Switch(on=False), Switch(on=False)),
        ("drop(Comma, after=3) & drop(Comma.0)", Switch(), Switch()),
        ("recount(Start, 12) & move(Comma, 8)", Switch(count=12), Switch(place="8")),
        ("scale(Foo, 2) & recount(Foo, 1)", Switch(), Switch()),
    ],
)
def test_switches_follow_the_text(text: str, start: Switch, comma: Switch) -> None:
    assert read_switches(text, GROUPS) == {"Start": start, "Comma": comma}


@pytest.mark.parametrize(
    ("text", "group", "switch", "expected"),
    [
        ("none", "Comma", Switch(on=False), "drop(Comma)"),
        ("drop(Comma)", "Comma", Switch(), "none"),
        ("drop(latents)", "Start", Switch(), "drop(Comma)"),
        ("scale(Start, 2)", "Start", Switch(count=3), "recount(Start, 3) & scale(Start, 2)"),
        ("scale(Comma, 2)", "Comma", Switch(place="End"), "scale(Comma, 2) & move(Comma, End)"),
        (
            "move(Comma, 8) & scale(8, 2)",
            "Comma",
            Switch(place="4"),
            "move(Comma, 4) & scale(8, 2)",
        ),
        (
            "move(Comma, 8) & drop(Start)",
            "Comma",
            Switch(on=False, place="8"),
            "drop(Comma) & move(Comma, 8) & drop(Start)",
        ),
        ("recount(Start, 3)", "Start", Switch(count=1), "recount(Start, 1)"),
        ("drop(Start) & drop(Start, after=1)", "Start", Switch(), "drop(Start, after=1)"),
    ],
)
def test_the_text_follows_a_switch_and_keeps_all_else(
    text: str, group: str, switch: Switch, expected: str
) -> None:
    written = write_switch(text, GROUPS, group, switch)
    assert written == expected
    assert read_switches(written, GROUPS)[group] == switch


@pytest.mark.parametrize("place", ["nowhere", "Start_2+Comma", "0"])
def test_a_place_that_cannot_be_read_is_refused(place: str) -> None:
    with pytest.raises(LayoutError):
        write_switch("none", GROUPS, "Start", Switch(place=place))


def test_a_place_may_say_which_slot_predicts() -> None:
    assert write_switch("none", GROUPS, "Start", Switch(place="End@verbal")) == (
        "move(Start, End@verbal)"
    )


def test_what_is_added_stands_before_groups_are_renamed() -> None:
    more = parse_intervention("scale(Start, 2)")
    assert joined("drop(Comma) & move(Start, 8)", more) == (
        "drop(Comma) & scale(Start, 2) & move(Start, 8)"
    )


@pytest.mark.parametrize("kind", OPERATIONS)
def test_every_operation_reads_its_own_first_values(kind: str) -> None:
    values = {
        field.name: field.value or ("Start" if field.kind in ("slots", "group") else field.value)
        for field in OPERATIONS[kind].fields
    }
    made = operation(kind, values)
    assert made.verb == OPERATIONS[kind].verb
    assert parse_intervention(str(made)) == made


def test_empty_fields_are_left_out_and_bad_ones_refused() -> None:
    values = {"queries": "response", "keys": "Comma", "layers": "0-3", "heads": ""}
    assert str(operation("knock out attention", values)) == (
        "knock_out(response -> Comma, layers=0-3)"
    )
    with pytest.raises(SettingError, match="0-3"):
        operation("knock out attention", values | {"layers": "first"})
    source = {"latents": "Comma", "layers": "4", "source": "drop(Start, after=1) & scale(Comma, 2)"}
    made = operation("patch hidden states", source)
    assert parse_intervention(str(made)).source == source["source"]
