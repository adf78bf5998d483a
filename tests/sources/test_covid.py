"""The COVID-19 collection enters from old and new releases, and from the real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hilum.archive import Archive
from hilum.errors import SourceError
from hilum.findings import LabelValue
from hilum.sources import ingest
from hilum.sources.covid import labels_of

NEW = (
    "patientid,offset,sex,age,finding,view,modality,date,folder,filename,clinical_notes,\n"
    "1,5,M,70,Pneumonia/Viral/COVID-19,PA,X-ray,2020,images,a.png,Fever. Consolidation.,\n"
    "1,2,M,70,Pneumonia/Viral/COVID-19,AP Supine,X-ray,2020,images,b.png,Worse.,\n"
    "1,2,M,70,Pneumonia/Viral/COVID-19,Axial,CT,2020,volumes,c.nii.gz,Worse.,\n"
    "2,,F,,todo,L,X-ray,2020,images,d.png,,\n"
    "2,,F,,No Finding,Coronal,X-ray,2020,images,e.png,,\n"
    "3,,F,,No Finding,PA,X-ray,2020,images,gone.png,,\n"
)
OLD = "Patientid,offset,sex,age,finding,view,date,filename,clinical_notes\n1,0,M,70,COVID-19,PA,2020,a.png,Fever.\n"


def dataset(root: Path, table: str) -> Path:
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "d.png", "e.png"):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(root / "images" / name)
    (root / "metadata.csv").write_text(table)
    return root


def test_radiographs_enter_and_slices_do_not(tmp_path: Path) -> None:
    summary = ingest("covid", dataset(tmp_path / "c", NEW), tmp_path / "a", workers=0)
    assert summary.added == 3
    assert summary.skipped == {"modality CT": 1, "CT slice (Coronal)": 1}
    assert "1 of 4 listed radiographs are not in images/" in summary.notes
    found = {row["image_id"]: row for row in Archive.open(tmp_path / "a").images().to_pylist()}
    assert [found[i]["view"] for i in ("a.png", "b.png", "d.png")] == ["pa", "ap_supine", "lateral"]
    assert [found[i]["study_order"] for i in ("a.png", "b.png", "d.png")] == [3, 0, None]
    assert found["a.png"]["patient_id"] == found["b.png"]["patient_id"] == "covid-1"
    assert found["a.png"]["study_id"] != found["b.png"]["study_id"]
    studies = Archive.open(tmp_path / "a").studies(["study_id", "report", "findings"]).to_pylist()
    assert {row["report"] for row in studies} == {"Fever. Consolidation.", "Worse.", None}
    labeled = set(Archive.open(tmp_path / "a").labels(["image_id"])["image_id"].to_pylist())
    assert labeled == {"a.png", "b.png"}  # todo states nothing


def test_early_releases_have_other_columns(tmp_path: Path) -> None:
    assert ingest("covid", dataset(tmp_path / "c", OLD), tmp_path / "a", workers=0).added == 1


@pytest.mark.parametrize(
    ("finding", "positive", "negative", "open_"),
    [
        ("Pneumonia/Viral/COVID-19", {"COVID-19", "Viral", "Pneumonia"}, {"ARDS", "Bacterial", "No Finding"}, set()),
        ("COVID-19", {"COVID-19", "Viral", "Pneumonia"}, {"ARDS", "Bacterial", "No Finding"}, set()),
        ("COVID-19, ARDS", {"COVID-19", "ARDS", "Pneumonia"}, {"Streptococcus", "No Finding"}, set()),
        ("Pneumonia", {"Pneumonia"}, {"ARDS", "No Finding", "Tuberculosis"}, {"COVID-19", "Bacterial", "Klebsiella"}),
        ("No Finding", {"No Finding"}, {"Pneumonia", "COVID-19", "ARDS"}, set()),
        ("todo", set(), set(), {"COVID-19", "No Finding"}),
        (None, set(), set(), {"COVID-19"}),
    ],
)
def test_both_spellings_of_findings_are_understood(
    finding: str | None, positive: set[str], negative: set[str], open_: set[str]
) -> None:
    said = dict(labels_of(finding))
    assert {said[name] for name in positive} <= {LabelValue.POSITIVE}
    assert {said[name] for name in negative} <= {LabelValue.NEGATIVE}
    assert not open_ & said.keys()


def test_a_folder_that_is_not_the_dataset_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with pytest.raises(SourceError, match=r"lacks metadata\.csv and images"):
        ingest("covid", tmp_path / "c", tmp_path / "a")
    dataset(tmp_path / "d", "patient,file\n1,a.png\n")
    with pytest.raises(SourceError, match="has no column 'patientid'"):
        ingest("covid", tmp_path / "d", tmp_path / "a")


@pytest.mark.realdata
def test_the_real_files_enter_whole(real_data: Path, tmp_path: Path) -> None:
    summary = ingest("covid", real_data / "covid_cxr", tmp_path / "a", workers=0)
    # Three file names are listed twice, for two patient numbers.
    assert (summary.added, summary.rejected) == (218, {"duplicate_id": 3})
    archive = Archive.open(tmp_path / "a")
    positive = archive.labels(["image_id"], "finding = 'COVID-19' AND value = 'positive'")
    assert len(positive) == 107
    assert summary.reports > 100
    assert set(archive.images(["view"])["view"].to_pylist()) == {"pa", "ap", "ap_supine", "lateral", "unknown"}
    orders = [order for order in archive.images(["study_order"])["study_order"].to_pylist() if order is not None]
    assert min(orders) == 0
