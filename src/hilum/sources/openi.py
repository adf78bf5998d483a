"""Indiana University chest radiographs of Open-i (Demner-Fushman et al. 2016, JAMIA 23): images, reports, MeSH codes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from hilum.archive.schema import VIEWS
from hilum.errors import SourceError, TableError, UsageError
from hilum.findings import LabelValue, canonical, fold
from hilum.labelsets import OPENI_20
from hilum.sources.cells import present, view_of
from hilum.sources.files import by_stem, contents, find_part, relative, require_folder
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, Statement, no_progress
from hilum.sources.listed import Listed, expect_some
from hilum.sources.report_files import text_of
from hilum.tables import read_table

REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
SECTIONS = ("comparison", "indication", "findings", "impression")
# Heads that every coded report states, present or absent; the others are stated where they are present.
MORE_HEADS = ("Consolidation", "Edema", "Emphysema", "Fracture", "Hernia", "Infiltration", "Pneumonia", "Pneumothorax")
STATED = (*OPENI_20, *MORE_HEADS)
NOT_CODED = "no indexing"
IMAGE_NAME = re.compile(r"(?:CXR)?(\d+)_(?:\d+_)?(IM-.+)", re.I)
TAGS = ("major", "automatic")


class OpenI(Listed):
    """Indiana University / Open-i: the archives of the National Library of Medicine, or Kaggle's copy with two tables.

    Labels are of the study: the heads of the codes that two readers gave the report ("Cardiomegaly/mild" is
    Cardiomegaly), uncertain where only borderline ones are coded. A head that is not coded counts as absent, though coders
    were selective. Reports without codes state nothing. No patient is named: each report stands for one.

    Args:
        tags: "major" (coded by people) or "automatic" (by a program; only in the XML files).
        views: word of the projections table -> view; `Frontal` says neither PA nor AP and is unknown otherwise.
    """

    name: ClassVar[str] = "openi"
    title: ClassVar[str] = "Indiana University / Open-i"
    task: ClassVar[str] = "multi-label, coded from reports; reports"
    outputs: ClassVar[tuple[str, ...]] = STATED
    size: ClassVar[str] = "7,470 images, frontal and lateral, of 3,955 reports"
    split: ClassVar[str] = "60/20/20 by report, hashed (no patient is named)"
    licence: ClassVar[str] = "CC BY-NC-ND 4.0"
    where: ClassVar[str] = "https://openi.nlm.nih.gov/faq#collection"
    layout: ClassVar[str] = (
        "ecgen-radiology/*.xml (NLMCXR_reports.tgz) and the images of NLMCXR_png.tgz or NLMCXR_dcm.tgz anywhere below; or "
        "indiana_reports.csv, indiana_projections.csv and images/images_normalized/*.dcm.png."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "file and column names of Kaggle's copy",
        "that the NLM's PNGs are never inverted",
        "which 20 findings were published: the most frequent heads here",
    )

    def __init__(self, tags: str = "major", views: Mapping[str, str] | None = None) -> None:
        super().__init__()
        if tags not in TAGS:
            raise UsageError(f"source 'openi': tags is {tags!r}; expected {' or '.join(TAGS)}.")
        self._tags = tags
        self._views = {fold(word): view for word, view in (views or {}).items()}
        wrong = [view for view in self._views.values() if view not in VIEWS]
        if wrong:
            raise UsageError(f"source 'openi': a view is mapped to '{wrong[0]}'; expected one of {', '.join(VIEWS)}.")

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read all reports and find their images."""
        require_folder(root, self.name, self.layout)
        self._root = root
        folder = find_part(root, "ecgen-radiology", "NLMCXR_reports/ecgen-radiology", "*/ecgen-radiology")
        tables = [found for place in (root, *_folders(root)) if (found := find_part(place, REPORTS))]
        self._bad: list[Rejected] = []
        if folder is not None:
            self._reports = self._from_xml(folder)
            listing = f"{folder.name}/*.xml"
        elif tables:
            self._reports = self._from_tables(tables[0])
            listing = PROJECTIONS
        else:
            raise SourceError(
                f"{root} lacks ecgen-radiology/ with *.xml (or {REPORTS} and {PROJECTIONS}); it holds: {contents(root)}. "
                f"Source 'openi' expects: {self.layout}"
            )
        self._files = {_image_key(stem): file for stem, file in by_stem(root).items()}
        listed = [self._files.get(_image_key(image)) for report in self._reports for image, _ in report["images"]]
        without = sum(not report["images"] for report in self._reports)
        if without:
            self.counts.skip("report without an image", without)
        return expect_some(root, listing, listed, self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every image of every report that is there."""
        yield from self._bad
        for report in self._reports:
            uid = report["uid"]
            said = tuple(Statement(name, value, of_study=True) for name, value in labels_of(report["codes"]))
            for image, projection in report["images"]:
                file = self._files.get(_image_key(image))
                if file is None:
                    continue
                facts = Facts(
                    image_id=f"openi-{_image_key(image)}",
                    study_id=f"openi-{uid}",
                    patient_id=f"openi-{uid}",
                    view=self._view(projection),
                    report=report["text"],
                    statements=said,
                )
                yield Entry(relative(file, self._root), file, facts)

    def _view(self, projection: str | None) -> str | None:
        if projection is None:
            return None  # a DICOM header may tell
        return self._views.get(fold(projection)) or view_of(projection)

    def _from_xml(self, folder: Path) -> list[dict[str, Any]]:
        reports = []
        files = sorted(folder.glob("*.xml"), key=lambda file: (len(file.stem), file.stem))
        for file in files:
            path = relative(file, self._root)
            try:
                root = ET.parse(file).getroot()
                report = _xml_report(root, self._tags)
            except (ET.ParseError, OSError, ValueError) as error:
                self._bad.append(Rejected(path, "unreadable_report", f"{path}: {error}. Unpack it again."))
                continue
            reports.append(report)
        if not reports:
            raise SourceError(f"{folder} holds no readable report. Source 'openi' expects: {self.layout}")
        return reports

    def _from_tables(self, table: Path) -> list[dict[str, Any]]:
        if self._tags == "automatic":
            raise UsageError(f"{table.name} holds no automatic tags; leave tags out, or use the XML files.")
        projections = table.parent / PROJECTIONS
        if not projections.is_file():
            raise SourceError(f"{table.parent} has {REPORTS} but lacks {PROJECTIONS}, which names the images.")
        images: dict[str, list[tuple[str, str | None]]] = {}
        needed = ("uid", "filename", "projection")
        for row in read_table(projections, columns_needed=needed, numbers=False).to_pylist():
            if row["uid"] and row["filename"]:
                images.setdefault(row["uid"], []).append((row["filename"], row["projection"]))
        rows = read_table(table, columns_needed=("uid", "MeSH"), numbers=False).to_pylist()
        if any(row["uid"] is None for row in rows):
            raise TableError(f"{table}: 'uid' is blank in some row.")
        return [
            {
                "uid": row["uid"],
                "text": text_of({name: row.get(name) for name in SECTIONS}),
                "codes": [code.strip() for code in (row["MeSH"] or "").split(";") if code.strip()],
                "images": images.get(row["uid"], []),
            }
            for row in rows
        ]


def labels_of(codes: list[str]) -> tuple[tuple[str, LabelValue], ...]:
    """What the codes of a report state; none where it was not coded.

    Example:
        >>> dict(labels_of(["Cardiomegaly/borderline", "Spine/degenerative"]))["Cardiomegaly"]
        <LabelValue.UNCERTAIN: 'uncertain'>
    """
    if not codes or any(fold(code) == NOT_CODED for code in codes):
        return ()
    qualifiers: dict[str, list[str]] = {}
    for code in codes:
        head, *rest = [part.strip() for part in code.split("/")]
        qualifiers.setdefault(canonical(head), []).append("/".join(rest).lower())
    there = {
        name: LabelValue.UNCERTAIN if all("borderline" in word for word in words) else LabelValue.POSITIVE
        for name, words in qualifiers.items()
    }
    stated = tuple((name, there.get(name, present(False))) for name in STATED)
    return stated + tuple((name, value) for name, value in sorted(there.items()) if name not in STATED)


def _xml_report(root: ET.Element, tags: str) -> dict[str, Any]:
    """Report id, text, codes and images of one eCitation."""
    node = root.find("uId")
    uid = node.get("id") if node is not None else None
    if root.tag != "eCitation" or not uid:
        raise ValueError(f"no eCitation with a uId, but {root.tag}")
    texts = {
        part.get("Label", "").lower(): "".join(part.itertext()).strip()
        for part in root.iter("AbstractText")
        if part.get("Label")
    }
    return {
        "uid": uid.removeprefix("CXR"),
        "text": text_of({name: texts.get(name) for name in SECTIONS}),
        "codes": [(code.text or "").strip() for code in root.iterfind(f"MeSH/{tags}") if (code.text or "").strip()],
        "images": [(image.get("id") or "", None) for image in root.iter("parentImage") if image.get("id")],
    }


def _image_key(name: str) -> str:
    """Report and image number: one name for CXR1_1_IM-0001-3001 (PNG), 1_IM-0001-3001 (DICOM) and Kaggle's .dcm.png.

    Example:
        >>> {_image_key(name) for name in ("CXR1_1_IM-0001-3001", "1_IM-0001-3001.dcm.png")}
        {'1_IM-0001-3001'}
    """
    name = name.removesuffix(".png").removesuffix(".dcm")
    match = IMAGE_NAME.fullmatch(name)
    return f"{match[1]}_{match[2]}" if match else name


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())
