"""What REFERS learns from: studies with their views and reports, each report also as that of mirrored images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hilum.imaging.augment import HorizontalFlip, Pictures, Plan, augment, augment_with_flips
from hilum.methods.batch import Batch
from hilum.methods.method import Examples, Share
from hilum.methods.pictures import PictureReader
from hilum.methods.reports import study_texts
from hilum.methods.views import StudyViews

_ORDER = {"PA": 0, "AP": 1, "Lateral": 2}


@dataclass
class Studies(Examples):
    """Studies of a split with their reports.

    Attributes:
        texts: N reports.
        views: of the studies, as positions in `pictures`.
        pictures: the images of the split.
    """

    texts: Sequence[str] = ()
    views: StudyViews | None = None
    pictures: PictureReader | None = None


@dataclass
class StudyBatch(Batch):
    """A step's studies.

    Attributes:
        pixels, sizes: (N, V, C, C) uint8 and (N, V, 2), the pictures.
        ids, mirrored_ids: (N, T) of the report for the report encoder, and of the report of mirrored images.
        tokens, mirrored_tokens: (N, L) the same for the generator.
        lengths, mirrored_lengths: (N,) tokens that are not padding.
        views: (N, V, S, S) uint8, what the image tower sees.
    """

    pixels: Tensor
    sizes: Tensor
    ids: Tensor
    mirrored_ids: Tensor
    tokens: Tensor
    mirrored_tokens: Tensor
    lengths: Tensor
    mirrored_lengths: Tensor
    views: Tensor | None = None

    def said_mirrored(self, flags: Tensor) -> StudyBatch:
        """With the report of mirrored images where `flags` (N,) say so."""
        flags = flags.to(self.ids.device)
        here, length = flags.unsqueeze(1), max(self.tokens.shape[1], self.mirrored_tokens.shape[1])
        tokens, exchanged = (
            torch.nn.functional.pad(rows, (0, length - rows.shape[1])) for rows in (self.tokens, self.mirrored_tokens)
        )
        return replace(
            self,
            ids=torch.where(here, self.mirrored_ids, self.ids),
            tokens=torch.where(here, exchanged, tokens),
            lengths=torch.where(flags, self.mirrored_lengths, self.lengths),
        )


def draw_views(
    views: StudyViews, number: int, count: int, rng: np.random.Generator | None, compat: bool = False
) -> np.ndarray:
    """Which images stand for a study.

    Every image comes once before one comes twice, and frontal views come before lateral ones, so that each place in the joined
    vector of a study is about the same kind of view.

    Args:
        views: the studies.
        number: which study.
        count: how many images.
        rng: the choice; None takes the first ones, over and over where there are fewer.
        compat: as released, drawn with replacement and left in the order drawn.

    Returns:
        (count,) positions.
    """
    images = views.of_study(number)
    if rng is None:
        chosen = np.resize(images, count)
    elif compat:
        return rng.choice(images, count)
    elif len(images) >= count:
        chosen = rng.choice(images, count, replace=False)
    else:
        chosen = np.concatenate([rng.permutation(images), rng.choice(images, count - len(images))])
    return np.array(sorted(chosen, key=lambda image: _ORDER.get(views.kinds[image], len(_ORDER))), np.int64)


def augmented(batch: StudyBatch, plan: Plan, side_px: int, draws: torch.Generator, compat: bool = False) -> StudyBatch:
    """Views of a batch's pictures, and the report of what they show.

    Args:
        batch: with pictures.
        plan: REFERS'; its mirroring is drawn once for a study, so that the report fits all of its views.
        side_px: of the views.
        draws: on the CPU.
        compat: as released, mirroring is drawn for each view, and the report follows the first.
    """
    count, views = batch.pixels.shape[:2]
    pictures = Pictures(batch.pixels.flatten(0, 1), batch.sizes.flatten(0, 1))
    if compat:
        squares, flags = augment_with_flips(pictures, plan, side_px, draws)
        return replace(batch, views=squares.unflatten(0, (count, views))).said_mirrored(
            flags.reshape(count, views)[:, 0]
        )
    share = max((step.p for step in plan if isinstance(step, HorizontalFlip)), default=0.0)
    upright = tuple(step for step in plan if not isinstance(step, HorizontalFlip))
    squares = augment(pictures, upright, side_px, draws).unflatten(0, (count, views))
    flags = torch.rand(count, generator=draws) < share
    turned = torch.where(flags.to(squares.device)[:, None, None, None], squares.flip(-1), squares)
    return replace(batch, views=turned).said_mirrored(flags)


def training_texts(share: Share) -> list[str]:
    """The reports of the studies of the split 'train'."""
    studies = share.archive.images(["study_id"], where="split = 'train'")["study_id"].unique().to_pylist()
    texts = study_texts(share)
    return [text for study in studies if (text := (texts.get(study) or "").strip())]
