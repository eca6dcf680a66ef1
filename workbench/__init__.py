"""Latent tokens in JupyterLab: panels that share a session, and pictures.

    from workbench import Workbench
    Workbench("smollm2-135m", adapters=["Comma_2", "Start_2"])

Stands on `latent_core`, which knows nothing of it.
"""

from latent_core.errors import needs_extra

with needs_extra("workbench", "workbench"):
    from workbench.app import Workbench
    from workbench.pictures.curves import accuracy_curve
    from workbench.pictures.slots import SlotStrip
    from workbench.session import Session
    from workbench.widgets.heat_output import attention_heatmap, cell_heatmap

__all__ = [
    "Session",
    "SlotStrip",
    "Workbench",
    "accuracy_curve",
    "attention_heatmap",
    "cell_heatmap",
]
