"""The reference of the public names: current, and true to the signatures."""

import griffe
import pytest

from docs.api import PAGE, names_of, page, public_objects

OBJECTS = public_objects()
FUNCTIONS = [path for path, target in OBJECTS.items() if isinstance(target, griffe.Function)]


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `make reference`"


@pytest.mark.parametrize("path", FUNCTIONS)
def test_the_documented_arguments_are_those_of_the_signature(path: str) -> None:
    function = OBJECTS[path]
    assert isinstance(function, griffe.Function) and function.docstring is not None
    documented = [
        name
        for section in function.docstring.parse("google", warnings=False)
        if section.kind is griffe.DocstringSectionKind.parameters
        for item in section.value
        for name in names_of(item)
    ]
    # An argument of the type Never is none: it catches a name that an earlier version had.
    taken = [p.name for p in function.parameters if str(p.annotation) != "Never"]
    assert documented == taken
