import dataclasses

import pandas as pd

from latent_core.tasks.base import Example
from latent_core.tasks.table import load_task
from workbench.panels.comparison.recorded_examples import recorded_example


def test_a_record_whose_task_draws_another_example_is_not_opened() -> None:
    task = load_task("repetition")
    example = task.examples("id", 4, 1)[3]
    record = pd.Series(
        {"split": "id", "level": example.level, "example": 3, "key": example.key}
        | {"response": "", "exact": False, "graded": 0.0, "seed": 0}
    )
    assert recorded_example(record, task).example == example
    other = recorded_example(pd.Series(record.to_dict() | {"key": "1+1=2"}), task)
    assert other.example is None
    assert not other.row()["opens"]
    typed = Example("p", "a", "id", 1, "k")
    kept = pd.Series(record.to_dict() | dataclasses.asdict(typed))
    assert recorded_example(kept, None).example == typed
