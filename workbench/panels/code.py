"""Python that reproduces parts of a session: the session itself, a model, a task, a path.

The code that a panel copies is made of these. It runs in a new script, from any folder. A model
that was given as an object is in no file: its code makes an untrained one of the same layout.
"""

from __future__ import annotations

from pathlib import Path

from latent_core.archives.folders import SHIPPED, SHIPPED_PREFIX
from latent_core.backbones.known import BACKBONES
from latent_core.errors import SettingError
from latent_core.tasks.base import Task
from latent_core.tasks.jsonl import JsonlTask
from latent_core.tasks.table import TASKS
from workbench.session import NO_LATENTS, Session

__all__ = ["backbone_code", "model_code", "path_code", "session_code", "task_source"]


def session_code(session: Session) -> str:
    """Imports, and lines that end with a `session` of these models, example and intervention."""
    ours: set[str] = set()  # names from latent_core
    loaded, made = [], []
    sides = {"a": session.adapter_a, "b": session.adapter_b}
    shown = [session.base_of(name) for name in sides.values()]
    for name in dict.fromkeys(shown):
        if name in session.folders:
            loaded.append(f"{name!r}: {path_code(session.folders[name])}")
        elif name != NO_LATENTS:
            ours.add("LatentModel")
            layout = str(session.models[name].layout)
            made += [
                f"# {name!r} is in memory only: save_pretrained(folder) keeps its vectors",
                f"session.add(LatentModel(session.backbone, {layout!r}), {name!r})",
            ]
    task, task_import = _task(session.task)
    adapters = f"{{{', '.join(loaded)}}}"
    lines = [
        f"session = Session({backbone_code(session)}, adapters={adapters}, task={task})",
        *made,
        f"session.adapter_a, session.adapter_b = {shown[0]!r}, {shown[1]!r}",
        *(
            f"session.at_step({side!r}, {session.steps[name]})"
            for side, name in sides.items()
            if name in session.steps
        ),
    ]
    if session.example is None:
        lines.append(f"session.prompt = {session.prompt!r}")
    else:
        ours.add("Example")
        lines.append(f"session.example = {session.example!r}")
    if session.intervention != "none":
        lines.append(f"session.intervention = {session.intervention!r}")
    imports = [f"from latent_core import {', '.join(sorted(ours))}"] if ours else []
    imports += [*task_import, "from workbench.session import Session"]
    return "\n".join([*imports, "", *lines])


def path_code(path: Path) -> str:
    """A path in code: what ships by its name, and anything else from the root of the disk."""
    if path.is_relative_to(SHIPPED):
        return repr(f"{SHIPPED_PREFIX}{path.relative_to(SHIPPED).as_posix()}")
    return repr(str(path.resolve()))


def backbone_code(session: Session) -> str:
    """An expression that `load_backbone` takes for the session's backbone."""
    name = session.backbone.name
    return path_code(Path(name)) if name not in BACKBONES and Path(name).exists() else repr(name)


def model_code(session: Session, name: str) -> str:
    """An expression that gives one of the session's models, `lc` being `latent_core`."""
    backbone = backbone_code(session)
    if name in session.folders:
        moved = "" if session.backbone.name in BACKBONES else f", {backbone}"
        step = f", step={session.steps[name]}" if name in session.steps else ""
        return f"lc.load_model({path_code(session.folders[name])}{moved}{step})"
    if name == NO_LATENTS:
        return f"lc.build_model({backbone}, 'zero-shot')"
    layout = str(session.models[name].layout)  # in memory only, so its vectors are not in any file
    return f"lc.build_model({backbone}, {layout!r})"


def task_source(task: Task) -> str:
    """What `load_task` takes to give this task again, from any folder.

    Raises:
        SettingError: for a task that is neither in the table nor a JSONL file.
    """
    if isinstance(task, JsonlTask):
        return str(task.path.resolve())
    if TASKS.get(task.name) is type(task):
        return task.name
    raise SettingError(
        f"task {task.name!r} is of a class of your own, which load_task does not know; add it to "
        "latent_core.tasks.TASKS, or use a JSONL file"
    )


def _task(task: Task) -> tuple[str, list[str]]:
    """An expression for a task, and the imports that it needs."""
    if type(task) in TASKS.values():
        return repr(task.name), []
    if isinstance(task, JsonlTask):
        return repr(task_source(task)), []
    kind = type(task)
    return f"{kind.__name__}()", [f"from {kind.__module__} import {kind.__name__}"]
