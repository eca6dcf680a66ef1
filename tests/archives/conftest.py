"""Folders of every kind of file, and the archive of them."""

import os
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from latent_core.archives.writing import write_archive


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Three folders: tensors of several types, records of other columns, texts and bytes."""
    made = {name: tmp_path / "folders" / name for name in ("a", "deep/b", "deep/c+d; tied")}
    for number, folder in enumerate(made.values()):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(f'{{"seed": {number}, "text": "{"ä" * number}"}}\n')
        frame = pd.DataFrame({"split": ["id", "ood-6"], "level": [1, 6], "graded": [number, 0.5]})
        frame.attrs["evaluation"] = {"seed": number}
        if number == 1:
            frame = frame.astype({"level": float}).assign(shots=4, when=pd.Timestamp("2026-01-02"))
        if number < 2:
            frame.to_parquet(folder / "records.parquet", index=False)
    tensors = {"Start": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.bfloat16)}
    save_file(tensors, made["a"] / "adapter_model.safetensors", {"format": "pt"})
    save_file({}, made["deep/b"] / "adapter_model.safetensors")
    (made["deep/c+d; tied"] / "adapter_model.safetensors").write_bytes(b"no tensors at all")
    (made["a"] / "tokenizer.model").write_bytes(bytes(range(256)))
    (made["deep/b"] / "empty.txt").write_text("")
    for folder in made.values():
        for file in folder.iterdir():
            os.utime(file, ns=(10**18, 10**18 + 123_456_700))
    return made


@pytest.fixture
def archive(tmp_path: Path, folders: dict[str, Path]) -> Path:
    """The archive of these folders."""
    return write_archive(tmp_path / "archive", folders)
