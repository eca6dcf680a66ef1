"""A run's evaluation as a log of Inspect (UK AI Security Institute): `inspect view` shows it.

The format is version 2 of Inspect's JSON logs. Nothing of Inspect is needed to write one.

Knows records and run folders; no model.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from latent_core.archives.folders import has_file, modified_ns
from latent_core.errors import SettingError
from latent_core.files import write_file
from latent_core.runs.evaluation_file import current_records
from latent_core.runs.folder import read_run
from latent_core.runs.own_files import RECORDS_FILE
from latent_core.tasks.conversations import messages_of

__all__ = ["export_inspect_log"]

#: Scores of a record, and the metrics of each.
SCORES: Final = ("exact", "graded")

#: Columns that a sample's metadata keep.
_ABOUT: Final = (
    *("split", "level", "key", "response_tokens", "latent_slots", "extra_slots", "decode_steps"),
    *("eval_seed", "shots"),
)


def export_inspect_log(run: str | Path, path: str | Path) -> Path:
    """Write the evaluation of a run as a log of Inspect.

    A sample is an example: its prompt, the answer, the response, both scores, and the split and
    costs as metadata. `inspect view --log-dir FOLDER` shows the logs of a folder.

    Args:
        run: a run folder with records, or a shipped one such as `shipped:tiny/lookup/Start_2`.
        path: the file, which ends in .json.

    Returns:
        the file.

    Raises:
        SettingError: if the run has no records, or the file's name ends otherwise.
        LatentError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> run = lc.shipped_adapter("Comma_2", task="summation", backbone="tiny")
        >>> lc.export_inspect_log(run, f"{tempfile.mkdtemp()}/comma.json").name
        'comma.json'
    """
    path = Path(path)
    if path.suffix != ".json":
        raise SettingError(f"{path} is no name of an Inspect log; expected one that ends in .json")
    records = current_records(run) if has_file(run, RECORDS_FILE) else pd.DataFrame()
    if records.empty:
        raise SettingError(f"{run} has no records; run `latent evaluate {run}` first")
    body = json.dumps(_log(run, records), indent=1)
    return write_file(path, body.encode(), f"the log {path}")


def _log(run: str | Path, records: pd.DataFrame) -> dict[str, Any]:
    about = read_run(run)
    settings, versions = about.get("settings", {}), about.get("versions", {})
    first = records.iloc[0]
    model = f"latent/{first['backbone']}/{first['method']}"
    time = datetime.fromtimestamp(modified_ns(run, RECORDS_FILE) / 1e9, UTC).isoformat()
    samples = [_sample(row, model) for row in records.to_dict("records")]
    size = len(samples)
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": str(about.get("id", "")) or f"{model}/{settings.get('seed', 0)}",
            "created": time,
            "task": str(first["task"]),
            "task_version": 0,
            "dataset": {
                "name": str(first["task"]),
                "samples": size,
                "sample_ids": [sample["id"] for sample in samples],
            },
            "model": model,
            "model_args": {key: value for key, value in settings.items() if _is_plain(value)},
            "config": {},
            "packages": versions,
            "metadata": {"trainable": int(first["trainable"]), "run": str(run)},
        },
        "plan": {"name": "latent evaluate", "steps": [], "config": {}},
        "results": {
            "total_samples": size,
            "completed_samples": size,
            "scores": [_summary(name, records) for name in SCORES],
        },
        "stats": {"started_at": time, "completed_at": time},
        "samples": samples,
    }


def _sample(row: dict[str, Any], model: str) -> dict[str, Any]:
    prompt, response = str(row["prompt"]), str(row["response"])
    messages = messages_of(prompt)
    asked = [{"role": "user", "content": prompt}]
    if messages is not None:
        asked = [dict(message) for message in messages]
    answer = {"role": "assistant", "content": response, "source": "generate"}
    return {
        "id": f"{row['split']}-{row['example']}",
        "epoch": 1,
        "input": prompt if messages is None else asked,
        "target": str(row["answer"]),
        "messages": [*asked, answer],
        "output": {
            "model": model,
            "choices": [{"message": answer, "stop_reason": "stop"}],
            "completion": response,
        },
        "scores": {name: {"value": float(row[name]), "answer": response} for name in SCORES},
        "metadata": {key: row[key] for key in _ABOUT if key in row},
    }


def _summary(name: str, records: pd.DataFrame) -> dict[str, Any]:
    """Mean and standard error over all samples, and the mean of each split."""
    values = records[name].astype(float)
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    found = {"mean": float(values.mean()), "stderr": error}
    for split, mean in values.groupby(records["split"], sort=False).mean().items():
        found[f"mean[{split}]"] = float(mean)
    metrics = {key: {"name": key, "value": round(value, 6)} for key, value in found.items()}
    return {"name": name, "scorer": name, "metrics": metrics}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)
