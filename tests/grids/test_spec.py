"""The settings of a run, and the folder that they name."""

import pytest

from latent_core.errors import SettingError
from latent_core.grids.grid import Grid
from latent_core.grids.spec import Training
from latent_core.slots.methods import Method
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
    with pytest.raises(SettingError, match="'x'; expected coconut or lt-tuning or written"):
        Grid(**asked, training=settings | {"curriculum": "x"}).specs()


def test_a_search_beside_chooses_the_rate_of_what_peft_trains_beside_latents() -> None:
    methods = ["Start_2", "lora-r2", "End_2=hidden & lora-r2", "Start_2 & lora-r2"]
    rates = {"learning_rates": [0.01, 0.1]}
    asked = grid(methods=methods, search=rates | {"beside": True}).specs()
    found = [[(t.training.learning_rate, t.training.learning_rate_beside) for t in s.trials()]
             for s in asked if s.seed == asked[0].seed]  # fmt: skip
    assert found == [[(0.01, None), (0.1, None)]] * 3 + [[(None, 0.01), (None, 0.1)]]
    assert all("/lr-0.01-steps-" in spec.trials()[0].folder for spec in asked)
    usual = grid(methods=methods, search=rates).specs()
    assert usual[3].trials()[0].training.learning_rate == 0.01
    assert "beside" not in usual[3].identity["search"]  # so that earlier folders keep their names
    with pytest.raises(SettingError, match="beside is 'yes'; expected true or false"):
        grid(search=rates | {"beside": "yes"}).specs()


def test_a_rate_beside_latents_is_that_of_peft_where_it_trains_alone() -> None:
    both = Training(learning_rate=0.1, learning_rate_beside=0.01)
    found = [
        (of.learning_rate, of.learning_rate_beside)
        for method in ("Start_2", "lora-r2", "End_2=hidden & lora-r2", "Start_2 & lora-r2")
        if (of := both.of_method(Method.parse(method)))
    ]
    assert found == [(0.1, None), (0.1, None), (0.01, None), (0.1, 0.01)]
