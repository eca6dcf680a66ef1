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
    "Example": "tasks",
    "Generation": "generation",
    "LatentBatch": "batch",
    "LatentGroup": "layout",
    "LatentLayout": "layout",
    "LatentModel": "model",
    "Method": "methods",
    "Score": "tasks",
    "Task": "tasks",
    "TrainingResult": "training",
    "build_model": "methods",
    "capture_attention": "attention",
    "evaluate": "evaluation",
    "hooked": "attention_hooks",
    "load_backbone": "backbones",
    "load_task": "tasks",
    "mean_interval": "statistics",
    "paired_difference": "statistics",
    "shipped_adapter": "shipped",
    "shipped_adapters": "shipped",
    "summarise": "statistics",
    "train": "training",
    "write_records": "evaluation",
}

__version__ = "0.1.0"
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'latent_core' has no attribute {name!r}")
    return getattr(import_module(f"latent_core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
