"""Makes `tiny`: a small Llama-style decoder over characters, trained from nothing on `corpus`.

Training begins with random strings repeated with a period: attention learns to look up
"what came after this the last time", which the mixed text alone teaches only after millions
of characters. Then come packed documents: one endless stream of them, each closed by an
end-of-sequence token, is cut into blocks, and within a block every token sees all before
it, other documents included, as real models are trained. Blocks grow from 128 to 1024
tokens, short ones first because they are cheap. Two more courses follow on easier documents,
the last one on the skills that take longest: looking up two values, subtraction, counting.
Tokens that nothing determines (the random part of a document) count for little in the loss.

Everything follows from the seed; with the same libraries, machine and number of threads,
the same weights come out.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters, digits, punctuation
from typing import Final, final

import torch
from tokenizers import Tokenizer, decoders, models
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from latent_core.errors import LatentError, SettingError, whole_number
from latent_core.progress import progress_bar, without_loading_bars
from latent_core.tiny.corpus import draw_document
from latent_core.tiny.muon import Muon

__all__ = ["STEPS", "build_config", "build_tokenizer", "pretrain_tiny", "token_stream"]

SPECIAL_TOKENS: Final = ("<pad>", "<eos>", "<unk>")
CHARACTERS: Final = "\n " + digits + ascii_letters + punctuation

#: What a token counts for in the loss if nothing before it determines it.
_UNDETERMINED_WEIGHT: Final = 0.1

_MATRIX_RATE: Final = 0.02
_OTHER_RATE: Final = 3e-3
_RISE: Final = 50  # steps


@final
@dataclass(frozen=True, slots=True)
class Phase:
    """`steps` steps on blocks of `rows` x `length` tokens of a mixture, or of periodic strings."""

    steps: int
    rows: int
    length: int
    mixture: str | None


@final
@dataclass(frozen=True, slots=True)
class Course:
    """Phases under one learning-rate schedule, with optimizers that start afresh.

    The rate rises to `peak`, stays there until step `level`, and then falls in a line, by the
    share `fall` of itself every `over` steps.
    """

    phases: tuple[Phase, ...]
    peak: float
    level: int
    fall: float
    over: int

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def rate(self, step: int) -> float:
        """Learning rate at a step, as a share of its highest."""
        rise = min(1.0, (step + 1) / _RISE)
        return self.peak * rise * (1 - self.fall * max(0, step - self.level) / self.over)

    def phase(self, step: int) -> Phase:
        """The phase a step belongs to."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError(f"this course has {self.steps} steps, 0 to {self.steps - 1}")


COURSES: Final = (
    Course(
        (
            Phase(120, 64, 24, None),
            Phase(120, 24, 96, None),
            Phase(984, 32, 128, "broad"),
            Phase(776, 16, 256, "broad"),
        ),
        peak=1.0,
        level=240,
        fall=0.95,
        over=2460,
    ),
    Course(
        (
            Phase(800, 16, 256, "finishing"),
            Phase(400, 8, 512, "finishing"),
            Phase(100, 4, 1024, "finishing"),
        ),
        peak=0.5,
        level=0,
        fall=0.98,
        over=1300,
    ),
    Course(
        (
            Phase(1100, 16, 256, "polishing"),
            Phase(350, 8, 512, "polishing"),
            Phase(150, 4, 1024, "polishing"),
        ),
        peak=0.5,
        level=0,
        fall=0.98,
        over=1600,
    ),
)

#: Steps of the shipped model.
STEPS: Final = sum(course.steps for course in COURSES)


def build_config() -> LlamaConfig:
    """Four layers of width 128 with four heads, and 1024 positions: 0.83 million parameters.

    Projections of queries, keys and values have biases, so that a head can attend by
    distance alone; the rotary base is low because the context is short.
    """
    return LlamaConfig(
        vocab_size=len(SPECIAL_TOKENS) + len(CHARACTERS),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        attention_bias=True,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each printable ASCII character and the newline; `<unk>` for any other."""
    vocabulary = {text: i for i, text in enumerate((*SPECIAL_TOKENS, *CHARACTERS))}
    characters = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    characters.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=characters,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        model_max_length=build_config().max_position_embeddings,
    )


def token_stream(seed: int, mixture: str = "broad") -> Iterator[tuple[int, float]]:
    """Endless (token id, loss weight) pairs: documents one after another, each with its end."""
    rng = random.Random(f"tiny|{seed}" if mixture == "broad" else f"tiny|{seed}|{mixture}")
    ids = {text: i for i, text in enumerate((*SPECIAL_TOKENS, *CHARACTERS))}
    while True:
        for text, determined in draw_document(rng, mixture):
            weight = 1.0 if determined else _UNDETERMINED_WEIGHT
            for character in text:
                yield ids[character], weight
        yield ids["<eos>"], 1.0


def pretrain_tiny(
    output_dir: str | Path,
    *,
    seed: int = 0,
    steps: int = STEPS,
    progress: bool = True,
) -> Path:
    """Trains the model and writes it, with its tokenizer, as a Hugging Face directory.

    Args:
        output_dir: must not exist yet, or be empty; it appears whole or not at all.
        seed: decides the first weights and all the text.
        steps: optimizer steps, 4096 tokens each but for the first ones; a smaller number takes
            its steps evenly from the whole plan, which is good for trying things out only.
        progress: show a bar with the loss (nats per token) and the time left.

    Raises:
        SettingError: `steps` is less than 1, or `seed` less than 0.
        LatentError: `output_dir` has something in it, or cannot be written.
    """
    target = Path(output_dir)
    if steps < 1:
        raise SettingError(f"steps is {steps}; expected 1 or more")
    seed = whole_number("seed", seed, 0)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise LatentError(f"{target} is not an empty directory; name a new one, or empty it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise LatentError(f"cannot write in {target.parent}: {error.strerror}") from error
    try:
        with progress_bar(steps, "pretrain", "step", progress) as bar:

            def tell(loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update()

            model = _train(seed, steps, tell)
        with without_loading_bars():
            model.save_pretrained(staged)
        build_tokenizer().save_pretrained(staged)
        staged.chmod(0o755)
        for file in staged.iterdir():
            file.chmod(0o644)
        os.replace(staged, target)
    except OSError as error:
        raise LatentError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return target


def _train(seed: int, steps: int, tell: Callable[[float], None]) -> LlamaForCausalLM:
    """A model trained for `steps` steps, spread evenly over those of all courses.

    `tell` hears the loss after each step.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(build_config())
        # Wide apart from the start, or the drift all rows share would drown what tells
        # characters from each other.
        nn.init.normal_(model.model.embed_tokens.weight, std=0.3)
        step, offset = 0, 0
        for course in COURSES:
            optimizers = _optimizers(model)
            streams: dict[str, Iterator[tuple[int, float]]] = {}
            while step < steps and (at := step * STEPS // steps - offset) < course.steps:
                loss = _weighted_loss(model, *_block(course.phase(at), streams, seed))
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                for optimizer, highest in optimizers:
                    optimizer.param_groups[0]["lr"] = highest * course.rate(at)
                    optimizer.step()
                    optimizer.zero_grad()
                step += 1
                tell(loss.item())
            offset += course.steps
    return model.eval()


def _optimizers(model: LlamaForCausalLM) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the layers' matrices, AdamW for the rest; each with its highest rate."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inner = parameter.ndim == 2 and "embed_tokens" not in name and "lm_head" not in name
        (matrices if inner else others).append(parameter)
    adam = torch.optim.AdamW(others, lr=_OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    return [(Muon(matrices, lr=_MATRIX_RATE), _MATRIX_RATE), (adam, _OTHER_RATE)]


def _block(
    phase: Phase, streams: dict[str, Iterator[tuple[int, float]]], seed: int
) -> tuple[Tensor, Tensor]:
    """Token ids (B, T+1) and their loss weights (B, T+1); streams are begun when first used."""
    if phase.mixture is None:
        return _periodic_block(phase)
    if phase.mixture not in streams:
        streams[phase.mixture] = token_stream(seed, phase.mixture)
    return _packed_block(streams[phase.mixture], phase)


def _periodic_block(phase: Phase) -> tuple[Tensor, Tensor]:
    """Rows of a random string over a random alphabet, repeated to fill the row.

    Weights are 1 from the second time on, and 0 before. Draws from torch's global generator.
    """
    rows, length, first = phase.rows, phase.length, len(SPECIAL_TOKENS)
    alphabets = torch.rand(rows, len(CHARACTERS)).argsort(1)
    periods = torch.randint(3, length // 2 + 1, (rows, 1))
    sizes = torch.randint(6, 95, (rows, 1))
    chosen = torch.randint(0, 1000, (rows, length + 1)).remainder(sizes)
    places = torch.arange(length + 1)[None]
    ids = (alphabets.gather(1, chosen) + first).gather(1, places.remainder(periods))
    return ids, (places >= periods).float()


def _packed_block(stream: Iterator[tuple[int, float]], phase: Phase) -> tuple[Tensor, Tensor]:
    """The next tokens of the stream."""
    shape = (phase.rows, phase.length + 1)
    pairs = [next(stream) for _ in range(phase.rows * (phase.length + 1))]
    ids, weights = zip(*pairs, strict=True)
    return torch.tensor(ids).view(shape), torch.tensor(weights).view(shape)


def _weighted_loss(model: LlamaForCausalLM, ids: Tensor, weights: Tensor) -> Tensor:
    """Mean next-token cross-entropy in nats, each target by its weight."""
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    losses = nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    wanted = weights[:, 1:].flatten()
    return (losses * wanted).sum() / wanted.sum()
