"""Threads that share a backbone use it one after the other."""

import logging
import threading
import time

import pytest
import torch

import latent_core as lc
from latent_core.backbones import turns as turns_module
from latent_core.backbones.turns import Turns, turn, turns_of
from latent_core.progress import listening
from tests.families import tiny_backbone


def in_thread(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_turns_come_in_the_order_in_which_threads_asked() -> None:
    turns, order = Turns(), []
    turns.take("first")

    def wait_for(number: int) -> None:
        turns.take(str(number))
        order.append(number)
        turns.end()

    threads = []
    for number in range(4):
        threads.append(in_thread(lambda number=number: wait_for(number)))
        while len(turns._waiting) <= number:
            time.sleep(0.001)
    turns.end()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3]


def test_who_ends_and_begins_again_stands_behind_those_who_wait() -> None:
    turns, order = Turns(), []
    turns.take("training")
    other = in_thread(lambda: (turns.take("capture"), order.append("capture"), turns.end()))
    while not turns._waiting:
        time.sleep(0.001)
    turns.end()
    turns.take("training")
    order.append("training")
    turns.end()
    other.join(10)
    assert order == ["capture", "training"]


def test_a_thread_takes_turns_within_its_own() -> None:
    turns = Turns()
    for _ in range(3):
        turns.take("x")
    for _ in range(3):
        assert turns.is_mine
        turns.end()
    assert not turns.is_mine


def test_who_waits_is_told_for_what_and_can_be_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(turns_module, "_PATIENCE", 0.0)
    turns, beats, ended = Turns(), [], []
    turns.take("training of Start_2")

    def cancel(_: object) -> None:
        beats.append(1)
        if len(beats) > 2:
            raise KeyboardInterrupt

    def wait() -> None:
        with listening(cancel):
            try:
                turns.take("a capture")
            except KeyboardInterrupt:
                ended.append("cancelled")

    with caplog.at_level(logging.WARNING):
        in_thread(wait).join(10)
    assert ended == ["cancelled"] and not turns._waiting
    assert "a capture waits for another thread: training of Start_2" in caplog.text


def test_a_capture_while_a_thread_trains_disturbs_neither() -> None:
    """With recomputed activations, which a hook in the middle of a step would break."""
    backbone, other = tiny_backbone("llama"), tiny_backbone("llama")
    settings = {"steps": 12, "batch_size": 2, "progress": False, "gradient_checkpointing": True}
    alone = lc.LatentModel(other, "Start_2")
    wanted = lc.train(alone, "repetition", **settings).log["loss"]
    reader = lc.LatentModel(backbone, "Start_1")
    still = lc.capture_attention(reader, "1+1=", "2").weights
    trained, found, began = lc.LatentModel(backbone, "Start_2"), [], threading.Event()

    def train() -> None:
        try:
            found.append(
                lc.train(
                    trained, "repetition", on_step=lambda *_: began.set() or False, **settings
                ).log["loss"]
            )
        except BaseException as error:
            found.append(error)

    thread = in_thread(train)
    assert began.wait(60)
    captures = 0
    while thread.is_alive():
        assert torch.equal(lc.capture_attention(reader, "1+1=", "2").weights, still)
        with lc.parse_intervention("drop(Start)").on(reader):
            reader.generate("1+1=", 2)
        captures += 1
    thread.join()
    assert captures and found[0].tolist() == wanted.tolist()
    assert not turns_of(backbone.model).is_mine


def test_a_training_that_fails_within_a_step_gives_its_turn_back(monkeypatch) -> None:
    backbone = tiny_backbone("llama")
    model = lc.LatentModel(backbone, "Start_2")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(model, "forward", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        lc.train(model, "repetition", steps=1, batch_size=1, progress=False)
    taken = []
    in_thread(lambda: (turn(backbone.model, "x").__enter__(), taken.append(1))).join(10)
    assert taken == [1]
