"""Where the time of a run went."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.test_pretrain import FAST

from hilum.training import pretrain
from hilum.training.stopwatch import Stopwatch


def test_shares_add_up_largest_first() -> None:
    watch = Stopwatch(torch.device("cpu"))
    for section, seconds in (("forward", 1.0), ("backward", 5.0), ("augment", 2.0), ("forward", 2.0)):
        watch.add(section, seconds)
    assert watch.shares() == pytest.approx({"backward": 0.5, "forward": 0.3, "augment": 0.2})
    assert list(watch.shares()) == ["backward", "forward", "augment"]


def test_the_towers_are_no_overhead_and_validation_and_saving_are_no_part_of_a_step() -> None:
    watch = Stopwatch(torch.device("cpu"))
    for section, seconds in (("forward", 3.0), ("backward", 6.0), ("augment", 1.0), ("validate", 50.0), ("save", 50.0)):
        watch.add(section, seconds)
    assert watch.overhead() == pytest.approx(0.1)
    assert Stopwatch(torch.device("cpu")).shares() == {}


def test_what_no_section_tells_of_is_a_part_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((0.0, 4.0, 10.0))
    watch = Stopwatch(torch.device("cpu"))
    monkeypatch.setattr("hilum.training.stopwatch.time.perf_counter", lambda: next(now))
    watch.start()
    watch.lap()
    watch.lap()
    for section, seconds in (("forward", 3.0), ("backward", 4.0), ("augment", 1.0)):
        watch.add(section, seconds)
    assert watch.shares() == pytest.approx({"backward": 0.4, "forward": 0.3, "elsewhere": 0.2, "augment": 0.1})
    assert watch.overhead() == pytest.approx(0.3)
    monkeypatch.undo()
    watch.start()
    assert watch.shares() == {}


def test_a_section_that_fails_is_timed_too() -> None:
    watch = Stopwatch(torch.device("cpu"))
    with pytest.raises(ValueError), watch("forward"):
        raise ValueError
    assert watch.seconds["forward"] > 0


def test_a_run_says_where_its_time_went(small_archive: Path, tmp_path: Path) -> None:
    done = pretrain("chexzero", small_archive, tmp_path / "run", tiny=True, settings=[*FAST, "epochs=1"], profiled=True)
    assert {"forward", "backward", "augment", "optimizer", "wait for examples", "validate", "save"} <= set(done.shares)
    assert sum(done.shares.values()) == pytest.approx(1)
    assert 0 < done.overhead < 1
