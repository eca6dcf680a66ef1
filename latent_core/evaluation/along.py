"""Measures along training: what a model shows at each snapshot of its run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from latent_core.adapters.locate import locate
from latent_core.adapters.saved import read_saved
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.models.build import load_model
from latent_core.models.steered import SteeredModel
from latent_core.progress import heartbeats_only, progress_bar
from latent_core.runs.snapshots import load_snapshots

__all__ = ["along"]


def along(
    runs: str | Path | Iterable[str | Path],
    measure: Callable[[SteeredModel], pd.DataFrame],
    *,
    steps: Iterable[int] | None = None,
    backbone: Backbone | str | Path | None = None,
    progress: bool = True,
    **load: Any,
) -> pd.DataFrame:
    """Measure a model at every snapshot of its run: accuracy, attention, effects, geometry.

    Args:
        runs: a run folder with snapshots, or several, such as those of other training seeds.
        measure: gets the model as it was at a step; gives a frame, such as that of `evaluate`,
            `mean_attention`, `mean_effect` or `latent_norms`.
        steps: of which snapshots; by default of all. Of several runs, those that a run has.
        backbone: the backbone, if it is loaded already or lies elsewhere by now.
        progress: show a bar.
        load: further arguments of `load_model`.

    Returns:
        the rows of `measure`, after columns run (the folder), method, seed (the training seed) and
        step.

    Raises:
        SettingError: if a run has no snapshots, or none of the steps.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> model, folder = lc.LatentModel("tiny", "Start_1"), tempfile.mkdtemp()
        >>> settings = {"steps": 2, "batch_size": 2, "snapshots": 1, "progress": False}
        >>> _ = lc.train(model, "repetition", output_dir=folder, **settings)
        >>> lc.along(folder, lc.latent_norms, progress=False)[["step", "label"]].values.tolist()
        [[0, 'Start.0'], [1, 'Start.0'], [2, 'Start.0']]
    """
    given = [runs] if isinstance(runs, str | Path) else list(runs)
    wanted = None if steps is None else set(steps)
    found = {run: load_snapshots(locate(run)) for run in given}
    chosen = {
        run: [step for step in snapshots if wanted is None or step in wanted]
        for run, snapshots in found.items()
    }
    for run, some in chosen.items():
        if not some:
            raise SettingError(
                f"{run} has no snapshot of the steps {', '.join(map(str, sorted(wanted or ())))}; "
                f"expected some of {', '.join(map(str, found[run]))}"
            )
    frames = []
    with progress_bar(sum(map(len, chosen.values())), "measure", "snapshot", progress) as bar:
        for run, some in chosen.items():
            model = load_model(locate(run), backbone, **load)
            backbone = model.backbone if model.companion is None else backbone
            seed = int(read_saved(locate(run)).notes.get("seed", 0))
            for step in some:
                model.assign(found[run][step])
                with heartbeats_only():  # the bar is that of the snapshots
                    rows = measure(model)
                about = {"run": str(run), "method": model.method, "seed": seed, "step": step}
                others = rows.drop(columns=[name for name in about if name in rows])
                frames.append(pd.DataFrame(about, index=others.index).join(others))
                bar.update()
    return pd.concat(frames, ignore_index=True)
