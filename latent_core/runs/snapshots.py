"""Snapshots of a run: what trained, at some of its steps, and records of the answers given then.

The file `snapshots.safetensors` holds the tensors. A name there is STEP/NAME, such as
`25/tables.vectors.Start`. The file `along.parquet` holds the records. It names the snapshots by a
hash, so that records of a training that was done again are not read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from latent_core.archives.folders import (
    has_file,
    is_folder,
    nothing_at,
    on_disk,
    read_file,
    refuse_packed,
)
from latent_core.errors import SettingError
from latent_core.files import write_file
from latent_core.runs.folder import disk_errors
from latent_core.runs.own_files import ALONG_FILE, CHECKPOINTS, SNAPSHOTS_FILE, snapshot_step

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Snapshots",
    "join_snapshots",
    "load_snapshots",
    "read_along",
    "snapshots_under_way",
    "write_along",
]


@final
class Snapshots(Mapping[int, dict[str, Tensor]]):
    """What a run trained, by step: a mapping from steps, in order, to weights by name.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> model, folder = lc.LatentModel("tiny", "Start_2"), tempfile.mkdtemp()
        >>> settings = {"steps": 2, "batch_size": 2, "snapshots": 1, "progress": False}
        >>> _ = lc.train(model, "repetition", output_dir=folder, **settings)
        >>> snapshots = lc.load_snapshots(folder)
        >>> model.assign(snapshots[1])  # the latents after the first step
    """

    def __init__(self, weights: Mapping[int, dict[str, Tensor]]) -> None:
        self._weights = dict(sorted(weights.items()))

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """The weights after a step, by name, as `SteeredModel.assign` takes them.

        Raises:
            SettingError: if there is no snapshot of this step.
        """
        if step not in self._weights:
            known = ", ".join(map(str, self._weights))
            raise SettingError(f"no snapshot of step {step!r}; expected one of {known}")
        return self._weights[step]

    def __contains__(self, step: object) -> bool:
        return step in self._weights

    def __iter__(self) -> Iterator[int]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def distances(self) -> pd.DataFrame:
        """How far the weights have moved from where they were at the first snapshot.

        Returns:
            a row for each step and tensor: `step`, `name`, `norm` (of the whole tensor), `moved`
            (the norm of its difference from the first snapshot).

        Example:
            >>> import tempfile
            >>> import latent_core as lc
            >>> model, folder = lc.LatentModel("tiny", "Start_1"), tempfile.mkdtemp()
            >>> settings = {"steps": 2, "batch_size": 2, "snapshots": 2, "progress": False}
            >>> _ = lc.train(model, "repetition", output_dir=folder, **settings)
            >>> frame = lc.load_snapshots(folder).distances()
            >>> (frame["moved"] > 0).tolist()
            [False, True]
        """
        first = next(iter(self._weights.values()))
        rows = [
            {
                "step": step,
                "name": name,
                "norm": float(tensor.float().norm()),
                "moved": float((tensor.float() - first[name].float()).norm()),
            }
            for step, weights in self._weights.items()
            for name, tensor in weights.items()
        ]
        import pandas as pd

        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return f"Snapshots of steps {', '.join(map(str, self._weights))}"


def load_snapshots(run: str | Path) -> Snapshots:
    """Read the snapshots that `train(..., snapshots=25)` kept.

    Args:
        run: a run folder, on disk or in an archive.

    Returns:
        weights by step; `model.assign(snapshots[50])` gives a model those of step 50.

    Raises:
        SettingError: if the run has none, or the file is damaged.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> model, folder = lc.LatentModel("tiny", "Start_2"), tempfile.mkdtemp()
        >>> settings = {"steps": 4, "batch_size": 2, "snapshots": 2, "progress": False}
        >>> _ = lc.train(model, "repetition", output_dir=folder, **settings)
        >>> list(lc.load_snapshots(folder))
        [0, 2, 4]
    """
    if not is_folder(run):
        raise SettingError(f"{nothing_at(run)} Expected a run folder with snapshots")
    if not has_file(run, SNAPSHOTS_FILE):
        raise SettingError(
            f"{run} has no snapshots; expected a run that was trained with snapshots=25 "
            "(`latent train --snapshots 25`)"
        )
    path = Path(on_disk(run)) / SNAPSHOTS_FILE
    found: dict[int, dict[str, Tensor]] = {}
    try:
        for key, tensor in load(read_file(run, SNAPSHOTS_FILE)).items():
            step, name = key.split("/", 1)
            found.setdefault(int(step), {})[name] = tensor
    except (OSError, SafetensorError, ValueError) as error:
        raise SettingError(
            f"{path} is damaged ({error}); copy it again from where the run was made, or train "
            "again"
        ) from error
    return Snapshots(found)


def snapshots_under_way(run: Path) -> dict[int, Path]:
    """The files of the snapshots of a run that is not at its end, by step."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(run / CHECKPOINTS):
            if (step := snapshot_step(name)) is not None:
                found[step] = run / CHECKPOINTS / name
    return dict(sorted(found.items()))


def join_snapshots(run: Path) -> None:
    """Put the snapshots of a run under way into one file; nothing if there are none."""
    weights = {
        f"{step}/{name}": tensor
        for step, path in snapshots_under_way(run).items()
        for name, tensor in load_file(path).items()
    }
    if weights:
        write_file(run / SNAPSHOTS_FILE, save(weights))


# --- records of the answers given then ------------------------------------------------------------

_KEY: Final = b"snapshots"


def write_along(run: str | Path, records: pd.DataFrame) -> Path:
    """Write the records of all snapshots of a run, in place of those that are there.

    Args:
        run: the run folder. Hold its lock meanwhile.
        records: those of `evaluate`, with a column `step`, as `along` gives them.

    Raises:
        LatentError: if the folder cannot be written.
    """
    run = Path(run)
    refuse_packed(run)
    table = pa.Table.from_pandas(records.drop(columns="run", errors="ignore"), preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: _digest(run)})
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    with disk_errors(run):
        return write_file(run / ALONG_FILE, content.getvalue())


def read_along(run: str | Path) -> pd.DataFrame | None:
    """The records of the snapshots of a run; None if there are none.

    Warns:
        UserWarning: if they are damaged, or of other snapshots than those in the run; they are
            left out.
    """
    if not has_file(run, ALONG_FILE) or not has_file(run, SNAPSHOTS_FILE):
        return None
    try:
        table = pq.read_table(io.BytesIO(read_file(run, ALONG_FILE)))
    except (OSError, ValueError, pa.ArrowException) as error:
        warnings.warn(f"{Path(run) / ALONG_FILE} is damaged and left out: {error}", stacklevel=2)
        return None
    if (table.schema.metadata or {}).get(_KEY) != _digest(run):
        warnings.warn(
            f"{Path(run) / ALONG_FILE} is of other snapshots than those that are there now, and "
            "left out; evaluate them again (`latent evaluate --along`)",
            stacklevel=2,
        )
        return None
    return table.to_pandas()


def _digest(run: str | Path) -> bytes:
    return hashlib.sha256(read_file(run, SNAPSHOTS_FILE)).hexdigest().encode()
