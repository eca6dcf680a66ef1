"""Controls of the same size as a layout: equal trainable numbers, or equal extra slots.

The numbers follow from layout and backbone. The slots are counted by placing the layout in examples
of the task, answers included.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, NamedTuple

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import SettingError
from latent_core.models.build import build_model
from latent_core.slots.filling import Text
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import STARTS, Method
from latent_core.tasks.base import Task

__all__ = ["AGAINST", "BESIDE", "By", "Cost", "cost", "matched"]

By = Literal["parameters", "compute"]

AGAINST: Final[dict[str, str]] = {
    "start": "Start_{count}",
    "end": "End_{count}",
    "prompt-tuning": "prompt-tuning-{count}",
    "prefix": "prefix-{count}",
    "lora": "lora-{count}p",
    "filler": "filler({layout})",
    "learned": "{learned}",
}
"""What a layout can be held against, and how the control is named."""

BESIDE: Final = ("start", "end", "filler", "learned")
"""Those of them beside which LoRA or a prefix may train."""


class Cost(NamedTuple):
    """What a method costs.

    Attributes:
        trainable: numbers that train.
        extra_slots: mean, per example, of slots beyond the verbal ones that a response rests on:
            latents, fillers, virtual tokens, and the tokens of solved examples.
    """

    trainable: int
    extra_slots: float


def cost(
    method: Method | str,
    backbone: Backbone | str,
    task: Task,
    split: str = "id",
    examples: int = 64,
    seed: int = 0,
) -> Cost:
    """What a method costs on the reference answers of a task.

    Args:
        method: a method or its name.
        backbone: a `Backbone` or what `load_backbone` takes.
        task: gives the examples.
        split: where they come from.
        examples: how many to average over.
        seed: draws them.

    Example:
        >>> import latent_core as lc
        >>> lc.cost("Comma_2", "tiny", lc.load_task("repetition"), examples=4)
        Cost(trainable=256, extra_slots=3.0)
    """
    model = build_model(backbone, method, to_train=False)
    backbone = model.backbone
    extra = 0
    drawn = task.examples(split, examples, seed)
    for example in drawn:
        prompt, response = backbone.encode_example(
            example.prompt, example.answer, not task.open_ended
        )
        extra += model.place(prompt, response).num_latents + model.virtual_tokens
        if model.shots:
            solved = task.few_shot(example, model.shots, seed)
            extra += len(backbone.encode(solved)) - len(prompt)
    return Cost(model.num_trainable, extra / len(drawn))


def matched(
    layout: LatentLayout | Method | str,
    by: By = "parameters",
    against: str = "start",
    *,
    backbone: Backbone | str | None = None,
    task: Task | None = None,
    examples: int = 64,
    seed: int = 0,
) -> Method:
    """The control that costs what a layout does, for `build_model`.

    `learned` has the places and counts of a layout with computed latents, and a learned vector in
    each. By parameters, `start`, `end` and `prompt-tuning` match vectors exactly; trained maps,
    `prefix` and `lora` are matched as nearly as can be, with at least one vector, virtual token or
    module of rank 1. By compute, a control has a whole number of slots, the nearest to the layout's
    mean; `filler` has them in the very same places. `cost` says what came of it.

    Args:
        layout: what is to be matched. `init=task` is said of its control too, if that can start so.
            What trains beside a layout (`End_6=hidden & lora-r8`) trains
            beside its control too, so that these differ in latents alone. Of such a method, the
            controls are `start`, `end`, `filler` and `learned`.
        by: `parameters`, trainable numbers, or `compute`, extra slots on the task's ID examples.
        against: a key of `AGAINST`.
        backbone: needed by compute, and for `prefix` and `lora`.
        task: needed by compute.
        examples: of the task, to average over.
        seed: draws them.

    Raises:
        SettingError: if the match makes no sense, or something is missing for it.

    Example:
        >>> import latent_core as lc
        >>> lc.matched("Start_1+Comma_2", by="parameters", against="end").name
        'End_3'
    """
    asked = str(layout)
    if isinstance(layout, str):
        layout = Method.parse(layout)
    companion, init = None, "vocab"
    if isinstance(layout, Method):
        companion, init = layout.companion, layout.init
        layout = layout.layout
    if against not in AGAINST:
        raise SettingError(f"against is {against!r}; expected one of {', '.join(AGAINST)}")
    if companion is not None and against not in BESIDE:
        raise SettingError(
            f"{companion} trains beside {layout}, and nothing can train beside {against}; expected "
            f"against={' or '.join(BESIDE)}, or a layout alone"
        )
    if not layout.groups:
        raise SettingError(
            f"{asked} has no latents, so there is nothing to match; expected a layout, "
            "such as Start_2"
        )
    if by not in ("parameters", "compute"):
        raise SettingError(f"by is {by!r}; expected parameters or compute")
    if against == "learned":
        count = layout.num_latents  # which its name does not need
    elif by == "parameters":
        count = _by_parameters(layout, against, backbone)
    else:
        count = _by_compute(layout, against, backbone, task, examples, seed)
    pattern = AGAINST[against]
    if companion is not None and against == "filler":
        pattern = "{dots}"
    dots = replace(layout, groups=tuple(replace(g, filling=Text(".")) for g in layout.groups))
    name = pattern.format(count=count, layout=layout, learned=layout.learned(), dots=dots)
    found = Method.parse(name)
    if found.trained and init in STARTS.get(found.kind, ()):
        name = f"{name}; init={init}"
    return Method.parse(name if companion is None else f"{name} & {companion}")


def _by_parameters(layout: LatentLayout, against: str, backbone: Backbone | str | None) -> int:
    if against == "filler":
        raise SettingError("fillers are not trained; match them by compute")
    if not layout.trains:
        raise SettingError(
            f"nothing of {layout} trains, so there are no parameters to match; expected "
            "by=compute, or against=learned"
        )
    if against not in ("prefix", "lora") and not any(group.map_rank for group in layout.groups):
        return layout.num_latents
    if backbone is None:
        raise SettingError(f"the numbers of {against} depend on the backbone; give backbone=")
    backbone = load_backbone(backbone)
    shapes = layout.weight_shapes(backbone.hidden_size).values()
    wanted = sum(rows * columns for rows, columns in shapes)
    if against == "lora":
        return wanted
    if against != "prefix":
        return max(1, round(wanted / backbone.hidden_size))
    return max(1, round(wanted / build_model(backbone, "prefix-1").num_trainable))


def _by_compute(
    layout: LatentLayout,
    against: str,
    backbone: Backbone | str | None,
    task: Task | None,
    examples: int,
    seed: int,
) -> int:
    if against == "lora":
        raise SettingError("LoRA processes no extra slots; match it by parameters")
    if backbone is None or task is None:
        raise SettingError(
            "how many slots a layout takes depends on the texts; give backbone= and task="
        )
    found = cost(str(layout), backbone, task, "id", examples, seed).extra_slots
    if not found:
        raise SettingError(
            f"layout {layout} places nothing in {examples} examples of {task.name}, so there is "
            "nothing to match"
        )
    return max(1, round(found))
