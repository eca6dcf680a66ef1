"""The local engine: how many workers, and what a death is laid to."""

import pytest

from latent_core.errors import LatentError
from latent_core.grids.local import LocalEngine, death, default_workers
from tests.grids.engine import grid


@pytest.mark.parametrize(("code", "memory"), [(-9, True), (137, True), (1, False), (-11, False)])
def test_a_death_is_laid_to_memory_only_where_it_looks_so(code: int, memory: bool) -> None:
    said = death(code)
    assert f"died 2 times (exit code {code})" in said
    assert ("memory" in said) is memory


def test_small_backbones_get_a_process_per_core_and_others_one() -> None:
    assert default_workers(grid().specs()) >= 1
    big = grid(backbones=["tiny", "smollm2-135m"]).specs()
    assert default_workers(big) == 1
    with pytest.raises(LatentError, match="workers is 0"):
        LocalEngine(0)
