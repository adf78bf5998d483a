"""What is written appears, what is gone is said to be gone, and what comes back is served again: without a restart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from tests.conftest import make_small_archive
from tests.web.conftest import BEARER, TOKEN, client_of

from hilum.archive import Archive
from hilum.errors import ArchiveError
from hilum.web import Settings, create_app, shelf


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(shelf, "LOOK_SECONDS", 0.0)


def test_an_archive_that_is_missing_at_the_start_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        create_app(Settings(tmp_path / "none", token=TOKEN))


def test_an_archive_moved_away_is_said_to_be_gone_and_served_again_when_it_is_back(
    own_archive: Path, model_folder: Path, tmp_path: Path
) -> None:
    with client_of(Settings(own_archive, (model_folder,), token=TOKEN), headers=BEARER) as client:
        assert client.get("/search?q=effusion").status_code == 200
        away = own_archive.rename(tmp_path / "away")
        for path in ("/", "/search?q=effusion", "/study?id=s1", "/prompts"):
            answer = client.get(path)
            assert answer.status_code == 503, path
            assert "is not where it was" in answer.text
            assert answer.headers["retry-after"] == "5"
        told = client.get("/api/search?q=effusion")
        assert told.json()["title"] == "The archive is not there"
        assert str(tmp_path) not in told.text
        assert client.get("/results").status_code == 200  # what does not need it goes on
        away.rename(own_archive)
        for path in ("/", "/search?q=effusion", "/study?id=s1", "/api/images/0/picture.png"):
            assert client.get(path).status_code == 200, path


def test_an_archive_deleted_and_made_anew_is_served(own_archive: Path) -> None:
    with client_of(Settings(own_archive, token=TOKEN), headers=BEARER) as client:
        assert client.get("/api/archive").json()["images"] == 96
        shutil.rmtree(own_archive)
        assert client.get("/api/archive").status_code == 503
        make_small_archive(own_archive, count=8)
        assert client.get("/api/archive").json()["images"] == 8
        assert len(client.get("/api/search").json()["images"]) == 8


def test_a_damaged_table_is_a_page_in_words_and_no_path(own_archive: Path) -> None:
    with client_of(Settings(own_archive, token=TOKEN), headers=BEARER) as client:
        for place in (own_archive / "images.lance" / "_versions").iterdir():
            place.unlink()
            place.write_bytes(b"nonsense")
        answer = client.get("/")
        assert answer.status_code == 503
        assert str(own_archive) not in answer.text
        assert "Traceback" not in answer.text


def test_new_images_labels_and_embeddings_appear(own_archive: Path, model_folder: Path) -> None:
    from hilum.tasks import embed

    with client_of(Settings(own_archive, (model_folder,), token=TOKEN), headers=BEARER) as client:
        assert client.get("/api/search?q=effusion").json()["missing"] == 0
        image = {
            "image_id": "new",
            "study_id": "new",
            "patient_id": "new",
            "height": 2,
            "width": 2,
            "pixels": b"\0\1\2\3",
        }
        Archive.open(own_archive).add_images(pa.Table.from_pylist([image]))
        told = client.get("/api/search?q=effusion").json()
        assert (told["total"], told["missing"]) == (97, 1)
        assert "hilum embed" in told["notice"]
        assert client.get("/api/images/96/picture.png").status_code == 200
        embed(model_folder, own_archive)
        assert client.get("/api/search?q=effusion").json()["missing"] == 0


def test_reading_goes_on_while_another_writes(own_archive: Path) -> None:
    with client_of(Settings(own_archive, token=TOKEN), headers=BEARER) as client, Archive.open(own_archive).writing():
        assert client.get("/search?q=effusion&by=words").status_code == 200


def test_an_archive_without_an_image_is_a_page_too(tmp_path: Path) -> None:
    Archive.create(tmp_path / "empty")
    with client_of(Settings(tmp_path / "empty", token=TOKEN), headers=BEARER) as client:
        for path in ("/", "/search", "/prompts", "/try", "/search?q=x&by=words"):
            assert client.get(path).status_code == 200, path
        assert "hilum ingest" in client.get("/").text
