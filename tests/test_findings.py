"""Names of many datasets, and in Spanish, are one finding where they mean the same, and stay apart where they do not."""

from __future__ import annotations

from collections import Counter

import pytest

from hilum.findings import CHEXPERT, OTHER, ancestors, canonical, find, fold


def test_no_name_stands_for_two_findings() -> None:
    names = Counter(fold(known) for finding in (*CHEXPERT, *OTHER) for known in {finding.name, *finding.aliases})
    assert [name for name, count in names.items() if count > 1] == []


def test_every_parent_is_a_finding() -> None:
    for finding in (*CHEXPERT, *OTHER):
        assert finding.parent is None or find(finding.parent) is not None, finding.name
        assert finding.name not in ancestors(finding.name)


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("Effusion", "Pleural Effusion"),
        ("Pleural effusion", "Pleural Effusion"),
        ("derrame pleural", "Pleural Effusion"),
        ("Neumonía", "Pneumonia"),
        ("Pleural_Thickening", "Pleural Thickening"),
        ("Infiltrate", "Infiltration"),
        ("Enlarged cardiac silhouette", "Cardiomegaly"),
        ("Pulmonary Atelectasis", "Atelectasis"),
        ("Fractures, Bone", "Fracture"),
        ("Hernia, Hiatal", "Hernia"),
        ("Nodule/Mass", "Lung Lesion"),
        ("Lung nodule or mass", "Lung Lesion"),
        ("ILD", "Interstitial Lung Disease"),
        ("Other diseases", "Other Disease"),
        ("Other disease", "Other Disease"),
        ("COPD signs", "COPD"),
        ("heart insufficiency", "Heart Failure"),
        ("Groundglass opacity", "Ground-Glass Opacity"),
        ("Airspace opacity", "Lung Opacity"),
    ],
)
def test_datasets_names_are_understood(name: str, finding: str) -> None:
    assert canonical(name) == finding


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Pleural abnormality", "Pleural Other"),  # of REFLACX, with effusion
        ("Lung tumor", "Mass"),
        ("Rib fracture", "Fracture"),
        ("Rib fracture", "Clavicle fracture"),
        ("Abnormal mediastinal contour", "Enlarged Cardiomediastinum"),
        ("High lung volume / emphysema", "Emphysema"),
    ],
)
def test_names_that_differ_in_meaning_stay_apart(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)
