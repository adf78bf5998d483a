"""Phantoms as a source: their DICOM tree alone enters an archive, the truth beside it never does."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError
from hilum.sources.dicom import DicomFolder
from hilum.sources.layout import Known, Progress, no_progress

DICOM_FOLDER, TRUTH_FOLDER = "dicom", "truth"


class PhantomFolder(DicomFolder):
    """A folder written by `hilum phantom`; paths in the archive are relative to its `dicom` folder."""

    name: ClassVar[str] = "phantom"
    title: ClassVar[str] = "Synthetic patients"
    task: ClassVar[str] = "reports; no labels (the truth is kept aside for evaluation)"
    licence: ClassVar[str] = "made by hilum, synthetic"
    where: ClassVar[str] = "hilum phantom OUT"
    layout: ClassVar[str] = (
        "what `hilum phantom OUT` writes: OUT/dicom/PATIENT/STUDY/*.dcm with report.txt, and OUT/truth."
    )

    def __init__(self) -> None:
        super().__init__()

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Find the files under `root`/dicom; `root`/truth is not looked at."""
        tree = root / DICOM_FOLDER
        if not tree.is_dir():
            raise SourceError(
                f"{root} has no folder '{DICOM_FOLDER}'. Source 'phantom' expects {self.layout} "
                f"Make one with: hilum phantom {root}"
            )
        return super().open(tree, known, progress)
