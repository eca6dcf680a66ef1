"""Models with latents, and baselines, in EleutherAI's lm-evaluation-harness.

    pip install 'latent-workbench[harness]'
    results = lm_eval.simple_evaluate(HarnessModel(lc.load_model("runs/first")), tasks=["arc_easy"])

Once this module is imported, the harness knows the class as `latent` too, and makes it of strings:
`simple_evaluate("latent", "model=runs/first", tasks=["arc_easy"])`.

A request's context is the prompt and its continuation the response, so latents stand where training
put them. Knows models and requests; nothing of the harness's tasks and metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from torch.nn import functional as F

from latent_core.errors import SettingError
from latent_core.models.build import load_model
from latent_core.models.steered import SteeredModel
from latent_core.progress import progress_bar
from latent_core.slots.placement import IGNORE

__all__ = ["HarnessModel"]

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


@register_model("latent")
class HarnessModel(TemplateLM):
    """A model as the harness wants it.

    Args:
        model: a model, a folder or a hub id of a saved one.
        batch_size: requests side by side; no result depends on it.
        progress: show bars with the time left.
        device: where to load a saved model to; by default a GPU if there is one.

    Raises:
        SettingError: for a batch size below 1, or a few-shot baseline.
    """

    backend = "causal"

    def __init__(
        self,
        model: SteeredModel | str | Path,
        batch_size: int = 16,
        progress: bool = True,
        device: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise SettingError(f"batch_size is {batch_size}; expected at least 1")
        self.model = model if isinstance(model, SteeredModel) else load_model(model, device=device)
        if self.model.shots:
            raise SettingError(
                f"{self.model.method} puts examples of its own task before a prompt, which are "
                f"none of the harness's; run zero-shot with {self.model.shots} of the harness's "
                "own (--shots, num_fewshot)"
            )
        self.batch_size, self.progress = batch_size, progress
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
        """What stands for an empty context: the beginning of a sequence, or else its end."""
        begin = self.tokenizer.bos_token_id
        return begin if isinstance(begin, int) else self.eot_token_id

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Verbal ids; no second beginning-of-sequence token where a chat template wrote one."""
        bos = self.tokenizer.bos_token
        if add_special_tokens is None:
            add_special_tokens = not (bos and string.startswith(bos))
        ids = self.tokenizer(string, add_special_tokens=add_special_tokens)["input_ids"]
        assert isinstance(ids, list)
        return ids

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as the text that the tokenizer's chat template makes of it."""
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
        """Log-probability of whole texts, in windows where they are longer than the context."""
        window = self._window or 2048
        found = []
        for request in requests:
            (text,) = request.args
            pairs = get_rolling_token_windows(
                self.tok_encode(text, add_special_tokens=False),
                self.prefix_token_id,
                max_seq_len=window - 1,
                context_len=1,
            )
            windows = [(("", text), *make_disjoint_window(pair)) for pair in pairs]
            scores = self._loglikelihood_tokens(windows, disable_tqdm=True)
            found.append(sum(score for score, _ in scores))
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), found[-1])
        return found

    @torch.no_grad()
    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether greedy decoding would give it."""
        found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        order = sorted(range(len(requests)), key=lambda i: -len(requests[i][1] + requests[i][2]))
        shown = self.progress and not disable_tqdm
        with progress_bar(len(requests), "log-likelihood", "request", shown) as bar:
            for chosen in _chunks(order, self.batch_size):
                pairs = [self._fitting(*requests[i][1:]) for i in chosen]
                batch = self.model.batch([self.model.place(*pair) for pair in pairs])
                labelled = batch.labels != IGNORE
                hidden_states = self.model.hidden_states(batch)[labelled]
                logits = self.model.backbone.logits(hidden_states).float()
                labels = batch.labels[labelled]
                scores = -F.cross_entropy(logits, labels, reduction="none")
                greedy = logits.argmax(-1) == labels
                counts = labelled.sum(1).tolist()
                rows = zip(chosen, scores.split(counts), greedy.split(counts), strict=True)
                for i, score, hit in rows:
                    found[i] = (float(score.sum()), bool(hit.all()))
                    self.cache_hook.add_partial("loglikelihood", requests[i][0], found[i])
                bar.update(len(chosen))
        return found

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Responses up to the first of their stop strings, which is cut off."""
        found = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(number)
        shown = self.progress and not disable_tqdm
        with progress_bar(len(requests), "generate", "request", shown) as bar:
            for numbers in groups.values():
                settings = dict(requests[numbers[0]].args[1])
                stops = settings.pop("until", None) or []
                stops = [stops] if isinstance(stops, str) else list(stops)
                limit = int(settings.pop("max_gen_toks", self.max_gen_toks))
                options = _options(settings) | ({"stop_strings": stops} if stops else {})
                for chosen in _chunks(numbers, self.batch_size):
                    prompts = [self._cut(requests[i].args[0], limit) for i in chosen]
                    texts = self.model.generate(prompts, limit, **options)
                    for i, text in zip(chosen, texts, strict=True):
                        found[i] = _until(text, stops)
                        self.cache_hook.add_partial("generate_until", requests[i].args, found[i])
                    bar.update(len(chosen))
        return found

    @property
    def _window(self) -> int | None:
        """Verbal tokens of context and continuation together, or None if there is no limit."""
        limit = self.model.backbone.context_length
        return None if limit is None else limit - self.model.virtual_tokens

    def _fitting(self, context: list[int], continuation: list[int]) -> tuple[list[int], list[int]]:
        """The pair, with as much of the context's end as the window holds."""
        if self._window is None:
            return context, continuation
        room = max(1, self._window - len(continuation))
        return context[-room:], continuation

    def _cut(self, context: str, limit: int) -> str:
        """As much of the context's end as leaves room for the response."""
        if self._window is None:
            return context
        ids = self.tok_encode(context)
        room = max(1, self._window - limit)
        return context if len(ids) <= room else self.model.backbone.decode(ids[-room:])


def _options(settings: dict[str, Any]) -> dict[str, Any]:
    """The harness's settings of one request as those of `generate`; a temperature of 0 is greedy.

    Raises:
        SettingError: for a setting that would be left unheeded.
    """
    sampled = bool(settings.pop("do_sample", False)) and settings.get("temperature") != 0
    unknown = set(settings) - set(_SAMPLING)
    if unknown:
        raise SettingError(
            f"generation settings {', '.join(sorted(unknown))} of the task are not available; "
            f"expected until, max_gen_toks, do_sample, {', '.join(_SAMPLING)}"
        )
    if not sampled:
        kept = {k: v for k, v in settings.items() if k == "repetition_penalty"}
        return {"do_sample": False} | kept
    return {"do_sample": True, "seed": 0} | settings


def _until(text: str, stops: Sequence[str]) -> str:
    for stop in stops:
        text = text.split(stop)[0] if stop else text
    return text


def _chunks(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
