"""Methods that do not fit, or are slow, say so with numbers before anything is allocated."""

import warnings

import psutil
import pytest
from torch import Tensor

import latent_core as lc
from latent_core.backbones.decoder import Decoder
from latent_core.errors import SettingError
from latent_core.models import size
from latent_core.models.size import SlowMethodWarning, check_layout_size


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (
            "Start_1000000",
            r"whose attention to one another takes 4,000.0 GB for one prompt, but .*",
        ),
        ("End_200000+Comma_1", r"places 200,001 latents, .* takes 160.0 GB for one prompt"),
        ("prefix-100000000", r"prefix-100000000 has .* trainable numbers, which take"),
        ("prompt-tuning-1000000", r"prompt-tuning-1000000 places 1,000,000 latents"),
        ("lora-r100000000", r"lora-r100000000 has .* trainable numbers, which take"),
    ],
)
def test_a_method_that_cannot_fit_is_refused_with_the_number(
    method: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = psutil.virtual_memory()._replace(available=64_000_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(SettingError, match=reason):
        lc.build_model("tiny", method)


def test_a_slow_layout_is_announced_with_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = psutil.virtual_memory()._replace(available=64_000_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(size, "_seconds_of_pass", lambda decoder, slots: slots / 1000)
    backbone = lc.load_backbone("tiny")
    with pytest.warns(
        SlowMethodWarning, match=r"100,000 latents: one forward pass .* about 2 min on cpu, and 40"
    ):
        check_layout_size(backbone, "Start_100000", 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_layout_size(backbone, "Start_2000", 2000)


def test_the_estimate_has_a_linear_and_a_quadratic_part(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, backbone = [0.0], lc.load_backbone("tiny")

    def pass_over(decoder: Decoder, embeds: Tensor, *_: object) -> Tensor:
        slots = embeds.shape[1]
        clock[0] += 1e-4 * slots + 1e-7 * slots**2
        return embeds

    monkeypatch.setattr(Decoder, "hidden_states", pass_over)
    monkeypatch.setattr(size.time, "perf_counter", lambda: clock[0])
    assert size._seconds_of_pass(backbone, 100_000) == pytest.approx(10 + 1000)
