"""Runs made by hand, so that every number that a panel shows is known."""

import json
from pathlib import Path

import pandas as pd

from latent_core.runs.evaluation_file import write_records
from latent_core.tasks.table import load_task

METHODS = {"Start_2": (1.0, 0.5), "Start_1+Comma_1": (0.75, 0.25), "8_1": (0.5, 0.0)}
SPLITS = {"id": (1, 2, 3), "ood-6": (6,), "ood-10": (10,)}


def records(backbone: str, task_name: str, means: tuple[float, float], count: int = 12):
    """Records whose graded accuracy is exactly the given means, ID and OOD."""
    task, rows = load_task(task_name), []
    for split in SPLITS:
        share = means[0] if split == "id" else means[1]
        for number, example in enumerate(task.examples(split, count, seed=1)):
            right = number < share * count
            response = example.answer if right else "nonsense"
            rows.append(
                {"task": task_name, "backbone": backbone, "split": split, "level": example.level}
                | {"example": number, "key": example.key, "prompt": example.prompt}
                | {"answer": example.answer, "response": response, "exact": right}
                | {"graded": float(right), "latent_slots": 4, "seconds": 0.5, "eval_seed": 1}
            )
    return pd.DataFrame(rows)


def keep_run(folder: Path, backbone: str, task: str, method: str, seed: int, frame: pd.DataFrame):
    write_records(folder, frame)
    settings = {"task": task, "backbone": backbone, "layout": method, "seed": seed}
    body = {"status": "finished", "settings": settings, "notes": {"method": method}}
    (folder / "run.json").write_text(json.dumps(body | {"trainable": 256, "seconds": 9.0}))


def make_runs(root: Path) -> Path:
    """A folder with three methods of two seeds, and one run of another backbone."""
    for method, means in METHODS.items():
        for seed in (0, 1):
            frame = records("tiny", "repetition", means)
            keep_run(root / "runs" / f"{method}-{seed}", "tiny", "repetition", method, seed, frame)
    frame = records("other", "repetition", (1.0, 1.0))
    keep_run(root / "runs" / "other", "other", "repetition", "Start_2", 0, frame)
    return root
