"""The vocabulary of findings: the 14 CheXpert observations, other datasets' names, and how a free name is understood.

Every other room asks here, so that "Effusion", "pleural effusion" and "Pleural_Effusion" are one finding.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum


class LabelValue(Enum):
    """What a reader, human or not, says of one finding (Irvin et al. 2019, section 3)."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    UNCERTAIN = "uncertain"
    NOT_MENTIONED = "not_mentioned"

    @classmethod
    def from_chexpert(cls, code: float | None) -> LabelValue:
        """The value behind a CheXpert CSV cell: 1, 0, -1 or blank (None or NaN).

        Example:
            >>> LabelValue.from_chexpert(-1.0)
            <LabelValue.UNCERTAIN: 'uncertain'>
        """
        if code is None or code != code:
            return cls.NOT_MENTIONED
        return _FROM_CODE[int(code)]

    @property
    def chexpert(self) -> int | None:
        """The CheXpert CSV code: 1, 0, -1 or None for a blank cell."""
        return _TO_CODE[self]


_FROM_CODE = {1: LabelValue.POSITIVE, 0: LabelValue.NEGATIVE, -1: LabelValue.UNCERTAIN}
_TO_CODE = {value: code for code, value in _FROM_CODE.items()} | {LabelValue.NOT_MENTIONED: None}


@dataclass(frozen=True)
class Finding:
    """One finding: its name as shown, other names for the same thing, and the finding it is a kind of."""

    name: str
    aliases: tuple[str, ...] = ()
    parent: str | None = None


# In the column order of the CheXpert labeler's output; always address columns by name.
CHEXPERT = (
    Finding("No Finding", ("normal", "no findings")),
    Finding("Enlarged Cardiomediastinum", ("widened mediastinum", "mediastinal widening", "wide mediastinum")),
    Finding(
        "Cardiomegaly",
        ("enlarged heart", "enlarged cardiac silhouette", "cardiac enlargement", "cardiomegalia"),
        "Enlarged Cardiomediastinum",
    ),
    Finding("Lung Opacity", ("airspace opacity", "opacity", "airspace disease", "lung opacities")),
    Finding(
        "Lung Lesion", ("lesion", "nodule or mass", "nodule/mass", "lung nodule or mass", "lung nodule"), "Lung Opacity"
    ),
    Finding("Edema", ("pulmonary edema", "lung edema", "oedema", "pulmonary oedema", "edema pulmonar"), "Lung Opacity"),
    Finding("Consolidation", ("consolidations", "consolidacion"), "Lung Opacity"),
    Finding("Pneumonia", ("pneumonias", "neumonia"), "Consolidation"),
    Finding("Atelectasis", ("pulmonary atelectasis", "atelectases", "atelectasia"), "Lung Opacity"),
    Finding("Pneumothorax", ("pneumothoraces", "neumotorax")),
    Finding("Pleural Effusion", ("effusion", "effusions", "pleural effusions", "derrame pleural")),
    Finding("Pleural Other", ()),
    Finding("Fracture", ("fractures", "acute fracture", "fractures, bone", "fractura")),
    Finding("Support Devices", ("support device", "devices", "lines and tubes")),
)

OTHER = (
    Finding("Infiltration", ("infiltrate", "infiltrates"), "Lung Opacity"),
    Finding("Mass", ("lung mass", "pulmonary mass", "masa"), "Lung Lesion"),
    Finding("Nodule", ("nodules", "pulmonary nodule", "nodulo"), "Lung Lesion"),
    Finding("Lung Tumor", (), "Lung Lesion"),  # VinDr-CXR: a diagnosis, not what is seen
    Finding("Lung Cavity", ("cavitation", "cavity")),
    Finding("Lung Cyst", ()),
    Finding(
        "Ground-Glass Opacity", ("groundglass opacity", "ground glass opacity", "ground glass pattern"), "Lung Opacity"
    ),
    Finding("Emphysema", ("pulmonary emphysema", "enfisema")),
    Finding(
        "COPD",
        ("copd signs", "chronic obstructive pulmonary disease", "pulmonary disease, chronic obstructive", "epoc"),
    ),
    Finding("Fibrosis", ("pulmonary fibrosis",)),
    Finding("Interstitial Lung Disease", ("ild", "lung diseases, interstitial")),
    Finding("Pleural Thickening", ("pleura thickening",), "Pleural Other"),
    Finding("Pleural Abnormality", ()),  # REFLACX: effusion or anything else of the pleura
    Finding(
        "Heart Failure",
        ("heart insufficiency", "cardiac failure", "congestive heart failure", "insuficiencia cardiaca"),
    ),
    Finding("Enlarged Pulmonary Artery", ("enlarged pa", "pulmonary artery enlargement")),
    Finding("Aortic Enlargement", ()),
    Finding("Enlarged Hilum", ("hilar enlargement",)),
    Finding("Mediastinal Shift", ("mediastinal displacement",)),
    Finding("Calcification", ("calcinosis", "calcifications")),
    Finding("Other Lesion", ()),  # VinDr-CXR: none of those it names
    Finding("Other Disease", ("other diseases",)),
    Finding("Rib Fracture", ("rib fractures", "fractured ribs"), "Fracture"),
    Finding("Clavicle Fracture", (), "Fracture"),
    Finding("Hernia", ("hiatal hernia", "hernia, hiatal")),
    Finding("COVID-19", ("covid", "covid19", "covid 19"), "Pneumonia"),
    Finding("ARDS", ("acute respiratory distress syndrome",)),
    Finding("Tuberculosis", ("tb",)),
)

CHEXPERT_NAMES = tuple(finding.name for finding in CHEXPERT)
COMPETITION_NAMES = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")


def fold(name: str) -> str:
    """A name without case, accents, underscores or repeated blanks, for comparison.

    Example:
        >>> fold(" Pleural_Effusion "), fold("Neumonía")
        ('pleural effusion', 'neumonia')
    """
    if not name.isascii():
        name = "".join(mark for mark in unicodedata.normalize("NFD", name) if not unicodedata.combining(mark))
    return re.sub(r"[\s_]+", " ", name).strip().lower()


_BY_NAME = {fold(known): finding for finding in (*CHEXPERT, *OTHER) for known in (finding.name, *finding.aliases)}


def find(name: str) -> Finding | None:
    """The known finding of this name or alias, or None when the name is not in the vocabulary.

    Example:
        >>> find("effusion").name
        'Pleural Effusion'
    """
    return _BY_NAME.get(fold(name))


def canonical(name: str) -> str:
    """The name as hilum shows it: the vocabulary's where known, else the given one, stripped.

    Example:
        >>> canonical("pleural_effusion"), canonical("scimitar sign")
        ('Pleural Effusion', 'scimitar sign')
    """
    found = find(name)
    return found.name if found else name.strip()


def suggest(name: str, known: list[str] | tuple[str, ...] | None = None) -> str | None:
    """The closest known name to a misspelled one, or None when nothing is close.

    Example:
        >>> suggest("pleural efusion")
        'Pleural Effusion'
    """
    names = {fold(k): k for k in known} if known is not None else {k: f.name for k, f in _BY_NAME.items()}
    close = difflib.get_close_matches(fold(name), names, n=1, cutoff=0.75)
    return names[close[0]] if close else None


def ancestors(name: str) -> tuple[str, ...]:
    """The findings this one is a kind of, nearest first (CheXpert's hierarchy).

    Example:
        >>> ancestors("Pneumonia")
        ('Consolidation', 'Lung Opacity')
    """
    chain: list[str] = []
    found = find(name)
    while found and found.parent:
        chain.append(found.parent)
        found = find(found.parent)
    return tuple(chain)
