"""Curricula: stages of training, each with a layout and a share of the written steps.

    stages:
      - {steps: 100, layout: none}                      # all steps are written
      - {steps: 100, layout: End_2=hidden, replaced: 2}
      - {steps: 200, layout: End_4=hidden, replaced: all}

A stage replaces the first written steps of each example, and its layout says by what. The last
stage has the method's own layout. What trains goes on from stage to stage: groups of the same name
keep their vectors and maps, and so does what PEFT trains. Each stage begins with a new optimiser
and a new schedule of the learning rate.

Knows no tensors; `latent_core.training.staged` trains.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from latent_core.errors import SettingError, whole_number
from latent_core.slots.filling import Fused
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method
from latent_core.slots.places import End
from latent_core.wording import did_you_mean
from latent_core.yaml_file import read_yaml

__all__ = ["PRESETS", "Curriculum", "CurriculumSource", "Stage"]

Trains = Literal["all", "latents", "beside"]

#: No curriculum has more stages.
_MOST_STAGES: Final = 100
_FORM: Final = "{steps: 100, layout: End_2=hidden, replaced: 2}"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a curriculum.

    Attributes:
        steps: optimiser steps.
        layout: where latents go, in its notation; empty for the method's own layout.
        replaced: how many of an example's written steps, from the first on, are left out: a whole
            number, a share such as `50%`, which is rounded up, or `all`.
        learning_rate: of what trains; None for that of the run.
        learning_rate_beside: of what PEFT trains beside latents; None for that of the run.
        trains: `all`; `latents`, the tables and maps; or `beside`, what PEFT trains.
    """

    steps: int
    layout: str = ""
    replaced: int | str = 0
    learning_rate: float | None = None
    learning_rate_beside: float | None = None
    trains: Trains = "all"

    def __post_init__(self) -> None:
        whole_number("steps of a stage", self.steps, 1)
        if not isinstance(self.layout, str):
            raise SettingError(f"layout of a stage is {self.layout!r}; expected text")
        if self.layout:
            object.__setattr__(self, "layout", str(LatentLayout.parse(self.layout)))
        share = re.fullmatch(r"(\d{1,3})%", str(self.replaced))
        whole = isinstance(self.replaced, int) and not isinstance(self.replaced, bool)
        if not (
            (whole and int(self.replaced) >= 0)
            or self.replaced == "all"
            or (share and int(share[1]) <= 100)
        ):
            raise SettingError(
                f"replaced is {self.replaced!r}; expected a whole number of steps, a share such as "
                "50%, or all"
            )
        for name in ("learning_rate", "learning_rate_beside"):
            rate = getattr(self, name)
            number = isinstance(rate, int | float) and not isinstance(rate, bool)
            if rate is not None and not (number and 0 < rate < math.inf):
                raise SettingError(f"{name} of a stage is {rate!r}; expected more than 0")
        if self.trains not in get_args(Trains):
            raise SettingError(f"trains is {self.trains!r}; expected {', '.join(get_args(Trains))}")

    def skipped(self, steps: int) -> int:
        """How many of so many written steps are left out."""
        if self.replaced == "all":
            return steps
        if isinstance(self.replaced, str):
            return math.ceil(int(self.replaced[:-1]) * steps / 100)
        return min(steps, self.replaced)

    def to_dict(self) -> dict[str, Any]:
        """What differs from a bare stage, as plain values."""
        bare = asdict(Stage(1))
        return {n: v for n, v in asdict(self).items() if n == "steps" or v != bare[n]}


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Stages of training, one after the other.

    Example:
        >>> import latent_core as lc
        >>> stages = [
        ...     {"steps": 2, "layout": "none"},
        ...     {"steps": 2, "layout": "End_2=hidden", "replaced": "all"},
        ... ]
        >>> model = lc.build_model("tiny", "End_2=hidden & lora-r2")
        >>> result = lc.train(model, "hops", batch_size=2, curriculum=stages, progress=False)
        >>> result.log["stage"].tolist()
        [0, 0, 1, 1]
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.stages) <= _MOST_STAGES:
            raise SettingError(
                f"the curriculum has {len(self.stages)} stages; expected 1 to {_MOST_STAGES}"
            )

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_of(self, step: int) -> int:
        """The number of the stage that step `step` is in, both counted from 0."""
        for number, stage in enumerate(self.stages):
            if step < stage.steps:
                return number
            step -= stage.steps
        return len(self.stages) - 1

    def first_step(self, number: int) -> int:
        """The step with which a stage begins, both counted from 0."""
        return sum(stage.steps for stage in self.stages[:number])

    @classmethod
    def of(
        cls,
        source: CurriculumSource,
        method: Method,
        steps: int | None = None,
    ) -> Curriculum:
        """The curriculum for a method.

        Args:
            source: a curriculum, its stages, a name in `PRESETS`, or a YAML file.
            method: what is trained.
            steps: of all stages. A preset shares them out; 200 by default. Anything else says how
                many it has, and may be given the same number only.

        Raises:
            SettingError: if it is none, or does not end in the method's layout.
            LayoutError: for a layout that is none.
        """
        if isinstance(source, str) and source in PRESETS:
            found = PRESETS[source](method, 200 if steps is None else steps)
        elif isinstance(source, Curriculum):
            found = source
        elif isinstance(source, str | Path):
            found = cls._read(Path(source))
        else:
            found = cls(_stages(source, "the curriculum"))
        if steps is not None and found.steps != steps:
            raise SettingError(
                f"steps is {steps}, but the stages have {found.steps} together; leave steps out"
            )
        own = str(method.layout)
        stages = tuple(replace(s, layout=s.layout or own) for s in found.stages)
        if stages[-1].layout != own:
            raise SettingError(
                f"the last stage has the layout {stages[-1].layout}; expected that of the method, "
                f"{own}"
            )
        return cls(stages)

    @classmethod
    def _read(cls, path: Path) -> Curriculum:
        if path.suffix not in (".yaml", ".yml"):
            raise SettingError(
                f"{str(path)!r} is no curriculum{did_you_mean(str(path), PRESETS)} Expected "
                f"{', '.join(PRESETS)}, or a .yaml file of stages"
            )
        body = read_yaml(path)
        if not isinstance(body, dict) or set(body) != {"stages"}:
            raise SettingError(f"{path} is no curriculum; expected stages: and a list of {_FORM}")
        return cls(_stages(body["stages"], str(path)))


CurriculumSource = Curriculum | Sequence[Mapping[str, Any]] | str | Path
"""What `Curriculum.of` takes."""


def _stages(body: Any, where: str) -> tuple[Stage, ...]:
    """Stages of plain values."""
    if isinstance(body, str | Mapping) or not isinstance(body, Sequence):
        raise SettingError(f"{where} has no list of stages; expected some such as {_FORM}")
    known = [field.name for field in fields(Stage)]
    found = []
    for number, values in enumerate(body):
        if isinstance(values, Stage):
            found.append(values)
            continue
        if not isinstance(values, Mapping) or "steps" not in values:
            raise SettingError(
                f"{where}: stage {number} has no steps; expected a stage such as {_FORM}"
            )
        for name in values:
            if name not in known:
                raise SettingError(
                    f"{where}: stage {number} has an unknown setting {str(name)[:80]!r}"
                    f"{did_you_mean(str(name), known)} Expected {', '.join(known)}"
                )
        try:
            found.append(Stage(**values))
        except SettingError as error:
            raise SettingError(f"{where}: stage {number}: {error}") from error
    return tuple(found)


def _coconut(method: Method, steps: int) -> Curriculum:
    """The stages of Coconut (Hao et al. 2024, arXiv 2412.06769).

    By the paper and its code (github.com/facebookresearch/coconut, `dataset.py`, `run.py`, and
    `args/prosqa_coconut.yaml`): stage 0 writes all steps; stage k leaves out the first k and has k
    times c latents before those that are left; after the last of them, all steps are left out.
    There, c is 1 on ProsQA (6 stages) and 2 on GSM8K (3 stages). The optimiser is new in each
    stage. On ProsQA a stage has 5 of 50 epochs, so that what is left, 15, is for the last.

    Here, c is 1, and there are as many latents as the method's layout has at `End`. The paper's
    markers around the latents are left out: a layout may have learned groups for them. The code has
    a constant learning rate; here it is that of the run, with its schedule in each stage.
    """
    groups = method.layout.groups
    ends = [group for group in groups if isinstance(group.place, End)]
    if not ends:
        raise SettingError(
            f"the curriculum coconut needs latents at End, whose number grows; got "
            f"{method.layout}. Expected a layout such as End_6=hidden"
        )
    (end,) = ends
    layouts = []
    for count in range(end.count + 1):
        kept = [replace(g, count=count) if g is end else g for g in groups if count or g is not end]
        layouts.append(str(replace(method.layout, groups=tuple(kept))))
    replaced = [*range(end.count + 1), "all"]
    weights = [1] * len(layouts) + [3]
    return Curriculum(
        tuple(
            Stage(share, layout, left_out)
            for share, layout, left_out in zip(
                _shares(steps, weights), [*layouts, layouts[-1]], replaced, strict=True
            )
        )
    )


def _lt_tuning(method: Method, steps: int) -> Curriculum:
    """The stages of Latent Thoughts Tuning (Liu, Min & Cheng 2026, arXiv 2602.10229).

    By the paper's abstract and figures: first the written steps alone; then latents among them,
    filled by hidden states; then the same filled by the fusion of hidden states and predictions. No
    step is left out. The paper chooses places by confidence; here they are those of the layout.

    Not found out: how long each stage is, and its learning rate. Here, each has a third.
    """
    groups = method.layout.groups
    if not any(isinstance(group.filling, Fused) for group in groups):
        raise SettingError(
            f"the curriculum lt-tuning needs latents that are fused; got {method.layout}. Expected "
            "a layout such as Comma_1=fused(0.6)"
        )
    hidden = tuple(
        replace(g, filling=g.filling.hidden) if isinstance(g.filling, Fused) else g for g in groups
    )
    layouts = ["none", str(replace(method.layout, groups=hidden)), str(method.layout)]
    shares = _shares(steps, [1, 1, 1])
    return Curriculum(tuple(map(Stage, shares, layouts)))


def _shares(steps: int, weights: Sequence[int]) -> list[int]:
    """Steps shared out by weights, at least one each; what is left over goes to the last."""
    if steps < len(weights):
        raise SettingError(
            f"steps is {steps}, but the curriculum has {len(weights)} stages; expected more steps"
        )
    shares = [max(1, steps * weight // sum(weights)) for weight in weights[:-1]]
    return [*shares, steps - sum(shares)]


def _written(method: Method, steps: int) -> Curriculum:
    """One stage in which every written step stays: training on whole chains of thought."""
    return Curriculum((Stage(steps),))


PRESETS: Final[dict[str, Callable[[Method, int], Curriculum]]] = {
    "coconut": _coconut,
    "lt-tuning": _lt_tuning,
    "written": _written,
}
"""Curricula by name: each makes the stages for a method and a number of steps."""
