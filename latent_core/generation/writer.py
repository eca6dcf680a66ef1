"""The writer of responses: it chooses tokens, streams their text, and ends rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, MaxTimeCriteria, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.generation.decoding import Row
from latent_core.generation.sampling import Chooser, RowFacts, Scores
from latent_core.generation.streaming import TextStream

__all__ = ["OnToken", "ResponseWriter"]

OnToken = Callable[[int, int, str], None]
"""Called with the response's index, the token's id, and the text that is new."""


@dataclass
class _Response:
    """What the writer keeps of a row; `text` without special tokens, `marked` with them."""

    index: int
    scores: Scores
    text: TextStream
    marked: TextStream
    streamer: BaseStreamer | None
    ended: bool = False


class ResponseWriter:
    """Writes the responses: chooses tokens, tells of them, and sees when a row has ended.

    Args:
        backbone: its tokenizer decodes, its end-of-sequence tokens end a row.
        options: checked settings.
        processors, criteria: further ones; see `latent_core.generation.generate.generate`.
        seed: of the sampling.
        on_token: told of every token.

    Raises:
        SettingError: if a setting is out of its range.
    """

    def __init__(
        self,
        backbone: Backbone,
        options: GenerationConfig,
        processors: Sequence[LogitsProcessor],
        criteria: Sequence[StoppingCriteria],
        seed: int | None,
        on_token: OnToken | None,
    ) -> None:
        self._backbone = backbone
        self._chooser = Chooser(options, processors, seed)
        self._criteria = list(criteria)
        if options.max_time is not None:
            self._criteria.append(MaxTimeCriteria(options.max_time))
        stop = options.stop_strings or []
        self._stop_strings = [stop] if isinstance(stop, str) else list(stop)
        if "" in self._stop_strings:
            raise SettingError("a stop string is empty; expected at least one character")
        own_eos = options.eos_token_id
        self._eos_ids = backbone.eos_ids
        if own_eos is not None:
            self._eos_ids = frozenset([own_eos] if isinstance(own_eos, int) else own_eos)
        self._on_token = on_token
        self._responses: dict[int, _Response] = {}

    def add(self, row: Row, streamer: BaseStreamer | None) -> None:
        """Take a row in, in the order of the prompts."""
        backbone = self._backbone
        facts = RowFacts(
            tuple(row.prompt_ids),
            row.limit,
            sorted(self._eos_ids),
            backbone.device,
            id(row.stream.placement),
        )
        self._responses[id(row)] = _Response(
            index=len(self._responses),
            scores=self._chooser.scores_of(facts),
            text=TextStream(backbone.decode),
            marked=TextStream(lambda ids: backbone.decode(ids, special=True)),
            streamer=streamer,
        )
        if streamer is not None:
            streamer.put(torch.tensor([row.prompt_ids]))

    def has_ended(self, row: Row) -> bool:
        """Whether the row ended by itself, rather than at its limit."""
        return self._responses[id(row)].ended

    def extend(self, rows: Sequence[Row], logits: Tensor) -> None:
        """Give every row its next token, as `decode` asks; `logits` are (R, V) of any dtype."""
        responses = [self._responses[id(row)] for row in rows]
        ids, scores = self._chooser.choose(
            logits,
            [response.scores for response in responses],
            lambda number: [*rows[number].prompt_ids, *rows[number].response_ids],
        )
        for number, (row, token_id) in enumerate(zip(rows, ids.tolist(), strict=True)):
            response = responses[number]
            row.response_ids.append(token_id)
            response.ended = self._ends(row, response, token_id, scores[number : number + 1])
            goes_on = not response.ended and len(row.response_ids) < row.limit
            self._tell(response, token_id, last=not goes_on)
            if goes_on:
                row.push([token_id])

    def _ends(self, row: Row, response: _Response, token_id: int, scores: Tensor) -> bool:
        ended = token_id in self._eos_ids
        if self._stop_strings:
            # In the response alone: Transformers' own criterion would count the prompt's end too.
            response.marked.push(token_id)
            ended |= any(stop in response.marked.text for stop in self._stop_strings)
        if self._criteria:
            ids = torch.tensor([[*row.prompt_ids, *row.response_ids]], device=scores.device)
            scores = scores.float()
            # Every one is asked, since some of them count their calls.
            answers = [criterion(ids, scores) for criterion in self._criteria]
            ended |= any(bool(torch.as_tensor(answer).all()) for answer in answers)
        return ended

    def _tell(self, response: _Response, token_id: int, last: bool) -> None:
        if response.streamer is not None:
            response.streamer.put(torch.tensor([token_id]))
        if self._on_token is not None:
            text = response.text.push(token_id)
            if last:
                text += response.text.end()
            self._on_token(response.index, token_id, text)
