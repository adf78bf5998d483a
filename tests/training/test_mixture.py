"""Examples of several archives train as one set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import make_small_archive
from torch import Tensor

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.methods.batch import Batch
from hilum.methods.chexzero import CheXzero
from hilum.methods.method import Examples, Share
from hilum.training import Progress, pretrain
from hilum.training.mixture import Mixture
from hilum.training.pretraining import shares_of


@dataclass
class Numbers(Batch):
    """Each example's number, its texts' ids, and a part that only training has."""

    numbers: Tensor
    ids: Tensor
    views: Tensor | None = None


@dataclass
class Reader:
    """Stands for a method: example i of archive `a` is the number 100 a + i; its ids are as long as the archive's texts."""

    drawn: list[float] = field(default_factory=list)

    def collect(self, share: Any, split: str, most: int | None = None) -> Examples:
        count = share.count if most is None else min(most, share.count)
        return Examples([f"{share.name}{i}" for i in range(count)], {"images": count}, [share.name] * count)

    def read(self, examples: Examples, picks: np.ndarray, rng: np.random.Generator | None) -> Numbers:
        if rng is not None:
            self.drawn.append(float(rng.random()))
        archive = "ab".index(examples.said[0])
        ids = torch.ones(len(picks), 3 + archive, dtype=torch.int64)
        return Numbers(torch.from_numpy(100 * archive + picks), ids)


SHARES: Any = [SimpleNamespace(name="a", count=4), SimpleNamespace(name="b", count=6)]


@pytest.fixture
def reader() -> Any:
    return Reader()


def test_rows_come_in_the_order_asked_whatever_archive_they_are_of(reader: Any) -> None:
    mixture = Mixture.collect(reader, SHARES, "train")
    assert len(mixture) == 10
    picks = np.array([9, 0, 4, 3, 5, 1])
    batch = mixture.read(reader, picks, None)
    assert batch.numbers.tolist() == [105, 0, 100, 3, 101, 1]
    assert mixture.ids_at(picks) == ["b5", "a0", "b0", "a3", "b1", "a1"]
    assert mixture.image_ids[3:5] == ["a3", "b0"]


def test_texts_of_different_lengths_are_padded_with_zeros(reader: Any) -> None:
    batch = Mixture.collect(reader, SHARES, "train").read(reader, np.array([5, 0, 1]), None)
    assert batch.ids.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 0]]
    assert batch.views is None


def test_a_batch_of_one_archive_alone_is_read_from_it_alone(reader: Any) -> None:
    mixture = Mixture.collect(reader, SHARES, "train")
    assert mixture.read(reader, np.array([7, 4]), np.random.default_rng(0)).numbers.tolist() == [103, 100]
    assert len(reader.drawn) == 1


def test_draws_of_the_archives_differ_and_repeat_with_the_generator(reader: Any) -> None:
    mixture = Mixture.collect(reader, SHARES, "train")
    for _ in range(2):
        mixture.read(reader, np.arange(10), np.random.default_rng(4))
    assert reader.drawn[:2] == reader.drawn[2:]
    assert reader.drawn[0] != reader.drawn[1]


def test_counts_add_up_and_a_limit_is_spread_over_the_archives(reader: Any) -> None:
    assert Mixture.collect(reader, SHARES, "train").counts == {"images": 10}
    limited = Mixture.collect(reader, SHARES, "val", most=5)
    assert [len(part) for part in limited.parts] == [2, 2]


def test_the_digest_knows_archives_and_their_order(reader: Any) -> None:
    one, other = (Mixture.collect(reader, shares, "train") for shares in (SHARES, SHARES[::-1]))
    alone = Mixture.collect(reader, SHARES[:1], "train")
    assert len({one.digest(), other.digest(), alone.digest(), alone.parts[0].digest()}) == 3
    assert alone.digest() == alone.parts[0].digest()


def test_join_keeps_the_order_of_parts_and_leaves_one_part_as_it_is() -> None:
    one = Numbers(torch.tensor([1, 2]), torch.ones(2, 2))
    assert Batch.join([one]) is one
    joined = Batch.join([one, Numbers(torch.tensor([3]), torch.ones(1, 5))])
    assert joined.numbers.tolist() == [1, 2, 3]
    assert joined.ids.shape == (3, 5)
    assert joined.take(torch.tensor([2, 0])).numbers.tolist() == [3, 1]
    assert joined.part(1, 3).numbers.tolist() == [2, 3]


# Archives, from a recipe to a run


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("two")
    return [make_small_archive(folder / name, count) for name, count in (("a", 48), ("b", 24))]


def test_each_archive_has_the_text_and_weight_of_its_place(two: list[Path]) -> None:
    recipe = CheXzero.resolve(["texts=impression,both", "weights=2,0.5"])
    shares = shares_of(two, recipe)
    assert [(share.text, share.weight) for share in shares] == [("impression", 2.0), ("both", 0.5)]
    assert [share.archive.path for share in shares] == two
    plain = shares_of(two[0], CheXzero())
    assert [(share.policy, share.weight) for share in plain] == [("impression", 1.0)]  # the archive's own
    assert isinstance(plain[0].archive, Archive)
    assert Share(plain[0].archive).policy == "impression"


@pytest.mark.parametrize(
    ("settings", "count", "message"),
    [
        (["weights=1,2,3"], 2, r"weights has 3 values \(1.0, 2.0, 3.0\) for 2 archives; give one for each"),
        (["texts=both,both"], 1, r"texts has 2 values \(both, both\) for 1 archive;"),
        (["weights=1,0"], 2, "weights must be above zero; leave an archive out instead"),
        ([], 0, "name at least one archive"),
    ],
)
def test_texts_and_weights_that_are_not_one_for_each_archive_are_refused(
    two: list[Path], settings: list[str], count: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        shares_of(two[:count], CheXzero.resolve(settings))


class Stop(Exception):
    """Stands for a killed process."""


def test_a_run_over_two_archives_that_was_stopped_ends_with_bitwise_the_same_weights(
    two: list[Path], tmp_path: Path
) -> None:
    small = [
        "side_px=64",
        "canvas_px=64",
        "batch_size=8",
        "vision_width=8",
        "text_width=64",
        "text_layers=1",
        "epochs=2",
    ]

    def run(out: Path, stop_at: int | None = None) -> Any:
        def on_step(progress: Progress) -> None:
            if progress.step == stop_at:
                raise Stop

        settings = [*small, "weights=0.5,1", "validate_every=3"]
        return pretrain("chexzero", two, out, tiny=True, settings=settings, save_every=1, on_step=on_step)

    done = run(tmp_path / "whole")
    assert done.steps == 2 * ((12 + 12) // 8)
    assert done.counts["train"]["images"] == 36
    with pytest.raises(Stop):
        run(tmp_path / "run", stop_at=2)
    run(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
