"""Pictures of latent tokens for notebooks. Stands on `latent_core`, which knows nothing of it."""

from workbench.curves import accuracy_curve
from workbench.heatmaps import attention_heatmap, cell_heatmap
from workbench.slots import SlotStrip

__all__ = ["SlotStrip", "accuracy_curve", "attention_heatmap", "cell_heatmap"]
