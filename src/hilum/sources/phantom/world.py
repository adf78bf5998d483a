"""Many synthetic patients written to disk: DICOM and reports in one tree, the truth in another."""

from __future__ import annotations

import csv
import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from hilum.errors import SourceError, UsageError
from hilum.sources.phantom.frontal import Boxes, draw_frontal
from hilum.sources.phantom.history import Patient, Picture, Study
from hilum.sources.phantom.lateral import draw_lateral
from hilum.sources.phantom.reporting import write_report
from hilum.sources.phantom.signs import TRUTH_COLUMNS, Sign

NAMESPACE = uuid.UUID("3f0d3bb0-6c51-5a8e-9a1e-0d6a7a1c7e11")
FIRST_DAY = dt.date(2015, 1, 1)
MIN_SIDE_PX = 64
README = """SYNTHETIC DATA. No patient in this folder exists or ever existed.

Every image was drawn by a program (hilum phantom) and every report was put together from templates.
dicom/PATIENT/STUDY/*.dcm   the radiographs; every file says that it is synthetic, in its tags and in the picture
dicom/PATIENT/STUDY/report.txt   the report of the study
truth/truth.csv   what was drawn, one row an image; for evaluation only, never to be trained on
truth/signs.csv   where each sign was drawn, in pixels of the image

Not for clinical use, and no substitute for real data in a clinical claim.
Seed: {seed}. Patients: {patients}. Longer side: {side_px} px.
"""


@dataclass
class GenerateSummary:
    """What was written."""

    out: Path
    patients: int
    studies: int = 0
    images: int = 0
    positives: dict[str, int] = field(default_factory=dict)  # studies with each finding

    def __str__(self) -> str:
        return f"{self.patients} patients, {self.studies} studies, {self.images} images in {self.out}"


@dataclass(frozen=True)
class _Written:
    """The truth rows of one patient, sent back by a worker."""

    truth: list[list[str]]
    signs: list[list[str]]
    studies: int
    positives: dict[str, int]


def generate(
    out: str | Path,
    patients: int = 600,
    seed: int = 0,
    side_px: int = 512,
    workers: int = 2,
    on_patient: Callable[[int], None] | None = None,
) -> GenerateSummary:
    """Write synthetic patients: DICOM files with reports, and the truth beside them.

    Args:
        out: folder to write; made if missing. The same arguments write the same bytes again.
        patients: how many.
        seed: of the world; patient i of a seed is the same whatever the number of patients or workers.
        side_px: longer side of the images.
        workers: processes.
        on_patient: called with the number of patients done, for a progress bar.

    Raises:
        UsageError: a number is out of range.
        SourceError: `out` holds something else.
    """
    if patients < 1 or workers < 1:
        raise UsageError(f"phantom: patients={patients}, workers={workers}; both must be at least 1.")
    if side_px < MIN_SIDE_PX:
        raise UsageError(f"phantom: side is {side_px} px; at least {MIN_SIDE_PX} px are needed to draw a chest.")
    out = Path(out)
    _prepare(out, f"{seed}", patients, side_px)
    summary = GenerateSummary(out, patients)
    with (
        open(out / "truth" / "truth.csv", "w", newline="", encoding="utf-8") as truth_file,
        open(out / "truth" / "signs.csv", "w", newline="", encoding="utf-8") as signs_file,
    ):
        truth, signs = csv.writer(truth_file, lineterminator="\n"), csv.writer(signs_file, lineterminator="\n")
        truth.writerow(["image_id", "study_id", "patient_id", "view", *TRUTH_COLUMNS])
        signs.writerow(["image_id", "finding", "side", "grade", "x0", "y0", "x1", "y1"])
        for done, written in enumerate(_write_all(out, patients, seed, side_px, workers), start=1):
            truth.writerows(written.truth)
            signs.writerows(written.signs)
            summary.images += len(written.truth)
            summary.studies += written.studies
            for name, count in written.positives.items():
                summary.positives[name] = summary.positives.get(name, 0) + count
            if on_patient:
                on_patient(done)
    return summary


def draw(patient: Patient, study: Study, picture: Picture, side_px: int = 512) -> tuple[np.ndarray, Boxes]:
    """One picture of a study: (H, W) float32 film in [0, 1] and the boxes of its signs."""
    draw_view = draw_lateral if picture.pose.view == "lateral" else draw_frontal
    return draw_view(patient.anatomy, picture.pose, study.signs, side_px)


def phantom_study(seed: int, side_px: int = 256) -> tuple[np.ndarray, str, dict[str, int]]:
    """One frontal picture, its report and its truth, in memory: for tests and examples.

    Example:
        >>> pixels, report, truth = phantom_study(0)
        >>> pixels.dtype, max(pixels.shape), "SYNTHETIC" in report, sorted(set(truth.values()))
        (dtype('uint8'), 256, True, [0, 1])
    """
    patient = Patient.random(seed, 0)
    study = patient.studies[0]
    film, _ = draw(patient, study, study.pictures[0], side_px)
    return np.rint(film * 255).astype(np.uint8), write_report(patient, study), study.truth


def _prepare(out: Path, seed: str, patients: int, side_px: int) -> None:
    text = README.format(seed=seed, patients=patients, side_px=side_px)
    readme = out / "README.txt"
    if out.exists() and not out.is_dir():
        raise SourceError(f"{out} is a file; expected a folder to write to, made if it is not there.")
    if out.exists() and any(out.iterdir()):
        known = readme.read_text(encoding="utf-8") if readme.is_file() else ""
        if known != text:
            raise SourceError(
                f"{out} is not empty and was not made by these settings (its README.txt differs or is missing). "
                "Choose an empty folder, or delete this one first."
            )
    (out / "truth").mkdir(parents=True, exist_ok=True)
    (out / "dicom").mkdir(exist_ok=True)
    readme.write_text(text, encoding="utf-8")


def _write_all(out: Path, patients: int, seed: int, side_px: int, workers: int) -> Iterator[_Written]:
    """Patients in order; the work is spread over processes that are started afresh (spawn)."""
    if workers == 1 or patients < 4:
        yield from (_write_patient(str(out), seed, index, side_px) for index in range(patients))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        calls = ((str(out), seed, index, side_px) for index in range(patients))
        yield from pool.map(_write_one, calls, chunksize=4)


def _write_one(call: tuple[str, int, int, int]) -> _Written:
    return _write_patient(*call)


def _write_patient(out: str, seed: int, index: int, side_px: int) -> _Written:
    from hilum.sources.phantom.dicom_writer import Encoding, Identity, write_dicom  # pydicom: only when writing

    patient = Patient.random(seed, index)
    rng = np.random.default_rng([seed, index, 91])
    patient_id = f"PH{seed:03d}{index:06d}"
    first = FIRST_DAY + dt.timedelta(days=int(rng.integers(0, 2500)))
    truth_rows: list[list[str]] = []
    sign_rows: list[list[str]] = []
    positives: dict[str, int] = {}
    for study in patient.studies:
        study_uid = _uid(seed, index, study.number)
        folder = Path(out) / "dicom" / patient_id / f"S{study.number + 1:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(write_report(patient, study), encoding="utf-8")
        for name, value in study.truth.items():
            positives[name] = positives.get(name, 0) + value
        day = (first + dt.timedelta(days=study.days)).strftime("%Y%m%d")
        time = f"{rng.integers(0, 24):02d}{rng.integers(0, 60):02d}{rng.integers(0, 60):02d}"
        for number, picture in enumerate(study.pictures):
            image_uid = _uid(seed, index, study.number, number)
            film, boxes = draw(patient, study, picture, side_px)
            identity = Identity(
                patient_id=patient_id,
                patient_name=f"PHANTOM^{patient_id}^SYNTHETIC",
                study_uid=study_uid,
                series_uid=_uid(seed, index, study.number, number, 1),
                image_uid=image_uid,
                accession=f"A{seed % 100:02d}{index:06d}{study.number:02d}",
                date=day,
                time=time,
                age_years=study.age_years,
                sex=patient.anatomy.sex,
                instance=number + 1,
            )
            path = folder / f"IM{number + 1:04d}.dcm"
            spacing_mm = 430 / side_px
            write_dicom(path, film, picture.pose.view, identity, Encoding.random(rng), spacing_mm)
            values = [str(study.truth[name]) for name in TRUTH_COLUMNS]
            truth_rows.append([image_uid, study_uid, patient_id, picture.pose.view, *values])
            sign_rows += [_sign_row(image_uid, sign, box) for sign, box in boxes]
    return _Written(truth_rows, sign_rows, len(patient.studies), positives)


def _sign_row(image_uid: str, sign: Sign, box: tuple[int, int, int, int]) -> list[str]:
    return [image_uid, sign.finding, sign.side, str(sign.grade), *map(str, box)]


def _uid(*numbers: int) -> str:
    """A UID that depends on nothing but the numbers."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(map(str, numbers))).int}"
