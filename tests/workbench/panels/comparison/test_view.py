import pandas as pd

from workbench.panels.comparison.tables import method_table
from workbench.panels.comparison.view import methods_html


def test_names_are_data() -> None:
    frame = pd.DataFrame(
        {"method": ["Before[<img src=x>]_1"], "seed": [0], "split": ["id"], "graded": [1.0]}
    )
    html = methods_html(method_table(frame))
    assert "<img" not in html
    assert "Before[&lt;img" in html
