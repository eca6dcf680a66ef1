"""The block inside which a model behaves as a scene says; after it, the model is as before.

Inside the block the model has another placement, whose rows are tickets of an `Observer`.
`EditedTables` replace its tables and know what each ticket reads.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import Tensor, nn

from latent_core.backbones.turns import turn
from latent_core.errors import LatentError, SettingError
from latent_core.interventions.observer import Observer
from latent_core.interventions.scene import Scene
from latent_core.slots.fillers import fill
from latent_core.slots.placement import Placement
from latent_core.slots.tables import LatentTables, fillers_at

if TYPE_CHECKING:
    from latent_core.models.latent import LatentModel

__all__ = ["CHANGED_NOTHING", "EditedTables", "InterventionWarning", "running"]

#: What a warning says of an intervention that met no latent.
CHANGED_NOTHING: Final = "changed nothing"


class InterventionWarning(UserWarning):
    """An intervention made no difference, or left no latents.

    Example:
        >>> import warnings
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     with lc.interventions.Drop("Comma").on(model):
        ...         texts = model.generate("1+1=", max_new_tokens=1)
        >>> caught[0].category.__name__
        'InterventionWarning'
    """


class EditedTables(nn.Module):
    """Stands in for a model's `LatentTables` inside a block; reads the scene's vectors.

    The vectors stand still there: they belong to the block, and nothing can train them.
    """

    def __init__(self, base: LatentTables, scene: Scene, observer: Observer) -> None:
        super().__init__()
        self.scene = scene
        self.observer = observer
        self._base = (base,)  # not a submodule: its parameters would seem to train
        self.names = base.names
        self.hidden_size = base.hidden_size
        self._fillers_of_row = torch.tensor(scene.fillers_of_row, device=scene.vectors.device)

    def rows(self) -> Tensor:
        """The model's own latent vectors, (N, D), without the block's edits."""
        return self._base[0].rows()

    def named(self) -> dict[str, Tensor]:
        """The model's own tables, so that saving inside a block saves the adapter as it is."""
        return self._base[0].named()

    def assign(self, rows: Any) -> None:
        """Refused.

        Raises:
            LatentError: always.
        """
        raise LatentError(
            "vectors cannot be assigned inside an intervention's block; assign them after it"
        )

    def mix(self, inputs_embeds: Tensor, latent_rows: Tensor) -> Tensor:
        """As `LatentTables.mix`, for slots that were placed inside the block."""
        self.observer.new_tickets = latent_rows
        rows = self.observer.rows(latent_rows)
        return self.scene.mix(inputs_embeds, rows)

    @property
    def computes(self) -> bool:
        """As `LatentTables.computes`."""
        return len(self.scene.fillers) > 0

    def fillers_at(self, latent_rows: Tensor) -> Tensor:
        """As `LatentTables.fillers_at`, for slots that were placed inside the block."""
        return fillers_at(self.observer.rows(latent_rows), self._fillers_of_row)

    def fill(self, inputs_embeds: Tensor, numbers: Tensor, states: Tensor) -> Tensor:
        """As `LatentTables.fill`."""
        return fill(inputs_embeds, numbers, states, self.scene.fillers)


@contextlib.contextmanager
def running(
    model: LatentModel,
    change: Callable[[Scene], Scene],
    name: str,
    tell: Callable[[str], None] | None = None,
) -> Iterator[LatentModel]:
    """Make the model do what `change` makes of its present scene; see `Intervention.on`.

    Args:
        model: the model.
        change: from its present scene to the one inside the block.
        name: of the change, for what is said about it.
        tell: told instead of a warning that the change made no difference or left no latents.
    """
    with turn(model.backbone.model, f"{model.method} under {name}"):
        tables = cast(nn.Module, model.tables)
        outer = tables if isinstance(tables, EditedTables) else None
        observer = Observer() if outer is None else outer.observer
        base = model.tables if outer is None else outer._base[0]
        before = _present(model) if outer is None else outer.scene
        scene = replace(change(replace(before, clean=before)), clean=None)
        groups = zip(before.layout.groups, scene.layout.groups, strict=False)
        count = _Count(moved=any(old.place != new.place for old, new in groups))
        own, touched = model.placement, observer.touched
        observer.touched = None
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, model, "placement", own)
            stack.callback(setattr, model, "tables", tables)
            model.placement = _placement(scene, before, observer, count)
            model.tables = cast(LatentTables, EditedTables(base, scene, observer))
            new_flows = scene.flows[len(before.flows) :]
            if new_flows and model.virtual_tokens:
                raise SettingError(
                    f"{name} changes what happens inside the backbone, and cannot run beside the "
                    f"prefix of {model.method}, for whose keys no slot stands. Expected a layout "
                    "alone, or beside LoRA"
                )
            if new_flows:
                stack.enter_context(observer.watching(scene.backbone))
            for flow in new_flows:
                flow.enter(stack, observer, scene.backbone, None)
            yield model
        changed = observer.was_touched()
        observer.touched = touched
        said = count.verdict(name, changed)
        if said is not None and tell is not None:
            tell(said)
        elif said is not None:
            warnings.warn(said, InterventionWarning, stacklevel=3)


class _Count:
    """What became of the latents that were about to be placed in a block."""

    def __init__(self, moved: bool) -> None:
        self.moved = moved  # some group stands elsewhere: what it did at its old place is not known
        self.tokens = self.placed = self.dropped = self.edited = 0

    def verdict(self, name: str, flows_changed: bool) -> str | None:
        """What a person ought to know, if anything."""
        if not self.tokens or name == "none":
            return None
        if not self.placed and (self.dropped or self.moved):
            return f"{name} left no latents: the model ran as the backbone alone"
        if not self.placed:
            return (
                f"{name} {CHANGED_NOTHING}: no latent was placed, since neither prompts nor "
                "responses had a token that triggers one"
            )
        if not (self.dropped or self.edited or self.moved or flows_changed):
            return (
                f"{name} {CHANGED_NOTHING}: latents were placed, but it applies to none of them, "
                "and to none of their edges, in these prompts and responses"
            )
        return None


def _present(model: LatentModel) -> Scene:
    """The scene of a model outside all blocks."""
    placement = model.placement
    first_rows = placement.layout.first_rows

    def rows(group: int, member: int, occurrence: int, step: int) -> int | None:
        return first_rows[group] + member

    return Scene(
        backbone=model.backbone,
        layout=placement.layout,
        triggers=placement.triggers,
        rows=rows if placement.rows is None else placement.rows,
        vectors=model.tables.rows().detach().float().clone(),
        fillers=tuple(model.tables.fillers),
        fillers_of_row=tuple(model.tables.fillers_of_row.tolist()),
        run_slots=model.run_slots,
        virtual_tokens=model.virtual_tokens,
        positions=placement.positions,
    )


def _placement(scene: Scene, before: Scene, observer: Observer, count: _Count) -> Placement:
    """The placement of a scene: rows become tickets."""
    counts = [group.count for group in before.layout.groups]

    def rows(group: int, member: int, occurrence: int, step: int) -> int | None:
        row, was = scene.rows(group, member, occurrence, step), None
        if group < len(counts) and member < counts[group]:
            was = before.rows(group, member, occurrence, step)
        if row is None:
            count.dropped += was is not None
            return None
        count.placed += 1
        fewer = group < len(counts) and scene.layout.groups[group].count < counts[group]
        renumbered = scene.scheme(step) != before.scheme(step)
        count.edited += row != was or fewer or renumbered
        return observer.ticket(group, member, occurrence, step, row)

    def mark(step: int) -> int:
        count.tokens += 1
        return observer.mark(step)

    def computed(ticket: int) -> bool:
        return scene.computes(observer.row_of(ticket))

    return Placement(
        scene.layout,
        scene.triggers,
        rows,
        mark,
        scene.positions,
        computed if scene.fillers else None,
    )
