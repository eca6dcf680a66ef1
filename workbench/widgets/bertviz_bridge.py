"""BertViz's views with labelled latents, for JupyterLab 4 and offline, where BertViz is blank.

    bertviz_view(model, "3, 1, 2 sorted:", "1, 2, 3", kind="head")

BertViz fetches its scripts from the network, and a token that holds `</script>` runs in the page.
Here its scripts, taken from the installed package, lie with jQuery and d3 in one self-contained
page, packed, inside a sandboxed frame that may load nothing. Token text travels as data and is
drawn as text. The views draw one line per head, query and key, so a page holds chosen layers.

The content and the look of the views are BertViz's (Vig 2019, arXiv 1906.05714).
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, cast, final, get_args

import torch
from torch import Tensor

from latent_core.attention.capture import capture_attention
from latent_core.attention.record import AttentionRecord
from latent_core.backbones.attention import AttentionCall, AttentionHook, attention_shape, hooked
from latent_core.backbones.backbone import Backbone
from latent_core.errors import BackboneError, LatentError, SettingError
from latent_core.interventions.kinds import parse_intervention
from latent_core.models.latent import LatentModel
from workbench.pictures.slots import group_colours, slot_cells
from workbench.pictures.theme import ink_on
from workbench.templates import render

__all__ = ["BertVizKind", "BertVizView", "bertviz_view"]

BertVizKind = Literal["head", "model", "neuron"]

_STATIC: Final = Path(__file__).parent
_LIBRARIES: Final = ("jquery-3.7.1.slim.min.js", "d3-5.16.0.min.js")
_DEFAULT_LAYERS: Final = 4
MOST_MEGABYTES: Final = 10.0
"""A larger page is refused: it would be saved with the notebook."""
MOST_LINES: Final = 500_000
"""More lines at once are refused: each is an SVG element, and browsers stall."""

_HELP: Final[dict[str, str]] = {
    "head": "Hover over a slot on the left to see the slots it attends to, or on the right to see "
    "the slots that attend to it. Each colour is a head; from the left: {heads}. Click a colour "
    "to show or hide its head. Double-click it to show only this head.",
    "model": "Click a cell to enlarge it.",
    "neuron": "Hover over a slot on the left and click its plus sign. This shows its query, the "
    "keys and their products.",
}


@final
@dataclass(frozen=True)
class BertVizView:
    """One of BertViz's views; shows itself in a notebook, and is saved as a page of its own.

    Attributes:
        title: what is shown: view, layout, backbone, layers, heads, slots.
        page: the self-contained HTML page.
    """

    title: str
    page: str

    def save(self, path: str | Path) -> Path:
        """Write the page, which any browser opens without a network.

        Raises:
            SettingError: unless the file's name ends in .html.
            LatentError: if the file cannot be written.
        """
        target = Path(path)
        if target.suffix != ".html":
            raise SettingError(f"a view of BertViz is saved as .html, not as {target.name!r}")
        try:
            target.write_text(self.page, encoding="utf-8")
        except OSError as error:
            raise LatentError(f"cannot write {target}: {error.strerror or error}") from error
        return target

    def _repr_html_(self) -> str:
        return render("widgets/bertviz_frame.html", title=self.title, page=self.page)

    def __repr__(self) -> str:
        return f"{self.title} ({len(self.page) / 1e6:.1f} MB)"


def bertviz_view(
    model: LatentModel,
    prompt: str,
    response: str | None = None,
    kind: BertVizKind = "head",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    intervention: str = "none",
    max_new_tokens: int = 48,
) -> BertVizView:
    """One of BertViz's views of a prompt and its response.

    Use `Workbench.bertviz` beside panels, whose work must not overlap with this.

    Args:
        model: a latent model.
        prompt, response: plain text; without a response the model generates one.
        kind: `head` (one layer at a time), `model` (all cells at once), or `neuron` (queries and
            keys of one head).
        layers: of the backbone; by default four, spread from the first to the last.
        heads: of each layer; by default all.
        intervention: what is done to the model meanwhile, as `parse_intervention` reads it.
        max_new_tokens: verbal tokens to generate at most, if there is no response.

    Raises:
        SettingError: for another kind, for a layer or head that does not exist, or if the page
            would be too large, with its size.
        LayoutError: if the model lacks what the intervention names.
        BackboneError: if the family's attention cannot be captured, or, for `neuron`, its queries
            and keys.
    """
    if kind not in get_args(BertVizKind):
        raise SettingError(f"no view {kind!r}; expected one of {', '.join(get_args(BertVizKind))}")
    chosen = _spread(model.backbone) if layers is None else layers
    vectors = _QueriesAndKeys()
    watching = hooked(model.backbone, vectors) if kind == "neuron" else contextlib.nullcontext()
    edit = parse_intervention(intervention)
    with edit.on(model), watching:
        # Generation runs under the hook too; its teacher-forced pass over all slots comes last.
        record = capture_attention(
            model, prompt, response, "all", chosen, heads, max_new_tokens=max_new_tokens
        )
    lines = len(record.heads) * len(record.slots) ** 2
    lines *= len(record.layers) if kind == "model" else 1
    if lines > MOST_LINES:
        raise SettingError(
            f"BertViz would draw {lines:,} lines for {len(record.slots)} slots, and browsers stall "
            f"above {MOST_LINES:,}; choose fewer heads"
            + (" or layers" if kind == "model" else "")
            + ", or a shorter text, or look at the attention panel, which has no such limit"
        )
    title = _title(kind, record) + ("" if str(edit) == "none" else f", under {edit}")
    page = _page(kind, title, _HELP[kind].format(heads=_numbers(record.heads)), record, vectors)
    size = len(page) / 1e6
    if size > MOST_MEGABYTES:
        raise SettingError(
            f"the page would have {size:.1f} MB, more than {MOST_MEGABYTES} MB, for "
            f"{len(record.layers)} layers of {len(record.slots)} slots; choose fewer layers, heads "
            "or slots"
        )
    return BertVizView(title, page)


# --- what a page holds ----------------------------------------------------------------------------


class _QueriesAndKeys(AttentionHook):
    """The last forward pass's queries and keys by layer, each (H, T, D_head) on the CPU.

    Queries carry the factor that makes `q k / sqrt(D_head)`, which the view computes, the logit
    that the backbone had (before a softcap).
    """

    def __init__(self) -> None:
        self.queries: dict[int, Tensor] = {}
        self.keys: dict[int, Tensor] = {}

    def after(self, call: AttentionCall, output: Tensor) -> None:
        factor = call.scaling * call.query.shape[-1] ** 0.5
        key = call.key[0].repeat_interleave(call.num_heads // call.key.shape[1], dim=0)
        self.queries[call.layer] = (call.query[0] * factor).detach().float().cpu()
        self.keys[call.layer] = key.detach().float().cpu()


def _page(
    kind: BertVizKind, title: str, help_text: str, record: AttentionRecord, vectors: _QueriesAndKeys
) -> str:
    scripts = [_static(f"vendor/{name}") for name in _LIBRARIES]
    own = (files("bertviz") / f"{kind}_view.js").read_text(encoding="utf-8")
    scripts.append(own.replace("PYTHON_PARAMS", "window.bertviz_params"))
    content = {
        "scripts": scripts,
        "params": _params(kind, record, vectors),
        "layers": record.layers,
        "heads": record.heads,
        "latents": _colours(record),
    }
    text = json.dumps(content, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    # Only scripts that carry the nonce run; the browser refuses every request, whoever asks.
    return render(
        "widgets/bertviz_page.html",
        title=title,
        help=help_text,
        kind=kind,
        nonce=secrets.token_urlsafe(16),
        packed=packed,
    )


def _colours(record: AttentionRecord) -> dict[str, tuple[str, str]]:
    """The colour behind the letters of each latent's label, and that of the letters."""
    colours = group_colours(record.slots)
    return {
        cell.label: (colours[cell.group], ink_on(colours[cell.group]))
        for cell in slot_cells(record.slots)
        if cell.group is not None
    }


def _params(kind: BertVizKind, record: AttentionRecord, vectors: _QueriesAndKeys) -> dict[str, Any]:
    """What BertViz's script of this view reads, as its Python side would have made it."""
    labels = [cell.label for cell in slot_cells(record.slots)]
    attention: dict[str, Any] = {
        "name": None,
        "attn": _rounded(record.weights, 3),
        "left_text": labels,
        "right_text": labels,
    }
    params: dict[str, Any] = {"root_div_id": "bertviz", "layer": None, "heads": None}
    if kind == "neuron":
        for name, found in (("queries", vectors.queries), ("keys", vectors.keys)):
            rows = torch.stack([found[layer][list(record.heads)] for layer in record.layers])
            attention[name] = _rounded(rows, 2)
        return params | {
            "attention": {"all": attention},
            "default_filter": "all",
            "bidirectional": False,
            "head": None,
            "places": True,  # its selects count places, not layers and heads of the backbone
        }
    return params | {
        "attention": [attention],
        "default_filter": "0",
        "include_layers": record.layers,
        "include_heads": record.heads,
        # The view divides its width by this; below twelve, cells would be very high.
        "total_heads": max(12, len(record.heads)),
    }


def _rounded(tensor: Tensor, digits: int) -> list[Any]:
    return cast(list[Any], tensor.double().numpy().round(digits).tolist())


def _spread(backbone: Backbone) -> tuple[int, ...]:
    """A few layers from the first to the last."""
    try:
        layers = attention_shape(backbone).layers
    except BackboneError:  # capture_attention may still know a way
        layers = tuple(range(backbone.model.config.get_text_config().num_hidden_layers))
    return _evenly(layers, _DEFAULT_LAYERS)


def _evenly(numbers: Sequence[int], count: int) -> tuple[int, ...]:
    """At most `count` of them, the first and the last included."""
    steps = min(count, len(numbers)) - 1
    last = len(numbers) - 1
    return tuple(numbers[round(n * last / max(steps, 1))] for n in range(steps + 1))


def _title(kind: str, record: AttentionRecord) -> str:
    latents = sum(slot.group is not None for slot in record.slots)
    return (
        f"BertViz {kind} view: {record.layout} on {record.backbone}, "
        f"{_named('layer', record.layers)} of {record.num_layers}, "
        f"{_named('head', record.heads)} of {record.num_heads}, "
        f"{len(record.slots)} slots, {latents} of them latent"
    )


def _named(name: str, numbers: Sequence[int]) -> str:
    """`layer 3`, or `layers 0-8`."""
    return f"{name}{'' if len(numbers) == 1 else 's'} {_numbers(numbers)}"


def _numbers(numbers: Sequence[int]) -> str:
    """`0-8` for an unbroken run, `0, 3, 5` otherwise."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))


def _static(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")
