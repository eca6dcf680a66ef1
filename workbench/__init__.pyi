"""The public names of `workbench`, each with the module that defines it."""

from .app import Workbench as Workbench
from .pictures.curves import accuracy_curve as accuracy_curve
from .pictures.slots import SlotStrip as SlotStrip
from .session import Session as Session
from .widgets.heat_grid import attention_heatmap as attention_heatmap
from .widgets.heat_grid import cell_heatmap as cell_heatmap
