"""Where a response ends, and who is told of its tokens."""

import threading

import pytest
import torch
from transformers import (
    LogitsProcessor,
    MaxLengthCriteria,
    StoppingCriteria,
    TextIteratorStreamer,
    TextStreamer,
)
from transformers.generation.streamers import BaseStreamer

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.generation.decoding import Row
from latent_core.generation.sampling import read_settings
from latent_core.generation.writer import ResponseWriter
from latent_core.models.latent import LatentModel
from latent_core.slots.placement import SlotStream
from tests.families import (
    EOS,
    PROMPTS,
    VOCABULARY,
    character_tokenizer,
    random_model,
    tiny_backbone,
)

LIMIT = 14
"""Twice the sliding window of the families that have one."""


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_rows_end_at_any_end_of_sequence_token(family: str) -> None:
    """Each row by itself, and what others do then is as if it had never been there."""
    model = random_model(family)
    endless = LatentModel(Backbone(family, model, character_tokenizer()), "3_1", seed=1)
    free = endless.generate(PROMPTS, LIMIT, return_details=True)
    early, late = free[0].response_ids[4], free[1].response_ids[8]
    model.generation_config.eos_token_id = [early, late]
    ending = LatentModel(Backbone(family, model, character_tokenizer()), "3_1", seed=1)
    ends = {EOS, early, late}
    lengths = []
    for row, unended in zip(
        ending.generate(PROMPTS, LIMIT, return_details=True), free, strict=True
    ):
        ids = list(unended.response_ids)
        stop = next((i for i, token in enumerate(ids) if token in ends), len(ids) - 1)
        assert list(row.response_ids) == ids[: stop + 1]
        assert row.finished == (ids[stop] in ends)
        lengths.append(len(row.response_ids))
    assert len(set(lengths)) >= 3


def test_tokens_are_told_as_they_are_chosen() -> None:
    model = LatentModel(tiny_backbone("llama"), "2_1", seed=1)
    told = []
    rows = model.generate(
        PROMPTS, 6, on_token=lambda *token: told.append(token), batch_size=3, return_details=True
    )
    for index, row in enumerate(rows):
        mine = [(token_id, text) for number, token_id, text in told if number == index]
        assert [token_id for token_id, _ in mine] == list(row.response_ids)
        assert "".join(text for _, text in mine) == row.text
    assert [number for number, _, _ in told[:6]] == [0, 1, 2, 0, 1, 2]
    assert told[-1][0] == 3


def test_a_stop_string_ends_a_response() -> None:
    """It may begin in one token and end in another; what the prompt says does not count."""
    model = LatentModel(tiny_backbone("llama"), "2_1", seed=1)
    free = model.generate(PROMPTS, 12, return_details=True)
    stop = free[0].text[3:5]
    assert len(stop) == 2
    rows = model.generate(PROMPTS, 12, stop_strings=stop, return_details=True)
    for row, unstopped in zip(rows, free, strict=True):
        end = unstopped.text.find(stop)
        wanted = unstopped.text if end < 0 else unstopped.text[: end + 2]
        assert row.text == wanted
        assert row.finished == (end >= 0)
    assert rows[0].finished
    prompt = "ab" + stop[0]
    (row,) = model.generate(prompt, 4, stop_strings=[prompt, prompt[-1] + "?"], return_details=True)
    assert len(row.response_ids) == 4


def test_stop_strings_can_be_special_tokens() -> None:
    model = LatentModel(tiny_backbone("llama"), "2_1", seed=1)
    forced = {"forced_eos_token_id": 1, "eos_token_id": [33], "stop_strings": ["<unk>"]}
    (row,) = model.generate("ab", 4, return_details=True, **forced)
    assert row.response_ids[-1] == 1 and row.finished


class StopAfter(StoppingCriteria):
    """Ends a row once it has so many verbal tokens."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs) -> torch.Tensor:
        assert scores.shape == (1, VOCABULARY)
        return torch.tensor([input_ids.shape[1] >= 8])


def test_stopping_criteria_see_verbal_ids() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_3+1_1", seed=1)
    own = model.generate(PROMPTS[:2], 9, stopping_criteria=[StopAfter()], return_details=True)
    theirs = model.generate(PROMPTS[:2], 9, stopping_criteria=[MaxLengthCriteria(8)])
    assert [len(row.response_ids) for row in own] == [2, 4]
    assert all(row.finished for row in own) and [row.text for row in own] == theirs
    (slow,) = model.generate(["ab"], 9, max_time=0.0, return_details=True)
    assert len(slow.response_ids) == 1


def test_a_streamer_shows_verbal_text(capsys: pytest.CaptureFixture[str]) -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2+1_1", seed=1)
    streamer = TextStreamer(model.backbone.tokenizer, skip_prompt=True)
    (text,) = model.generate("ab,c", 12, streamer=streamer)
    assert capsys.readouterr().out == f"{text}\n"
    with pytest.raises(SettingError, match="a streamer shows one response; got 2 prompts"):
        model.generate(["a", "b"], 3, streamer=streamer)


def test_a_thread_that_reads_a_streamer_ends_even_if_generation_fails() -> None:
    model = LatentModel(tiny_backbone("llama"), "Start_2", seed=1)
    streamer = TextIteratorStreamer(model.backbone.tokenizer, timeout=20)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(streamer))
    reader.start()

    def fail(*token: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.generate("ab", 5, streamer=streamer, on_token=fail)
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert "".join(read).startswith("ab")


# ---- a writer by itself ----


class Script(LogitsProcessor):
    """Lets only the next id of a script through."""

    def __init__(self, *ids: int) -> None:
        self.ids = list(ids)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = torch.full_like(scores, -torch.inf)
        scores[:, self.ids.pop(0)] = 0
        return scores


def written(limit: int, *ids: int, prompt: str = "ab", **settings) -> tuple[Row, bool, list]:
    """A response of these ids to a prompt, whether it ended by itself, and what was told of it."""
    backbone, told = tiny_backbone("llama"), []
    criteria = settings.pop("criteria", [])
    writer = ResponseWriter(
        backbone, read_settings(None, **settings), [Script(*ids)], criteria, None,
        lambda *token: told.append(token),
    )  # fmt: skip
    prompt_ids = backbone.encode(prompt)
    row = Row(prompt, prompt_ids, limit, SlotStream(LatentModel(backbone, "none").placement, 2))
    writer.add(row, None)
    assert not writer.has_ended(row)
    row.queue.clear()
    for _ in ids:
        writer.extend([row], torch.zeros(1, VOCABULARY))
        if not row.queue:
            break
        row.queue.clear()
    return row, writer.has_ended(row), told


@pytest.mark.parametrize(
    ("limit", "ids", "settings", "length", "ended"),
    [
        (3, (5, 6, 7, 8), {}, 3, False),
        (3, (5, 6, EOS, 8), {}, 3, True),
        (9, (5, EOS, 7), {}, 2, True),
        (9, (5, EOS, 7), {"eos_token_id": 7}, 3, True),
        (9, (5, EOS, 7, 8, 9), {"eos_token_id": [9, 8]}, 4, True),
        (9, (2, 3, 4), {"stop_strings": "b"}, 2, True),
        (9, (2, 3, 4), {"stop_strings": ["x", "bc"]}, 3, True),
        (9, (3, 4, 5), {"stop_strings": ["ab"]}, 3, False),
        (9, (2, EOS, 4), {"stop_strings": ["zz"]}, 2, True),
        (9, (5, EOS, 7), {"max_time": 1e6}, 2, True),
        (9, (5, 6, 7), {"max_time": 0.0}, 1, True),
        (9, (5, 6, 7), {"max_time": 1e6}, 3, False),
    ],
)
def test_where_a_response_ends(limit, ids, settings, length: int, ended: bool) -> None:
    row, has_ended, told = written(limit, *ids, **settings)
    assert row.response_ids == list(ids[:length]) and has_ended is ended
    assert [(index, token) for index, token, _ in told] == [(0, token) for token in ids[:length]]


class Counts(StoppingCriteria):
    """Ends a response at its call number `last`; keeps what it was shown."""

    def __init__(self, last: int) -> None:
        self.last, self.seen = last, []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs) -> torch.Tensor:
        self.seen.append(input_ids.tolist())
        assert scores.shape == (1, VOCABULARY) and scores.isfinite().sum() == 1
        return torch.tensor([len(self.seen) == self.last])


def test_every_criterion_is_asked_of_every_token() -> None:
    first, second = Counts(2), Counts(3)
    row, ended, _ = written(9, 5, 6, 7, 8, criteria=[first, second])
    assert ended and row.response_ids == [5, 6]
    assert first.seen == second.seen == [[[2, 3, 5]], [[2, 3, 5, 6]]]


def test_the_rest_of_a_text_comes_with_the_last_token(monkeypatch) -> None:
    """Here the tokenizer is one of bytes; the response ends within a character."""
    backbone = tiny_backbone("llama")
    held = {5: "e", 6: "e\N{REPLACEMENT CHARACTER}"}
    monkeypatch.setattr(
        type(backbone), "decode", lambda self, ids, special=False: held[ids[-1]] if ids else ""
    )
    _, _, told = written(2, 5, 6)
    assert [text for *_, text in told] == ["e", "\N{REPLACEMENT CHARACTER}"]


class Shown(BaseStreamer):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.shown: list[object] = []

    def put(self, value: torch.Tensor) -> None:
        self.shown.append(value.tolist())

    def end(self) -> None:
        self.shown.append("end")


def test_a_streamer_is_shown_the_prompt_and_each_token_and_the_end() -> None:
    model, streamer = LatentModel(tiny_backbone("llama"), "Start_1+1_1", seed=1), Shown()
    (row,) = model.generate("ab", 3, streamer=streamer, return_details=True)
    assert streamer.shown == [[[2, 3]], *([i] for i in row.response_ids), "end"]
