"""The claims of the study of computed latents.

They are measured in distribution: a chain of latents takes as many steps as in training, and no
more.
"""

from __future__ import annotations

from latent_core.errors import SettingError
from latent_core.hypotheses.studies.claims import Parts, group_of, part_of
from latent_core.models.matching import matched
from latent_core.slots.methods import Method

__all__ = ["computed"]


def computed(task: str, layout: str, group: str = "") -> Parts:
    """Return the parts that hold computed latents against learned ones, and ask what they do.

    Raises:
        SettingError: if no group of the layout is computed.
    """
    method = Method.parse(layout)
    groups = [group for group in method.layout.groups if group.computed]
    if not groups:
        raise SettingError(
            f"the study computed is about computed latents, and {layout} has none; expected a "
            "layout such as End_4=hidden(proj=8)"
        )
    chosen = group_of(method.layout, group) if group else groups[-1]
    if not chosen.computed:
        raise SettingError(
            f"the study computed is about computed latents, and {chosen.name} of {layout} is "
            f"learned; expected {' or '.join(one.name for one in groups)}"
        )
    name, count = chosen.name, chosen.count
    learned = matched(method, against="learned").name
    changes = {
        "they are needed": (
            f"without its {name} latents the model does worse",
            f"drop({name})",
            ("random",),
        ),
        "what they hold depends on the prompt": (
            f"if its {name} latents hold their mean over {task}, the model does worse",
            f"replace({name}, data:{task})",
            (),
        ),
        "their directions matter": (
            f"if its {name} latents hold random directions of their lengths, the model does worse",
            f"replace({name}, random)",
            (),
        ),
    }
    if count > 1:
        changes["the chain goes on"] = (
            f"if all {name} latents hold what the first holds, the model does worse",
            f"freeze({name}, 1)",
            (),
        )
    parts = {
        "gain over learned": part_of(
            task,
            f"{layout} beats learned latents at the same places",
            layout,
            learned,
            "greater",
            split="id",
            controls=(),
        ),
        "follows the edit": part_of(
            task,
            f"{layout} gives the right answers before and after an edit of the prompt more often "
            "than learned latents",
            layout,
            learned,
            "greater",
            split="id",
            metric="follows",
            controls=(),
        ),
    }
    for part, (claim, change, controls) in changes.items():
        treatment = f"{layout} under {change}"
        parts[part] = part_of(task, claim, treatment, layout, "less", split="id", controls=controls)
    alone = f"{layout} under knock_out({name} -> prompt)"
    parts["they are enough"] = part_of(
        task,
        f"while its {name} latents cannot attend to the prompt, what they hold raises the score",
        alone,
        f"{alone} & replace({name}, data:{task})",
        "greater",
        split="id",
        controls=(),
    )
    return parts
