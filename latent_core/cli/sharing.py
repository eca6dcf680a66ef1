"""`latent export | push | harness`: trained models in other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latent_core.cli.app import Folders, app, console, table_of
from latent_core.errors import SettingError, needs_extra

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

__all__ = ["export", "harness", "push"]

RunFolder = Annotated[Path, typer.Argument(help="Run folder made by `latent train`.")]


@app.command()
def export(
    folder: RunFolder,
    out: Annotated[
        Path, typer.Option(help="New folder for the checkpoint; with --prompt, a new file.")
    ],
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Write the input embeddings of this prompt and its latents; \\n is a line break."
        ),
    ] = None,
) -> None:
    """Write backbone and latents as an ordinary Transformers checkpoint.

    The latents become added tokens. The README in the checkpoint says how to write them in a
    prompt, and how the checkpoint differs from the run.

    With --prompt, write one tensor of shape (tokens and latents, width) for a server of the plain
    backbone: vLLM's `prompt_embeds`. A run whose responses would differ there is refused.
    Example: `latent export runs/a --prompt '1+1=' --out prompt.pt`
    """
    from latent_core.files import refuse_filled

    what = "the checkpoint" if prompt is None else "the prompt embeddings"
    refuse_filled(out, f"{what} to {out}")  # before torch, weights and work

    from latent_core.models.build import load_model

    if prompt is None:
        from latent_core.bridges.export import export_model

        console.print(f"{export_model(load_model(folder), out)}: read README.md there first")
        return

    from latent_core.bridges.export import write_prompt_embeddings
    from latent_core.tasks.conversations import unescaped

    model = load_model(folder)
    shape = write_prompt_embeddings(model, unescaped(prompt), out)
    dtype = str(model.backbone.dtype).removeprefix("torch.")
    console.print(f"{out}: {shape[0]} embeddings of width {shape[1]} in {dtype}, for torch.load")


@app.command()
def push(
    folder: RunFolder,
    repo_id: Annotated[str, typer.Argument(help="Hub id, as owner/name.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private.")
    ] = False,
    replace_readme: Annotated[
        bool,
        typer.Option(
            "--replace-readme", help="Replace a README that somebody wrote or edited by the card."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the model card; upload nothing.")
    ] = False,
) -> None:
    """Upload a run to the Hugging Face hub, with a model card made from its records.

    A README of yours, in the run folder or on the hub, stays unless --replace-readme is given.
    """
    from latent_core.sharing import model_card, push_folder

    if dry_run:
        console.print(model_card(folder, repo_id), markup=False, highlight=False, soft_wrap=True)
        return
    console.print(push_folder(folder, repo_id, private=private, replace_readme=replace_readme))


@app.command()
def harness(
    folders: Folders,
    tasks: Annotated[str, typer.Option(help="Names of harness tasks, comma-separated.")],
    include_path: Annotated[
        Path | None, typer.Option(help="Folder with your own harness tasks (YAML).")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Highest number of examples per task.")] = None,
    shots: Annotated[
        int | None,
        typer.Option(help="Solved examples in the prompt; default: as the task defines."),
    ] = None,
    backbone_too: Annotated[
        bool, typer.Option("--backbone-too", help="Also evaluate the backbone without latents.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Requests per batch.")] = 16,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="Write prompts with the backbone's chat template, solved examples as turns.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file for the results.")] = None,
) -> None:
    """Run lm-evaluation-harness tasks on runs (pip install 'latent-workbench[harness]')."""
    from latent_core.files import write_file
    from latent_core.runs.find import refuse_in_run

    with needs_extra("harness", "latent harness"):
        from lm_eval import simple_evaluate

        from latent_core.bridges.harness import HarnessModel
    from latent_core.models.build import build_model, load_model

    if out is not None:
        refuse_in_run(out)
    names = [name.strip() for name in tasks.split(",")]
    manager = _task_manager(names, include_path)
    models = {str(folder): load_model(folder) for folder in folders}
    if backbone_too:
        for model in list(models.values()):
            name = model.backbone.name
            models[name] = models.get(name) or build_model(name, "zero-shot")
    results: dict[str, dict[str, Any]] = {}
    for source, model in models.items():
        found = simple_evaluate(
            HarnessModel(model, batch_size),
            tasks=names,
            num_fewshot=shots,
            limit=limit,
            task_manager=manager,
            log_samples=False,
            apply_chat_template=chat,
        )
        assert found is not None  # which it is on other processes than the first
        results[source] = {"method": model.method, "results": found["results"]}
    _show_results(results)
    if out is not None:
        write_file(out, (json.dumps(results, indent=2, default=str) + "\n").encode())


def _task_manager(names: list[str], include_path: Path | None) -> TaskManager:
    """What finds the tasks: in the user's folder if all are there, else among the harness's own.

    Raises:
        SettingError: if a task is in neither.
    """
    from lm_eval.tasks import TaskManager

    if include_path is not None:
        own = TaskManager(include_path=str(include_path), include_defaults=False)
        if not _unknown(own, names):
            return own  # the harness has thousands of tasks, which take a while to look through
    manager = TaskManager(include_path=str(include_path) if include_path else None)
    if unknown := _unknown(manager, names):
        raise SettingError(f"the harness knows no task {', '.join(unknown)}; see --include-path")
    return manager


def _unknown(manager: TaskManager, names: list[str]) -> list[str]:
    return [name for name in names if not manager.match_tasks([name])]


def _show_results(results: dict[str, dict[str, Any]]) -> None:
    """A row per task and metric, a column per model, with the harness's standard errors."""
    table = table_of("task", "metric", *(f"{r['method']} ({s})" for s, r in results.items()))
    first = next(iter(results.values()))["results"]
    for task, metrics in first.items():
        for name, value in metrics.items():
            if not isinstance(value, int | float) or "_stderr" in name or name == "sample_len":
                continue
            metric, _, kind = name.partition(",")
            cells = []
            for result in results.values():
                mine = result["results"][task]
                error = mine.get(f"{metric}_stderr,{kind}")
                spread = f" ± {error:.4f}" if isinstance(error, float) else ""
                cells.append(f"{mine[name]:.4f}{spread}")
            table.add_row(task, metric, *cells)
    console.print(table)
