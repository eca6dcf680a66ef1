"""Files of tensors: taken apart and put together again, byte by byte."""

import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from latent_core.archives.tensors import TensorStore, put_together, taken_apart

TENSORS = {
    "Start": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "none": torch.zeros(0, 4),
}


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
@pytest.mark.parametrize("tensors", [TENSORS, {}])
def test_a_file_is_made_again_from_another_that_holds_its_tensors(
    tmp_path, tensors, metadata
) -> None:
    content = save(tensors, metadata)
    apart = taken_apart(content)
    assert apart is not None and set(apart.tensors) == set(tensors)
    others = {"z/" + name: one for name, one in apart.tensors.items()}
    more = taken_apart(save({"other": torch.ones(7)}))
    assert more is not None
    (tmp_path / "all").write_bytes(put_together(others | more.tensors))
    assert TensorStore(tmp_path / "all").file(apart.header, "z/") == content


def test_what_is_put_together_is_a_file_of_tensors() -> None:
    apart = taken_apart(save(TENSORS))
    assert apart is not None
    found = load(put_together(apart.tensors))
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_damage_is_not_taken_apart() -> None:
    content = save(TENSORS)
    assert taken_apart(content[:-1]) is None
    assert taken_apart(content + b"\0") is None
    assert taken_apart(b"") is None and taken_apart(b"no tensors at all") is None
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}).encode()
    assert taken_apart(len(header).to_bytes(8, "little") + header + b"ab") is None, "a hole"


def test_a_damaged_file_is_refused(tmp_path) -> None:
    (tmp_path / "all").write_bytes(save(TENSORS)[:-1])
    with pytest.raises(SafetensorError):
        TensorStore(tmp_path / "all")
