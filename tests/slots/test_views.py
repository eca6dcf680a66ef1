"""Labels of slots."""

from pathlib import Path

import latent_core as lc
from latent_core.slots.views import token_labels


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
