"""Label sets: which findings make one task, in which order, and how doubtful and missing labels count in it.

An archive keeps what a dataset says, doubt included. A label set turns that into targets. Each class is a finding of the
archive's labels table. In a multi-class or ordinal set exactly one class of an image is positive; ordinal classes stand
in rising order.

Sets marked `confirmed=False` are our reading: a publication names how many outputs it used, but not which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hilum.errors import UsageError
from hilum.findings import CHEXPERT_NAMES, COMPETITION_NAMES, LabelValue, fold, suggest

Task = Literal["binary", "multi-label", "multi-class", "ordinal"]

POSITIVE, NEGATIVE, NOT_MENTIONED = LabelValue.POSITIVE, LabelValue.NEGATIVE, LabelValue.NOT_MENTIONED


@dataclass(frozen=True)
class LabelSet:
    """The classes of one task.

    Attributes:
        name: as `--target` takes it.
        task: binary (one class), multi-label (each class on its own), multi-class (one of them), ordinal (one of them,
            in rising order).
        classes: findings, as the labels table spells them.
        sources: the sources that state them.
        about: what the classes mean, or where the choice comes from.
        confirmed: False where the choice of classes is ours.
        uncertain: what an uncertain label of a class counts as; classes that are not named are left out (masked) there.
        blank: what a class counts as where the dataset labels the image or its study but does not mention this class:
            NOT_MENTIONED leaves it out, NEGATIVE reads silence as absence.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    sources: tuple[str, ...] = ()
    about: str = ""
    confirmed: bool = True
    uncertain: Mapping[str, LabelValue] = field(default_factory=dict)
    blank: LabelValue = NOT_MENTIONED

    def target(self, finding: str, value: LabelValue | None) -> int | None:
        """1, 0 or None (left out) for what the dataset says of one class; None as `value` is silence.

        Example:
            >>> chexpert = LABEL_SETS["chexpert-5"]
            >>> chexpert.target("Edema", LabelValue.UNCERTAIN), chexpert.target("Cardiomegaly", LabelValue.UNCERTAIN)
            (1, 0)
        """
        if value is None or value is NOT_MENTIONED:
            value = self.blank
        if value is LabelValue.UNCERTAIN:
            value = self.uncertain.get(finding, NOT_MENTIONED)
        return {POSITIVE: 1, NEGATIVE: 0}.get(value)


NIH_14 = (
    "Atelectasis",
    "Cardiomegaly",
    "Pleural Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural Thickening",
    "Hernia",
)
# In the order of the class ids of the VinBigData release.
VINDR_14 = (
    "Aortic Enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "Interstitial Lung Disease",
    "Infiltration",
    "Lung Opacity",
    "Lung Lesion",  # Nodule/Mass
    "Other Lesion",
    "Pleural Effusion",
    "Pleural Thickening",
    "Pneumothorax",
    "Fibrosis",
)
VINDR_MORE = (
    "Clavicle Fracture",
    "Edema",
    "Emphysema",
    "Enlarged Pulmonary Artery",
    "Lung Cavity",
    "Lung Cyst",
    "Mediastinal Shift",
    "Rib Fracture",
)
VINDR_DIAGNOSES = ("COPD", "Lung Tumor", "Pneumonia", "Tuberculosis")
RANZCR_11 = (
    "ETT - Abnormal",
    "ETT - Borderline",
    "ETT - Normal",
    "NGT - Abnormal",
    "NGT - Borderline",
    "NGT - Incompletely Imaged",
    "NGT - Normal",
    "CVC - Abnormal",
    "CVC - Borderline",
    "CVC - Normal",
    "Swan Ganz Catheter Present",
)
BRAX_14 = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
PADCHEST_9 = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "COPD",
    "Edema",
    "Emphysema",
    "Heart Failure",
    "Pleural Effusion",
    "Pneumonia",
)
# What all three phases of REFLACX can tell, under the names of phases 2 and 3.
REFLACX_9 = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Fracture",
    "Ground-Glass Opacity",
    "Lung Lesion",
    "Pleural Abnormality",
    "Pneumothorax",
)
# The most frequent heads of the manual MeSH codes.
OPENI_20 = (
    "No Finding",
    "Lung",
    "Lung Opacity",
    "Cardiomegaly",
    "Atelectasis",
    "Calcification",
    "Calcified Granuloma",
    "Thoracic Vertebrae",
    "Spine",
    "Cicatrix",
    "Aorta",
    "Markings",
    "Diaphragm",
    "Pleural Effusion",
    "Atherosclerosis",
    "Density",
    "Deformity",
    "Catheters, Indwelling",
    "Nodule",
    "Surgical Instruments",
)
EDEMA_GRADES = tuple(f"Edema Severity {grade}" for grade in range(4))
SUBTLETY_GRADES = tuple(f"Nodule Subtlety {grade}" for grade in range(6))
RSNA_3 = ("No Finding", "Abnormal Without Lung Opacity", "Lung Opacity")

# Irvin et al. 2019, section 4: the better of U-Ones and U-Zeros for each.
CHEXPERT_UNCERTAIN = {
    "Atelectasis": POSITIVE,
    "Cardiomegaly": NEGATIVE,
    "Consolidation": NEGATIVE,
    "Edema": POSITIVE,
    "Pleural Effusion": POSITIVE,
}
UNNAMED = "the publication gives the number of outputs, not their names; this choice is ours."

LABEL_SETS: dict[str, LabelSet] = {
    labels.name: labels
    for labels in (
        LabelSet("chexpert-14", "multi-label", CHEXPERT_NAMES, ("chexpert", "mimic"), blank=NEGATIVE),
        LabelSet(
            "chexpert-5",
            "multi-label",
            COMPETITION_NAMES,
            ("chexpert", "mimic"),
            "the competition tasks, with their usual reading of uncertain labels.",
            uncertain=CHEXPERT_UNCERTAIN,
            blank=NEGATIVE,
        ),
        LabelSet("chexpert-5x200", "multi-class", COMPETITION_NAMES, ("chexpert-5x200",), "exactly one is present."),
        LabelSet("nih-14", "multi-label", NIH_14, ("nih", "medmnist")),
        LabelSet("vindr-18", "multi-label", (*VINDR_14, *VINDR_DIAGNOSES), ("vindr",), UNNAMED, confirmed=False),
        LabelSet("vindr-14", "multi-label", VINDR_14, ("vindr",), "those of the VinBigData release."),
        LabelSet(
            "vindr-27",
            "multi-label",
            (*VINDR_14, *VINDR_MORE, *VINDR_DIAGNOSES, "Other Disease"),
            ("vindr",),
            "all but No Finding.",
        ),
        LabelSet("ranzcr-11", "multi-label", RANZCR_11, ("ranzcr",), "positions of tubes and catheters."),
        LabelSet("brax-14", "multi-label", BRAX_14, ("brax",), blank=NEGATIVE),
        LabelSet("padchest-9", "multi-label", PADCHEST_9, ("padchest",), UNNAMED, confirmed=False),
        LabelSet("reflacx-9", "multi-label", REFLACX_9, ("reflacx",), UNNAMED, confirmed=False),
        LabelSet("openi-20", "multi-label", OPENI_20, ("openi",), UNNAMED, confirmed=False),
        LabelSet(
            "edema-severity",
            "ordinal",
            EDEMA_GRADES,
            ("edema",),
            "0 none, 1 vascular congestion, 2 interstitial, 3 alveolar.",
        ),
        LabelSet(
            "jsrt-subtlety",
            "ordinal",
            SUBTLETY_GRADES,
            ("jsrt",),
            "0 no nodule, 1 extremely subtle, 2 very subtle, 3 subtle, 4 relatively obvious, 5 obvious.",
        ),
        LabelSet("jsrt-nodule", "binary", ("Nodule",), ("jsrt",)),
        LabelSet("pneumonia", "binary", ("Pneumonia",), ("pediatric", "rsna", "medmnist", "covid", "nih")),
        LabelSet("pneumonia-cause", "multi-class", ("No Finding", "Bacterial", "Viral"), ("pediatric",)),
        LabelSet("rsna-3", "multi-class", RSNA_3, ("rsna",), "the detailed classes."),
        LabelSet("tuberculosis", "binary", ("Tuberculosis",), ("shenzhen", "montgomery", "covid", "vindr")),
        LabelSet("tb-smear", "binary", ("TB Smear",), ("tbportals",), "bacilli seen in sputum under the microscope."),
        LabelSet("pneumothorax", "binary", ("Pneumothorax",), ("siim", "nih")),
        LabelSet("covid-19", "binary", ("COVID-19",), ("covid",)),
    )
}


def label_set(name: str) -> LabelSet:
    """The label set of this name.

    Raises:
        UsageError: there is none; the message names the closest.

    Example:
        >>> label_set("edema-severity").task
        'ordinal'
    """
    if name in LABEL_SETS:
        return LABEL_SETS[name]
    by_fold = {fold(known): labels for known, labels in LABEL_SETS.items()}
    if fold(name) in by_fold:
        return by_fold[fold(name)]
    close = suggest(name, tuple(LABEL_SETS))
    hint = f" Did you mean '{close}'?" if close else ""
    raise UsageError(f"there is no label set '{name}'.{hint} Label sets: {', '.join(LABEL_SETS)}.")
