"""`latent generate`: prompts answered by a trained adapter."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from latent_core.cli.app import (
    OtherWeights,
    ThreadsOption,
    app,
    console,
    fix_threads_if,
    say_once,
    say_threads,
)
from latent_core.errors import SettingError
from latent_core.wording import counted

if TYPE_CHECKING:
    from latent_core.interventions.base import Intervention
    from latent_core.models.steered import SteeredModel

__all__ = ["generate"]


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(help="Folder of a run or of an adapter.")],
    prompt: Annotated[list[str], typer.Option(help="Prompt; \\n is a line break. Repeatable.")],
    max_new_tokens: Annotated[
        int, typer.Option(help="Highest number of verbal tokens in the response.")
    ] = 64,
    temperature: Annotated[
        float, typer.Option(help="0: greedy decoding; above 0: sampling.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    latents: Annotated[bool, typer.Option(help="Print the latents in their places.")] = True,
    intervention: Annotated[
        str,
        typer.Option(
            "--intervention",
            "-i",
            help="Intervention on the latents, such as 'drop(Comma, after=3)'.",
        ),
    ] = "none",
    allow_other_weights: OtherWeights = False,
    threads: ThreadsOption = None,
) -> None:
    """Generate responses with a trained adapter, and print the latents in their places.

    Example: `latent generate runs/a --prompt '1+2=3,' -i 'drop(Comma, after=3) & scale(Start, 2)'`
    """
    from latent_core.interventions.kinds import parse_intervention
    from latent_core.models.build import load_model
    from latent_core.tasks.conversations import unescaped

    change = parse_intervention(intervention)
    fix_threads_if(threads)
    model = load_model(folder, allow_other_weights=allow_other_weights)
    with _under(change, model):
        answers = model.generate(
            [unescaped(text) for text in prompt],
            max_new_tokens,
            seed=seed,
            return_details=True,
            **({"do_sample": True, "temperature": temperature} if temperature else {}),
        )
    for answer in answers:
        line = Text()
        for slot in answer.slots:
            if slot.group is None:
                line.append(slot.label, style="bold" if latents else "")
            elif latents:
                line.append(f"[{slot.label}]", style="magenta")
        console.print(line if latents else Text(answer.text))
        if not answer.finished:
            say_once(
                f"stopped after {counted(len(answer.response_ids), 'token')} (--max-new-tokens)"
            )
    say_threads()


def _under(change: Intervention, model: SteeredModel) -> contextlib.AbstractContextManager[object]:
    """A block in which the model is changed; on leaving it, what the change came to is said."""
    from latent_core.interventions.running import running
    from latent_core.models.latent import LatentModel

    if not change.parts:
        return contextlib.nullcontext()
    if not isinstance(model, LatentModel):
        raise SettingError(f"{model.method} has no latents to intervene on; expected a layout")
    return running(model, change.apply, str(change), say_once)
