"""The hub: what is uploaded, and what the card says. No network is used."""

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import HfApi, ModelCard, RepoUrl
from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

from latent_core.errors import AdapterError
from latent_core.evaluation.evaluate import evaluate
from latent_core.models.build import build_model, load_model
from latent_core.models.latent import LatentModel
from latent_core.runs.evaluation_file import write_records
from latent_core.sharing import model_card, push_folder, results_table
from latent_core.tasks import load_task
from latent_core.training.train import train
from tests.families import tiny_backbone


class Hub:
    """What is kept instead of the hub; it is asked as the hub's client lets itself be asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, []

    def __call__(self, token: str | None = None) -> "Hub":
        self.calls.append(("token", token))
        return self

    def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> RepoUrl:
        inspect.signature(HfApi().create_repo).bind(repo_id, private=private, exist_ok=exist_ok)
        self.calls.append(("create", repo_id, private, exist_ok))
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    def file_exists(self, repo_id: str, filename: str) -> bool:
        inspect.signature(HfApi().file_exists).bind(repo_id, filename)
        return (self.folder / repo_id / filename).is_file()

    def hf_hub_download(self, repo_id: str, filename: str, local_dir: str) -> str:
        inspect.signature(HfApi().hf_hub_download).bind(repo_id, filename, local_dir=local_dir)
        return shutil.copy(self.folder / repo_id / filename, local_dir)

    def upload_folder(self, **asked: Any) -> None:
        inspect.signature(HfApi().upload_folder).bind(**asked)
        repo_id, folder_path = asked["repo_id"], asked["folder_path"]
        self.calls.append(("upload", repo_id, asked["commit_message"]))
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)

    def snapshot(self, repo_id: str) -> str:
        if not (self.folder / repo_id).is_dir():
            raise LocalEntryNotFoundError("not in the cache, and the hub cannot be reached")
        return str(self.folder / repo_id)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    kept = Hub(tmp_path / "hub")
    monkeypatch.setattr("latent_core.sharing.HfApi", kept)
    monkeypatch.setattr("latent_core.adapters.locate.snapshot_download", kept.snapshot)
    return kept


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as `latent train` and `latent evaluate` leave it."""
    folder = tmp_path_factory.mktemp("run") / "first"
    model = LatentModel("tiny", "Start_1+Comma_2")
    task = load_task("repetition")
    settings = {"steps": 2, "batch_size": 2, "seed": 4, "progress": False}
    train(model, task, output_dir=folder, **settings)
    records = evaluate(model, task, ("id", "ood-6"), 3, progress=False)
    write_records(folder, records.assign(seed=4, graded=[1.0, 0.5, 0.0, 0.25, 0.25, 0.25]))
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "optimizer.pt").touch()
    return folder


def test_a_run_goes_to_the_hub_and_comes_back(run: Path, kept: Hub) -> None:
    address = push_folder(run, "me/first", private=True, token="t", commit_message="hello")
    assert address == "https://huggingface.co/me/first"
    assert kept.calls == [
        ("token", "t"),
        ("create", "me/first", True, True),
        ("upload", "me/first", "hello"),
    ]
    names = {path.name for path in (kept.folder / "me/first").rglob("*")}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md", "run.json"} <= names
    assert not {"checkpoints", "optimizer.pt"} & names
    assert not (run / "README.md").exists(), "the run itself stays as it is"

    again, here = load_model("me/first"), load_model(run)
    assert again.tables.rows().equal(here.tables.rows())
    assert LatentModel.from_pretrained("me/first").tables.rows().equal(here.tables.rows())


def test_a_model_goes_to_the_hub_without_a_run(kept: Hub) -> None:
    model = build_model(tiny_backbone("llama"), "lora-r2")
    model.push_to_hub("me/lora")
    again = load_model("me/lora", tiny_backbone("llama"))
    assert again.method == "lora-r2"
    assert "Not evaluated." in (kept.folder / "me/lora/README.md").read_text()


def test_the_card_tells_what_was_done(run: Path) -> None:
    card = model_card(run, "me/first")
    config = json.loads((run / "adapter_config.json").read_text())
    assert card.startswith("---\nlibrary_name: latent-workbench\n")
    assert "\n# first\n" in card
    assert "`Start_1+Comma_2`: 1 at `Start`, 2 at `Comma`; 384 trainable parameters" in card
    assert f"backbone `tiny` (fingerprint `{config['backbone_fingerprint']}`, D=128)" in card
    assert 'lc.load_model("me/first")' in card
    for row in ('| task | "repetition" |', "| steps | 2 |", "| seed | 4 |", "| trainable | 384 |"):
        assert row in card
    assert "| task | method | id | ood-6 |" in card
    assert "| repetition | `Start_1+Comma_2` | 0.50 [" in card and "| 0.25 [0.00, 0.96] |" in card
    assert "training seeds: 1; 3 examples per split" in card
    assert "base_model" not in card, "tiny is not on the hub"
    assert "\n\n\n" not in card and card.endswith("about this model only.\n")


def test_the_hub_can_read_the_results_of_a_card(run: Path) -> None:
    data = ModelCard(model_card(run, "me/first")).data
    assert data.tags == ["latent-tokens"] and data.pipeline_tag == "text-generation"
    assert data.model_name == "first"
    found = {(r.dataset_type, r.dataset_split, r.metric_type): r for r in data.eval_results}
    assert found["repetition", "id", "graded_accuracy"].metric_value == 0.5
    assert found["repetition", "ood-6", "graded_accuracy"].metric_value == 0.25
    assert found["repetition", "id", "exact_match"].metric_name == "exact match"
    assert len(found) == 4


def test_a_card_without_records_states_no_results(tmp_path: Path) -> None:
    build_model(tiny_backbone("llama"), "Start_1").save_pretrained(tmp_path)
    card = model_card(tmp_path)
    assert ModelCard(card).data.eval_results is None
    assert "\n## Results\n\nNot evaluated.\n" in card


def test_a_bar_does_not_end_a_cell_of_a_table() -> None:
    records = {
        "task": "t",
        "method": "After[.|!]_1",
        "split": "id",
        "seed": 0,
        "graded": [0.5, 0.5],
    }
    *_, row = results_table(pd.DataFrame(records)).splitlines()
    assert row == "| t | `After[.\\|!]_1` | 0.50 [0.00, 1.00] |"


def test_the_card_of_a_baseline_is_pefts(tmp_path: Path) -> None:
    build_model(tiny_backbone("llama"), "prefix-2").save_pretrained(tmp_path)
    card = model_card(tmp_path)
    assert "library_name: peft" in card and "- prefix" in card
    assert "The baseline `prefix-2`, for the frozen backbone `llama`" in card
    assert "# prefix-2 on llama" in card
    config = json.loads((tmp_path / "baseline.json").read_text())
    (tmp_path / "baseline.json").write_text(json.dumps(config | {"backbone": "meta/llama"}))
    assert "\nbase_model: meta/llama\n" in model_card(tmp_path)


@pytest.mark.parametrize("error", [OSError("401"), HTTPError("401")])
def test_what_the_hub_refuses_is_one_sentence(
    error: Exception, run: Path, kept: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer, or that it cannot be reached."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(kept, "create_repo", refuse)
    with pytest.raises(
        AdapterError, match=r"cannot upload .* to the hub as me/first: 401.* a token"
    ):
        push_folder(run, "me/first")


def test_a_folder_without_a_model_is_not_pushed(run: Path, kept: Hub) -> None:
    with pytest.raises(AdapterError, match="no adapter in"):
        push_folder(run.parent, "me/first")
    assert not kept.calls


def test_a_readme_that_somebody_wrote_stays_on_the_hub(run: Path, kept: Hub) -> None:
    push_folder(run, "me/first")
    there = kept.folder / "me/first/README.md"
    push_folder(run, "me/first")  # ours, and not edited: made anew without a word
    there.write_text(there.read_text() + "\nWhat I found out.\n")
    edited = there.read_bytes()
    with pytest.warns(UserWarning, match=r"README.md on the hub, in me/first was written .*--repl"):
        push_folder(run, "me/first")
    assert there.read_bytes() == edited
    push_folder(run, "me/first", replace_readme=True)
    assert "What I found out" not in there.read_text()


def test_a_readme_in_the_run_folder_is_the_one_that_goes_up(run, kept: Hub, tmp_path) -> None:
    mine = tmp_path / "run"
    shutil.copytree(run, mine)
    (mine / "README.md").write_text("# Mine\n")
    with pytest.warns(UserWarning, match=rf"README.md in {mine} was written or edited"):
        push_folder(mine, "me/mine")
    assert (kept.folder / "me/mine/README.md").read_text() == "# Mine\n"
    push_folder(mine, "me/other", replace_readme=True)
    assert (kept.folder / "me/other/README.md").read_text().startswith("---\nlibrary_name")


def test_links_are_not_followed(run: Path, kept: Hub, tmp_path: Path) -> None:
    mine, secret = tmp_path / "run", tmp_path / "secret"
    shutil.copytree(run, mine)
    secret.mkdir()
    (secret / "key").write_text("do not tell")
    (mine / "notes").symlink_to(secret)
    (mine / "key.txt").symlink_to(secret / "key")
    with pytest.warns(UserWarning, match=r"links are not followed: key\.txt, notes$"):
        push_folder(mine, "me/linked")
    there = kept.folder / "me/linked"
    assert not (there / "notes").exists() and not (there / "key.txt").exists()
    weights = mine / "adapter_model.safetensors"
    weights.rename(secret / "weights")
    weights.symlink_to(secret / "weights")
    before = len(kept.calls)
    with pytest.warns(UserWarning), pytest.raises(AdapterError, match="expected a file adapter_m"):
        push_folder(mine, "me/linked")
    assert len(kept.calls) == before
