"""Latent tokens for any Hugging Face decoder: place, train, generate, evaluate.

Names are looked up on first use, so that `import latent_core` is instant and loads no torch.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "AttentionCall": "attention.hooks",
    "AttentionHook": "attention.hooks",
    "AttentionRecord": "attention.record",
    "Backbone": "backbones.backbone",
    "Contrast": "hypotheses",
    "Drop": "interventions.places",
    "Effect": "statistics.inference",
    "Example": "tasks",
    "Generation": "generation.generate",
    "Grid": "grids",
    "Hypothesis": "hypotheses",
    "Intervention": "interventions.base",
    "InterventionWarning": "interventions.running",
    "KnockOut": "interventions.flow",
    "LatentBatch": "slots.batch",
    "LatentGroup": "slots.layout",
    "LatentLayout": "slots.layout",
    "LatentModel": "models.latent",
    "Method": "models.methods",
    "Move": "interventions.places",
    "Patch": "interventions.kinds",
    "Plan": "hypotheses",
    "Positions": "interventions.places",
    "Recount": "interventions.places",
    "Replace": "interventions.vectors",
    "STUDIES": "hypotheses",
    "Scale": "interventions.vectors",
    "Score": "tasks",
    "Shuffle": "interventions.vectors",
    "Study": "hypotheses",
    "SteeredModel": "models.steered",
    "Swap": "interventions.vectors",
    "Task": "tasks",
    "TrainingResult": "training.train",
    "Verdict": "hypotheses",
    "attention_against_effect": "analysis.tracing",
    "build_model": "models.build",
    "compare": "evaluation.comparison",
    "cost": "models.matching",
    "matched": "models.matching",
    "capture_attention": "attention.capture",
    "check_backbone": "invariants.check",
    "effect": "evaluation.effects",
    "evaluate": "evaluation.evaluate",
    "hooked": "attention.hooks",
    "latent_norms": "analysis.geometry",
    "latent_similarity": "analysis.geometry",
    "load_backbone": "backbones.loading",
    "load_model": "models.build",
    "load_runs": "runs.store",
    "load_study": "hypotheses",
    "load_task": "tasks",
    "logit_lens": "analysis.geometry",
    "mean_interval": "statistics.means",
    "nearest_tokens": "analysis.geometry",
    "paired_difference": "statistics.means",
    "paired_effect": "statistics.inference",
    "parse_intervention": "interventions.kinds",
    "read_grid": "grids",
    "run_grid": "grids",
    "shipped_adapter": "runs.shipped",
    "shipped_adapters": "runs.shipped",
    "slot_pca": "analysis.geometry",
    "summarise": "statistics.means",
    "trace": "analysis.tracing",
    "train": "training.train",
    "write_records": "runs.folder",
}

__version__ = "0.1.0"
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'latent_core' has no attribute {name!r}")
    return getattr(import_module(f"latent_core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
