"""MedMNIST v2 (Yang et al. 2023, Sci Data 10): PneumoniaMNIST and ChestMNIST, small images in one NumPy file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from hilum.errors import SourceError
from hilum.findings import LabelValue
from hilum.labelsets import NIH_14
from hilum.sources.cells import present
from hilum.sources.files import contents
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed

# File name begins with -> findings, column by column.
CLASSES = {"pneumoniamnist": ("Pneumonia",), "chestmnist": NIH_14}
SPLITS = ("train", "val", "test")


class MedMnist(Listed):
    """PneumoniaMNIST or ChestMNIST at any size, from `pneumoniamnist.npz`, `chestmnist_224.npz` and their likes.

    Images are read one after the other from the packed file. No patient is named: each image stands for one, though
    ChestMNIST has several of a patient. PneumoniaMNIST is Pediatric Pneumonia, ChestMNIST is ChestX-ray14.
    """

    name: ClassVar[str] = "medmnist"
    title: ClassVar[str] = "MedMNIST: PneumoniaMNIST, ChestMNIST"
    task: ClassVar[str] = "binary: pneumonia; or multi-label: 14 findings of ChestX-ray14"
    outputs: ClassVar[tuple[str, ...]] = NIH_14
    size: ClassVar[str] = "PneumoniaMNIST 5,856 images, ChestMNIST 112,120; 28, 64, 128 or 224 pixels"
    split: ClassVar[str] = "official (train, val, test arrays)"
    licence: ClassVar[str] = "CC BY 4.0"
    where: ClassVar[str] = "https://medmnist.com"
    layout: ClassVar[str] = (
        "pneumoniamnist*.npz or chestmnist*.npz (the file, or a folder with one of them), with arrays train_images, "
        "train_labels, val_images, ..., test_labels; a split may be absent."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = ("that ChestMNIST's columns are in ChestX-ray14's usual order",)

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Find the file and check the shapes of its arrays, without reading an image."""
        self._path = _npz_in(root, self.layout)
        self._findings = _findings_of(self._path)
        total = 0
        self._labels: dict[str, np.ndarray] = {}
        with zipfile.ZipFile(self._path) as packed:
            names = {name.removesuffix(".npy") for name in packed.namelist()}
            for split in SPLITS:
                if f"{split}_images" not in names or f"{split}_labels" not in names:
                    continue
                with packed.open(f"{split}_labels.npy") as stream:
                    shape = _header(stream, self._path, f"{split}_labels")
                    labels = np.frombuffer(stream.read(), np.uint8).reshape(shape)
                with packed.open(f"{split}_images.npy") as stream:
                    images = _header(stream, self._path, f"{split}_images")
                if labels.shape != (images[0], len(self._findings)) or len(images) != 3 or labels.max(initial=0) > 1:
                    raise SourceError(
                        f"{self._path}: {split}_images is {images}, {split}_labels {labels.shape}; expected (N, side, side) "
                        f"and (N, {len(self._findings)}) of 0 and 1."
                    )
                self._labels[split] = labels
                total += len(labels)
        if not self._labels:
            raise SourceError(
                f"{self._path} has no train_images with train_labels; it holds: {', '.join(sorted(names))}."
            )
        absent = [split for split in SPLITS if split not in self._labels]
        if absent:
            self.counts.notes.append(f"{self._path.name} has no {' and no '.join(absent)} arrays")
        return total

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every image, split by split, in the order of the arrays."""
        stem = self._path.stem
        with zipfile.ZipFile(self._path) as packed:
            for split, labels in self._labels.items():
                with packed.open(f"{split}_images.npy") as stream:
                    shape = _header(stream, self._path, f"{split}_images")
                    size = shape[1] * shape[2]
                    for number, row in enumerate(labels):
                        pixels = np.frombuffer(stream.read(size), np.uint8).reshape(shape[1:])
                        name = f"{stem}-{split}-{number:06d}"
                        said: tuple[tuple[str, LabelValue], ...] = tuple(
                            (finding, present(bool(value))) for finding, value in zip(self._findings, row, strict=True)
                        )
                        facts = Facts(name, name, name, split=split, labels=said)
                        yield Entry(f"{self._path.name}/{split}/{number}", self._path, facts, pixels)


def _npz_in(root: Path, layout: str) -> Path:
    if root.is_file():
        if not zipfile.is_zipfile(root):
            raise SourceError(f"{root} is no NumPy .npz file. Source 'medmnist' expects: {layout}")
        return root
    found = sorted(root.glob("*mnist*.npz")) if root.is_dir() else []
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(f"{root} holds {', '.join(file.name for file in found)}; name the one to ingest.")
    there = f"it holds: {contents(root)}" if root.is_dir() else "it does not exist"
    raise SourceError(f"{root} lacks an .npz file of MedMNIST; {there}. Source 'medmnist' expects: {layout}")


def _header(stream: IO[bytes], path: Path, name: str) -> tuple[int, ...]:
    """The shape of an array of bytes, with `stream` left at its first value; anything else is refused, objects above all."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)
    except ValueError as error:
        raise SourceError(f"{path}: {name} is no NumPy array ({error}). Download the file again.") from error
    if dtype != np.uint8 or is_fortran or not shape:
        raise SourceError(f"{path}: {name} holds {dtype} in shape {shape}; expected rows of uint8.")
    return tuple(int(side) for side in shape)


def _findings_of(path: Path) -> tuple[str, ...]:
    for start, names in CLASSES.items():
        if path.stem.lower().startswith(start):
            return names
    raise SourceError(
        f"{path}: expected a name that begins with {' or '.join(CLASSES)}, which tells what its labels are."
    )
