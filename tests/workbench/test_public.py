"""The public names of the workbench, for Python and for an editor."""

import subprocess
import sys

import jedi
import pytest

import workbench


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, workbench\n"
        "heavy = {'torch', 'transformers', 'plotly', 'matplotlib', 'ipywidgets', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert not hasattr(workbench, 'Wrokbench')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", workbench.__all__)
def test_every_public_name_is_there_with_a_docstring(name: str) -> None:
    assert getattr(workbench, name).__doc__


def test_an_editor_completes_names_and_shows_signatures() -> None:
    script = jedi.Script("import workbench\nworkbench.a")
    completed = {found.name for found in script.complete(2, 11)}
    assert {"accuracy_curve", "attention_heatmap"} <= completed
    (signature,) = jedi.Script("import workbench\nworkbench.cell_heatmap(").get_signatures(2, 23)
    assert [parameter.name for parameter in signature.params[:3]] == ["frame", "x", "y"]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Wrokbench'"):
        _ = workbench.Wrokbench
