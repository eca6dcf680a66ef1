"""Short hashes that tell backbones and their vocabularies apart. Knows nothing of latents."""

from __future__ import annotations

import hashlib
import json

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["vocabulary_fingerprint", "weights_fingerprint"]

LENGTH = 32
SAMPLES = 256


def weights_fingerprint(model: PreTrainedModel) -> str:
    """A hash of the architecture and of 256 evenly spaced numbers of every weight.

    Weights are rounded to bf16 first, so that the same checkpoint has one fingerprint whatever
    precision it is loaded in.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        flat = weight.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // SAMPLES)]
        digest.update(sample.to("cpu", torch.bfloat16).float().numpy().tobytes())
    return digest.hexdigest()[:LENGTH]


def vocabulary_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of which id stands for which token.

    Added tokens are left out: a padding token that someone adds changes no other.
    """
    added = tokenizer.added_tokens_decoder
    pairs = sorted((i, token) for token, i in tokenizer.get_vocab().items() if i not in added)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:LENGTH]
