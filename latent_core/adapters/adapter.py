"""Saved adapters: `adapter_config.json` and `adapter_model.safetensors` in one folder.

The config names the layout and the backbone with its fingerprint, and holds the weights' hash, so
that a wrong backbone or a damaged file is found on loading. Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from latent_core.archives.folders import has_file, read_file, refuse_packed
from latent_core.backbones.fingerprints import WeightsSample
from latent_core.errors import AdapterError
from latent_core.files import parse_json, write_files
from latent_core.slots.layout import LatentLayout

__all__ = [
    "BASELINE_FILE",
    "CONFIG_NAME",
    "WEIGHTS_NAME",
    "AdapterConfig",
    "check_tables",
    "read_adapter",
    "refuse_not_finite",
    "write_adapter",
]

BASELINE_FILE: Final = "baseline.json"
CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """What an adapter was made for and with.

    Attributes:
        layout: the layout in its notation.
        backbone: the name it was loaded by.
        backbone_fingerprint: `Backbone.fingerprint`.
        backbone_sample: `Backbone.weights_sample`, as plain values; empty in adapters that were
            made before it was kept.
        tokenizer_fingerprint: `Backbone.tokenizer_fingerprint`; empty in adapters that were made
            before it was kept.
        hidden_size: D of the backbone.
        weights_sha256: hash of the weights file; filled in on writing.
        peft_type: says to other tools that PEFT does not know this adapter.
        versions: of the libraries it was made with.
        notes: anything else worth keeping (method, task, seed).
    """

    layout: str
    backbone: str
    backbone_fingerprint: str
    hidden_size: int
    weights_sha256: str = ""
    tokenizer_fingerprint: str = ""
    peft_type: str = "LATENT_TOKENS"
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    backbone_sample: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = ("layout", "backbone", "backbone_fingerprint", "tokenizer_fingerprint")
        for name in (*texts, "weights_sha256"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is {getattr(self, name)!r}; expected text")
        WeightsSample.from_dict(self.backbone_sample)

    @property
    def method(self) -> str:
        """The layout, by which a method of latents alone is called."""
        return self.layout


def write_adapter(folder: str | Path, config: AdapterConfig, tables: Mapping[str, Tensor]) -> Path:
    """Write an adapter so that a reader sees the old one, the new one, or none, but no mixture.

    Args:
        folder: made if missing; files of the same names are replaced.
        config: what the adapter was made for.
        tables: the latent vectors by table name, each (count, D).

    Raises:
        AdapterError: if the folder cannot be written; what was there before stays.
    """
    folder = Path(folder)
    refuse_packed(folder)
    weights = save({name: table.contiguous() for name, table in tables.items()})
    body = asdict(config) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    contents = {
        WEIGHTS_NAME: weights,
        CONFIG_NAME: (json.dumps(body, indent=2) + "\n").encode(),
    }
    return write_files(folder, contents, f"the adapter to {folder}", AdapterError)


def read_adapter(folder: str | Path) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """Read an adapter, on disk or in an archive, checking that it is whole.

    Returns:
        its config, and what trained by name in fp32 on the CPU: tables, each (count, D), and maps.

    Raises:
        AdapterError: if a file is missing or damaged, the layout and the tables do not agree, or a
            number is NaN or infinite.
        LayoutError: if the layout cannot be read.
    """
    folder = Path(folder)
    if has_file(folder, BASELINE_FILE):
        raise AdapterError(
            f"{folder} holds a model that PEFT or Transformers trained, or latents beside it; "
            "expected latents alone. lc.load_model(...) loads any model"
        )
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not has_file(folder, name):
            raise AdapterError(f"no adapter in {folder}: expected a file {name} there")
    try:
        config = AdapterConfig(**parse_json(read_file(folder, CONFIG_NAME)))
        weights = read_file(folder, WEIGHTS_NAME)
    except OSError as error:
        raise AdapterError(f"cannot read the adapter in {folder}: {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise AdapterError(
            f"{folder / CONFIG_NAME} is damaged or of another kind of adapter: {error}"
        ) from error
    if hashlib.sha256(weights).hexdigest() != config.weights_sha256:
        raise AdapterError(
            f"{folder / WEIGHTS_NAME} is damaged: its hash is not the one in {CONFIG_NAME}; "
            "copy both files again from where the adapter was made"
        )
    try:
        tables = load(weights)
    except SafetensorError as error:
        raise AdapterError(f"{folder / WEIGHTS_NAME} is no safetensors file: {error}") from error
    check_tables(folder, LatentLayout.parse(config.layout), config.hidden_size, tables)
    return config, tables


def check_tables(
    source: str | Path, layout: LatentLayout, hidden_size: int, tables: Mapping[str, Tensor]
) -> None:
    """Refuse saved tables that are not those of a layout.

    Args:
        source: where they were saved, for the error.
        layout: what they should be of.
        hidden_size: D.
        tables: what trained, by name.

    Raises:
        AdapterError: if names or shapes differ, or a number is NaN or infinite.
    """
    expected = layout.weight_shapes(hidden_size)
    found = {name: tuple(table.shape) for name, table in tables.items()}
    if found != expected:
        raise AdapterError(
            f"{source}: layout {layout} needs tables {expected}, the file has {found}"
        )
    refuse_not_finite(source, tables)


def refuse_not_finite(source: str | Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse saved numbers that are NaN or infinite, from which every answer would be noise.

    Args:
        source: where they were saved, for the error.
        weights: the numbers by name.

    Raises:
        AdapterError: naming the tables that have some.
    """
    bad = [name for name, weight in weights.items() if not bool(weight.isfinite().all())]
    if bad:
        raise AdapterError(
            f"{source} holds NaN or infinite numbers in {', '.join(bad)}; expected finite ones. "
            "Its training diverged, or it was damaged before it was saved: train it again"
        )
