"""A model that is dead does not take the rest of the server with it, and lives again when it is mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.web.conftest import BEARER, TOKEN, client_of

from hilum.models import Model
from hilum.web import Settings, models_at_hand
from hilum.web.models_at_hand import Models


@pytest.fixture
def broken(model_folder: Path, tmp_path: Path) -> Path:
    """A model whose weights are cut."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "broken"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    return folder


def test_a_dead_model_is_said_to_be_dead_and_the_rest_works(embedded: Path, broken: Path) -> None:
    with client_of(Settings(embedded, (broken,), token=TOKEN), headers=BEARER) as client:
        told = client.get("/api/search?q=effusion")
        assert (told.status_code, told.json()["title"]) == (503, "The model cannot answer now")
        assert str(broken) not in told.text
        page = client.get("/search?q=effusion")
        assert (page.status_code, 'role="alert"' in page.text) == (200, True)
        assert client.get("/search?q=effusion&by=words").status_code == 200
        assert client.get("/study?id=s1").status_code == 200
        assert client.get("/api/images/1/scores").status_code == 503
        (model,) = client.get("/api/models").json()
        assert (model["state"], model["embedded"]) == ("failed", None)
        assert "safetensors" in model["reason"]
        assert str(broken.parent) not in client.get("/").text


def test_a_mended_model_answers_without_a_restart(
    embedded: Path, broken: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_at_hand, "RETRY_SECONDS", 0.0)
    with client_of(Settings(embedded, (broken,), token=TOKEN), headers=BEARER) as client:
        assert client.get("/api/images/1/scores").status_code == 503
        shutil.copy(model_folder / "model.safetensors", broken / "model.safetensors")
        assert client.get("/api/images/1/scores").status_code == 200


def test_a_second_model_answers_where_the_first_is_dead(embedded: Path, broken: Path, model_folder: Path) -> None:
    with client_of(Settings(embedded, (broken, model_folder), token=TOKEN), headers=BEARER) as client:
        assert client.get("/api/search?q=effusion&model=tiny").status_code == 200
        assert client.get("/api/search?q=effusion").status_code == 503
        assert client.get("/api/search?q=effusion&model=none").status_code == 400


def test_a_model_that_fails_while_it_answers_ends_one_request(
    visitor: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory at /secret/place")

    with monkeypatch.context() as patch:
        patch.setattr(Model, "embed_images", fail)
        answer = visitor.get("/api/images/1/scores")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    number = answer.json()["detail"].rstrip(".").rpartition(" ")[2]
    assert number in caplog.text
    assert answer.headers["content-security-policy"]
    assert visitor.get("/api/images/1/scores").status_code == 200


def test_without_a_model_words_can_be_searched_and_the_rest_is_told(embedded: Path) -> None:
    with client_of(Settings(embedded, token=TOKEN), headers=BEARER) as client:
        for path in ("/", "/search", "/search?q=effusion&by=words", "/study?id=s1", "/try", "/prompts"):
            assert client.get(path).status_code == 200, path
        assert "--model" in client.get("/api/search?q=effusion").json()["detail"]


def test_models_of_one_name_are_told_apart() -> None:
    folders = [Path("a/chexzero"), Path("b/chexzero"), Path("/x/gloria/model"), Path("c/chexzero")]
    assert list(Models(folders).slots) == ["chexzero", "chexzero-2", "gloria", "chexzero-3"]
