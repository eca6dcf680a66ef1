"""Models by their method: a new one, or one that was saved.

The module of a baseline is imported when the baseline is asked for: PEFT takes about a second to
import, and latents do without it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from latent_core.adapters.adapter import AdapterConfig, refuse_not_finite
from latent_core.adapters.locate import locate
from latent_core.adapters.saved import read_saved
from latent_core.archives.folders import real_folder
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError, whole_number
from latent_core.models.latent import LatentModel, refuse_other_tokenizer
from latent_core.models.provenance import backbone_for
from latent_core.models.steered import SteeredModel
from latent_core.runs.snapshots import load_snapshots
from latent_core.slots.methods import Method
from latent_core.tasks.base import Task
from latent_core.tasks.conversations import spoken

if TYPE_CHECKING:
    from latent_core.models.baselines.full import FullModel
    from latent_core.models.baselines.peft_baseline import PeftBaseline, PeftCompanion

__all__ = ["build_model", "load_model"]

#: Solved examples after a task's description, for vectors that start with its words.
SOLVED: Final = 8


def build_model(
    backbone: Backbone | str,
    method: Method | str,
    seed: int = 0,
    *,
    task: Task | None = None,
    to_train: bool = True,
) -> SteeredModel:
    """An untrained model for a method; it leaves the backbone as it is.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes.
        method: a method or its name.
        seed: draws the initial values.
        task: whose words a method starts with that says `init=task`.
        to_train: make sure that there is memory to train it. If it is not to be trained, a method
            needs no task.

    Raises:
        LayoutError: if the name is no method's.
        SettingError: for a seed below 0, a method that needs more memory than there is, or one that
            starts with the words of a task if none is given.
        BackboneError: if PEFT cannot put the method on this backbone.

    Example:
        >>> import latent_core as lc
        >>> lc.build_model("tiny", "prefix-2").num_trainable
        2048
        >>> lc.build_model("tiny", "Start_2 & prefix-2").num_trainable
        2304
    """
    method = Method.parse(method) if isinstance(method, str) else method
    seed = whole_number("seed", seed, 0)
    if method.init == "task":
        method = replace(method, init=_words(method, task, seed, to_train))
    if method.kind != "latents":
        return _baseline(backbone, method, seed, to_train)
    companion = None if method.companion is None else _companion(backbone, method.companion, seed)
    on = backbone if companion is None else companion.backbone
    model = LatentModel(on, method.layout, seed, method.init, companion)
    _name(model, method)
    return model


def load_model(
    source: str | Path,
    backbone: Backbone | str | Path | None = None,
    *,
    step: int | None = None,
    **load: Any,
) -> SteeredModel:
    """Load whatever a method trained: latents or a baseline.

    Args:
        source: a folder that `save_pretrained` or `train` wrote, or the hub id of one.
        backbone: the backbone, if it is loaded already or lies elsewhere by now.
        step: load what the run had trained after this step, of which it has a snapshot; by default
            what it kept in the end.
        load: `allow_other_weights=True` takes a backbone of the same width whose weights are
            others, such as quantised ones; further arguments of `load_backbone`. `dtype` is by
            default the one that was asked for when the model was trained.

    Raises:
        AdapterError: if it is missing, damaged, or made for another backbone.
        SettingError: if there is no snapshot of `step`.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> folder = tempfile.mkdtemp()
        >>> _ = lc.LatentModel("tiny", "Start_2").save_pretrained(folder)
        >>> lc.load_model(folder).method
        'Start_2'
    """
    folder = locate(source)
    snapshot = None if step is None else load_snapshots(folder)[step]
    model = _saved_model(source, folder, backbone, **load)
    if snapshot is not None:
        model.assign(snapshot)
    return model


def _saved_model(
    source: str | Path, folder: Path, backbone: Backbone | str | Path | None, **load: Any
) -> SteeredModel:
    config = read_saved(folder)
    if isinstance(config, AdapterConfig):
        model = LatentModel.from_pretrained(folder, backbone, **load)
        _name(model, Method.parse(config.notes.get("method", config.layout)))
        return model
    loaded = backbone_for(source, config, backbone, **load)
    refuse_other_tokenizer(source, config.tokenizer_fingerprint, loaded)
    other = build_model(loaded, config.method, to_train=False)
    with real_folder(folder) as files:  # PEFT and Transformers read files
        other.load_weights(files)
    refuse_not_finite(source, other.trainable_weights())
    return other


def _companion(backbone: Backbone | str, method: Method, seed: int) -> PeftCompanion:
    """What PEFT trains beside a layout."""
    if method.kind == "prefix":
        from latent_core.models.baselines.virtual_tokens import PrefixCompanion

        return PrefixCompanion(backbone, method.size or 2, seed)
    from latent_core.models.baselines.lora import lora_companion

    return lora_companion(backbone, method.size, method.parameters, seed)


def _baseline(
    backbone: Backbone | str, method: Method, seed: int, to_train: bool
) -> PeftBaseline | FullModel:
    model = _bare_baseline(backbone, method, seed, to_train)
    model.method = method.name
    return model


def _bare_baseline(
    backbone: Backbone | str, method: Method, seed: int, to_train: bool
) -> PeftBaseline | FullModel:
    match method.kind:
        case "lora":
            from latent_core.models.baselines.lora import LoraModel

            return LoraModel(backbone, method.size, method.parameters, seed)
        case "prefix":
            from latent_core.models.baselines.virtual_tokens import PrefixModel

            words = method.init.removeprefix("text:") if method.init != "vocab" else ""
            return PrefixModel(backbone, method.size or 2, seed, words)
        case "prompt-tuning":
            from latent_core.models.baselines.virtual_tokens import PromptModel

            return PromptModel(backbone, method.size or 2, method.init, seed)
        case "full":
            from latent_core.models.baselines.full import FullModel

            return FullModel(backbone, to_train)
        case "latents":
            raise AssertionError(method)


def _words(method: Method, task: Task | None, seed: int, to_train: bool) -> str:
    """The start of a method that says `init=task`: the task's description, and solved examples."""
    if task is not None:
        solved = task.examples("train", SOLVED, seed)
        shown = "".join(f"{spoken(one.prompt)}{one.answer}\n\n" for one in solved)
        return f"text:{task.description}\n\n{shown}"
    if to_train:
        raise SettingError(
            f"{method} starts with the words of a task, and none is given; expected "
            "lc.build_model(..., task=lc.load_task(...))"
        )
    return "vocab"


def _name(model: LatentModel, method: Method) -> None:
    """Tell a model with latents which method it stands for."""
    model.method, model.shots = method.name, method.shots
    model.tables.requires_grad_(method.trained)
