"""Pages and API show what the archive holds, and nothing that could hurt who looks."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from tests.web.conftest import BEARER, MARKUP, TOKEN, client_of

from hilum.archive import Archive
from hilum.web import Settings

PAGES = (
    "/",
    "/search",
    "/search?q=effusion",
    "/search?like=i3",
    "/study?id=s1",
    "/try",
    "/prompts",
    "/results",
    "/api",
)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_what_it_is_not_for(visitor: TestClient, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 200
    assert "Research use only. Not a medical device." in answer.text


@pytest.mark.parametrize("path", [*PAGES, "/nowhere", "/study?id=none"])
def test_no_page_loads_anything_from_elsewhere_or_runs_a_script_of_its_own(visitor: TestClient, path: str) -> None:
    text = visitor.get(path).text
    for address in re.findall(r'(?:src|href|action)="([^"]*)"', text):
        assert address == "" or address.startswith(("/", "#")), address
        assert not address.startswith("//")
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", text)


@pytest.mark.parametrize("path", PAGES)
def test_every_picture_has_words_beside_it(visitor: TestClient, path: str) -> None:
    for tag in re.findall(r"<img[^>]*>", visitor.get(path).text):
        assert re.search(r'\balt="', tag), tag


def test_the_archive_page_counts(visitor: TestClient) -> None:
    told = visitor.get("/api/archive").json()
    assert (told["images"], told["studies"], told["patients"]) == (96, 96, 96)
    assert told["by"]["view"] == {"pa": 96}
    assert {row["finding"] for row in told["labels"]} == {"Pleural Effusion", "Pneumothorax"}
    assert [model["name"] for model in told["models"]] == ["tiny"]
    assert "path" not in told
    assert "<strong>96</strong> images" in visitor.get("/").text


def test_a_patient_is_named_nowhere(visitor: TestClient) -> None:
    for path in (*PAGES, "/api/archive", "/api/search?q=effusion", "/api/study?id=s1", "/api/rejects"):
        assert "patient_id" not in visitor.get(path).text, path
        assert not re.search(r"\bp1\b", visitor.get(path).text), path


def test_search_by_meaning_words_and_likeness(visitor: TestClient) -> None:
    near = visitor.get("/api/search", params={"q": "left effusion", "k": 5}).json()
    assert [len(near["images"]), near["model"], near["missing"]] == [5, "tiny", 0]
    assert near["images"][0]["score"] >= near["images"][4]["score"]
    said = visitor.get("/api/search", params={"q": '"left pneumothorax"', "by": "words", "k": 100}).json()
    assert len(said["images"]) == 24
    assert all("Left pneumothorax" in image["snippet"] for image in said["images"])
    like = visitor.get("/api/search", params={"like": "i3", "k": 5}).json()
    assert "i3" not in [image["image_id"] for image in like["images"]]
    fused = visitor.get("/api/search", params={"q": "effusion", "by": "both", "k": 5}).json()
    assert fused["images"][0]["found_by"] == "text+words"


def test_filters_narrow_and_are_told(visitor: TestClient) -> None:
    label = {"label": "Pneumothorax", "value": "positive", "split": "test", "k": 100}
    told = visitor.get("/api/search", params=label).json()
    assert (told["matching"], told["total"], len(told["images"])) == (8, 96, 8)
    assert told["filter"] == "split = 'test' AND label('Pneumothorax') = 'positive'"
    assert told["images"][0]["score"] is None
    empty = visitor.get("/search", params={"q": "effusion", "age_from": "", "age_to": "", "sex": "", "where": ""})
    assert empty.status_code == 200


@pytest.mark.parametrize(
    "where",
    [
        "1 = 1; DROP TABLE images",
        "view = 'pa') OR (1 = 1",
        "path LIKE '%x%'",
        "view = 'pa' --",
        "image_id = (SELECT 1)",
        "'",
    ],
)
def test_nothing_but_the_filter_language_passes(visitor: TestClient, where: str) -> None:
    answer = visitor.get("/api/search", params={"where": where})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail", "instance"}
    page = visitor.get("/search", params={"where": where})
    assert page.status_code == 200  # who is typing keeps the page, and is told
    assert 'role="alert"' in page.text


def test_a_quote_in_a_field_is_a_value_and_not_the_end_of_one(visitor: TestClient) -> None:
    for field in ("sex", "split", "label"):
        answer = visitor.get("/api/search", params={field: "x' OR 1"})
        assert answer.status_code == 400, field


def test_a_study_shows_its_report_its_evidence_and_labels(visitor: TestClient) -> None:
    told = visitor.get("/api/study", params={"id": "s1"}).json()
    assert told["images"][0]["image_id"] == "i1"
    assert {(one["finding"], one["value"]) for one in told["labels"]} >= {("Pleural Effusion", "positive")}
    assert {one["observation"] for one in told["evidence"]} == {"Pleural Effusion", "Pneumothorax"}
    page = visitor.get("/study", params={"id": "s1"}).text
    assert re.search(r'<mark class="pos"[^>]*>effusion</mark>', page)
    assert re.search(r'<mark class="neg"[^>]*>pneumothorax</mark>', page)


def test_scores_come_with_their_prompts_and_their_place_in_the_archive(visitor: TestClient) -> None:
    told = visitor.get("/api/images/3/scores").json()
    assert len(told["scores"]) == 14
    assert told["compared_with"] == 96
    assert all(0 <= one["above"] <= 1 and one["positive"] and one["negative"] for one in told["scores"])
    asked = visitor.get("/api/images/3/scores", params={"finding": "a bright disk", "prompts": "chexzero"}).json()
    assert asked["scores"][0]["positive"] == ["a bright disk"]
    assert visitor.get("/api/images/3/scores", params={"prompts": "../../secret"}).status_code == 400


def test_similar_images_leave_the_study_itself_out(visitor: TestClient) -> None:
    images = visitor.get("/api/images/3/similar", params={"k": 6}).json()
    assert len(images) == 6
    assert "s3" not in [image["study_id"] for image in images]


def test_pictures_are_the_stored_pixels(visitor: TestClient, embedded: Path) -> None:
    import io

    import numpy as np
    from PIL import Image

    (stored,) = Archive.open(embedded).pixels([7])
    sent = np.asarray(Image.open(io.BytesIO(visitor.get("/api/images/7/picture.png").content)))
    assert np.array_equal(sent, stored)
    small = Image.open(io.BytesIO(visitor.get("/api/images/7/small.jpg?side=9999").content))
    assert max(small.size) <= 256
    for row in ("-1", "96", "999999999999999999999", "x", "../0"):
        assert visitor.get(f"/api/images/{row}/picture.png").status_code in (404, 422)


def test_a_heat_layer_has_the_image_s_size_and_says_how_it_was_made(visitor: TestClient) -> None:
    import io

    from PIL import Image

    answer = visitor.get("/api/images/3/heat.png", params={"phrase": "pneumothorax"})
    assert answer.status_code == 200
    layer = Image.open(io.BytesIO(answer.content))
    assert (layer.mode, layer.size) == ("RGBA", (64, 80))
    assert answer.headers["x-heat-how"] == "gradient"
    assert visitor.get("/api/images/3/heat.png", params={"phrase": " "}).status_code == 400
    assert visitor.get("/api/images/3/heat.png", params={"phrase": "x", "how": "magic"}).status_code == 400


def test_markup_in_a_report_is_shown_and_not_run(own_archive: Path, model_folder: Path) -> None:
    archive = Archive.open(own_archive)
    text = f"No pneumothorax {MARKUP}. Left effusion."
    archive.update_studies(pa.table({"study_id": ["s1"], "report": [text], "impression": [text], "findings": [None]}))
    with client_of(Settings(own_archive, (model_folder,), token=TOKEN), headers=BEARER) as visitor:
        for path in ("/study?id=s1", "/search?q=effusion&by=words&k=96", f"/search?q={MARKUP}", "/search/grid?k=96"):
            page = visitor.get(path).text
            assert "<script>" not in page
            assert "<img src=x" not in page
        assert "&lt;script&gt;" in visitor.get("/study?id=s1").text


def test_ids_may_hold_anything(own_archive: Path) -> None:
    archive = Archive.open(own_archive)
    odd = "a/../b?c=d&e#f '\"<b>"
    image = {"image_id": odd, "study_id": odd, "patient_id": odd, "height": 2, "width": 2, "pixels": b"\0\1\2\3"}
    archive.add_images(pa.Table.from_pylist([image]))
    with client_of(Settings(own_archive, token=TOKEN), headers=BEARER) as visitor:
        assert visitor.get("/api/study", params={"id": odd}).json()["images"][0]["image_id"] == odd
        page = visitor.get("/study", params={"id": odd}).text
        assert "<b>" not in page
        address = re.search(r'href="(/study\?id=[^"]*row=96)"', visitor.get("/search?where=height = 2").text)
        assert address
        assert visitor.get(address[1].replace("&amp;", "&")).status_code == 200


def test_what_is_not_there_is_said_in_words(visitor: TestClient) -> None:
    for path, status in (
        ("/study?id=none", 404),
        ("/nowhere", 404),
        ("/study", 422),
        ("/results/0", 404),
        ("/try/none", 404),
    ):
        answer = visitor.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
    for path, status in (("/api/study?id=none", 404), ("/api/search?k=0", 422), ("/api/search?model=none&q=x", 400)):
        answer = visitor.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path
        assert len(answer.json()["detail"]) > 10


def test_static_names_are_looked_up_in_a_list(visitor: TestClient) -> None:
    assert visitor.get("/static/style.css").headers["content-type"].startswith("text/css")
    for name in ("../app.py", "%2e%2e/app.py", "..%2fapp.py", "app.py", "/etc/passwd"):
        assert visitor.get(f"/static/{name}").status_code == 404


def test_the_schema_names_every_address_and_its_page_tells_them(visitor: TestClient) -> None:
    paths = visitor.get("/api/openapi.json").json()["paths"]
    page = visitor.get("/api").text
    assert all(path.startswith("/api/") for path in paths)
    assert len(paths) >= 15
    for path in paths:
        assert path in page


def test_the_playground_measures_other_words(visitor: TestClient) -> None:
    asked = {"finding": "Pleural Effusion", "positive": "bright disk", "negative": "dark disk"}
    trial = visitor.post("/api/prompts", json=asked).json()["trial"]
    assert (trial["n"], trial["n_positive"], trial["said_by"]) == (96, 48, "dataset:disks")
    assert trial["after"]["wording"]["positive"] == ["bright disk"]
    assert trial["difference"] == pytest.approx(trial["after"]["auroc"] - trial["before"]["auroc"])
    page = visitor.get("/prompts", params=asked).text
    assert "bright disk" in page
    assert "AUROC, your words" in page
    assert visitor.post("/api/prompts", json={"finding": "none"}).status_code == 400


def test_results_are_shown_from_the_folders_named_at_the_start(embedded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "first"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<html><script>alert(1)</script>the report</html>")
    header = "model,dataset,finding,metric,value,low,high,n,n_positive,replicates,seed,note"
    (folder / "results.csv").write_text(f"{header}\nm,d,macro,auroc,0.9,0.8,0.95,10,,1000,0,\n")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "report.html").write_text("secret")
    (tmp_path / "results" / "link").symlink_to(secret)
    settings = Settings(embedded, results=(tmp_path / "results",), token=TOKEN)
    with client_of(settings, headers=BEARER) as visitor:
        (report,) = visitor.get("/api/results").json()
        assert report["name"] == "results/first"
        assert "0.900" in visitor.get("/results").text
        sent = visitor.get(f"/results/{report['key']}/report")
        assert "sandbox" in sent.headers["content-security-policy"]
        assert "script-src" not in sent.headers["content-security-policy"]
        assert visitor.get(f"/api/results/{report['key']}").json()["rows"][0]["value"] == "0.9"
        for key in ("..", "%2e%2e%2fsecret", "first"):
            assert visitor.get(f"/results/{key}/report").status_code == 404
