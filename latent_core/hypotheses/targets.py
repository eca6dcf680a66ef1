"""The target of a test: a source of adapters for each task, or a table of records.

Matched controls are found here, because `matched(...)` depends on the target's backbone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Condition, Contrast, matched_control
from latent_core.hypotheses.sources import Source, source_of
from latent_core.models.matching import matched
from latent_core.tasks.base import Task

__all__ = ["TargetSources", "resolved"]


class TargetSources:
    """The sources of a target, one for each task, so that adapters are found and loaded once.

    Args:
        target: a data frame of records, or what `source_of` takes.
        folder: keeps adapters that are trained.
        training: arguments of `train`, where adapters are trained.
    """

    def __init__(
        self, target: Any, folder: str | Path, training: Mapping[str, Any] | None = None
    ) -> None:
        self.records = target if isinstance(target, pd.DataFrame) else None
        self._target, self._folder = target, folder
        self._training = dict(training or {})
        self._sources: dict[str, Source] = {}

    def source(self, hypothesis: Hypothesis) -> Source:
        """Return the source of a hypothesis's task.

        Raises:
            SettingError: if a test cannot run on the target.
        """
        task = hypothesis.loaded_task
        if task.fingerprint not in self._sources:
            source = source_of(self._target, task, self._folder, self._training)
            self._sources[task.fingerprint] = source
        return self._sources[task.fingerprint]

    def resolve(self, hypothesis: Hypothesis) -> Hypothesis:
        """Return the hypothesis with its matched controls found for the target's backbone.

        Raises:
            LatentError: if the backbone is not known, or no method has the size asked for.
        """
        if not hypothesis.contrast.needs_backbone:
            return hypothesis
        if self.records is None:
            return resolved(hypothesis, self.source(hypothesis).backbone)
        if "backbone" not in self.records or self.records.empty:
            raise SettingError(
                "the records have no column backbone, and matched(...) depends on it; name the "
                "control's method instead"
            )
        return resolved(hypothesis, str(self.records["backbone"].iloc[0]))


def resolved(hypothesis: Hypothesis, backbone: Backbone | str) -> Hypothesis:
    """Return the hypothesis with every `matched(...)` replaced by a method of that size.

    Raises:
        LatentError: if no method has the size asked for.
    """
    contrast = hypothesis.contrast
    if not contrast.needs_backbone:
        return hypothesis
    task = hypothesis.loaded_task
    treatment, control = (
        _resolved_side(text, backbone, task) for text in (contrast.treatment, contrast.control)
    )
    return replace(hypothesis, contrast=Contrast(treatment, control, contrast.minus_split))


def _resolved_side(text: str, backbone: Backbone | str, task: Task) -> str:
    control = matched_control(text)
    if control is None:
        return text
    found = matched(*control, backbone=backbone, task=task)
    return str(replace(Condition.parse(text), method=found.name))
