"""Checks of backbones: whether latent tokens are exact on one, and the reports of many.

`check_backbone` tries a backbone with layouts of every kind of place, on short ragged prompts. Each
invariant computes the same thing in two ways. The table says whether it holds, how far the two were
apart, and how far they may be. Differences of logits are relative to the largest logit; another
order of arithmetic moves them by about 1e-6 in float32. Nothing is trained, and the backbone stays
as it was.

A file of reports is JSON with a version and a row for each name:

    {"version": 1, "backbones": [{"backbone": "tiny", "family": "llama", "passed": 91, ...}]}

`latent backbones --check NAME --report FILE` writes a row, and a row of the same name gives way. A
backbone that is refused has the reason in its row.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import LayoutError, SettingError
from latent_core.files import parse_json, write_json
from latent_core.invariants import single_checks as checks
from latent_core.invariants.examined import CheckResult, ExaminedModel
from latent_core.models.latent import LatentModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "INVARIANTS",
    "LAYOUTS",
    "CheckResult",
    "ExaminedModel",
    "Invariant",
    "add_report",
    "check_backbone",
    "read_reports",
    "refused_report",
    "report_of",
]

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


# --- reports of many backbones --------------------------------------------------------------------

VERSION: Final = 1
_PACKAGES: Final = ("latent-workbench", "torch", "transformers")


def report_of(backbone: Backbone, found: pd.DataFrame) -> dict[str, Any]:
    """A row on a backbone that was checked.

    Args:
        backbone: what was checked.
        found: what `check_backbone` returns.

    Returns:
        names and sizes; `passed`, a count; `failed`, layout, invariant and note of each failure;
        `not_applicable`, the names of the invariants that apply to no layout; `difference`, the
        largest relative difference of logits in float32; date and versions.
    """
    holds = found["holds"]
    failed = found[holds.eq(False).fillna(False)]
    applies = found.groupby("invariant", sort=False)["holds"].apply(lambda some: some.notna().any())
    exact = found[~found["invariant"].str.startswith("bf16") & holds.fillna(False)]
    return {
        "backbone": backbone.name,
        "family": str(backbone.model.config.model_type),
        "parameters": sum(one.numel() for one in backbone.model.parameters()),
        "hidden_size": backbone.hidden_size,
        "vocabulary_size": backbone.vocabulary_size,
        "sliding_window": backbone.has_sliding_window,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "device": backbone.device.type,
        "passed": int(holds.fillna(False).sum()),
        "failed": failed[["layout", "invariant", "note"]].to_dict("records"),
        "not_applicable": [str(name) for name, applied in applies.items() if not applied],
        "difference": float(exact["difference"].max()) if len(exact) else None,
        "seconds": round(float(found["seconds"].sum()), 1),
    } | _when()


def refused_report(name: str, reason: str) -> dict[str, Any]:
    """A row on a backbone that cannot be loaded, or on which latents would not be exact."""
    return {"backbone": name, "refused": reason} | _when()


def add_report(path: str | Path, row: dict[str, Any]) -> Path:
    """Write a row into a file of reports, in place of a row of the same backbone.

    Raises:
        SettingError: if there is such a file, and it holds something else.
        LatentError: if it cannot be written.
    """
    rows = read_reports(path) if Path(path).exists() else []
    others = [one for one in rows if one["backbone"] != row["backbone"]]
    body = {"version": VERSION, "backbones": sorted([*others, row], key=lambda r: r["backbone"])}
    return write_json(path, body)


def read_reports(path: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a file of reports, by name of the backbone.

    Raises:
        SettingError: if it is no such file, or one of another version.
    """
    try:
        body = parse_json(Path(path).read_bytes())
        rows = body["backbones"]
        if body["version"] != VERSION or not all(isinstance(one["backbone"], str) for one in rows):
            raise ValueError(f"version {body['version']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingError(
            f"{path} holds no reports of backbones ({error!r:.80}); expected a JSON file of "
            f"version {VERSION} that `latent backbones --check NAME --report FILE` has written"
        ) from error
    return list(rows)


def _when() -> dict[str, Any]:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "versions": {name: version(name) for name in _PACKAGES}}
