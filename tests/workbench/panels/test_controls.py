"""A burst of changes calls back once; one alone calls back at once."""

import asyncio

from workbench.panels.controls import Quiet


def test_without_a_loop_each_change_calls_back() -> None:
    calls: list[int] = []
    quiet = Quiet(lambda: calls.append(1))
    quiet.changed()
    quiet.changed()
    assert len(calls) == 2


def test_one_change_of_several_parts_calls_back_soon_and_typing_once_it_is_over() -> None:
    async def changes() -> list[float]:
        loop, calls = asyncio.get_running_loop(), list[float]()
        quiet = Quiet(lambda: calls.append(loop.time() - start))
        start = loop.time()
        quiet.changed()
        quiet.changed()  # the prompt, after the example
        await asyncio.sleep(0.2)
        assert len(calls) == 1 and calls[0] < 0.2
        start = loop.time()
        for _ in range(4):
            quiet.changed()
            await asyncio.sleep(0.05)
        assert len(calls) == 1, "somebody types"
        await asyncio.sleep(0.4)
        return calls

    assert len(asyncio.run(changes())) == 2
