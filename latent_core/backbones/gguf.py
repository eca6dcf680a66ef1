"""A Llama-style GGUF file -> a directory that Transformers loads like any other checkpoint.

Weights come out dequantised in bfloat16 (a model kept in GGUF's blocks passes no gradients on to
an embedding table), with Hugging Face's parameter names and the q/k row order that its rotary
embedding expects. The tokenizer is rebuilt from the vocabulary and merges in the file.

Knows the file format only: not where files lie, nor which of them to trust.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader

_TOP_LEVEL_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# `tokenizer.ggml.pre` -> what runs before byte-level BPE. GGUF stores the name of the scheme, not
# the scheme; "smollm" is the one whose digits are tokens of their own.
_PRE_TOKENIZERS = {
    "smollm": [{"type": "Digits", "individual_digits": True}],
    "gpt-2": [],
}
_CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL


def convert_gguf(
    source: Path, target: Path, on_progress: Callable[[float], None] = lambda share: None
) -> None:
    """Write `config.json`, `generation_config.json`, the tokenizer and `model.safetensors`.

    Args:
        source: a GGUF file of architecture "llama" with a byte-level BPE tokenizer.
        target: an existing directory. Files in it are overwritten; every file is flushed to disk.
        on_progress: called with the share of the work done, 0 to 1.

    Raises:
        ValueError: the file holds another architecture, tokenizer or tensor than is known here.
        OSError: the target cannot be written (a full disk among other reasons).
    """
    from gguf import GGUFReader  # scans the whole file, 3 s for 93 MB

    reader = GGUFReader(source)
    on_progress(0.3)
    config = _model_config(reader)
    for name, content in (
        ("config.json", config),
        ("generation_config.json", _generation_config(config)),
        ("tokenizer.json", _tokenizer(reader)),
        ("tokenizer_config.json", _tokenizer_config(reader, config)),
    ):
        text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        write_durably(target / name, text.encode())
    weights = _weights(reader, config, lambda share: on_progress(0.3 + 0.5 * share))
    write_durably(target / "model.safetensors", weights)
    on_progress(1.0)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it, so that a later rename cannot outrun it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _field(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise ValueError(f"expected the GGUF file to hold the field {key!r}, but it has none")
    return field.contents()


def _model_config(reader: GGUFReader) -> dict[str, Any]:
    architecture = _field(reader, "general.architecture")
    if architecture != "llama":
        raise ValueError(f"expected a GGUF file of architecture 'llama', got {architecture!r}")
    heads = _field(reader, "llama.attention.head_count")
    width = _field(reader, "llama.embedding_length")
    names = {tensor.name for tensor in reader.tensors}
    # Stored in single precision; its shortest decimal form is the number that was meant.
    epsilon = float(f"{_field(reader, 'llama.attention.layer_norm_rms_epsilon'):.6g}")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _field(reader, "tokenizer.ggml.padding_token_id"),
        "dtype": "bfloat16",
        "head_dim": width // heads,
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": _field(reader, "llama.feed_forward_length"),
        "max_position_embeddings": _field(reader, "llama.context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": _field(reader, "llama.block_count"),
        "num_key_value_heads": _field(reader, "llama.attention.head_count_kv"),
        "rms_norm_eps": epsilon,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": _field(reader, "llama.rope.freq_base"),
        },
        "tie_word_embeddings": "output.weight" not in names,
        "use_cache": True,
        "vocab_size": _field(reader, "llama.vocab_size"),
    }


def _generation_config(config: dict[str, Any]) -> dict[str, Any]:
    keys = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"_from_model_config": True, **{key: config[key] for key in keys}}


def _tokenizer(reader: GGUFReader) -> dict[str, Any]:
    """The contents of `tokenizer.json`."""
    kind, scheme = _field(reader, "tokenizer.ggml.model"), _field(reader, "tokenizer.ggml.pre")
    if kind != "gpt2" or scheme not in _PRE_TOKENIZERS:
        raise ValueError(
            f"expected a 'gpt2' tokenizer of scheme {' or '.join(_PRE_TOKENIZERS)}, "
            f"got {kind!r} of scheme {scheme!r}"
        )
    tokens = _field(reader, "tokenizer.ggml.tokens")
    kinds = _field(reader, "tokenizer.ggml.token_type")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    special = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": token, **special, "special": True}
            for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
            if kind == _CONTROL_TOKEN
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [*_PRE_TOKENIZERS[scheme], {**byte_level, "use_regex": True}],
        },
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in _field(reader, "tokenizer.ggml.merges")],
        },
    }


def _tokenizer_config(reader: GGUFReader, config: dict[str, Any]) -> dict[str, Any]:
    tokens = _field(reader, "tokenizer.ggml.tokens")
    return {
        # Not "GPT2Tokenizer": since Transformers 5 that class puts a pre-tokenizer of its own in
        # place of the one in tokenizer.json. This one takes the file as it stands.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[config["bos_token_id"]],
        "eos_token": tokens[config["eos_token_id"]],
        "pad_token": tokens[config["pad_token_id"]],
        "unk_token": tokens[_field(reader, "tokenizer.ggml.unknown_token_id")],
        "chat_template": _field(reader, "tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": config["max_position_embeddings"],
    }


def _weights(
    reader: GGUFReader, config: dict[str, Any], on_progress: Callable[[float], None]
) -> bytes:
    """The contents of `model.safetensors`.

    They are made in memory and written by Python: a writer that maps the file would die of a
    signal on a full disk, and this one gets an OSError.
    """
    import torch
    from gguf.quants import dequantize
    from safetensors.torch import save

    heads_by_part = {
        "attn_q": config["num_attention_heads"],
        "attn_k": config["num_key_value_heads"],
    }
    tensors = {}
    for done, tensor in enumerate(reader.tensors, start=1):
        part, name = _parameter_name(tensor.name)
        values = dequantize(tensor.data, tensor.tensor_type)
        if part in heads_by_part:
            values = _split_rotary_halves(values, heads_by_part[part])
        tensors[name] = torch.tensor(values, dtype=torch.bfloat16)
        on_progress(done / len(reader.tensors))
    return save(tensors, metadata={"format": "pt"})


def _parameter_name(name: str) -> tuple[str, str]:
    """`blk.3.attn_q.weight` -> (`attn_q`, `model.layers.3.self_attn.q_proj.weight`)."""
    *block, part, kind = name.split(".")
    if kind == "weight" and not block and part in _TOP_LEVEL_NAMES:
        return part, f"{_TOP_LEVEL_NAMES[part]}.weight"
    if kind == "weight" and len(block) == 2 and block[0] == "blk" and part in _BLOCK_NAMES:
        return part, f"model.layers.{block[1]}.{_BLOCK_NAMES[part]}.weight"
    raise ValueError(f"expected the tensors of a Llama without biases, got one named {name!r}")


def _split_rotary_halves(values: np.ndarray, heads: int) -> np.ndarray:
    """Undo GGUF's row order in q and k.

    GGUF interleaves the two halves that rotary embedding pairs up (0, d/2, 1, d/2 + 1, ...);
    Transformers keeps them apart (0, 1, ..., d/2, d/2 + 1, ...).

    *Shape:* (H * d, D) -> (H * d, D)
    """
    rows, width = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, width)
    return pairs.swapaxes(1, 2).reshape(rows, width)
