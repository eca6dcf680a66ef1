"""The choice of the next verbal token from logits, by Transformers' own settings and processors.

A setting has the name and the meaning that it has in Transformers' `GenerationConfig`. Each row of
a batch is processed by itself, on its verbal ids alone, without latents and without padding. So a
repetition penalty gives the same in a ragged batch as for the row alone. The draws of a row depend
on the seed, on its prompt, and on how often the same prompt came before it. They do not depend on
other prompts.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import secrets
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    ExponentialDecayLengthPenalty,
    ForcedEOSTokenLogitsProcessor,
    GenerationConfig,
    InfNanRemoveLogitsProcessor,
    LogitNormalization,
    LogitsProcessor,
    LogitsProcessorList,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopHLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from latent_core.errors import SettingError, whole_number

__all__ = ["Chooser", "RowFacts", "Scores", "read_settings"]


class RowFacts(NamedTuple):
    """A row, as processors and the sampling need to know it.

    Attributes:
        prompt_ids: verbal ids of the prompt.
        limit: tokens of the response at most.
        eos_ids: tokens that end it.
        device: where its scores lie.
        method: tells rows of different methods apart, whose draws do not depend on each other.
    """

    prompt_ids: tuple[int, ...]
    limit: int
    eos_ids: list[int]
    device: torch.device
    method: int = 0

    @property
    def prompt_length(self) -> int:
        """Verbal tokens of the prompt."""
        return len(self.prompt_ids)


Make = Callable[[Any, RowFacts], LogitsProcessor]

# By setting: the value that means "off", and the processor of any other value. In the order in
# which Transformers applies them.
PROCESSORS: dict[str, tuple[Any, Make]] = {
    "sequence_bias": (None, lambda value, row: SequenceBiasLogitsProcessor(value)),
    "repetition_penalty": (1.0, lambda value, row: RepetitionPenaltyLogitsProcessor(float(value))),
    "no_repeat_ngram_size": (0, lambda value, row: NoRepeatNGramLogitsProcessor(value)),
    "bad_words_ids": (None, lambda value, row: NoBadWordsLogitsProcessor(value, row.eos_ids)),
    "min_length": (
        0,
        lambda value, row: MinLengthLogitsProcessor(value, row.eos_ids, str(row.device)),
    ),
    "min_new_tokens": (
        0,
        lambda value, row: MinNewTokensLengthLogitsProcessor(
            row.prompt_length, value, row.eos_ids, str(row.device)
        ),
    ),
    "forced_eos_token_id": (
        None,
        lambda value, row: ForcedEOSTokenLogitsProcessor(
            row.prompt_length + row.limit, value, str(row.device)
        ),
    ),
    "remove_invalid_values": (False, lambda value, row: InfNanRemoveLogitsProcessor()),
    "exponential_decay_length_penalty": (
        None,
        lambda value, row: ExponentialDecayLengthPenalty(value, row.eos_ids, row.prompt_length),
    ),
    "suppress_tokens": (
        None,
        lambda value, row: SuppressTokensLogitsProcessor(value, str(row.device)),
    ),
    "begin_suppress_tokens": (
        None,
        lambda value, row: SuppressTokensAtBeginLogitsProcessor(
            value, row.prompt_length, str(row.device)
        ),
    ),
}
NEED_EOS = ("min_length", "min_new_tokens", "exponential_decay_length_penalty")

# The same for sampling; these look at logits alone.
WARPERS: dict[str, tuple[Any, Callable[[Any], LogitsProcessor]]] = {
    "temperature": (1.0, lambda value: TemperatureLogitsWarper(float(value))),
    "top_h": (None, lambda value: TopHLogitsWarper(value)),
    "top_k": (0, lambda value: TopKLogitsWarper(value)),
    "top_p": (1.0, lambda value: TopPLogitsWarper(value)),
    "min_p": (0.0, lambda value: MinPLogitsWarper(value)),
    "typical_p": (1.0, lambda value: TypicalLogitsWarper(value)),
    "epsilon_cutoff": (0.0, lambda value: EpsilonLogitsWarper(value)),
    "eta_cutoff": (0.0, lambda value: EtaLogitsWarper(value)),
}

# Honoured elsewhere: here, or by `latent_core.generation.generate`.
OTHERS = (
    *("max_new_tokens", "max_length", "max_time", "stop_strings", "eos_token_id"),
    *("do_sample", "num_return_sequences", "renormalize_logits"),
)

# Without influence on what is generated here.
IMMATERIAL = (
    *("pad_token_id", "bos_token_id", "decoder_start_token_id", "use_cache"),
    *("return_dict_in_generate", "compile_config", "disable_compile", "prefill_chunk_size"),
    *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("assistant_lookbehind", "target_lookbehind", "length_penalty", "early_stopping"),
    "transformers_version",
)

# Values of settings that are not available under which those settings are off anyway.
OFF: dict[str, tuple[Any, ...]] = {
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "guidance_scale": (1,),
    "encoder_repetition_penalty": (1,),
    "encoder_no_repeat_ngram_size": (0,),
    "diversity_penalty": (0,),
    "cache_implementation": ("dynamic",),
}
REASONS: dict[str, str] = {
    "num_beams": "beam search is not available, because each beam would place latents of its own; "
    "draw several responses with do_sample=True and num_return_sequences instead",
    "cache_implementation": "decoding keeps a dynamic cache, which shrinks as rows end",
}
REASONS |= dict.fromkeys(
    ("output_attentions", "output_hidden_states", "output_scores", "output_logits"),
    "generate returns text; see latent_core.capture_attention, LatentModel.logits, or pass a "
    "logits_processor, which sees every score",
)


def read_settings(config: GenerationConfig | None, **settings: Any) -> GenerationConfig:
    """One checked set of settings.

    Args:
        config: where to start from; a field that is not set is off (`top_k` and `max_length` too,
            for which Transformers would take 50 and 20).
        settings: fields by name, which win over the config's; None leaves a field as it is.

    Raises:
        SettingError: if a setting does not exist, or is not available with latent tokens.
    """
    merged = GenerationConfig() if config is None else copy.deepcopy(config)
    names = [name for name in vars(GenerationConfig()) if not name.startswith("_")]
    for name, value in settings.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, 3) or ["do_sample", "temperature"]
            raise SettingError(
                f"generate has no setting {name!r}; did you mean {' or '.join(near)}? It takes the "
                "fields of Transformers' GenerationConfig"
            )
        if value is not None:
            setattr(merged, name, value)
    honoured = {*PROCESSORS, *WARPERS, *OTHERS, *IMMATERIAL}
    for name, value in vars(merged).items():
        if name.startswith("_") or name in honoured or value is None or value is False:
            continue
        if value not in OFF.get(name, ()):
            reason = REASONS.get(name, "this is not available with latent tokens; leave it unset")
            raise SettingError(f"{name}={value!r}: {reason}")
    if not merged.do_sample:
        idle = [n for n, (off, _) in WARPERS.items() if getattr(merged, n) not in (None, off)]
        if idle:
            warnings.warn(
                f"{', '.join(idle)}: without effect, because do_sample is off; the likeliest token "
                "is taken",
                stacklevel=2,
            )
    return merged


@dataclass
class Scores:
    """How one row's scores are processed, and its source of random numbers."""

    processors: LogitsProcessorList
    generator: torch.Generator | None


class Chooser:
    """Chooses tokens by settings that `read_settings` has checked.

    Args:
        settings: what to do.
        processors: further processors, applied to each row after the settings' own; each is called
            with `input_ids` (1, L), the row's verbal ids, and `scores` (1, V).
        seed: of the drawing, 0 or more; None draws something new each time.

    Raises:
        SettingError: if a setting is out of its range.
    """

    def __init__(
        self,
        settings: GenerationConfig,
        processors: Sequence[LogitsProcessor] = (),
        seed: int | None = None,
    ) -> None:
        self._settings = settings
        self._further = list(processors)
        self._seed = secrets.randbits(64) if seed is None else whole_number("seed", seed, 0)
        self._occurrences: Counter[tuple[int, tuple[int, ...]]] = Counter()
        self._warpers = LogitsProcessorList()
        if settings.do_sample:
            for name, (off, make) in WARPERS.items():
                if (value := getattr(settings, name)) is not None and value != off:
                    self._warpers.append(_made(make, value))
        if settings.renormalize_logits:
            self._warpers.append(LogitNormalization())

    def scores_of(self, row: RowFacts) -> Scores:
        """What belongs to one row; rows with the same prompt are told apart by their order."""
        processors = LogitsProcessorList()
        for name, (off, make) in PROCESSORS.items():
            value = getattr(self._settings, name)
            # Without an end-of-sequence token there is none to hold back or to favour.
            if value is not None and value != off and (row.eos_ids or name not in NEED_EOS):
                processors.append(_made(make, value, row))
        processors.extend(self._further)
        if not self._settings.do_sample:
            return Scores(processors, None)
        asked = (row.method, row.prompt_ids)
        occurrence = self._occurrences[asked]
        self._occurrences[asked] += 1
        seed = _mixed(self._seed, occurrence, *row.prompt_ids)
        return Scores(processors, torch.Generator(row.device).manual_seed(seed))

    def choose(
        self, logits: Tensor, rows: Sequence[Scores], verbal_ids: Callable[[int], Sequence[int]]
    ) -> tuple[Tensor, Tensor]:
        """Choose one token per row.

        Args:
            logits: (R, V), of any floating dtype; not changed.
            rows: what belongs to each of the R rows.
            verbal_ids: from a row's number to its verbal ids so far, prompt and response.

        Returns:
            ids (R,), and the scores (R, V) that they were chosen from; fp32 where anything but the
            logits themselves decided.
        """
        processed = any(row.processors for row in rows)
        if not (processed or self._warpers or self._settings.do_sample):
            return logits.max(dim=-1).indices, logits  # as argmax, in a third of the time
        scores = logits.float()
        if processed:
            parts = []
            for number, row in enumerate(rows):
                ids = _long([list(verbal_ids(number))], logits.device)
                parts.append(row.processors(ids, scores[number : number + 1].clone()))
            scores = torch.cat(parts)
        if self._warpers:
            no_ids = _long([[]] * len(rows), logits.device)
            scores = self._warpers(no_ids, scores)
        if not self._settings.do_sample:
            return scores.max(dim=-1).indices, scores
        probabilities = scores.softmax(dim=-1)
        drawn = [
            torch.multinomial(probabilities[number], 1, generator=row.generator)
            for number, row in enumerate(rows)
        ]
        return torch.cat(drawn), scores


def _mixed(*numbers: int) -> int:
    """A seed of 63 bits from whole numbers, the same on every machine."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def _long(ids: list[list[int]], device: torch.device) -> torch.LongTensor:
    """Ids as a tensor, of the type that processors ask for."""
    return cast(torch.LongTensor, torch.tensor(ids, dtype=torch.long, device=device))


def _made(make: Callable[..., LogitsProcessor], *arguments: Any) -> LogitsProcessor:
    """A processor; what it says about a bad value is passed on."""
    try:
        return make(*arguments)
    except (ValueError, TypeError) as error:
        raise SettingError(str(error)) from error
