"""Latent tokens for any Hugging Face decoder: place, train, generate, evaluate.

Names are looked up on first use, so that `import latent_core` is instant and loads no torch.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "AttentionCall": "attention_hooks",
    "AttentionHook": "attention_hooks",
    "AttentionRecord": "attention_record",
    "Backbone": "backbones",
    "Contrast": "hypotheses",
    "Drop": "interventions",
    "Effect": "inference",
    "Example": "tasks",
    "Generation": "generation",
    "Grid": "experiments",
    "Hypothesis": "hypotheses",
    "Intervention": "interventions",
    "InterventionWarning": "interventions",
    "KnockOut": "interventions",
    "LatentBatch": "batch",
    "LatentGroup": "layout",
    "LatentLayout": "layout",
    "LatentModel": "model",
    "Method": "methods",
    "Move": "interventions",
    "Patch": "interventions",
    "Plan": "hypotheses",
    "Positions": "interventions",
    "Recount": "interventions",
    "Replace": "interventions",
    "STUDIES": "hypotheses",
    "Scale": "interventions",
    "Score": "tasks",
    "Shuffle": "interventions",
    "Study": "hypotheses",
    "SteeredModel": "steered",
    "Swap": "interventions",
    "Task": "tasks",
    "TrainingResult": "training",
    "Verdict": "hypotheses",
    "attention_against_effect": "tracing",
    "build_model": "building",
    "compare": "comparison",
    "cost": "matching",
    "matched": "matching",
    "capture_attention": "attention",
    "check_backbone": "invariants",
    "effect": "effects",
    "evaluate": "evaluation",
    "hooked": "attention_hooks",
    "latent_norms": "geometry",
    "latent_similarity": "geometry",
    "load_backbone": "backbones",
    "load_model": "building",
    "load_runs": "store",
    "load_study": "hypotheses",
    "load_task": "tasks",
    "logit_lens": "geometry",
    "mean_interval": "statistics",
    "nearest_tokens": "geometry",
    "paired_difference": "statistics",
    "paired_effect": "inference",
    "parse_intervention": "interventions",
    "read_grid": "experiments",
    "run_grid": "experiments",
    "shipped_adapter": "shipped",
    "shipped_adapters": "shipped",
    "slot_pca": "geometry",
    "summarise": "statistics",
    "trace": "tracing",
    "train": "training",
    "write_records": "runs",
}

__version__ = "0.1.0"
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'latent_core' has no attribute {name!r}")
    return getattr(import_module(f"latent_core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
