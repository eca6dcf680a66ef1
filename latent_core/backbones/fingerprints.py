"""Hashes and samples that tell backbones and their vocabularies apart. Knows nothing of latents.

A fingerprint is a hash of weights rounded to bfloat16. It is the same whether a checkpoint is
loaded in float32 or bfloat16, and exact: another weight among those hashed is another fingerprint.
It does not hold for float16, which rounds small weights otherwise. So 128 weights are kept as well,
and compared number by number where one side is in float16. Such a pair is taken for one checkpoint
if no number differs by more than the two roundings explain; a change below that, of about 0.4 %, or
of weights that are not among the 128, is not seen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "WeightsSample",
    "differences",
    "quantisation",
    "vocabulary_fingerprint",
    "weights_fingerprint",
]

LENGTH = 32
SAMPLES = 256
#: Weights of a `WeightsSample`, and the rows of each matrix that they come from: rows beyond these
#: may be added or cut off.
SAMPLED: Final = 128
SAMPLED_ROWS: Final = 32

_KINDS: Final = {
    torch.float32: "f",
    torch.bfloat16: "b",
    torch.float16: "h",
}
_DTYPES: Final = {letter: dtype for dtype, letter in _KINDS.items()}
_NAMES: Final = {letter: str(dtype).removeprefix("torch.") for letter, dtype in _DTYPES.items()}
_LARGEST_HALF: Final = torch.finfo(torch.float16).max


def weights_fingerprint(model: PreTrainedModel) -> str:
    """A hash of the architecture and of 256 evenly spaced numbers of every weight.

    Weights are rounded to bf16 first, so that the same checkpoint has one fingerprint in float32
    and bfloat16.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        flat = weight.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // SAMPLES)]
        digest.update(sample.to("cpu", torch.bfloat16).float().numpy().tobytes())
    return digest.hexdigest()[:LENGTH]


@dataclass(frozen=True, slots=True)
class WeightsSample:
    """Some weights of a backbone, which another backbone can be compared with.

    Attributes:
        names: hash of the names of all weights.
        rows: of the input embeddings.
        quantised: how the weights are quantised, such as `bitsandbytes`; empty if they are not.
        kinds: a letter for each number: `f` float32, `b` bfloat16, `h` float16, `?` for a weight
            that is packed or not in memory.
        numbers: the weights, as base64 of float32.
    """

    names: str
    rows: int
    quantised: str
    kinds: str
    numbers: str

    def __post_init__(self) -> None:
        if not isinstance(self.rows, int) or set(self.kinds) - {*_DTYPES, "?"}:
            raise ValueError("rows or kinds of the backbone's sample cannot be read")
        if not len(self.values) == len(self.kinds) == SAMPLED:
            raise ValueError(f"the backbone's sample is damaged; expected {SAMPLED} numbers")

    @classmethod
    def of(cls, model: PreTrainedModel) -> WeightsSample:
        """Take the sample of a model."""
        named = sorted(model.named_parameters())
        matrices = [weight.detach() for _, weight in named if weight.dim() > 1]
        kinds, values = "", []
        for number in range(SAMPLED):
            weight = matrices[number * len(matrices) // SAMPLED]
            known = weight.dtype in _KINDS and not weight.is_meta
            kinds += _KINDS[weight.dtype] if known else "?"
            # A multiplier prime to most widths scatters the places over rows and columns.
            place = number * 40_503 % min(weight.numel(), SAMPLED_ROWS * weight.shape[-1])
            values.append(float(weight.reshape(-1)[place]) if known else 0.0)
        embeddings = model.get_input_embeddings().weight
        assert isinstance(embeddings, Tensor)
        return cls(
            names=hashlib.sha256(json.dumps([name for name, _ in named]).encode()).hexdigest()[:16],
            rows=embeddings.shape[0],
            quantised=quantisation(model),
            kinds=kinds,
            numbers=base64.b64encode(np.array(values, "<f4").tobytes()).decode(),
        )

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> WeightsSample | None:
        """Read what `to_dict` wrote; None of nothing, as older adapters have it.

        Raises:
            ValueError, TypeError: if it is damaged.
        """
        return cls(**fields) if fields else None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    @property
    def values(self) -> list[float]:
        """The numbers."""
        try:
            content = base64.b64decode(self.numbers, validate=True)
        except binascii.Error as error:
            raise ValueError(f"the backbone's sample is damaged: {error}") from error
        return np.frombuffer(content, "<f4").astype(float).tolist()

    @property
    def dtype(self) -> str:
        """The precision of most of the numbers."""
        return _NAMES.get(max(sorted(set(self.kinds)), key=self.kinds.count), "packed numbers")


def differences(
    saved: str, saved_sample: WeightsSample | None, loaded: str, loaded_sample: WeightsSample
) -> list[str]:
    """Say in what the weights that something was made for differ from those that are loaded.

    Args:
        saved, loaded: the fingerprints.
        saved_sample: None if it was not kept, as in older versions.
        loaded_sample: of the weights that are loaded.

    Returns:
        a clause for each difference; none if both are one checkpoint.
    """
    if saved == loaded:
        return []
    if saved_sample is None:
        if loaded_sample.quantised:
            return [f"its weights are quantised ({loaded_sample.quantised})"]
        if loaded_sample.dtype == "float16":
            return [
                "it is loaded in float16, in which weights cannot be compared with those of an "
                "older version; load it in float32 or bfloat16"
            ]
        return ["its weights are others"]
    found = []
    if saved_sample.quantised != loaded_sample.quantised:
        now, then = loaded_sample.quantised, saved_sample.quantised
        found.append(f"its weights are {_in_words(now)}, and were {_in_words(then)}")
    if saved_sample.names != loaded_sample.names and not found:
        found.append("it has weights of other names, so it is of another architecture")
    if saved_sample.rows != loaded_sample.rows:
        found.append(
            f"its embeddings are resized or padded: {loaded_sample.rows:,} rows now, "
            f"{saved_sample.rows:,} then"
        )
    other = _differing(saved_sample, loaded_sample)
    pairs = zip(saved_sample.kinds, loaded_sample.kinds, strict=True)
    compared = sum("?" not in pair for pair in pairs)
    if other:
        found.append(
            f"{len(other)} of {compared} sampled weights differ, by up to {max(other):.2g} of "
            "their size"
        )
    elif found:
        found.append(f"{compared} sampled weights are the same")
    elif "float16" not in (dtypes := {saved_sample.dtype, loaded_sample.dtype}) or len(dtypes) == 1:
        # There the fingerprints are exact.
        found.append(f"weights differ that are not among the {SAMPLED} sampled")
    return found


def vocabulary_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of which id stands for which token.

    Added tokens are left out: a padding token that someone adds changes no other.
    """
    added = tokenizer.added_tokens_decoder
    pairs = sorted((i, token) for token, i in tokenizer.get_vocab().items() if i not in added)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:LENGTH]


def quantisation(model: PreTrainedModel) -> str:
    """How the weights are quantised, such as `bitsandbytes`; empty if they are not."""
    method = getattr(model, "quantization_method", None)
    return "" if method is None else str(getattr(method, "value", method))


def _in_words(quantised: str) -> str:
    return f"quantised ({quantised})" if quantised else "not quantised"


def _differing(saved: WeightsSample, loaded: WeightsSample) -> list[float]:
    """The relative differences of numbers that no rounding explains."""
    rows = zip(saved.values, saved.kinds, loaded.values, loaded.kinds, strict=True)
    return [
        abs(ours - theirs) / max(abs(ours), abs(theirs), 1e-30)
        for theirs, their_kind, ours, kind in rows
        if "?" not in (kind, their_kind) and not _may_be_one(theirs, their_kind, ours, kind)
    ]


def _may_be_one(one: float, kind: str, other: float, other_kind: str) -> bool:
    """Whether two numbers may be one weight, each in its precision."""
    if kind == other_kind:
        return one == other
    if kind == "f":
        return _rounded(one, other_kind) == other
    if other_kind == "f":
        return _rounded(other, kind) == one
    half, brain = (one, other) if kind == "h" else (other, one)
    if _rounded(brain, "h") == half:  # a checkpoint in bfloat16
        return True
    if math.isinf(half):
        return abs(brain) >= _LARGEST_HALF * (1 - 2**-8)
    # A checkpoint in float32, from which each is half a unit in its last place away at most.
    return abs(half - brain) <= abs(brain) * 2**-8 + abs(half) * 2**-11 + 2**-25


def _rounded(value: float, kind: str) -> float:
    return float(torch.tensor(value, dtype=torch.float32).to(_DTYPES[kind]))
