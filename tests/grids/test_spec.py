"""The settings of a run, and the folder that they name."""

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
