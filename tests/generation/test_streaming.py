"""The text of a response while it grows."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LogitsProcessor,
    PreTrainedTokenizerFast,
)

from latent_core.backbones.backbone import Backbone
from latent_core.generation.streaming import INCOMPLETE, TextStream
from latent_core.models.latent import LatentModel
from tests.families import (
    random_model,
)


def byte_level_backbone() -> Backbone:
    """One token a byte, so that characters take several."""
    tokenizer = Tokenizer(
        models.BPE(
            {t: i for i, t in enumerate(["<eos>", *pre_tokenizers.ByteLevel.alphabet()])}, []
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    return Backbone("bytes", random_model("llama", vocab_size=len(fast)), fast)


class Dictate(LogitsProcessor):
    """Makes the model write these ids."""

    def __init__(self, ids: list[int], prompt_length: int) -> None:
        self.ids, self.start = ids, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = torch.full_like(scores, -torch.inf)
        scores[:, self.ids[input_ids.shape[1] - self.start]] = 0
        return scores


TEXTS = ("né 🙂, 漢字!", "plain", "\N{REPLACEMENT CHARACTER}x", "🙂" * 3)


@pytest.mark.parametrize("text", TEXTS)
def test_characters_come_whole(text: str) -> None:
    backbone = byte_level_backbone()
    ids = backbone.encode_response(text, end=False)
    for cut in (len(ids), len(ids) - 1):  # a response may end within a character
        told: list[str] = []
        model = LatentModel(backbone, "Start_1+2_1", seed=1)
        (row,) = model.generate(
            "ab",
            cut,
            logits_processor=[Dictate(ids, 2)],
            on_token=lambda *token, told=told: told.append(token[2]),
            return_details=True,
        )
        assert len(told) == cut
        assert "".join(told) == row.text == backbone.decode(ids[:cut])
        allowed = row.text.count(INCOMPLETE)
        assert sum(piece.count(INCOMPLETE) for piece in told[:-1]) <= allowed
    if "x" not in text:
        assert not any(INCOMPLETE in piece for piece in told[:-1])


def test_blanks_that_a_tokenizer_drops_at_the_start_are_streamed_in_between() -> None:
    """As SentencePiece's: a token's own text lacks the blank that it has within a text."""
    words = ["<unk>", "▁hello", "▁wide", "▁world", "s"]
    tokenizer = Tokenizer(models.Unigram([(word, -1.0) for word in words], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    stream = TextStream(lambda ids: tokenizer.decode(ids))
    assert [stream.push(i) for i in (1, 2, 3, 4)] == ["hello", " wide", " world", "s"]
    assert stream.end() == "" and stream.text == "hello wide worlds"


def bytes_of(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", "replace")


def test_the_text_of_a_stream_is_told_once() -> None:
    stream = TextStream(bytes_of)
    told = [stream.push(byte) for byte in "aé!🙂".encode()]
    assert told == ["a", "", "é", "!", "", "", "", "🙂"] and stream.text == "aé!🙂"
    assert [stream.push(byte) for byte in "漢".encode()[:2]] == ["", ""]
    assert stream.text == "aé!🙂"
    assert stream.end() == INCOMPLETE and stream.text == f"aé!🙂{INCOMPLETE}"
    assert stream.end() == ""


def test_a_token_is_decoded_with_the_one_before_it_and_no_more() -> None:
    """So that a long response takes no longer for each token."""
    seen: list[tuple[int, ...]] = []
    stream = TextStream(lambda ids: seen.append(tuple(ids)) or "".join(map(chr, ids)))
    assert [stream.push(ord(c)) for c in "abcd"] == ["a", "b", "c", "d"]
    assert seen[-2:] == [(ord("c"),), (ord("c"), ord("d"))]
    assert seen[:2] == [(), (ord("a"),)]


def test_a_token_without_text_says_nothing() -> None:
    stream = TextStream(lambda ids: "".join("xy"[i] for i in ids if i < 2))
    assert [stream.push(i) for i in (0, 5, 1)] == ["x", "", "y"] and stream.text == "xy"
