"""Where latents go, slot by slot, and how slots are labelled.

Rows and position ids are drawn as text, one column a slot.
"""

from dataclasses import replace
from pathlib import Path

import pytest

import latent_core as lc
from latent_core.errors import PromptError
from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import IGNORE, Placement, Slots, SlotStream
from latent_core.slots.places import After, Before
from latent_core.slots.views import token_labels

COMMA, EQUALS = 44, 61
TRIGGERS = {",": {COMMA, 440}, "=": {EQUALS}}
"""Token 440 is another token with a comma, as `),` would be."""


def place(layout: str) -> Placement:
    parsed = LatentLayout.parse(layout)
    triggers = {
        group.name: frozenset().union(*(TRIGGERS[text] for text in group.place.texts))
        for group in parsed.groups
        if isinstance(group.place, Before | After)
    }
    return Placement(parsed, triggers)


def drawn(slots: Slots, layout: LatentLayout) -> tuple[str, str, str]:
    """Slots, position ids and labels, one word a slot."""
    words = [
        f"{layout.groups[s.group].name}.{s.member}" if s.is_latent else str(s.token_id)
        for s in slots.slots
    ]
    labels = ["-" if label == IGNORE else str(label) for label in slots.labels]
    positions = [str(s.position_id) for s in slots.slots]
    return " ".join(words), " ".join(positions), " ".join(labels)


# Prompt 7 44 8, response 9 44 0. A column a slot: what it holds, its position id, its label.
DRAWN = {
    "none": (
        "7 44 8  9 44 0",
        "0 1 2   3 4 5",
        "- - 9   44 0 -",
    ),
    "Start_2": (
        "Start.0 Start.1 7 44 8  9 44 0",
        "0 0             0 1 2   3 4 5",
        "- -             - - 9   44 0 -",
    ),
    "End_2": (
        "7 44 8 End.0 End.1  9 44 0",
        "0 1 2 3 3           3 4 5",
        "- - - - 9           44 0 -",
    ),
    "End_2@verbal": (
        "7 44 8 End.0 End.1  9 44 0",
        "0 1 2 3 3           3 4 5",
        "- - 9 - -           44 0 -",
    ),
    # The comma is predicted by the slot before its latents, for it has to be known first.
    "Comma_2": (
        "7 Comma.0 Comma.1 44 8  9 Comma.0 Comma.1 44 0",
        "0 1 1 1 2               3 4 4 4 5",
        "- - - - 9               44 - - 0 -",
    ),
    "2_1": (
        "7 44 2.0 8  9 2.0 44 0",
        "0 1 2 2     3 4 4 5",
        "- - - 9     - 44 0 -",
    ),
    # After the last response token nothing is predicted, so nothing is placed there.
    "3_1@verbal": (
        "7 44 8 3.0  9 44 0",
        "0 1 2 3     3 4 5",
        "- - 9 -     44 0 -",
    ),
    "After[,]_1": (
        "7 44 After[,].0 8  9 44 After[,].0 0",
        "0 1 2 2            3 4 5 5",
        "- - - 9            44 - 0 -",
    ),
    # A latent that may not predict stands behind one that does, and the other way round.
    "End_1+3_1@verbal": (
        "7 44 8 End.0 3.0  9 44 0",
        "0 1 2 3 3         3 4 5",
        "- - - 9 -         44 0 -",
    ),
    "End_1@verbal+3_1": (
        "7 44 8 End.0 3.0  9 44 0",
        "0 1 2 3 3         3 4 5",
        "- - - - 9         44 0 -",
    ),
    # What is known before the comma goes before what the comma brings, whatever the layout's order.
    "Comma_1+1_1": (
        "7 1.0 Comma.0 44 1.0 8 1.0  9 1.0 Comma.0 44 1.0 0",
        "0 1 1 1 2 2 3               3 4 4 4 5 5",
        "- - - - - - 9               - 44 - - 0 -",
    ),
    # Two groups before one token stand in the layout's order.
    "Comma_1+Before[=|,]_1": (
        "7 Comma.0 Before[=|,].0 44 8  9 Comma.0 Before[=|,].0 44 0",
        "0 1 1 1 2                     3 4 4 4 5",
        "- - - - 9                     44 - - 0 -",
    ),
    "Start_1+Comma_1; positions=sequential": (
        "Start.0 7 Comma.0 44 8  9 Comma.0 44 0",
        "0 1 2 3 4               5 6 7 8",
        "- - - - 9               44 - 0 -",
    ),
}


@pytest.mark.parametrize("text", DRAWN)
def test_slots_position_ids_and_labels(text: str) -> None:
    placement = place(text)
    slots = placement.insert([7, COMMA, 8], [9, COMMA, 0])
    wanted = tuple(" ".join(line.split()) for line in DRAWN[text])
    assert drawn(slots, placement.layout) == wanted


def test_before_the_first_slot_there_is_none_that_predicts() -> None:
    stream = SlotStream(place("Comma_1"), 2)
    assert stream.look_ahead() == [] and stream.predictor == -1
    assert (stream.num_slots, stream.num_verbal, stream.next_position) == (0, 0, 0)


def test_every_token_with_the_trigger_fires_it() -> None:
    slots = place("Comma_1+After[=|,]_1").insert([440, EQUALS, 7], [COMMA])
    assert [s.token_id for s in slots.slots] == [-1, 440, -1, EQUALS, -1, 7, -1, COMMA]
    assert [s.row for s in slots.slots] == [0, -1, 1, -1, 1, -1, 0, -1]


def test_a_trigger_that_ends_the_prompt_places_its_latents_before_the_response() -> None:
    placement = place("After[,]_2")
    slots = placement.insert([7, COMMA], [8])
    assert drawn(slots, placement.layout) == (
        "7 44 After[,].0 After[,].1 8",
        "0 1 2 2 2",
        "- - - 8 -",
    )
    assert placement.insert([7, COMMA]).slots == slots.slots[:-1]


def test_without_a_response_the_latents_that_are_due_end_the_slots() -> None:
    ready = place("End_1+Comma_1").insert([7, COMMA])
    assert [s.row for s in ready.slots] == [-1, 1, -1, 0]
    assert set(ready.labels) == {IGNORE}


def test_rows_of_the_tables() -> None:
    for text, rows in {
        "Start_2+Comma_3": [0, 1, -1, 2, 3, 4, -1],
        "Start_2+Comma_3; tied": [0, 1, -1, 0, 1, 2, -1],
    }.items():
        assert [s.row for s in place(text).insert([7, COMMA]).slots] == rows


def test_occurrences_count_on_over_prompt_and_response() -> None:
    slots = place("Comma_2+2_1").insert([COMMA, 5], [6, COMMA, COMMA, 7]).slots
    assert [(s.group, s.member, s.occurrence) for s in slots if s.is_latent] == [
        (0, 0, 0),
        (0, 1, 0),
        (1, 0, 0),
        (0, 0, 1),
        (0, 1, 1),
        (1, 0, 1),
        (0, 0, 2),
        (0, 1, 2),
    ]
    assert [s.verbal_index for s in slots] == [0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5]


def test_left_out_latents_leave_the_others_as_they_were() -> None:
    def rows(group, member, occurrence, step):
        return None if (member, occurrence) == (0, 1) else member

    whole = place("Comma_2")
    slots = replace(whole, rows=rows).insert([COMMA, COMMA, 7], [COMMA])
    others = [s for s in whole.insert([COMMA, COMMA, 7], [COMMA]).slots if s[-2:] != (0, 1)]
    assert list(slots.slots) == others
    assert slots.num_latents == 5


def test_a_left_out_group_predicts_nothing() -> None:
    """The slot before it does: otherwise the label would sit on a slot that is not there."""
    placement = replace(place("End_2"), rows=lambda group, member, occurrence, step: None)
    assert drawn(placement.insert([7, 8], [9]), placement.layout) == ("7 8 9", "0 1 2", "- 9 -")


def test_latents_can_read_other_rows_by_group_member_occurrence_and_step() -> None:
    asked = []

    def rows(*about):
        asked.append(about)
        return 50 + len(asked)

    slots = replace(place("Start_1+Comma_2+2_1"), rows=rows).insert([COMMA, 5], [6, COMMA, 7])
    assert [s.row for s in slots.slots if s.is_latent] == [51, 52, 53, 54, 55, 56, 57]
    assert asked == [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (1, 1, 0, 0),
        (2, 0, 0, 0),  # right after the prompt: no response token stands yet
        (1, 0, 1, 1),
        (1, 1, 1, 1),
        (2, 0, 1, 2),
    ]


def test_verbal_slots_can_be_marked_by_the_response_tokens_that_stand() -> None:
    placement = replace(place("Start_1+1_1"), mark=lambda step: -10 - step)
    slots = placement.insert([5, 6], [7, 8, 9]).slots
    assert [s.row for s in slots if not s.is_latent] == [-10, -10, -11, -12, -13]
    assert [s.row for s in slots if s.is_latent] == [0, 1, 1, 1, 1]


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(PromptError, match="prompt has no tokens"):
        place("Start_1").insert([], [3])


# Probabilities of the best token before 9, the comma and 0: the model is not sure of the comma.
UNSURE = {
    # The last latent predicts, and stands between what is known ahead and what the comma brings.
    "Unsure[0.5]_2": (
        "7 44 8  9 Unsure[0.5].0 Unsure[0.5].1 44 0",
        "0 1 2   3 4 4                         4 5",
        "- - 9   - - 44                        0 -",
    ),
    "Comma_1+Unsure[0.5]_1+End_1": (
        "7 Comma.0 44 8 End.0  9 Unsure[0.5].0 Comma.0 44 0",
        "0 1 1 2 3             3 4 4 4 5",
        "- - - - 9             - 44 - 0 -",
    ),
    # The second threshold is above the best probability before the comma and 0, the first is not.
    "Unsure[0.2]_1+Unsure[0.6]_1; positions=sequential": (
        "7 44 8  9 Unsure[0.6].0 44 Unsure[0.6].0 0",
        "0 1 2   3 4             5  6             7",
        "- - 9   - 44            -  0             -",
    ),
    # It is below both before the comma: both groups stand, and the last of them predicts.
    "Unsure[0.3]_1+Unsure[0.4]_1": (
        "7 44 8  9 Unsure[0.3].0 Unsure[0.4].0 44 0",
        "0 1 2   3 4             4             4  5",
        "- - 9   - - 44 0 -",
    ),
}


@pytest.mark.parametrize("text", UNSURE)
def test_latents_stand_where_the_best_probability_is_below_the_threshold(text: str) -> None:
    placement = place(text)
    slots = placement.insert([7, COMMA, 8], [9, COMMA, 0], best=[0.6, 0.2, 0.5])
    wanted = tuple(" ".join(line.split()) for line in UNSURE[text])
    assert drawn(slots, placement.layout) == wanted
    sure = placement.insert([7, COMMA, 8], [9, COMMA, 0])
    assert not any(s.is_latent and s.group == 1 for s in sure.slots)


def test_a_left_out_latent_of_an_unsure_place_predicts_nothing() -> None:
    placement = replace(place("Unsure[0.5]_1"), rows=lambda *about: None)
    slots = placement.insert([7], [8], best=[0.1])
    assert drawn(slots, placement.layout) == ("7 8", "0 1", "8 -")
    beside = replace(
        place("1_1@verbal+Unsure[0.5]_1"), rows=lambda group, *_: 0 if group == 0 else None
    )
    slots = beside.insert([7], [8], best=[0.1])
    assert drawn(slots, beside.layout) == ("7 1.0 8", "0 1 1", "8 - -"), "nor does another group's"


def test_the_thresholds_are_those_of_the_groups_in_order() -> None:
    assert place("Start_1+Unsure[0.25]_1+Unsure[0.5]_2").thresholds == (0.25, 0.5)
    assert place("Start_1").thresholds == ()


def test_a_row_says_whether_the_slot_before_it_is_needed() -> None:
    placement = place("End_2=hidden+Comma_1+2_1=text(1)+3_1=mix")
    # One learned row, then two of group 0, one of a text, and one of group 3.
    assert [placement.computes(row) for row in range(-2, 7)] == [
        *(False, False),
        *(False, True, True, False, True),
        *(False, False),
    ]
    assert placement.has_computed and not place("Comma_1+2_1=text(1)").has_computed
    assert place("End_1=hidden").computes(0)
    edited = replace(place("Start_1"), computed=lambda row: row in (-1, 0, 5))
    assert [edited.computes(row) for row in (-1, 0, 1, 5)] == [False, True, False, True]
    assert edited.has_computed


def test_a_computed_latent_needs_a_slot_before_it() -> None:
    with pytest.raises(PromptError, match="first slot would be a latent of Comma=hidden, which"):
        place("Comma_1=hidden").insert([COMMA, 7])
    placed = place("Start_1+Comma_1=hidden").insert([COMMA, 7])
    assert [s.row for s in placed.slots] == [0, 1, -1, -1]


def test_the_numbering_can_follow_the_step() -> None:
    """Sequential in the prompt, shared once a response token stands."""
    about = []

    def positions(step: int) -> str:
        about.append(step)
        return "shared" if step else "sequential"

    slots = replace(place("Start_2+1_1"), positions=positions).insert([5, 6], [7, 8])
    assert [s.position_id for s in slots.slots] == [0, 1, 2, 3, 4, 5, 6, 7, 7]
    assert about == [0, 0, 0, 1]


def decode(*ids: int) -> str:
    """Each byte is a token."""
    return bytes(ids).decode("utf-8", "replace")


def test_the_tokens_of_one_character_are_numbered() -> None:
    ids = list("a世é".encode())
    assert token_labels(ids, decode) == ["a", "世·1/3", "世·2/3", "世·3/3", "é·1/2", "é·2/2"]


def test_parts_without_the_rest_of_their_character_are_told_apart_by_id() -> None:
    ids = list("世".encode())[:2]
    assert token_labels([*ids, ord("b")], decode) == ["\ufffd·228", "\ufffd·184", "b"]


def test_latents_between_the_tokens_of_a_character_leave_its_label_whole(smollm2_dir: Path) -> None:
    model = lc.LatentModel(lc.load_backbone("smollm2-135m"), "1_1")
    record = lc.capture_attention(model, "𝄞", "x")
    verbal = [slot.label for slot in record.slots if slot.group is None]
    assert verbal[:2] == ["𝄞·1/" + verbal[0][-1], "𝄞·2/" + verbal[0][-1]]
    assert any(slot.group for slot in record.slots[:3])
