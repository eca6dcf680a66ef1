"""The public names of `latent_core.tasks`, each with the module that defines it."""

from .base import Demand as Demand
from .base import Example as Example
from .base import Mark as Mark
from .base import Score as Score
from .base import Task as Task
from .base import resolve_splits as resolve_splits
from .conversations import chat_prompt as chat_prompt
from .convert import convert as convert
from .metrics import METRICS as METRICS
from .metrics import Metric as Metric
from .table import TASKS as TASKS
from .table import load_task as load_task
