"""Saved adapters: bit-exact, found by id or folder; every way to spoil one has its own error."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

import latent_core.adapters.adapter as adapter_module
from latent_core.adapters.adapter import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    AdapterConfig,
    read_adapter,
    write_adapter,
)
from latent_core.adapters.locate import locate
from latent_core.backbones.backbone import Backbone
from latent_core.errors import AdapterError, LayoutError
from latent_core.models.latent import LatentModel
from tests.families import CHARACTERS, PROMPTS, character_tokenizer, tiny_backbone

LAYOUT = "Start_2+Before[=|1]_1+After[,]_3@verbal; positions=sequential"


def made(family: str = "llama", layout: str = LAYOUT) -> LatentModel:
    model = LatentModel(tiny_backbone(family), layout, seed=3)
    with torch.no_grad():
        for table in model.tables.parameters():
            table.add_(torch.randn_like(table) / 3)  # numbers that no precision but fp32 holds
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made().save_pretrained(tmp_path / "adapter", method="mine", seed=3)


@pytest.mark.parametrize("layout", [LAYOUT, "Start_1+Comma_3; tied", "none"])
def test_saved_and_loaded_is_bit_exact(tmp_path: Path, layout: str) -> None:
    model = made(layout=layout)
    loaded = LatentModel.from_pretrained(model.save_pretrained(tmp_path), tiny_backbone("llama"))
    assert loaded.layout == model.layout
    assert loaded.tables.names == model.tables.names
    for name, table in model.tables.named().items():
        assert torch.equal(loaded.tables.named()[name], table)
    assert loaded.generate(PROMPTS, 8) == model.generate(PROMPTS, 8)


def test_a_folder_holds_two_small_files_and_no_pickle(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_NAME, WEIGHTS_NAME]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5000
    config = json.loads((folder / CONFIG_NAME).read_text())
    assert config["layout"] == LAYOUT
    assert config["backbone_fingerprint"] == tiny_backbone("llama").fingerprint
    assert config["notes"] == {"method": "mine", "seed": 3}
    assert set(load_file(folder / WEIGHTS_NAME)) == {"Start", "Before[=|1]", "After[,]"}


def test_another_vocabulary_is_refused_but_an_added_token_is_none(folder: Path) -> None:
    base = tiny_backbone("llama")
    padded = character_tokenizer()
    padded.add_special_tokens({"pad_token": "<pad>"})
    wanted = LatentModel.from_pretrained(folder, base).generate(PROMPTS, 4)
    same = Backbone("padded", base.model, padded)
    assert LatentModel.from_pretrained(folder, same).generate(PROMPTS, 4) == wanted

    other = Backbone("other", base.model, character_tokenizer(CHARACTERS[::-1]))
    assert other.fingerprint == base.fingerprint
    with pytest.raises(AdapterError, match=r"made with another tokenizer .* than that of other"):
        LatentModel.from_pretrained(folder, other)

    config = json.loads((folder / CONFIG_NAME).read_text())
    del config["tokenizer_fingerprint"]  # as adapters were before it was kept
    (folder / CONFIG_NAME).write_text(json.dumps(config))
    assert LatentModel.from_pretrained(folder, base).generate(PROMPTS, 4) == wanted


def test_an_adapter_is_replaced_as_a_whole(folder: Path) -> None:
    other = made(layout="End_1")
    other.save_pretrained(folder)
    config, tables = read_adapter(folder)
    assert config.layout == "End_1"
    assert torch.equal(tables["End"], other.tables.named()["End"])
    assert len(list(folder.iterdir())) == 2


def test_the_backbone_is_found_by_the_name_in_the_config(tmp_path: Path) -> None:
    backbone = tiny_backbone("llama")
    backbone.model.save_pretrained(tmp_path / "llama")
    backbone.tokenizer.save_pretrained(tmp_path / "llama")
    model = LatentModel(tmp_path / "llama", "Start_2", seed=6)
    loaded = LatentModel.from_pretrained(model.save_pretrained(tmp_path / "adapter"))
    assert loaded.backbone.name == str(tmp_path / "llama")
    assert torch.equal(loaded.tables.rows(), model.tables.rows())


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_another_backbone_is_refused(folder: Path, family: str) -> None:
    with pytest.raises(AdapterError, match=rf"made for backbone llama.*got {family}"):
        LatentModel.from_pretrained(folder, tiny_backbone(family))


@pytest.mark.parametrize("name", [CONFIG_NAME, WEIGHTS_NAME])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(AdapterError, match=f"no adapter in .*expected a file {name}"):
        read_adapter(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=f"no adapter in {tmp_path / 'nowhere'}"):
        LatentModel.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_weights_are_found(folder: Path, keep: int) -> None:
    path = folder / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AdapterError, match=f"{WEIGHTS_NAME} is damaged"):
        read_adapter(folder)


def test_one_wrong_bit_is_found(folder: Path) -> None:
    path = folder / WEIGHTS_NAME
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(AdapterError, match="its hash is not the one"):
        read_adapter(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"layout": "Start_2"',
        b"[]",
        b'"Start_2"',
        b"\xff\xfe",
        b'{"peft_type": "LORA", "r": 8}',
        b'{"layout": 5, "backbone": "x", "backbone_fingerprint": "y", "hidden_size": 32}',
    ],
)
def test_a_damaged_config_is_found(folder: Path, content: bytes) -> None:
    (folder / CONFIG_NAME).write_bytes(content)
    with pytest.raises(AdapterError, match=f"{CONFIG_NAME} is damaged or of another kind"):
        read_adapter(folder)


def change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps(config | changes))


def test_an_unknown_layout_is_a_layout_error(folder: Path) -> None:
    change_config(folder, layout="Middle_2")
    with pytest.raises(LayoutError, match="unknown place 'Middle'"):
        read_adapter(folder)


@pytest.mark.parametrize(
    "changes", [{"layout": LAYOUT.replace("Start_2", "Start_2+End_1")}, {"hidden_size": 31}]
)
def test_tables_and_layout_must_agree(folder: Path, changes: dict[str, object]) -> None:
    change_config(folder, **changes)
    with pytest.raises(AdapterError, match=r"needs tables .*, the file has "):
        read_adapter(folder)


def test_a_missing_table_is_found(folder: Path) -> None:
    """Also where the hash was made to fit."""
    tables = load_file(folder / WEIGHTS_NAME)
    config, _ = read_adapter(folder)
    del tables["Start"]
    write_adapter(folder, config, tables)
    with pytest.raises(AdapterError, match=r"needs tables \{'Start': \(2, 32\)"):
        read_adapter(folder)


def test_weights_of_another_format_are_found(folder: Path, monkeypatch) -> None:
    config, tables = read_adapter(folder)
    monkeypatch.setattr(adapter_module, "save", lambda tables: b"not safetensors at all")
    write_adapter(folder, config, tables)
    with pytest.raises(AdapterError, match="no safetensors file"):
        read_adapter(folder)


CONFIG = AdapterConfig("End_1", "llama", "f", 4)


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AdapterError, match=r"cannot write the adapter to .*expected a folder"):
        write_adapter(tmp_path / "file" / "adapter", CONFIG, {"End": torch.ones(1, 4)})


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_adapter_of_before(folder: Path, monkeypatch, failing) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(AdapterError, match="No space left on device"):
        made(layout="End_1").save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_weights_copied_without_their_config_do_not_pass(folder: Path, tmp_path: Path) -> None:
    other = made(layout=LAYOUT).save_pretrained(tmp_path / "other")
    tables = load_file(folder / WEIGHTS_NAME)
    save_file({name: table + 1 for name, table in tables.items()}, tmp_path / WEIGHTS_NAME)
    shutil.copy(tmp_path / WEIGHTS_NAME, other)
    with pytest.raises(AdapterError, match="copy both files again"):
        read_adapter(other)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused(folder: Path, number: float) -> None:
    config, tables = read_adapter(folder)
    tables["Before[=|1]"][0, 3] = number
    write_adapter(folder, config, tables)
    expected = r"adapter holds NaN or infinite numbers in Before\[=\|1\]; .* train it again"
    with pytest.raises(AdapterError, match=expected):
        read_adapter(folder)
    with pytest.raises(AdapterError, match=expected):
        LatentModel.from_pretrained(folder, tiny_backbone("llama"))


def test_folders_come_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def refuse(repo_id: str) -> str:
        assert repo_id == "owner/name"
        raise LocalEntryNotFoundError("not in the cache, and the hub cannot be reached")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("latent_core.adapters.locate.snapshot_download", refuse)
    (tmp_path / "runs").mkdir()
    assert locate("runs/typo") == Path("runs/typo")  # a folder `runs` is here: no id is meant
    assert locate(Path("owner/name")) == Path("owner/name")
    assert locate("name") == Path("name")
    with pytest.raises(AdapterError, match="no adapter in owner/name: there is no such folder"):
        locate("owner/name")
