"""What lies in a folder that a model was saved to: latents, or a baseline.

Latents are an adapter of ours (`latent_core.adapters.adapter`). A baseline is `baseline.json`,
which says what it was made for, beside files in the usual formats: LoRA, prefix and prompt tuning
as PEFT's `adapter_config.json` and `adapter_model.safetensors`, a fine-tuned model as a
Transformers checkpoint, so that all can be loaded without us. Latents beside LoRA or a prefix are
such a folder with one more file, `latent_tables.safetensors`. Knows files; nothing of models.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from latent_core.adapters.adapter import (
    BASELINE_FILE,
    CONFIG_NAME,
    AdapterConfig,
    check_tables,
    read_adapter,
)
from latent_core.archives.folders import has_file, read_file, refuse_packed
from latent_core.backbones.fingerprints import WeightsSample
from latent_core.errors import AdapterError
from latent_core.files import parse_json, staged_folder, write_json
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method

__all__ = [
    "BASELINE_FILE",
    "TABLES_NAME",
    "BaselineConfig",
    "Saved",
    "SavedLatents",
    "config_file",
    "read_latents",
    "read_saved",
    "written_baseline",
]

TABLES_NAME: Final = "latent_tables.safetensors"
"""The latents of a folder that PEFT's files lie in."""


@dataclass(frozen=True, slots=True)
class BaselineConfig:
    """What a baseline was made for and with.

    Attributes:
        method: its name, as `Method.parse` reads it.
        backbone: the name it was loaded by.
        backbone_fingerprint: `Backbone.fingerprint`.
        backbone_sample: `Backbone.weights_sample`, as plain values; empty in older ones.
        hidden_size: D of the backbone.
        tokenizer_fingerprint: `Backbone.tokenizer_fingerprint`, of latents; else empty.
        sha256: hashes of the files beside it, by name; filled in on writing.
        versions: of the libraries it was made with.
        notes: anything else worth keeping (task, seed).
    """

    method: str
    backbone: str
    backbone_fingerprint: str
    hidden_size: int
    sha256: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    backbone_sample: dict[str, Any] = field(default_factory=dict)
    tokenizer_fingerprint: str = ""

    def __post_init__(self) -> None:
        for name in ("method", "backbone", "backbone_fingerprint", "tokenizer_fingerprint"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is {getattr(self, name)!r}; expected text")
        WeightsSample.from_dict(self.backbone_sample)


@contextlib.contextmanager
def written_baseline(folder: str | Path, config: BaselineConfig) -> Iterator[Path]:
    """A staging folder to put files into; they take their places when the block ends.

    `baseline.json`, with their hashes, comes last, so that a mixture is found on reading.

    Args:
        folder: made if missing; files of the same names are replaced.
        config: what the baseline was made for.

    Raises:
        AdapterError: if the folder cannot be written.
    """
    folder = Path(folder)
    refuse_packed(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with staged_folder(folder / "baseline") as staging:
            yield staging
            paths = sorted(staging.iterdir())
            hashes = {path.name: _sha256(staging, path.name) for path in paths}
            for path in paths:
                os.replace(path, folder / path.name)
        write_json(folder / BASELINE_FILE, asdict(config) | {"sha256": hashes})
    except (OSError, SafetensorError) as error:
        raise AdapterError(
            f"cannot write the baseline to {folder}: {error}; "
            "expected a folder that can be written to, with free space"
        ) from error


def _sha256(folder: Path, name: str) -> str:
    """The hash of a file in either form; it may be large."""
    if not (folder / name).is_file():
        return hashlib.sha256(read_file(folder, name)).hexdigest()
    with open(folder / name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


Saved = AdapterConfig | BaselineConfig


class SavedLatents(NamedTuple):
    """Latents of a folder.

    Attributes:
        config: what the model was made for.
        layout: where they go.
        tables: what trained by name in fp32 on the CPU.
    """

    config: Saved
    layout: LatentLayout
    tables: dict[str, Tensor]


def read_saved(folder: str | Path) -> Saved:
    """Read what a folder's model was made for, checking that its files are whole.

    Raises:
        AdapterError: if there is none, or a file is missing or damaged.
    """
    if config_file(folder).name == BASELINE_FILE:
        return _read_baseline(Path(folder))
    return read_adapter(folder)[0]


def read_latents(folder: str | Path) -> SavedLatents:
    """Read the latents of a folder, be they alone or beside what PEFT trained.

    Raises:
        AdapterError: if there are none, or a file is missing or damaged.
    """
    folder = Path(folder)
    config = read_saved(folder)
    if isinstance(config, AdapterConfig):
        return SavedLatents(config, LatentLayout.parse(config.layout), read_adapter(folder)[1])
    if TABLES_NAME not in config.sha256:
        raise AdapterError(f"{folder} holds {config.method}, which has no latents")
    layout = Method.parse(config.method).layout
    try:
        tables = load(read_file(folder, TABLES_NAME))
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"cannot read {folder / TABLES_NAME}: {error}") from error
    check_tables(folder, layout, config.hidden_size, tables)
    return SavedLatents(config, layout, tables)


def config_file(folder: str | Path) -> Path:
    """What is written last when a model is saved in a folder."""
    return Path(folder) / (BASELINE_FILE if has_file(folder, BASELINE_FILE) else CONFIG_NAME)


def _read_baseline(folder: Path) -> BaselineConfig:
    path = folder / BASELINE_FILE
    try:
        config = BaselineConfig(**parse_json(read_file(folder, BASELINE_FILE)))
        found = {name: _sha256(folder, name) for name in config.sha256}
    except OSError as error:
        raise AdapterError(f"cannot read the baseline in {folder}: {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise AdapterError(f"{path} is damaged or of another kind: {error}") from error
    damaged = [name for name, expected in config.sha256.items() if found[name] != expected]
    if damaged:
        raise AdapterError(
            f"{folder / damaged[0]} is damaged: its hash is not the one in {BASELINE_FILE}; "
            "copy the whole folder again from where it was made"
        )
    return config
