"""Records of many runs: Arrow tables of folders and archives, stacked bit for bit as Arrow does."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import latent_core as lc
from latent_core.runs import many_records
from latent_core.runs.archive import pack_runs
from latent_core.runs.find import find_runs
from latent_core.runs.many_records import TableStack, constant, records_of_runs
from tests.runs.samples import add_run, records

NAMES = pa.dictionary(pa.int32(), pa.string())
#: Other kinds than the files have, in another order, and a column that they lack.
CHOSEN = pa.schema([("graded", pa.float32()), ("split", NAMES), ("votes", pa.int8())])


@pytest.fixture
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder beside the runs."""
    return tmp_path_factory.mktemp("away")


def test_runs_of_two_archives_and_of_folders_keep_their_own_records(root: Path, away: Path) -> None:
    lc.write_records(add_run(away / "more" / "a", seed=8), records(graded=0.8))
    lc.write_records(add_run(away / "last" / "a", seed=9), records(graded=0.9))
    packed = [pack_runs(folder, away / f"{folder.name}.p").path for folder in (root, away / "more")]
    found = records_of_runs(find_runs([*packed, away / "last"]))
    first = {run.about["seed"]: table["graded"].to_pylist()[0] for run, table in found}
    assert first == {0: 0.0, 1: 0.1, 2: 0.2, 8: 0.8, 9: 0.9}


@pytest.mark.parametrize("packed", [False, True])
def test_chosen_columns_come_as_what_was_asked(
    root: Path, away: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = pack_runs(root, away / "packed").path if packed else root
    asked = []
    read = many_records.records_of

    def watched(folder, columns=None):
        asked.append(columns)
        return read(folder, columns)

    monkeypatch.setattr(many_records, "records_of", watched)
    tables = [table for _, table in records_of_runs(find_runs([place]), CHOSEN)]
    assert len(tables) == 3
    assert all(table.schema.equals(pa.schema(list(CHOSEN)[:2])) for table in tables)
    wanted = lc.load_runs(place, {"seed": 1}, records=True)["graded"].tolist()
    assert tables[1]["graded"].to_pylist() == pytest.approx(wanted)
    assert asked[:3] == ([] if packed else [CHOSEN.names] * 3)
    (whole, *_) = [table for _, table in records_of_runs(find_runs([place]))]
    assert {"example", "exact", "graded"} <= set(whole.column_names)


def test_a_run_whose_records_are_of_another_kind_is_named_and_left_out(root: Path) -> None:
    path = root / "a" / "records.parquet"
    pd.read_parquet(path).assign(response_tokens="many").to_parquet(path)
    asked = pa.schema([("split", pa.string()), ("response_tokens", pa.int64())])
    with pytest.warns(UserWarning, match=r"/a is damaged and left out \(ValueError: column"):
        kept = list(records_of_runs(find_runs([root]), asked))
    assert [run.about["seed"] for run, _ in kept] == [1, 2]


def test_a_column_that_repeats_one_value() -> None:
    assert constant(None, 2, pa.int8()).equals(pa.array([None, None], pa.int8()))
    assert constant(7, 2, pa.int8()).equals(pa.array([7, 7], pa.int8()))
    told = constant("a", 3, NAMES)
    assert told.type == NAMES and told.to_pylist() == ["a"] * 3
    assert constant(None, 1, NAMES).type == NAMES


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
    monkeypatch.setattr(many_records, "_SHORT", 100)
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
