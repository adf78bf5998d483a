"""Nobody comes in without the token, from another site, or under another name; nothing of this machine goes out."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from tests.web.conftest import BEARER, HOST, TOKEN

from hilum.errors import UsageError
from hilum.web import Settings, access
from hilum.web.problems import without_paths

PAGES = ("/", "/search", "/study?id=s1", "/try", "/prompts", "/results", "/api", "/api/openapi.json", "/api/archive",
         "/api/images/0/picture.png")  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_without_the_token_nothing_is_shown(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert "effusion" not in answer.text.lower()


def test_an_api_answer_without_the_token_is_a_problem_in_words(stranger: TestClient) -> None:
    answer = stranger.get("/api/archive")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "hilum serve" in answer.json()["detail"]


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(stranger: TestClient) -> None:
    answer = stranger.get(f"/search?q=edema&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/search?q=edema")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    name, value = cookie.split(";")[0].split("=", 1)
    stranger.cookies.clear()
    assert stranger.get("/", headers={"Cookie": f"{name}={value}"}).status_code == 200
    assert stranger.get("/", headers={"Cookie": f"{name}={value[:-1]}x"}).status_code == 401


def test_a_path_with_two_slashes_does_not_send_the_visitor_elsewhere(stranger: TestClient) -> None:
    answer = stranger.get(f"http://{HOST}//evil.example/?token={TOKEN}")
    stranger.cookies.clear()
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize("given", ["wrong", "", TOKEN + "x", TOKEN[:-1], "ü"])
def test_a_wrong_token_opens_nothing(stranger: TestClient, given: str) -> None:
    assert stranger.get("/", params={"token": given}).status_code == 401
    header = f"Bearer {given}".encode()
    assert stranger.get("/api/archive", headers={"Authorization": header}).status_code == 401


def test_tokens_are_compared_in_constant_time(stranger: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, expected: bytes) -> bool:
        compared.append((given, expected))
        return False

    monkeypatch.setattr(access.hmac, "compare_digest", compare)
    stranger.get("/api/archive", headers=BEARER)
    stranger.get("/", params={"token": TOKEN})
    stranger.get("/", headers={"Cookie": "hilum-8420=x"})
    assert [given for given, _ in compared] == [TOKEN.encode(), TOKEN.encode(), b"x"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "evil.example:8420", "127.0.0.1:8420.evil", ""]
)
def test_a_name_pointed_at_this_machine_is_not_served(visitor: TestClient, host: str) -> None:
    assert visitor.get("/", headers={"Host": host}).status_code == 421


def test_a_named_host_is_served(visitor: TestClient) -> None:
    settings = Settings("x", token=TOKEN, hosts=("xray.hospital.example",))
    assert settings.knows_host("XRAY.hospital.example")
    assert settings.knows_host("localhost:8420")
    assert not settings.knows_host("hospital.example")


def test_another_site_cannot_post(stranger: TestClient, visitor: TestClient, png: bytes) -> None:
    cookie = stranger.get("/", params={"token": TOKEN}).headers["set-cookie"].split(";")[0]
    stranger.cookies.clear()

    def posted(**headers: str) -> int:
        return stranger.post("/api/tries", content=png, headers={"Cookie": cookie, **headers}).status_code

    assert posted(Origin=f"http://{HOST}") == 201
    assert posted(Origin="http://evil.example") == 403
    assert posted(Origin="null") == 403
    assert posted() == 403  # a browser always says where a POST comes from
    assert visitor.post("/api/tries", content=png).status_code == 201  # a program with the bearer token need not
    assert visitor.post("/api/tries", content=png, headers={"Origin": "http://evil.example"}).status_code == 403


def test_every_answer_keeps_scripts_and_frames_of_others_out(stranger: TestClient, visitor: TestClient) -> None:
    for answer in (stranger.get("/"), visitor.get("/"), visitor.get("/nowhere"), visitor.get("/api/nowhere")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert visitor.get("/").headers["cache-control"] == "no-store"
    assert visitor.get("/api/images/0/picture.png").headers["cache-control"] == "no-store"


def test_a_long_body_is_refused_while_it_comes(visitor: TestClient) -> None:
    answer = visitor.post(
        "/api/prompts", content=b" " * (access.LARGEST_BODY + 1), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


def test_a_short_token_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 16"):
        Settings("x", token="1234")


@pytest.mark.parametrize(
    "text",
    [
        "/data/pacs/archive is being written by process 3",
        "cannot read '/home/doe jane/archive': no",
        "runs/secret/chexzero: missing",
        "../secret/x.lance cannot be opened",
        "~/secret/a: damaged",
        "C:\\secret\\archive is not there",
        "secret.hilum: no such archive",
    ],
)
def test_messages_lose_their_paths(text: str) -> None:
    told = without_paths(text, ("secret.hilum",))
    assert "(path)" in told
    assert not any(part in told for part in ("secret", "pacs", "doe"))


def test_messages_keep_their_words() -> None:
    text = "No image has sex = 'X'. Views: pa, ap. Run: hilum embed MODEL ARCHIVE (pa/ap) 3/4"
    assert without_paths(text) == text
