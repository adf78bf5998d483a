"""Reports that REFERS' generator writes of an archive's studies: fluent, and not to be believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.methods.method import Share
from hilum.methods.refers import Refers, RefersMethod
from hilum.methods.refers_studies import draw_views
from hilum.methods.reports import study_texts
from hilum.methods.views import StudyViews
from hilum.training.checkpoints import BEST, LAST, RUN, load_state


@dataclass(frozen=True)
class Written:
    """A study's report.

    Attributes:
        study_id: which study.
        written: what the generator wrote, in lower case.
        report: what the archive holds; empty where it holds nothing.
    """

    study_id: str
    written: str
    report: str


def write_reports(
    run: str | PathLike[str],
    archive: Archive | str | PathLike[str],
    *,
    split: str = "test",
    most: int | None = None,
    beams: int = 1,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Written]:
    """Write a report for each study of a split.

    Args:
        run: the folder that `hilum pretrain refers` wrote; the generator is in its folder `training`.
        archive: the archive, or its path.
        split: train, val or test.
        most: no more studies than this, the first ones.
        beams: reports kept under way; 1 takes the most probable piece each time.
        batch_size: studies at once.
        device: where to compute; default the first GPU, else the CPU.
        on_batch: called with (done, all) after each batch.

    Raises:
        UsageError: the run is not one of REFERS, or the split has no images.

    Example:
        >>> hilum.tasks.write_reports("runs/refers", "cxr.hilum", beams=3)[0].written  # doctest: +SKIP
        'small left pleural effusion. no pneumothorax.'
    """
    archive = archive if isinstance(archive, Archive) else Archive.open(Path(archive))
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    method = load_writer(run).to(device)
    images = archive.images(["study_id", "view"], where=f"split = '{split}'")
    if not images.num_rows:
        raise UsageError(f"{archive.path}: no image of the split '{split}'. See: hilum info {archive.path}")
    views = StudyViews.of(images["study_id"].to_pylist(), images["view"].to_pylist())
    rows, texts = images["row"].to_numpy(), study_texts(Share(archive))
    count = min(len(views), most or len(views))
    written: list[Written] = []
    for start in range(0, count, batch_size):
        numbers = range(start, min(start + batch_size, count))
        chosen = np.stack([draw_views(views, number, method.recipe.views, None) for number in numbers])
        squares = torch.from_numpy(method.preprocess.squares(archive.pixels(rows[chosen.reshape(-1)])))
        for number, said in zip(
            numbers, method.write(squares.unflatten(0, chosen.shape).to(device), beams), strict=True
        ):
            study = views.study_ids[number]
            written.append(Written(study, said, texts.get(study, "")))
        if on_batch is not None:
            on_batch(len(written), count)
    return written


def load_writer(run: str | PathLike[str]) -> RefersMethod:
    """The generator of a run, and what it reads; `RefersMethod.write` writes.

    Raises:
        UsageError: the folder does not hold a run of REFERS.
    """
    folder = Path(run) / "training"
    try:
        described = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        described = {}
    state = load_state(folder / BEST) or load_state(folder / LAST)
    if described.get("method") != Refers.name or state is None:
        raise UsageError(
            f"{run}: not a finished run of refers: the generator lies in its folder 'training'. Make one with: "
            f"hilum pretrain refers ARCHIVE -o {run}"
        )
    return RefersMethod.writer(Refers.model_validate(described["recipe"]), state["method"])
