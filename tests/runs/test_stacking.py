"""Tables stacked into one frame: what Arrow makes of them, bit for bit."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from latent_core.runs import stacking
from latent_core.runs.stacking import TableStack

NAMES = pa.dictionary(pa.int32(), pa.string())


def table(names: list[str | None], seeds: list[int | None], graded: list[float]) -> pa.Table:
    columns = {"name": pa.array(names, pa.string()).dictionary_encode(), "seed": pa.array(seeds)}
    return pa.table(columns | {"graded": pa.array(graded, pa.float64())})


def stacked(tables: list[pa.Table]) -> pd.DataFrame:
    stack = TableStack()
    for one in tables:
        stack.add(one)
    assert len(stack) == sum(map(len, tables))
    return stack.to_frame()


def of_arrow(tables: list[pa.Table]) -> pd.DataFrame:
    return pa.concat_tables(tables).unify_dictionaries().to_pandas()


WHOLE = table(["b", "a", "b"], [1, 2, 3], [0.1, 0.2, 0.3])
PARTLY = table([None, "c", "a"], [4, None, 6], [0.4, float("nan"), 0.6])


@pytest.mark.parametrize(
    "tables",
    [
        [WHOLE],
        [WHOLE, WHOLE],
        [PARTLY, WHOLE],
        [WHOLE, PARTLY, WHOLE],
        [WHOLE, WHOLE.slice(1, 0), PARTLY.slice(1)],
        [pa.concat_tables([WHOLE, PARTLY]), WHOLE],
        [WHOLE.set_column(0, "name", pa.nulls(3, NAMES))] * 2,
    ],
)
def test_the_frame_is_that_of_arrow(tables: list[pa.Table]) -> None:
    found, wanted = stacked(tables), of_arrow(tables)
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    assert found["name"].cat.codes.dtype == wanted["name"].cat.codes.dtype
    assert list(found["name"].cat.categories) == list(wanted["name"].cat.categories)


def test_more_texts_than_two_bytes_can_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacking, "_SHORT", 100)
    names = [[f"{start + n}" for n in range(90)] for start in (0, 60, 40_000)]
    tables = [table(some, [0] * 90, [0.5] * 90) for some in names]
    frame = stacked(tables)
    assert frame["name"].tolist() == [name for some in names for name in some]
    monkeypatch.undo()
    many = [f"{n}" for n in range(np.iinfo(np.int16).max + 10)]
    texts = pa.table({"name": pa.array(many).dictionary_encode()})
    assert stacked([texts.slice(0, 7), texts])["name"].tolist() == many[:7] + many


def test_a_frame_can_be_changed_and_the_stack_is_empty_after_it() -> None:
    stack = TableStack()
    stack.add(WHOLE)
    frame = stack.to_frame()
    frame.loc[0, "graded"] = 9.0
    assert frame["graded"].tolist() == [9.0, 0.2, 0.3] and len(stack) == 0
    assert stack.to_frame().empty
