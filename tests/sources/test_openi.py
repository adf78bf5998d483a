"""Open-i: XML with PNG or DICOM, Kaggle's two tables, MeSH heads as findings of the study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError, UsageError
from hilum.sources import ingest

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
  <uId id="CXR{uid}"/>
  <MedlineCitation><Article><Abstract>
    <AbstractText Label="COMPARISON">None.</AbstractText>
    <AbstractText Label="INDICATION">Positive TB test, XXXX</AbstractText>
    <AbstractText Label="FINDINGS">{findings}</AbstractText>
    <AbstractText Label="IMPRESSION">Done &amp; dusted.</AbstractText>
  </Abstract></Article></MedlineCitation>
  <MeSH>{mesh}</MeSH>
  {images}
</eCitation>
"""
CODES = {
    "1": "<major>normal</major>",
    "2": "<major>Cardiomegaly/borderline</major><major>Pulmonary Atelectasis/base/left</major>"
    "<major>Scoliosis</major><automatic>Catheters, Indwelling</automatic>",
    "3": "<major>No Indexing</major>",
}


def image(name: str) -> str:
    return f'<parentImage id="{name}"><caption>PA</caption><panel type="single"><url>/x.jpg</url></panel></parentImage>'


def reports(root: Path) -> Path:
    folder = root / "ecgen-radiology"
    folder.mkdir(parents=True)
    for uid, codes in CODES.items():
        images = [image(f"CXR{uid}_1_IM-000{uid}-3001"), image(f"CXR{uid}_1_IM-000{uid}-4001")]
        text = XML.format(uid=uid, findings="Clear lungs.", mesh=codes, images="".join(images))
        (folder / f"{uid}.xml").write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def png(tmp_path: Path) -> Path:
    root = reports(tmp_path / "openi")
    for seed, uid in enumerate("123"):
        write_picture(root / "NLMCXR_png" / f"CXR{uid}_1_IM-000{uid}-3001.png", seed)
    return root


def test_heads_of_codes_are_findings_of_the_study(png: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "openi", png)
    assert sorted(found.images) == [f"openi-{n}_IM-000{n}-3001" for n in "123"]
    assert found.has("openi-1") == {"No Finding"}
    assert (found.has("openi-2"), found.has("openi-2", "uncertain")) == ({"Atelectasis", "Scoliosis"}, {"Cardiomegaly"})
    assert "Pleural Effusion" in found.has("openi-2", "negative")
    assert not {finding for study, finding in found.said if study == "openi-3"}
    automatic = enter(tmp_path / "b", "openi", png, tags="automatic")
    assert automatic.has("openi-2") == {"Catheters, Indwelling"}


def test_reports_keep_their_sections(png: Path, tmp_path: Path) -> None:
    rows = enter(tmp_path / "a", "openi", png).archive.studies().to_pylist()
    assert {(row["findings"], row["impression"], row["comparison"]) for row in rows} == {
        ("Clear lungs.", "Done & dusted.", "None.")
    }


def test_dicom_files_tell_their_view(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    root = reports(tmp_path / "openi")
    write_dicom(root / "NLMCXR_dcm" / "1" / "1_IM-0001-3001.dcm", image="1.1", ViewPosition="PA")
    write_dicom(root / "NLMCXR_dcm" / "1" / "1_IM-0001-4001.dcm", image="1.2", seed=1, ViewPosition="LL")
    found = enter(tmp_path / "a", "openi", root)
    assert found.column("view") == {"openi-1_IM-0001-3001": "pa", "openi-1_IM-0001-4001": "lateral"}
    assert {row["patient_id"] for row in found.images.values()} == {"openi-1"}


def test_kaggles_copy_enters_from_two_tables(tmp_path: Path) -> None:
    root = tmp_path / "kaggle"
    for seed, name in enumerate(("1_IM-0001-4001.dcm.png", "1_IM-0001-3001.dcm.png", "2_IM-0652-1001.dcm.png")):
        write_picture(root / "images" / "images_normalized" / name, seed)
    (root / "indiana_reports.csv").write_text(
        "uid,MeSH,Problems,image,indication,comparison,findings,impression\n"
        "1,normal,normal,Xray Chest PA and Lateral,Positive TB test,None.,Clear lungs.,Normal.\n"
        '2,"Cardiomegaly/borderline;Pulmonary Artery/enlarged;Cardiomegaly",,"PA, lateral",,,,Big heart.\n'
        "9,normal,normal,,,,,Nothing.\n"
    )
    (root / "indiana_projections.csv").write_text(
        "uid,filename,projection\n1,1_IM-0001-4001.dcm.png,Frontal\n1,1_IM-0001-3001.dcm.png,Lateral\n"
        "2,2_IM-0652-1001.dcm.png,Frontal\n"
    )
    found = enter(tmp_path / "a", "openi", root, views={"Frontal": "pa"})
    assert list(found.column("view").values()) == ["pa", "lateral", "pa"]
    assert found.has("openi-2") == {"Cardiomegaly", "Pulmonary Artery"}
    assert found.summary.skipped == {"report without an image": 1}
    assert set(enter(tmp_path / "b", "openi", root).column("view").values()) == {"unknown", "lateral"}


def test_a_broken_report_is_rejected_and_missing_parts_are_named(png: Path, tmp_path: Path) -> None:
    (png / "ecgen-radiology" / "4.xml").write_text("<eCitation><uId")
    assert enter(tmp_path / "a", "openi", png).summary.rejected == {"unreadable_report": 1}
    with pytest.raises(SourceError, match="lacks ecgen-radiology/"):
        ingest("openi", png / "NLMCXR_png", tmp_path / "b")
    with pytest.raises(UsageError, match="expected major or automatic"):
        ingest("openi", png, tmp_path / "b", tags="minor")
