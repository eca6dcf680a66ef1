from .base import Demand, Example, Mark, Score, Task, resolve_splits
from .table import TASKS, load_task

__all__ = [
    "TASKS",
    "Demand",
    "Example",
    "Mark",
    "Score",
    "Task",
    "load_task",
    "resolve_splits",
]
