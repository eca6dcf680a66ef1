"""Latent tokens in JupyterLab: panels that share a session, and pictures.

    from workbench import Workbench
    Workbench("smollm2-135m", adapters=["Comma_2", "Start_2"])

`__init__.pyi` lists the public names. A name is imported on first use, so a picture of a run needs
no model. The packages of the extra `workbench` are needed for all of it.

Imports go one way (`[tool.importlinter]` in pyproject.toml): app, panels, then what panels share,
then widgets and the session, then pictures, then responses, then jobs and templates.
"""

from importlib.util import find_spec
from typing import Any, Final

import lazy_loader

from latent_core.errors import needs_extra

_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_NEEDED: Final = (
    *("anywidget", "bertviz", "IPython", "ipywidgets", "matplotlib", "plotly", "traitlets"),
)

with needs_extra("workbench", "workbench"):
    for _package in _NEEDED:
        if find_spec(_package) is None:
            raise ModuleNotFoundError(f"No module named {_package!r}", name=_package)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return _attached(name)
