"""Training in stages: against a loop written out, and through stops and kills."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.models.build import build_model, load_model
from latent_core.models.latent import LatentModel
from latent_core.models.rates import MULTIPLE
from latent_core.models.steered import SteeredModel
from latent_core.runs.own_files import delete_run
from latent_core.training.curriculum import Curriculum
from latent_core.training.staged import StagedModel

STAGES = [
    {"steps": 2, "layout": "Start_1", "learning_rate": 0.02, "trains": "all"},
    {"steps": 3, "layout": "Start_1+End_1=hidden(proj=2)", "replaced": 1, "trains": "latents"},
    {"steps": 3, "layout": "Start_1+End_3=hidden(proj=2)", "replaced": "50%", "trains": "beside"},
    {"steps": 3, "replaced": "all", "learning_rate_beside": 0.005},
]
METHOD = "Start_2+End_3=hidden(proj=2) & lora-r2"


def made(seed: int = 3) -> LatentModel:
    model = build_model("tiny", METHOD, seed=seed)
    assert isinstance(model, LatentModel)
    return model


def run(model: SteeredModel, folder: Path | None = None, **settings) -> lc.TrainingResult:
    return lc.train(
        *(model, "hops", None, 4, 3, folder),
        curriculum=settings.pop("curriculum", STAGES),
        progress=False,
        **settings,
    )


def written_out(model: LatentModel) -> dict[str, torch.Tensor]:
    """The same training as a loop of its own, a stage after the other."""
    task = lc.load_task("hops")
    examples = task.examples("train", 11 * 4, 3)
    curriculum = Curriculum.of(STAGES, lc.Method.parse(METHOD))
    previous, start = None, model.tables.named()
    for stage in curriculum.stages:
        now = LatentModel(model.backbone, stage.layout, 3, companion=model.companion)
        source = start if previous is None else previous
        tables = now.tables.named()
        for name, table in tables.items():
            for origin in (start, source):
                if name in origin:
                    rows = min(len(table), len(origin[name]))
                    table[:rows] = origin[name][:rows]
        now.tables.assign(tables)
        own = list(now.tables.parameters())
        lora = [p for n, p in now.named_parameters() if "lora" in n]
        rates = {
            "all": (stage.learning_rate or MULTIPLE * now.backbone.embedding_rms, 1e-3),
            "latents": (MULTIPLE * now.backbone.embedding_rms, 0),
            "beside": (0, 1e-3),
        }[stage.trains]
        if stage.learning_rate_beside:
            rates = (rates[0], stage.learning_rate_beside)
        trains = own * (rates[0] > 0) + lora * (rates[1] > 0)
        groups = [{"params": own, "lr": rates[0]}, {"params": lora, "lr": rates[1]}]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        now.train()
        warm = math.ceil(0.05 * stage.steps)
        for step in range(stage.steps):
            batch, examples = examples[:4], examples[4:]
            texts = [task.written(e, stage.skipped(len(e.steps))) for e in batch]
            slots = [now.insert(e.prompt, text) for e, text in zip(batch, texts, strict=True)]
            optimizer.zero_grad()
            now(**now.batch(slots).as_dict())["loss"].backward()
            for weight in (*own, *lora):
                if not any(weight is one for one in trains):
                    weight.grad = None
            clip_grad_norm_([p for p in trains if p.grad is not None], 1.0)
            shape = step / warm if step < warm else (stage.steps - step) / (stage.steps - warm)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * shape
            optimizer.step()
        previous = now.tables.named()
    lora_now = {n: p.detach().clone() for n, p in model.named_parameters() if "lora" in n}
    return {f"own {n}": t for n, t in previous.items()} | lora_now


def test_stages_are_what_a_loop_written_out_does() -> None:
    model = made()
    result = run(model)
    assert result.log["stage"].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    wanted = written_out(made())
    found = {f"own {n}": t for n, t in model.tables.named().items()}
    found |= {n: p.detach() for n, p in model.named_parameters() if "lora" in n}
    assert set(found) == set(wanted)
    start = made().trainable_weights()
    assert any(not torch.equal(model.trainable_weights()[name], start[name]) for name in start)
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=0.02)


@pytest.mark.parametrize("stop", [1, 2, 4, 5, 8, 10])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(stop: int, tmp_path: Path) -> None:
    once = made()
    whole = run(once, tmp_path / "once", save_steps=1)
    first = run(made(), tmp_path / "again", save_steps=1, on_step=lambda step, loss: step == stop)
    assert first.stopped and len(first.log) == stop
    stopped = load_model(tmp_path / "again")
    assert stopped.method == METHOD
    again = made()
    rest = run(again, tmp_path / "again", save_steps=1, resume=True)
    for name, weight in once.trainable_weights().items():
        assert torch.equal(weight, again.trainable_weights()[name]), name
    assert rest.log[["step", "loss", "stage"]].equals(whole.log[["step", "loss", "stage"]])
    loaded = run(made(), tmp_path / "again", save_steps=1, resume=True)
    assert loaded.loaded and loaded.log["stage"].tolist() == whole.log["stage"].tolist()
    assert delete_run(tmp_path / "again") == []


def test_a_stopped_run_keeps_what_it_has_trained_so_far(tmp_path: Path) -> None:
    model = made()
    run(model, tmp_path / "a", on_step=lambda step, loss: step == 5, save_steps=1)
    start = made().tables.named()
    kept = load_model(tmp_path / "a")
    assert isinstance(kept, LatentModel)
    found = kept.tables.named()
    assert not torch.equal(found["Start"][0], start["Start"][0])  # trained in stages 0 and 1
    assert torch.equal(found["Start"][1], start["Start"][1])  # the last stage's alone
    assert not torch.equal(found["End.up"], start["End.up"])


def test_run_json_says_the_stages_with_their_rates(tmp_path: Path) -> None:
    run(made(), tmp_path / "a", learning_rate=0.3)
    settings = json.loads((tmp_path / "a" / "run.json").read_text())["settings"]
    assert settings["steps"] == 11 and settings["method"] == METHOD
    rates = [
        (s.get("learning_rate"), s.get("learning_rate_beside")) for s in settings["curriculum"]
    ]
    assert rates == [(0.02, 1e-3), (0.3, None), (None, 1e-3), (0.3, 0.005)]
    with pytest.raises(SettingError, match=r"other settings: .*curriculum"):
        run(made(), tmp_path / "a", learning_rate=0.3, resume=True, curriculum=[{"steps": 11}])


def test_gradients_reach_all_weights_again_after_a_run() -> None:
    model = made()
    run(model, curriculum=[{"steps": 1, "trains": "beside"}])
    model.train()
    model(**model.batch([model.insert("a=1\na?\n", "1.")]).as_dict())["loss"].backward()
    assert all(float(w.grad.abs().max()) > 0 for w in model.tables.tables)


@pytest.mark.parametrize("method", ["lora-r2", "full", "End_2=text(.) & lora-r2"])
def test_methods_without_computed_latents_have_stages_too(method: str) -> None:
    model = build_model("tiny", method)
    start = model.trainable_weights()
    result = run(model, curriculum=[{"steps": 2}, {"steps": 2, "replaced": "all"}])
    assert result.log["stage"].tolist() == [0, 0, 1, 1]
    assert any(not torch.equal(start[n], w) for n, w in model.trainable_weights().items())


def test_a_layout_of_a_stage_may_have_groups_of_its_own() -> None:
    model = LatentModel("tiny", "End_2", seed=5)
    before = model.tables.named()["End"]
    run(model, curriculum=[{"steps": 1, "layout": "Start_3"}, {"steps": 1}], learning_rate=0.1)
    # One step each, whose warm-up is left out: the first stage trains Start, the second End.
    assert not torch.equal(model.tables.named()["End"], before)


def test_weights_of_another_run_are_those_that_the_first_stage_starts_with(tmp_path: Path) -> None:
    parent = made(seed=8)
    parent.save_pretrained(tmp_path / "parent")
    model = made(seed=1)
    staged = StagedModel(model, Curriculum.of(STAGES, lc.Method.parse(METHOD)), 1)
    model.load_weights(tmp_path / "parent")
    staged.start_from_last()
    first = staged.of_stage(0)
    assert isinstance(first, LatentModel)
    assert torch.equal(first.tables.named()["Start"], parent.tables.named()["Start"][:1])


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("Start_1", {"curriculum": [{"steps": 1, "trains": "beside"}]}, "stage 0 trains beside of"),
        ("Start_1", {"curriculum": [{"steps": 1, "layout": "none"}, {"steps": 1}]}, "is nothing"),
        ("lora-r2", {"curriculum": [{"steps": 1, "layout": "End_1"}, {"steps": 1}]}, "no latents"),
        ("Start_1", {"curriculum": STAGES[:1], "patience": 2}, "patience is 2, but a run with a c"),
        (
            "Start_1",
            {"curriculum": [{"steps": 1, "learning_rate_beside": 0.1}]},
            "trains nothing beside latents",
        ),
        (
            "Start_1 & lora-r2",
            {
                "curriculum": [
                    {"steps": 1, "trains": "beside", "learning_rate": 1, "learning_rate_beside": 1}
                ]
            },
            "has two learning rates",
        ),
        (
            "Start_1",
            {"curriculum": [{"steps": 1}], "lr_scheduler_type": "reduce_lr_on_plateau"},
            "lr_scheduler_type",
        ),
    ],
)
def test_stages_that_make_no_sense_are_refused(method: str, settings: dict, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        run(build_model("tiny", method), **settings)


def test_steps_can_be_left_out_only_where_there_are_some() -> None:
    model = LatentModel("tiny", "Start_1")
    stages = [{"steps": 1, "replaced": 1}, {"steps": 1, "replaced": "all"}]
    with pytest.raises(SettingError, match="the examples of repetition have no written steps"):
        lc.train(model, "repetition", None, 2, curriculum=stages, progress=False)
    lc.train(model, "repetition", None, 2, curriculum=stages[1:], progress=False)
