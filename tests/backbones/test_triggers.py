"""Triggers that a vocabulary has and text does not."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import LayoutError
from latent_core.slots.layout import LatentLayout
from tests.families import random_model

OWL = "🦉"


def byte_level(merges: list[tuple[str, str]], *whole: str) -> Backbone:
    """A byte-level BPE with `merges`; the texts of `whole` are tokens that no merge leads to."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    written = ["".join(piece for piece, _ in bytes_of.pre_tokenize_str(text)) for text in whole]
    tokens = ["<eos>", *alphabet, *("".join(pair) for pair in merges), *written]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = bytes_of
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    return Backbone("made-up", random_model("llama", vocab_size=len(tokens)), fast)


@pytest.mark.parametrize("place", ["Before", "After"])
def test_a_token_that_the_tokenizer_never_writes_is_no_trigger(place: str) -> None:
    backbone = byte_level([], OWL)
    assert len(backbone.trigger_ids([OWL])) == 1, "the vocabulary has it"
    assert len(backbone.encode(OWL)) == 4, "text does not"
    with pytest.raises(LayoutError) as raised:
        backbone.place(LatentLayout.parse(f"Start_1+{place}[,|{OWL}]_1"))
    said = str(raised.value)
    assert f"group '{place}[,|{OWL}]': made-up has tokens that contain {OWL!r} ({OWL!r})" in said
    assert "writes none of them" in said and f"'a {OWL} b' (after a space), whose tokens" in said
    assert said.endswith("Choose another trigger text")


def test_a_character_that_is_a_token_in_some_places_only_is_named() -> None:
    """The bytes of an accented letter are joined after a space only."""
    backbone = byte_level([("Ġ", "Ã"), ("ĠÃ", "ī")])
    with pytest.warns(
        UserWarning, match=r"'É' fires only where .* \(' É'\), not in 'aÉb' \(after a"
    ):
        placement = backbone.place(LatentLayout.parse("Before[É]_1"))
    assert placement.triggers["Before[É]"] == backbone.trigger_ids([" É"])


def test_a_piece_of_a_word_may_occur_in_that_word_only() -> None:
    backbone = byte_level([("x", "y"), ("xy", "z")])
    layout = LatentLayout.parse("Before[yz]_1")
    assert backbone.place(layout).triggers["Before[yz]"] == backbone.trigger_ids(["xyz"])


def test_bytes_that_are_no_character_are_no_trigger() -> None:
    with pytest.raises(LayoutError, match="stands for bytes that are no whole character"):
        byte_level([]).place(LatentLayout.parse("Before[\ufffd]_1"))


@pytest.mark.slow
def test_triggers_of_smollm2() -> None:
    backbone = load_backbone("smollm2-135m")
    for layout in ("Comma_1", "Newline_1", "Equals_1", "Sentence_1", "After[);|ing|→|中]_1"):
        backbone.place(LatentLayout.parse(layout))
    with pytest.raises(LayoutError, match="no token of smollm2-135m's vocabulary contains"):
        backbone.place(LatentLayout.parse(f"Before[{OWL}]_1"))
    with pytest.warns(UserWarning, match="'Á' fires only where smollm2-135m writes a token"):
        backbone.place(LatentLayout.parse("Before[Á]_1"))
