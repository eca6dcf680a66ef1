"""Words that messages and pages share."""

from latent_core.wording import isolated


def test_a_name_from_right_to_left_is_enclosed_and_any_other_stays_as_it_is() -> None:
    assert isolated("שלמה_2") == "\u2068שלמה_2\u2069"
    assert isolated("Comma_2 世") == "Comma_2 世"
