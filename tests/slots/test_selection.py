"""Which slots a selection means, and how it is read and refused."""

from dataclasses import replace

import pytest
import torch

from latent_core.errors import LatentError, LayoutError, SettingError
from latent_core.slots.layout import LatentLayout
from latent_core.slots.selection import PADDING, PassSlots, Selection
from tests.slots.test_placement import COMMA, place

LAYOUT = LatentLayout.parse("Start_2+Comma_2+8_1")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Comma", "Comma"),
        (" Comma.1@2 ", "Comma.1@2"),
        ("Start + 8.0@03", "Start+8.0@3"),
        ("latents+verbal", "latents+verbal"),
        ("8", "8"),
    ],
)
def test_a_selection_is_read_and_written_back(text: str, written: str) -> None:
    selection = Selection.parse(text, LAYOUT)
    assert str(selection) == written
    assert Selection.parse(written, LAYOUT) == selection


def test_a_selection_finds_its_slots() -> None:
    placed = place("Start_2+Comma_2").insert([1, COMMA, COMMA], [5])
    slots = PassSlots.of(placed.slots, 3)
    layout = LatentLayout.parse("Start_2+Comma_2")
    found = {
        text: Selection.parse(text, layout).mask(slots)[0].nonzero().flatten().tolist()
        for text in (
            *("Start", "Comma.1", "Comma@1", "Comma.0@1+Start.1"),
            *("prompt", "response", "latents", "verbal"),
        )
    }
    assert found == {
        "latents": [0, 1, 3, 4, 6, 7],
        "verbal": [2, 5, 8, 9],
        "Start": [0, 1],
        "Comma.1": [4, 7],
        "Comma@1": [6, 7],
        "Comma.0@1+Start.1": [1, 6],
        "prompt": [2, 5, 8],
        "response": [9],
    }
    everything = Selection.parse("latents+verbal", layout).mask(slots)
    assert torch.equal(everything, Selection.parse("all", layout).mask(slots))
    assert everything.dtype == torch.bool and everything.all()


def test_padding_is_in_no_selection_and_a_row_can_be_taken_alone() -> None:
    placed = place("Start_1").insert([1], [5]).slots
    one = PassSlots.of(placed, 1)
    assert one.num_new == 3 and one.group.tolist() == [[0, -1, -1]]
    assert one.step.tolist() == [[0, 0, 1]]
    both = PassSlots(
        *(torch.cat([t, t + 10]) for t in (one.group, one.member)),
        one.occurrence,
        one.step,
        2,
        torch.arange(2),
    )
    both = replace(both, occurrence=both.group + 1, step=both.group + 2)
    row = both.row(1)
    assert row.group.tolist() == [[10, 9, 9]] and row.member.tolist() == [[10, 9, 9]]
    assert row.occurrence.tolist() == [[11, 10, 10]] and row.step.tolist() == [[12, 11, 11]]
    assert row.num_new == 2
    assert both.row(0).group.tolist() == [[0, -1, -1]] and both.row(0).step.tolist() == [[2, 1, 1]]
    padded = replace(one, group=torch.tensor([[0, -1, PADDING]]))
    layout = LatentLayout.parse("Start_1")
    for text, mask in {
        "all": [True, True, False],
        "verbal": [False, True, False],
        "response": [False, False, False],
    }.items():
        assert Selection.parse(text, layout).mask(padded)[0].tolist() == mask


@pytest.mark.parametrize(
    ("text", "has", "members"),
    [
        ("latents", [True, True, True], [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]),
        ("Comma", [False, True, True], [(1, 0), (1, 1)]),
        ("Comma.1", [False, False, True], [(1, 1)]),
        ("Comma@2", [False, False, True], [(1, 0), (1, 1)]),
        ("Comma.1@0+Start", [True, False, False], [(0, 0), (0, 1), (1, 1)]),
        ("all", [True, True, True], [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]),
        ("prompt", [False, False, False], []),
    ],
)
def test_a_selection_says_which_latents_it_has(text: str, has: list[bool], members) -> None:
    selection = Selection.parse(text, LAYOUT)
    assert [selection.has(*one) for one in ((0, 1, 0), (1, 0, 1), (1, 1, 2))] == has
    assert selection.members(LAYOUT) == members


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", SettingError, "expected a selection such as Comma or Comma.0 at column 1"),
        ("Comma+", SettingError, "expected a group such as Comma at column 7, got the end"),
        ("+Comma", SettingError, "expected a selection"),
        ("Comma.x", SettingError, "expected a whole number at column 7, got 'x'"),
        ("Comma@", SettingError, "expected a whole number at column 7, got the end"),
        ("Comma Start", SettingError, r"expected '\+', '@', '.' or the end at column 7"),
        ("Start+Comma.2", SettingError, r"'Comma' has no latent 'Comma.2' at column 13; its 2"),
        ("Comma." + "9" * 5_000, SettingError, "a latent is '999.* number from 0 to 1,000,"),
        ("Comma@" + "9" * 5_000, SettingError, "an occurrence is '999.* number from 0 to 1,000,"),
        (
            "verbal.1",
            SettingError,
            r"'verbal' is no group, so it has no 1 at column 8; write verbal alone\n",
        ),
        ("Newline", LayoutError, "no group 'Newline' at column 1; its groups: Start, Comma, 8"),
        ("Start+Coma", LayoutError, "no group 'Coma' at column 7; did you mean 'Comma'?"),
        ("Before[a", SettingError, r"expected a closing \] for the \[ at column 7"),
    ],
)
def test_what_is_no_selection_is_pointed_at(text: str, error: type[LatentError], said: str) -> None:
    with pytest.raises(error, match=said):
        Selection.parse(text, LAYOUT)


def test_a_layout_without_groups_says_that_it_has_none() -> None:
    with pytest.raises(LayoutError, match=r"layout none has no group 'Comma' .*its groups: none\n"):
        Selection.parse("Comma", LatentLayout())


def test_verbal_slots_are_refused_where_only_latents_fit() -> None:
    assert str(Selection.parse("latents", LAYOUT, latents_only=True)) == "latents"
    with pytest.raises(SettingError, match="'all' means verbal slots too at column 7"):
        Selection.parse("Start+all", LAYOUT, latents_only=True)
