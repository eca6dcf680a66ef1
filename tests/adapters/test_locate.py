"""Where an id or a folder of a saved model leads. No network is used."""

from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from latent_core.adapters.locate import locate
from latent_core.errors import AdapterError


def test_folders_come_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def refuse(repo_id: str) -> str:
        assert repo_id == "owner/name"
        raise LocalEntryNotFoundError("not in the cache, and the hub cannot be reached")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("latent_core.adapters.locate.snapshot_download", refuse)
    (tmp_path / "runs").mkdir()
    assert locate("runs/typo") == Path("runs/typo")  # a folder `runs` is here: no id is meant
    assert locate(Path("owner/name")) == Path("owner/name")
    assert locate("name") == Path("name")
    with pytest.raises(AdapterError, match="no adapter in owner/name: there is no such folder"):
        locate("owner/name")
