"""The model class for EleutherAI's lm-evaluation-harness.

    pip install 'latent-workbench[harness]'
    results = lm_eval.simple_evaluate(HarnessModel(lc.load_model("runs/first")), tasks=["arc_easy"])

Once this module is imported, the harness knows the class as `latent` and can make it from strings:
`simple_evaluate("latent", "model=runs/first", tasks=["arc_easy"])`.

The context of a request is the prompt and its continuation is the response, so latents stand where
training put them. On a backbone without latents, the numbers equal those of the harness's own `hf`
model.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.nn import functional as F

from latent_core.errors import SettingError, needs_extra
from latent_core.models.build import load_model
from latent_core.models.steered import SteeredModel
from latent_core.progress import progress_bar
from latent_core.slots.placement import IGNORE, Slots

with needs_extra("harness", "latent_core.bridges.harness"):
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

__all__ = ["HarnessModel"]

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
_AUTO_BATCH_SIZE = 16
T = TypeVar("T")


@register_model("latent")
class HarnessModel(TemplateLM):
    """A model as the harness wants it.

    Args:
        model: a model, or the folder or hub id of a saved one.
        batch_size: requests side by side, as a number or text; `auto` is 16. In float32, no result
            depends on it.
        progress: show bars with the time left.
        device: where to load a saved model to; by default a GPU if there is one.
        dtype: precision of the backbone of a saved model, as `load_backbone` takes it.

    Raises:
        SettingError: for a batch size that is no number of at least 1, or a few-shot baseline.
    """

    backend = "causal"

    def __init__(
        self,
        model: SteeredModel | str | Path,
        batch_size: int | str = _AUTO_BATCH_SIZE,
        progress: bool = True,
        device: str | None = None,
        dtype: str = "auto",
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.batch_size, self.progress = _read_batch_size(batch_size, max_batch_size), progress
        if not isinstance(model, SteeredModel):
            model = load_model(model, device=device, dtype=dtype)
        self.model = model
        if self.model.shots:
            raise SettingError(
                f"{self.model.method} puts examples of its own task before a prompt, which are "
                f"none of the harness's; run zero-shot with {self.model.shots} of the harness's "
                "own (--shots, num_fewshot)"
            )
        self.tokenizer = self.model.backbone.tokenizer

    @property
    def tokenizer_name(self) -> str:
        """The backbone's name, by which the harness keeps its caches apart."""
        return self.model.backbone.name

    @property
    def max_gen_toks(self) -> int:
        """Verbal tokens of a response, where a task does not say."""
        return 256

    @property
    def max_length(self) -> int:
        """Verbal tokens of context and continuation together."""
        limit = self.model.backbone.context_length or 2048
        return limit - self.model.virtual_tokens

    @property
    def eot_token_id(self) -> int:
        """The end-of-sequence token."""
        found = self.tokenizer.eos_token_id
        if not isinstance(found, int):
            raise SettingError(
                f"the tokenizer of {self.model.backbone.name} has no end-of-sequence token, which "
                "the harness needs where a context is empty"
            )
        return found

    @property
    def prefix_token_id(self) -> int:
        """The token of an empty context: the beginning of a sequence, or else its end."""
        begin = self.tokenizer.bos_token_id
        return begin if isinstance(begin, int) else self.eot_token_id

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Encode text, without a second beginning-of-sequence token after a chat template's."""
        if add_special_tokens is None:
            begin = self.model.backbone.token_text(self.prefix_token_id)
            add_special_tokens = not string.startswith(begin)
        ids = self.tokenizer(string, add_special_tokens=add_special_tokens, verbose=False)
        return list(ids["input_ids"])

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Encode context and continuation; where they share their last token, each by itself."""
        pair: tuple[list[int], list[int]] = super()._encode_pair(context, continuation)
        if pair[1] or not continuation:
            return pair
        return self.tok_encode(context), self.tok_encode(continuation, add_special_tokens=False)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The text that the tokenizer's chat template makes of a conversation.

        Raises:
            PromptError: if the tokenizer has no chat template, or that cannot take the messages.
        """
        self.model.backbone.chat_text(chat_history)  # whose errors are clear
        text = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        assert isinstance(text, str)
        return text

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Compute the log-probability of whole texts, in windows if longer than the context."""
        found = []
        for request in requests:
            (text,) = request.args
            pairs = get_rolling_token_windows(
                self.tok_encode(text), self.prefix_token_id, self.max_length, context_len=1
            )
            windows = [(("", text), *make_disjoint_window(pair)) for pair in pairs]
            scores = self._scores(windows, disable_tqdm=True)
            found.append(sum(score for score, _ in scores))
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), found[-1])
        return found

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        """Compute log-probabilities of continuations, and whether greedy decoding gives them."""
        found = self._scores(requests, disable_tqdm)
        for (text, _, _), result in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", text, result)
        return found

    @torch.no_grad()
    def _scores(
        self,
        requests: Sequence[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool,
    ) -> list[tuple[float, bool]]:
        """Score requests, with no cache; a continuation beyond the window counts in pieces."""
        pieces = [
            (number, *piece)
            for number, (_, context, continuation) in enumerate(requests)
            for piece in self._pieces(context, continuation)
        ]
        pieces.sort(key=lambda piece: -len(piece[1] + piece[2]))
        total, greedy = [0.0] * len(requests), [True] * len(requests)
        shown = self.progress and not disable_tqdm
        with progress_bar(len(pieces), "log-likelihood", "request", shown) as bar:
            for chosen in _chunks(pieces, self.batch_size):
                batch = self.model.batch([self._slots(*pair) for _, *pair in chosen])
                labelled = batch.labels != IGNORE
                hidden_states = self.model.hidden_states(batch)[labelled]
                logits = self.model.backbone.logits(hidden_states).float()
                labels = batch.labels[labelled]
                counts = labelled.sum(1).tolist()
                scores = -F.cross_entropy(logits, labels, reduction="none")
                hits = logits.argmax(-1) == labels
                rows = zip(chosen, scores.split(counts), hits.split(counts), strict=True)
                for (number, *_), score, hit in rows:
                    total[number] += float(score.sum())
                    greedy[number] &= bool(hit.all())
                bar.update(len(chosen))
        return list(zip(total, greedy, strict=True))

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Generate responses up to the first of their stop strings, which is cut off."""
        found = [""] * len(requests)
        groups: dict[tuple[str, int], list[int]] = {}
        repeats: Counter[tuple[str, str]] = Counter()
        for number, request in enumerate(requests):
            context, settings = request.args
            asked = (context, repr(settings))  # asked again, it wants another draw
            groups.setdefault((asked[1], repeats[asked]), []).append(number)
            repeats[asked] += 1
        end = self.tokenizer.decode([self.eot_token_id])
        shown = self.progress and not disable_tqdm
        with progress_bar(len(requests), "generate", "request", shown) as bar:
            for (settings, repeat), numbers in groups.items():
                given = normalize_gen_kwargs(dict(requests[numbers[0]].args[1]), self.max_gen_toks)
                stops, limit = list(given.pop("until")), int(given.pop("max_gen_toks"))
                options = _options(given, _seed(settings, repeat))
                if texts := [stop for stop in stops if stop]:
                    options["stop_strings"] = texts
                for chosen in _chunks(numbers, self.batch_size):
                    prompts = [self._cut(requests[i].args[0], limit) for i in chosen]
                    for i, text in zip(
                        chosen, self.model.generate(prompts, limit, **options), strict=True
                    ):
                        found[i] = postprocess_generated_text(text, [*stops, end], None)
                        self.cache_hook.add_partial("generate_until", requests[i].args, found[i])
                    bar.update(len(chosen))
        return found

    def _pieces(
        self, context: list[int], continuation: list[int]
    ) -> Iterator[tuple[list[int], list[int]]]:
        """A pair, or several pairs whose continuations leave half of the window for context."""
        step = len(continuation) if len(continuation) <= self.max_length else self.max_length // 2
        for start in range(0, len(continuation), max(1, step)):
            before = context + continuation[:start]
            yield before, continuation[start : start + step]

    def _slots(self, context: list[int], continuation: list[int]) -> Slots:
        """The slots that predict a continuation, with as much of the context as the window holds.

        The continuation's last token is predicted and never fed.
        """
        room = self.max_length + 1 - len(continuation)
        while True:
            context = context[-max(1, room) :]
            whole = self.model.place_unchecked(context, continuation)
            needed = max(i for i, label in enumerate(whole.labels) if label != IGNORE) + 1
            slots = Slots(whole.slots[:needed], whole.labels[:needed])
            # Sequential positions count latents, too.
            beyond = max(slot.position_id for slot in slots.slots) + 1 - self.max_length
            if beyond <= 0 or len(context) == 1:
                return slots
            room = len(context) - beyond

    def _cut(self, context: str, limit: int) -> list[int]:
        """The verbal ids of a context: as many of its last ones as leave room for the response.

        Raises:
            SettingError: if the response alone fills the window.
        """
        room = self.max_length - limit
        if room < 1:
            raise SettingError(
                f"the task asks for {limit} tokens, but {self.model.backbone.name} has a context "
                f"window of {self.max_length}; expected fewer, with max_gen_toks"
            )
        return self.tok_encode(context)[-room:]


def _read_batch_size(given: int | str, most: int | None) -> int:
    """A batch size as the harness writes it: a number, its text, `auto` or `auto:N`.

    Raises:
        SettingError: for anything else.
    """
    if isinstance(given, str) and given.partition(":")[0] == "auto":
        return min(_AUTO_BATCH_SIZE, most or _AUTO_BATCH_SIZE)
    if isinstance(given, str) and given.isdecimal():
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise SettingError(
            f"batch_size is {given!r}; expected a whole number of at least 1, or 'auto'"
        )
    return given


def _options(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """The normalised settings of one request as those of `generate`.

    Raises:
        SettingError: for a setting that would have no effect.
    """
    sampled = bool(settings.pop("do_sample"))
    unknown = set(settings) - set(_SAMPLING)
    if unknown:
        raise SettingError(
            f"generation settings {', '.join(sorted(unknown))} of the task are not available; "
            f"expected until, max_gen_toks, do_sample, {', '.join(_SAMPLING)}"
        )
    if not sampled:
        kept = {k: v for k, v in settings.items() if k == "repetition_penalty"}
        return {"do_sample": False} | kept
    return {"do_sample": True, "seed": seed} | settings


def _seed(settings: str, repeat: int) -> int:
    """The seed of a repeat, so that repeats differ and a second evaluation draws the same."""
    digest = hashlib.sha256(f"{settings}|{repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
