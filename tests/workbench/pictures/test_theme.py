from workbench.pictures.theme import show_spaces, visible


def test_token_text_cannot_give_plotly_orders() -> None:
    assert visible("<b>a</b> \n") == "&lt;b&gt;a&lt;/b&gt;␣⏎"


def test_control_characters_are_shown_by_their_pictures() -> None:
    assert show_spaces("a\tb\r\x00") == "a⇥b␍␀"
