"""Many means at once are those of SciPy, column by column."""

import numpy as np
import pytest
from scipy import stats

from latent_core.errors import SettingError
from latent_core.statistics.columns import column_differences, column_means


def test_each_column_has_students_interval_over_the_rows_that_have_it() -> None:
    values = np.random.default_rng(0).normal(size=(7, 3))
    values[2, 1] = np.nan
    found = column_means(values, 0.9)
    for column in range(3):
        rows = values[np.isfinite(values[:, column]), column]
        wanted = stats.t.interval(0.9, len(rows) - 1, rows.mean(), stats.sem(rows))
        assert found.loc[column, ["low", "high"]].tolist() == pytest.approx(wanted)
    assert found["examples"].tolist() == [7, 6, 7]


def test_one_row_has_a_mean_and_no_interval_and_no_row_has_neither() -> None:
    found = column_means([[0.5, np.nan]])
    assert found.loc[0, "mean"] == 0.5 and found["low"].isna().all()
    assert np.isnan(found.loc[1, "mean"]) and found["examples"].tolist() == [1, 0]


def test_a_difference_of_two_samples_has_welchs_interval() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.0, [1.0, 0.1], (9, 2)), rng.normal(1.0, [3.0, 0.3], (5, 2))
    found = column_differences(one, other)
    for column in range(2):
        test = stats.ttest_ind(one[:, column], other[:, column], equal_var=False)
        wanted = test.confidence_interval(0.95)
        assert found.loc[column, "low"] == pytest.approx(wanted.low)
        assert found.loc[column, "high"] == pytest.approx(wanted.high)
    assert found["examples"].tolist() == [5, 5]


def test_samples_that_do_not_vary_have_an_interval_without_width() -> None:
    found = column_differences([[0.5], [0.5]], [[0.25], [0.25]])
    assert found.iloc[0][["mean", "low", "high"]].tolist() == [0.25, 0.25, 0.25]


def test_a_share_that_is_none_is_refused() -> None:
    for confidence in (0, 1, 1.5):
        with pytest.raises(SettingError, match=f"confidence is {confidence}"):
            column_means([[1.0]], confidence)


def test_none_is_a_row_that_lacks_the_column() -> None:
    assert column_means([[1.0, None], [2.0, 4.0]])["mean"].tolist() == [1.5, 4.0]
