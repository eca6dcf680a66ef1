"""The settings of a run, and the folder that they name."""

import pytest

from latent_core.errors import SettingError
from latent_core.grids.grid import Grid
from tests.grids.engine import SEARCH, grid


def test_a_folder_is_fixed_by_what_makes_the_run() -> None:
    (spec,) = grid(methods=["Start_2"], seeds=[3]).specs()
    for changes in (
        {"training": {"steps": 3, "batch_size": 2}},
        {"seeds": [4]},
        {"search": SEARCH},
        {"dtype": "float32"},
    ):
        (other,) = grid(**{"methods": ["Start_2"], "seeds": [3], **changes}).specs()
        assert other.folder != spec.folder
    (asked_more,) = grid(methods=["Start_2"], seeds=[3], evaluation={"examples": 9}).specs()
    assert asked_more.folder == spec.folder
    odd = grid(methods=["Before[,|/]_1", "Before[,|:]_1"], seeds=1).specs()
    assert len({s.folder for s in odd}) == 2 and all(s.folder.count("/") == 3 for s in odd)


def test_checks_and_snapshots_make_another_run_and_none_leave_its_folder_as_it_was() -> None:
    settings = {"steps": 7, "learning_rate": 0.1}
    asked = {"backbones": ["tiny"], "tasks": ["repetition"], "methods": ["Start_2"], "seeds": [3]}
    (spec,) = Grid(**asked, training=settings).specs()
    assert spec.folder == "repetition/tiny/Start_2/seed-3-9db8f0f5"  # that of earlier versions
    folders = {spec.folder}
    for more in ({"patience": 2}, {"check_every": 2}, {"snapshots": 3}, {"curriculum": "coconut"}):
        (other,) = Grid(**asked, training=settings | more).specs()
        folders.add(other.folder)
    assert len(folders) == 5
    with pytest.raises(SettingError, match="patience is 0; expected a whole number of at least 1"):
        Grid(**asked, training=settings | {"patience": 0}).specs()
    with pytest.raises(SettingError, match="curriculum is 'x'; expected coconut or lt-tuning"):
        Grid(**asked, training=settings | {"curriculum": "x"}).specs()
