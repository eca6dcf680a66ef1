"""The examples in the docstrings of the public names: each name has one, and each runs."""

import doctest
import io

import griffe
import pytest

from docs.api import public_objects

OBJECTS = public_objects()
#: Examples that start other processes.
SLOW = {"lc.run_grid"}


def example_of(path: str) -> doctest.DocTest:
    docstring = OBJECTS[path].docstring
    text = "" if docstring is None else docstring.value
    return doctest.DocTestParser().get_doctest(text, {}, path, path, 0)


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow) if p in SLOW else p for p in OBJECTS],
)
def test_the_example_of_a_public_name_runs(path: str) -> None:
    example = example_of(path)
    constant = isinstance(OBJECTS[path], griffe.Attribute)
    assert example.examples or constant, f"{path} has no Example: section in its docstring"
    said = io.StringIO()
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.write)
    assert not said.getvalue(), said.getvalue()


def test_an_example_that_gives_something_else_fails() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", "wrong", 0)
    assert doctest.DocTestRunner().run(wrong, out=lambda text: None).failed == 1
