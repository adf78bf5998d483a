"""Pictures as methods read them: at a longer side, or shrunk once to the shorter side that an augmentation begins with."""

from __future__ import annotations

import numpy as np
import torch

from hilum.archive import Archive
from hilum.imaging.augment import HorizontalFlip, Pictures, RandomCrop, ResizeShorter, Rotate, augment
from hilum.methods.pictures import PictureReader


class Drawer:
    """Stands for an archive of waves of given sizes."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.images = [
            np.uint8(120 + 60 * np.sin(np.arange(w) / 9 + h) * np.cos(np.arange(h) / 7)[:, None]) for h, w in sizes
        ]

    def pixels(self, rows: np.ndarray) -> list[np.ndarray]:
        return [self.images[row] for row in rows]


def reader_of(drawer: Drawer, shorter_px: int | None = None, keep_bytes: int = 1 << 20) -> PictureReader:
    rows = np.arange(len(drawer.images))
    archive: Archive = drawer  # type: ignore[assignment]
    return PictureReader(archive, rows, [str(row) for row in rows], 80, shorter_px, keep_bytes)


def test_a_resize_done_when_reading_is_the_one_the_augmentation_would_do() -> None:
    drawer = Drawer((160, 131), (90, 160), (160, 160), (77, 80))
    plan = (ResizeShorter(40), HorizontalFlip(0.5), Rotate(10), RandomCrop())
    picks = np.arange(4)
    at_each_step, once = reader_of(drawer).read(picks), reader_of(drawer, 40).read(picks)
    assert at_each_step.sizes.tolist() == [[80, 66], [45, 80], [80, 80], [77, 80]]
    assert once.sizes.tolist() == [[48, 40], [40, 71], [40, 40], [40, 41]]
    one, other = (
        augment(pictures, plan, 40, torch.Generator().manual_seed(3)).to(torch.int16)
        for pictures in (at_each_step, once)
    )
    assert (one - other).abs().max() <= 1  # a mirrored picture's sums are rounded in the other order


def test_pictures_whose_shorter_side_is_shorter_are_left_to_the_augmentation() -> None:
    drawer = Drawer((80, 30), (80, 40), (80, 41))
    assert reader_of(drawer, 40).read(np.arange(3)).sizes.tolist() == [[80, 30], [80, 40], [78, 40]]


def test_what_is_kept_is_what_is_made() -> None:
    drawer = Drawer((160, 131), (90, 160))
    kept, made = reader_of(drawer, 40), reader_of(drawer, 40, keep_bytes=0)
    for picks in ([1], [0, 1, 0]):
        ours, theirs = kept.read(np.array(picks)), made.read(np.array(picks))
        assert torch.equal(ours.pixels, theirs.pixels)
        assert torch.equal(ours.sizes, theirs.sizes)
        assert isinstance(ours, Pictures)
