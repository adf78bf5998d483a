"""What a person does, in a real browser: search, open a study, lay the heatmap over it, try an image, meet what is broken.

Needs Playwright and a Chromium (HILUM_CHROMIUM, or /usr/bin/chromium). Pictures of each step lie in `screenshots/` afterwards.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.conftest import MARKUP, TOKEN

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api")
uvicorn = pytest.importorskip("uvicorn")

CHROMIUM = Path(os.environ.get("HILUM_CHROMIUM", "/usr/bin/chromium"))
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SIZES = {"desk": (1280, 800), "wall": (1920, 1080), "tablet": (820, 1180)}
SHOTS = Path(__file__).parent / "screenshots"


class Server:
    """A server in this process, on a free port."""

    def __init__(self, archive: Path, models: tuple[Path, ...], **more: Any) -> None:
        from hilum.web import Settings, create_app

        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        port = self.listening.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        app = create_app(Settings(archive, models, token=TOKEN, port=port, **more))
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True)

    def __enter__(self) -> Server:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM} (set HILUM_CHROMIUM)")
    SHOTS.mkdir(exist_ok=True)
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server(embedded: Path, model_folder: Path) -> Iterator[Server]:
    with Server(embedded, (model_folder,)) as running:
        yield running


class Visit:
    """A page that has been let in, and what its console complained of."""

    def __init__(self, browser: Any, server: Server, size: str = "desk") -> None:
        width, height = SIZES[size]
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.server = server
        self.go(f"/?token={TOKEN}")

    def go(self, path: str) -> None:
        self.page.goto(self.server.address + path)

    def shot(self, name: str) -> None:
        self.page.screenshot(path=str(SHOTS / f"{name}.png"))


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Visit]:
    made = Visit(browser, server)
    yield made
    made.page.close()


def test_the_token_is_taken_out_of_the_address_and_no_script_can_read_the_cookie(visit: Visit) -> None:
    assert TOKEN not in visit.page.url
    assert visit.page.evaluate("document.cookie") == ""
    assert visit.complaints == []


def test_who_types_finds_and_the_keyboard_reaches_the_study(visit: Visit) -> None:
    page = visit.page
    page.keyboard.press("/")
    page.keyboard.type("left pneumothorax")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=*")
    page.get_by_text("Exact words").click()
    page.wait_for_url("**by=words*")
    tiles = page.locator("[data-tile]")
    sync_api.expect(tiles).to_have_count(36, timeout=20_000)  # by a locator: the page's policy lets no strings run
    page.locator("#q").fill('"left pneumothorax" "no effusion"')
    page.wait_for_url("**effusion**")
    page.select_option("select[name=split]", "test")
    sync_api.expect(tiles).to_have_count(4, timeout=20_000)
    visit.shot("search")
    page.locator("#q").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    second = page.locator("[data-tile]").nth(1)
    assert second.evaluate("tile => tile === document.activeElement")
    page.keyboard.press("Enter")
    page.wait_for_url("**/study?*")
    assert visit.complaints == []


def test_a_mistyped_filter_is_told_and_does_not_take_the_page_away(visit: Visit) -> None:
    visit.go("/search")
    visit.page.locator("input[name=where]").fill("veiw = 'pa'")
    visit.page.get_by_role("alert").filter(has_text="Did you mean 'view'").wait_for()
    visit.page.locator("input[name=where]").fill("view = 'pa'")
    visit.page.locator("[data-tile]").first.wait_for()


def test_a_study_is_windowed_inverted_zoomed_and_explained(visit: Visit) -> None:
    page = visit.page
    visit.go("/study?id=s3")
    page.locator(".scores li").nth(13).wait_for()
    page.locator("#similar-images [data-tile]").first.wait_for()

    def middle() -> int:
        return page.evaluate("document.getElementById('canvas').getContext('2d').getImageData(2, 2, 1, 1).data[0]")

    before = middle()
    page.keyboard.press("i")
    assert abs(middle() - (255 - before)) <= 2
    page.keyboard.press("0")
    assert middle() == before
    page.locator("#width").fill("60")
    assert middle() != before
    page.keyboard.press("0")
    width = page.locator("#canvas").bounding_box()["width"]
    page.keyboard.press("+")
    assert page.locator("#canvas").bounding_box()["width"] > width
    page.keyboard.press("0")

    page.keyboard.press("h")
    page.wait_for_selector("#heat:not([hidden])")
    assert page.locator("#heat-toggle").get_attribute("aria-pressed") == "true"
    assert page.locator("#heat").evaluate("image => image.naturalWidth") == 64
    assert "not where disease is" in page.locator("#heat-note").inner_text()
    visit.shot("heatmap")
    page.keyboard.press("h")
    assert page.locator("#heat").is_hidden()
    page.locator("#finding").fill("a bright disk")
    page.keyboard.press("Enter")
    page.locator(".scores .asked").wait_for()
    assert visit.complaints == []


def test_an_image_is_tried(visit: Visit, png: bytes) -> None:
    page = visit.page
    visit.go("/try")
    page.set_input_files("#file", {"name": "chest.png", "mimeType": "image/png", "buffer": png})
    page.wait_for_url("**/try/*")
    page.locator(".scores li").nth(13).wait_for()
    page.locator(".sentences li").first.wait_for()
    assert "retrieval, not a reading" in page.locator("#draft").inner_text()
    page.locator("#similar-images [data-tile]").nth(7).wait_for()
    visit.shot("tried")
    assert visit.complaints == []
    page.get_by_text("Forget it now").click()
    page.wait_for_url("**/try")


def test_a_wrong_file_is_refused_in_words(visit: Visit) -> None:
    page = visit.page
    visit.go("/try")
    page.set_input_files(
        "#file", {"name": "letter.dcm", "mimeType": "application/dicom", "buffer": b"Dear doctor, ..."}
    )
    page.get_by_role("alert").filter(has_text="expected DICOM, PNG").wait_for()
    assert page.url.endswith("/try")
    visit.shot("wrong-file")


def test_a_dead_model_is_told_and_words_are_still_found(
    browser: Any, embedded: Path, model_folder: Path, tmp_path: Path
) -> None:
    dead = Path(shutil.copytree(model_folder, tmp_path / "dead"))
    (dead / "model.safetensors").write_bytes(b"nothing")
    with Server(embedded, (dead,)) as server:
        visit = Visit(browser, server)
        page = visit.page
        visit.go("/search?q=effusion")
        page.get_by_role("alert").filter(has_text="could not be loaded").wait_for()
        visit.shot("dead-model")
        page.get_by_text("Exact words").click()
        page.locator("[data-tile]").first.wait_for()
        visit.go("/study?id=s1")
        page.locator("#score-rows [role=alert]").filter(has_text="could not be loaded").wait_for()
        assert str(tmp_path) not in page.content()
        page.close()


def test_an_archive_that_goes_away_is_told_and_comes_back(
    browser: Any, own_archive: Path, model_folder: Path, tmp_path: Path
) -> None:
    with Server(own_archive, (model_folder,)) as server:
        visit = Visit(browser, server)
        away = own_archive.rename(tmp_path / "away")
        time.sleep(0.3)
        visit.go("/search")
        assert "not where it was" in visit.page.inner_text("main")
        visit.shot("archive-gone")
        away.rename(own_archive)
        visit.page.get_by_text("Try again", exact=True).click()
        visit.page.locator("[data-tile]").first.wait_for()
        visit.page.close()


def test_markup_in_a_report_does_not_run(browser: Any, own_archive: Path, model_folder: Path) -> None:
    import pyarrow as pa

    from hilum.archive import Archive

    text = f"Left effusion {MARKUP}"
    Archive.open(own_archive).update_studies(pa.table({"study_id": ["s1"], "report": [text], "impression": [text]}))
    with Server(own_archive, (model_folder,)) as server:
        visit = Visit(browser, server)
        alerts: list[str] = []
        visit.page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        for path in ("/study?id=s1", "/search?q=effusion&by=words&k=96", "/study?id=s3"):
            visit.go(path)
            visit.page.wait_for_timeout(800)
        assert alerts == []
        assert visit.complaints == []
        visit.page.close()


def test_words_are_changed_and_the_auroc_is_told(visit: Visit) -> None:
    page = visit.page
    visit.go("/prompts")
    page.locator("textarea[name=positive]").fill("a bright disk")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**positive=a+bright+disk*")
    assert "AUROC, your words" in page.inner_text("main")
    visit.shot("prompts")
    assert visit.complaints == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", ["/", "/search", "/study?id=s3", "/try", "/prompts", "/results", "/api"])
def test_every_page_fits_and_says_what_it_is_not_for(browser: Any, server: Server, size: str, path: str) -> None:
    visit = Visit(browser, server, size)
    visit.go(path)
    visit.page.wait_for_load_state("networkidle")
    assert visit.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    visit.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert visit.page.get_by_text("Research use only. Not a medical device.").first.is_visible()
    visit.page.evaluate("window.scrollTo(0, 0)")
    visit.shot(f"{size}-{path.strip('/').split('?')[0] or 'archive'}")
    assert all(address.startswith((server.address, "blob:")) for address in visit.asked)
    assert visit.complaints == []
    visit.page.close()


def test_help_opens_and_closes_by_key(visit: Visit) -> None:
    visit.page.keyboard.press("?")
    assert visit.page.locator("#help").is_visible()
    visit.page.keyboard.press("Escape")
    assert visit.page.locator("#help").is_hidden()
