"""`check_backbone`: whether latent tokens are exact on a backbone.

It tries a backbone with layouts of every kind of place, on short ragged prompts. Each invariant
computes the same thing in two ways. The table says whether it holds, how far the two were apart,
and how far they may be. Differences of logits are relative to the largest logit; another order of
arithmetic moves them by about 1e-6 in float32. Nothing is trained, and the backbone stays as it
was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import LayoutError
from latent_core.invariants import single_checks as checks
from latent_core.invariants.examined import CheckResult, ExaminedModel
from latent_core.models.latent import LatentModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INVARIANTS", "LAYOUTS", "CheckResult", "ExaminedModel", "Invariant", "check_backbone"]

LAYOUTS = (
    "Start_2",
    "End_2",
    "Comma_2",
    "3_2",
    "Start_1+Comma_1=hidden+End_2=fused(0.5, proj=2)",
    "Start_1+Comma_1+4_1+End_1@verbal",
)
PROMPTS = ("a=7, b=12,", "Yes", "1, 2, 3, 4")
"""Ragged, so that latents fall in different passes; short, since whoever checks is waiting."""
NEW_TOKENS = 4


class Invariant(NamedTuple):
    """Something that has to hold.

    Attributes:
        check: says whether it does.
        each_layout: whether it may depend on the layout; if not, it is tried with one.
    """

    check: Callable[[ExaminedModel], CheckResult]
    each_layout: bool = True


INVARIANTS: dict[str, Invariant] = {
    "zero latents = own generate": Invariant(checks.own_generate, False),
    "ragged batch = row alone": Invariant(checks.row_alone),
    "padded training row = row alone": Invariant(checks.padded_row),
    "row beside a far one = row alone": Invariant(checks.far_neighbour, False),
    "decoding = one pass": Invariant(checks.decoding_slots),
    "batch = slot by slot from scratch": Invariant(checks.from_scratch),
    "slots fed = slots trained": Invariant(checks.fed_slots),
    "dynamic cache = one pass": Invariant(checks.dynamic_cache),
    "static cache = one pass": Invariant(checks.static_cache),
    "masks: none = 2-D = 4-D": Invariant(checks.mask_forms),
    "eager = SDPA": Invariant(checks.attention_implementations, False),
    "bf16 = fp32 but for rounding": Invariant(checks.precision, False),
    "checkpointing on = off": Invariant(checks.checkpointing, False),
    "training leaves the backbone": Invariant(checks.backbone_untouched),
    "saved and loaded = same bits": Invariant(checks.saved),
    "detached = backbone": Invariant(checks.detached),
}


def check_backbone(
    backbone: Backbone | str | Path,
    layouts: Sequence[str] = LAYOUTS,
    prompts: Sequence[str] = PROMPTS,
    new_tokens: int = NEW_TOKENS,
    seed: int = 0,
    progress: Callable[[str, str], None] | None = None,
) -> pd.DataFrame:
    """Try out whether latent tokens are exact on a backbone.

    Args:
        backbone: a `Backbone`, or what `load_backbone` takes; it is loaded in float32 then, since
            lower precision would hide small errors behind its own.
        layouts: one column of the table each; invariants that do not depend on the layout are tried
            with the last.
        prompts: two or more, of different lengths.
        new_tokens: verbal tokens to decode for each.
        seed: of the latents, which are random words.
        progress: called with the layout and the invariant before each check.

    Returns:
        a row per layout and invariant: `layout`, `invariant`, `holds` (missing where it does not
        apply), `difference`, `tolerance`, `note`, `seconds`.

    Raises:
        BackboneError: if the backbone is refused outright, with the reason.

    Example:
        >>> import latent_core as lc
        >>> frame = lc.check_backbone("tiny", layouts=["Comma_1"])
        >>> bool(frame["holds"].dropna().all())
        True
    """
    import pandas as pd

    loaded = load_backbone(backbone, dtype="float32")
    records = []
    for layout in layouts:
        try:
            examined = ExaminedModel(LatentModel(loaded, layout, seed), tuple(prompts), new_tokens)
        except LayoutError as error:
            result = CheckResult(None, note=str(error))
            records += [(layout, name, *result, 0.0) for name in INVARIANTS]
            continue
        for name, invariant in INVARIANTS.items():
            if not invariant.each_layout and layout != layouts[-1]:
                continue
            if progress is not None:
                progress(layout, name)
            started = time.perf_counter()
            try:
                result = invariant.check(examined)
            except Exception as error:  # whatever a stranger's model raises is a result
                result = CheckResult(False, note=f"{type(error).__name__}: {error}")
            records.append((layout, name, *result, time.perf_counter() - started))
    columns = ["layout", "invariant", *CheckResult._fields, "seconds"]
    return pd.DataFrame(records, columns=columns).astype({"holds": "boolean"})
