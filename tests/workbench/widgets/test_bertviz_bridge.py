"""BertViz's scripts get what they expect: the backbone's own attention, queries and keys."""

import base64
import gzip
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

import latent_core as lc
from latent_core.errors import BackboneError, LatentError, LayoutError, SettingError
from tests.families import tiny_backbone
from tests.made_backbones import PROMPT, RESPONSE, TOKENS, hostile_backbone
from workbench.app import Workbench
from workbench.pictures.slots import group_colours
from workbench.widgets import bertviz_bridge
from workbench.widgets.bertviz_bridge import BertVizView, bertviz_view

KINDS = ("head", "model", "neuron")


@pytest.fixture(scope="module")
def model() -> lc.LatentModel:
    return lc.LatentModel(hostile_backbone(), "Start_1+Comma_2", seed=0)


def unpacked(view: BertVizView) -> dict[str, Any]:
    (packed,) = re.findall(r'<script id="packed" type="text/plain">([^<]*)</script>', view.page)
    content: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
    return content


def attention_of(content: dict[str, Any]) -> dict[str, Any]:
    attention = content["params"]["attention"]
    one: dict[str, Any] = attention["all"] if isinstance(attention, dict) else attention[0]
    return one


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_holds_the_attention_of_the_chosen_layers_and_heads(
    kind: Any, model: lc.LatentModel
) -> None:
    content = unpacked(bertviz_view(model, "ab,c", "d,e", kind, layers=[1], heads=[3, 0]))
    found = attention_of(content)
    record = lc.capture_attention(model, "ab,c", "d,e", of="all")
    expected = record.select(layers=[1], heads=[3, 0]).weights
    assert torch.allclose(torch.tensor(found["attn"]), expected, atol=6e-4)
    first, second = ([f"Comma.{member} #{number}" for member in (0, 1)] for number in (1, 2))
    labels = ["Start.0", *"ab", *first, *",cd", *second, *",e", "<eos>"]
    assert found["left_text"] == found["right_text"] == labels
    assert (content["layers"], content["heads"]) == ([1], [3, 0])
    latents = [label for label in labels if "." in label]
    assert list(content["latents"]) == latents
    shades = [content["latents"][label][0] for label in latents]
    assert shades == [group_colours(record.slots)[label.split(".")[0]] for label in latents]
    if kind != "neuron":
        assert content["params"]["include_layers"] == [1]


@pytest.mark.parametrize("family", ["llama", "granite", "gpt2"])
def test_queries_and_keys_give_the_attention_as_the_neuron_view_computes_it(family: str) -> None:
    """It divides by the root of the length; Granite scales otherwise, Llama shares its keys."""
    model = lc.LatentModel(tiny_backbone(family), "Start_1+Comma_2", seed=0)
    found = attention_of(unpacked(bertviz_view(model, "ab,c", "d,e,1,2", "neuron")))
    queries, keys, attn = (torch.tensor(found[name]) for name in ("queries", "keys", "attn"))
    assert queries.shape == keys.shape == (*attn.shape[:3], 8)
    logits = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    ahead = torch.ones_like(logits, dtype=torch.bool).triu(1)
    assert torch.allclose(logits.masked_fill(ahead, -1e9).softmax(-1), attn, atol=0.05)
    assert attn.std() > 0.1


def test_by_default_a_few_layers_from_first_to_last(model: lc.LatentModel) -> None:
    assert unpacked(bertviz_view(model, "1,2", "3"))["layers"] == [0, 1]
    assert bertviz_bridge._evenly(range(30), 4) == (0, 10, 19, 29)
    assert bertviz_bridge._evenly((0, 2), 4) == (0, 2)
    assert bertviz_bridge._evenly((5,), 4) == (5,)


def test_white_space_is_visible_and_hostile_tokens_travel_as_they_are(
    model: lc.LatentModel,
) -> None:
    labels = attention_of(unpacked(bertviz_view(model, PROMPT, RESPONSE + "\n =")))["left_text"]
    for token in TOKENS:
        assert labels.count(token.replace(" ", "␣")) == 2
    assert labels[-4:] == ["⏎", "␣", "=", "<eos>"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_carries_no_text_that_could_act(kind: Any, model: lc.LatentModel) -> None:
    layout = "Start_1+Before[</script><script>top.pwned=1</script>]_1"
    view = bertviz_view(lc.LatentModel(model.backbone, layout, seed=0), PROMPT, RESPONSE, kind)
    assert not any(token in view.page for token in TOKENS[:5])
    assert len(re.findall(r"<script", view.page)) == 2  # the packed data, and ours
    assert not re.search(r"(src|href)\s*=", re.sub(r"<script.*?</script>", "", view.page))
    embedded = view._repr_html_()
    assert embedded.count("<script") == embedded.count("</script>") == 1
    assert '<iframe sandbox="allow-scripts" ' in embedded


def test_without_a_response_the_model_writes_one(model: lc.LatentModel) -> None:
    found = attention_of(unpacked(bertviz_view(model, "ab,", max_new_tokens=3)))["left_text"]
    generation = model.generate("ab,", max_new_tokens=3, return_details=True)[0]
    assert [label for label in found if not label.startswith(("Start.", "Comma."))] == [
        *"ab,",
        *(model.backbone.token_text(i) for i in generation.response_ids),
    ]


def test_it_looks_at_the_model_under_an_intervention(model: lc.LatentModel) -> None:
    view = bertviz_view(model, "ab,c", "d,e", intervention="drop(Comma)")
    assert "Comma.0 #1" not in attention_of(unpacked(view))["left_text"]
    assert view.title.endswith(", under drop(Comma)")
    assert "Comma.0 #1" in attention_of(unpacked(bertviz_view(model, "ab,c", "d,e")))["left_text"]
    with pytest.raises(LayoutError, match="End"):
        bertviz_view(model, "ab,c", "d,e", intervention="drop(End)")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "heads"}, "no view 'heads'; expected one of head, model, neuron"),
        ({"layers": [2]}, "no layer 2; its 2 layers are 0 to 1"),
        ({"heads": [4]}, "no head 4; its 4 heads are 0 to 3"),
        ({"layers": []}, "layer"),
    ],
)
def test_what_does_not_exist_is_refused(
    wrong: dict[str, Any], says: str, model: lc.LatentModel
) -> None:
    with pytest.raises(SettingError, match=says):
        bertviz_view(model, "ab,c", "d,e", **wrong)


def test_a_page_too_large_is_refused_with_its_size(
    model: lc.LatentModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = 13**2 * 4  # slots squared, by heads
    monkeypatch.setattr(bertviz_bridge, "MOST_LINES", lines)
    bertviz_view(model, "ab,c", "d,e", "head")
    with pytest.raises(SettingError, match=rf"draw {2 * lines:,} lines for 13 slots"):
        bertviz_view(model, "ab,c", "d,e", "model")
    bertviz_view(model, "ab,c", "d,e", "model", layers=[0])
    monkeypatch.setattr(bertviz_bridge, "MOST_MEGABYTES", 0.1)
    with pytest.raises(SettingError, match=r"would have 0\.[12] MB, more than 0\.1 MB"):
        bertviz_view(model, "ab,c", "d,e", "head")


def test_a_family_without_hooks_has_head_and_model_view_but_no_neuron_view() -> None:
    backbone = tiny_backbone("gpt_neo")
    model = lc.LatentModel(backbone, "Start_1", seed=0)
    for kind in ("head", "model"):
        assert unpacked(bertviz_view(model, "ab", "c", kind))["layers"] == [0, 1]
    with pytest.raises(BackboneError, match="cannot be looked into"):
        bertviz_view(model, "ab", "c", "neuron")


def test_a_page_is_saved_as_html_and_the_notebook_shows_the_same(
    model: lc.LatentModel, tmp_path: Path
) -> None:
    view = bertviz_view(model, "ab,c", "d,e")
    assert view.save(tmp_path / "view.html").read_text(encoding="utf-8") == view.page
    assert repr(view).startswith("BertViz head view: Start_1+Comma_2 on hostile, layers 0, 1 of 2")
    one = bertviz_view(model, "ab,c", "d,e", layers=[1])
    assert repr(one).startswith("BertViz head view: Start_1+Comma_2 on hostile, layer 1 of 2")
    with pytest.raises(SettingError, match=r"saved as \.html, not as 'view\.png'"):
        view.save(tmp_path / "view.png")
    with pytest.raises(LatentError, match="cannot write"):
        view.save(tmp_path / "missing" / "view.html")


def test_the_workbench_shows_the_session(model: lc.LatentModel) -> None:
    wb = Workbench(model.backbone, {"mine": model}, lc.load_task("repetition"))
    wb.session.prompt = "ab,c"
    assert wb.session.adapter_b == "no latents"
    a, b = (attention_of(unpacked(wb.bertviz(model=m, response="d")))["left_text"] for m in "ab")
    assert a == ["Start.0", *"ab", "Comma.0", "Comma.1", *",cd", "<eos>"]
    assert b == [*"ab,cd", "<eos>"]
    example = wb.session.draw("id", 0)
    labels = attention_of(unpacked(wb.bertviz(layers=[1])))["left_text"]
    record = lc.capture_attention(model, example.prompt, example.answer, "all")
    assert len(labels) == len(record.slots), "the response of the attention panel"
    wb.session.prompt = "ab,c"
    wb.session.intervention = "drop(Comma)"
    assert "drop(Comma)" in wb.bertviz("neuron", response="d").title
    with pytest.raises(SettingError, match="expected 'a' or 'b'"):
        wb.bertviz(model="c")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="layer 9"):
        wb.bertviz(layers=[9])


def test_bertviz_asks_for_no_more_than_the_page_gives() -> None:
    for kind in KINDS:
        source = (files("bertviz") / f"{kind}_view.js").read_text(encoding="utf-8")
        assert source.count("require.config(") == 1
        assert re.findall(r"requirejs\((\[.*?\])", source) == ["['jquery', 'd3']"]
        assert ("= PYTHON_PARAMS;" in source) == (kind != "neuron")
        assert ("= window.bertviz_params" in source) == (kind == "neuron")
        assert ".html(" not in source and "innerHTML" not in source


def test_the_libraries_that_ship_are_what_they_say_and_have_their_licences() -> None:
    vendor = Path(bertviz_bridge.__file__).parent / "vendor"
    for name in bertviz_bridge._LIBRARIES:
        library, version = re.match(r"([a-z0-9]+)-([0-9.]+[0-9])\.", name).groups()
        assert f"v{version}" in (vendor / name).read_text(encoding="utf-8")[:60]
        licence = (vendor / f"{library}-{version}.LICENSE").read_text(encoding="utf-8")
        assert "Permission" in licence or "Redistribution" in licence
