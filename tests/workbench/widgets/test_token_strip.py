"""The token strip: what it tells the browser, and what a browser makes of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from latent_core.slots.views import SlotView
from workbench.pictures.slots import slot_cells
from workbench.templates import joined
from workbench.widgets.token_strip import STATIC, TokenStrip

HOSTILE = (
    "</script>",
    "<img src=x onerror=window.ran=1>",
    "\"'`",
    "\n",
    "שלום",
    "👩‍🔬",
    "&lt;b&gt;",
    "",
)


def verbal(text: str, position: int) -> SlotView:
    return SlotView(text, None, None, position, 7)


SLOTS = (
    SlotView("Start.0", "Start", 0, 0, None),
    verbal(" a", 0),
    verbal("\n", 1),
    SlotView("Comma.1", "Comma", 2, 2, None),
    verbal(",", 2),
)


def test_slots_travel_with_their_text_group_position_and_mark() -> None:
    strip = TokenStrip.of(SLOTS, 3, ["", "right", "", "", "wrong"])
    assert strip.slots[3] == {
        "text": "Comma.1",
        "group": "Comma",
        "number": 3,
        "position": 2,
        "mark": "",
        "chance": "",
        "words": "latent Comma.1, occurrence 3, position id 2",
        "breaks": False,
    }
    assert [(slot["text"], slot["breaks"]) for slot in strip.slots[1:3]] == [
        ("␣a", False),
        ("⏎", True),
    ]
    assert [slot["mark"] for slot in strip.slots] == ["", "right", "", "", "wrong"]
    assert strip.prompt_length == 3
    assert list(strip.colours) == list(strip.inks) == ["Start", "Comma"]


def test_marks_have_to_be_one_per_slot() -> None:
    with pytest.raises(ValueError, match="shorter"):
        slot_cells(SLOTS, ["right"])


def test_only_additions_are_sent_while_streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    strip = TokenStrip.of(SLOTS)
    sent: list[Any] = []
    states: list[Any] = []
    monkeypatch.setattr(strip, "send", lambda content, buffers=None: sent.append(content))
    monkeypatch.setattr(strip, "send_state", lambda key=None: states.append(key))
    strip.add([verbal("b", 3)])
    assert states == []
    assert sent == [
        {
            "kind": "add",
            "start": 5,
            "slots": [cell.traits() for cell in slot_cells([verbal("b", 3)])],
        }
    ]
    strip.show([*SLOTS, verbal("b", 3)])
    assert "slots" in states  # the browser's model gets them too, though they are the same


def test_fewer_slots_leave_nothing_selected_beyond_them() -> None:
    strip = TokenStrip.of(SLOTS, selected=4, hovered=1)
    strip.show(SLOTS[:2])
    assert (strip.selected, strip.hovered) == (-1, 1)


# --- in a browser -----------------------------------------------------------------------------

MODEL = """
window.makeModel = (state) => {
  const hooks = {};
  const model = {
    saved: [], sent: [],
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; model.fire(`change:${name}`); },
    save_changes: () => model.saved.push({ ...state }),
    send: (content) => model.sent.push(content),
    on: (name, hook) => (hooks[name] ??= []).push(hook),
    off: (name, hook) => { hooks[name] = hooks[name].filter((other) => other !== hook); },
    fire: (name, ...args) => (hooks[name] ?? []).forEach((hook) => hook(...args)),
    hooks,
  };
  return model;
};
"""


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    script = joined("reveal.js", "token_strip.js")
    script = script.replace("export default { render };", "window.render = render;")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 500, "height": 600})
        page.set_content("<div id=here></div>")
        page.add_style_tag(content=(STATIC / "token_strip.css").read_text())
        page.add_script_tag(content=MODEL)
        page.add_script_tag(content=script, type="module")
        page.wait_for_function("window.render !== undefined")
        yield page
        browser.close()


def render(page: Any, strip: TokenStrip) -> None:
    state = {name: getattr(strip, name) for name in strip.keys if not name.startswith("_")}
    state = json.loads(json.dumps(state, default=str))
    page.evaluate(
        """(state) => {
          window.ran = 0;
          const here = document.getElementById("here");
          here.replaceChildren();
          window.model = makeModel(state);
          render({ model, el: here });
        }""",
        state,
    )


def texts(page: Any) -> list[str]:
    found: list[str] = page.locator("[role=option] .latent-text").all_text_contents()
    return found


@pytest.mark.slow
def test_spacing_tells_nothing_of_position_ids(page: Any) -> None:
    render(page, TokenStrip.of([verbal("a", number) for number in (7, 77, 777, 7777)]))
    boxes = [slot.bounding_box() for slot in page.locator("[role=option]").all()]
    assert len({box["width"] for box in boxes}) == 1
    inside = "el => el.querySelector('.latent-position').scrollWidth <= el.clientWidth"
    assert all(slot.evaluate(inside) for slot in page.locator("[role=option]").all())


@pytest.mark.slow
def test_wide_tokens_keep_clear_of_each_other(page: Any) -> None:
    render(page, TokenStrip.of([verbal(text, n) for n, text in enumerate(("abcdef·1/2", "x·2/2"))]))
    right, left = page.locator(".latent-text").evaluate_all(
        """texts => texts.map((text) => {
          const range = document.createRange();
          range.selectNodeContents(text);
          return range.getBoundingClientRect();
        }).map((box, at) => (at ? box.left : box.right))"""
    )
    assert left - right >= 4


@pytest.mark.slow
def test_hostile_tokens_and_groups_show_as_themselves(page: Any) -> None:
    group = "Before[<img src=x onerror=window.ran=1>]"
    chip = SlotView(f"{group}.0", group, 0, 0, None)
    render(page, TokenStrip.of([chip, *(verbal(text, n) for n, text in enumerate(HOSTILE))]))
    shown = [text.replace("\n", "⏎").replace(" ", "␣") for text in HOSTILE]
    assert texts(page) == [chip.label, *shown[:-1], "∅"]
    page.wait_for_timeout(100)
    made = "[window.ran, document.querySelectorAll('#here img, #here b').length]"
    assert page.evaluate(made) == [0, 0]


@pytest.mark.slow
def test_keyboard_moves_by_slot_and_by_line_and_selects(page: Any) -> None:
    render(page, TokenStrip.of([verbal("word", n) for n in range(60)]))
    page.locator("[role=listbox]").focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate("model.get('selected')") == 2
    page.keyboard.press("ArrowDown")
    below = page.evaluate("model.get('hovered')")
    boxes = [page.locator("[role=option]").nth(n).bounding_box() for n in (2, below)]
    assert boxes[1]["y"] > boxes[0]["y"]
    assert abs(boxes[1]["x"] - boxes[0]["x"]) < 20
    page.keyboard.press("ArrowUp")
    assert page.evaluate("model.get('hovered')") == 2
    page.keyboard.press("Escape")
    assert page.evaluate("model.get('selected')") == -1
    focused = page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
    label = page.locator(f"[id='{focused}']").get_attribute("aria-label")
    assert label == 'token "word", position id 2'


@pytest.mark.slow
def test_hover_and_selection_from_outside_light_a_slot_up(page: Any) -> None:
    render(page, TokenStrip.of(SLOTS))
    page.evaluate("model.set('hovered', 3); model.set('selected', 1)")
    assert page.locator(".latent-hovered .latent-text").all_text_contents() == ["Comma.1 #3"]
    assert page.locator("[aria-selected=true] .latent-text").all_text_contents() == ["␣a"]
    page.locator("[role=option]").nth(4).click()
    assert page.evaluate("model.get('selected')") == 4
    page.mouse.move(0, 590)
    page.wait_for_function("model.saved.length && model.saved.at(-1).hovered === -1")


@pytest.mark.slow
def test_streamed_slots_are_added_and_nothing_else_is_drawn_again(page: Any) -> None:
    render(page, TokenStrip.of(SLOTS, 3))
    more = [cell.traits() for cell in slot_cells([verbal("b", 3)])]
    kept = page.evaluate(
        """(more) => {
          const before = [...document.querySelectorAll("[role=option]")];
          model.fire("msg:custom", { kind: "add", start: 5, slots: more });
          const after = [...document.querySelectorAll("[role=option]")];
          model.fire("msg:custom", { kind: "add", start: 9, slots: more });
          return [before.every((cell, n) => cell === after[n]), after.length, model.sent];
        }""",
        more,
    )
    assert kept == [True, 6, [{"kind": "missed"}]]
    page.evaluate("model.set('slots', model.get('slots').slice(0, 2))")
    assert texts(page) == ["Start.0", "␣a"]
    assert page.locator(".latent-break").count() == 0


@pytest.mark.slow
def test_marks_have_a_sign_and_a_line_not_only_a_colour(page: Any) -> None:
    render(page, TokenStrip.of(SLOTS, 3, ["", "right", "", "", "wrong"]))
    assert page.locator(".latent-sign").all_text_contents() == ["", "✓", "", "", "✗"]
    styles = page.evaluate(
        """[...document.querySelectorAll("[role=option] .latent-text")]
             .map((cell) => getComputedStyle(cell).borderBottomStyle)"""
    )
    assert (styles[1], styles[4]) == ("solid", "dashed")
    assert "latent-first" in page.locator("[role=option]").nth(3).get_attribute("class")
    assert page.locator(".latent-break").count() == 1
