"""Try an image: bytes in, scores, similar cases and a drafted impression out; nothing is written unless it is saved."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from hilum.errors import ImageError
from hilum.findings import CHEXPERT_NAMES
from hilum.web.desk import PROMPT_SETS, Desk, DeskOf
from hilum.web.pages import render
from hilum.web.pictures import How, ModelName, Phrase, heat_layer, png_of
from hilum.web.problems import BusyError, RefusedError
from hilum.web.searching import FoundImage
from hilum.web.studying import SIMILAR, FindingName, Prompts, Scores, found_images, scores_of
from hilum.web.tries import Try

router = APIRouter(tags=["try an image"])

MOST_AT_ONCE = 4  # files on their way at a time, each in memory

_FILE = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one DICOM, PNG, JPEG, TIFF or BMP file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}


class Tried(BaseModel):
    """An image in the server's memory."""

    key: str = Field(description="What it is asked for by.")
    view: str
    sex: str | None
    age_years: float | None
    height: int
    width: int
    remarks: list[str] = Field(description="What a reader of the scores should know of the file.")
    notice: str = "Kept in memory for half an hour at most; nothing was written."


class Sentence(BaseModel):
    """One retrieved sentence of a draft."""

    text: str
    study_id: str | None = Field(description="The study that it was written about.")
    score: float = Field(description="Cosine of image and text.")
    says: dict[str, str]
    left_out: str = Field(description="Why it is not in the draft; empty where it is.")


class Drafted(BaseModel):
    """An impression put together from other patients' reports."""

    text: str
    sentences: list[Sentence]
    notice: str
    remarks: list[str]


class Saved(BaseModel):
    """An image that is now in the archive."""

    image_id: str
    study_id: str
    added: bool = Field(description="False where the same picture had been saved before.")


@router.post("/api/tries", status_code=201, openapi_extra=_FILE)
async def try_image(request: Request, desk: DeskOf) -> Tried:
    """Decode a file and keep it in memory. Of a DICOM header only view, sex and age are kept."""
    content = await _received(request, desk)
    made = await run_in_threadpool(_decoded, desk, content)
    return _told(made)


@router.get("/api/tries/{key}")
def tried(desk: DeskOf, key: str) -> Tried:
    """An image that is being tried."""
    return _told(desk.tries.get(key))


@router.delete("/api/tries/{key}", status_code=204)
def forget(desk: DeskOf, key: str) -> None:
    """Forget an image now."""
    desk.tries.forget(key)


@router.get("/api/tries/{key}/picture.png", response_class=Response, responses=PNG)
def tried_picture(desk: DeskOf, key: str) -> Response:
    """Its pixels as the model is given them."""
    return Response(png_of(desk.tries.get(key).pixels), media_type="image/png")


@router.get("/api/tries/{key}/scores")
def tried_scores(
    desk: DeskOf, key: str, prompts: Prompts = PROMPT_SETS[0], finding: FindingName = None, model: ModelName = None
) -> Scores:
    """Its zero-shot scores."""
    scorer = desk.scorer(desk.archive, model, prompts, finding)
    return scores_of(scorer(desk.tries.get(key).pixels), scorer, desk.models.named(model).name, prompts)


@router.get("/api/tries/{key}/similar")
def tried_similar(
    desk: DeskOf, key: str, k: Annotated[int, Query(ge=1, le=100)] = SIMILAR, model: ModelName = None
) -> list[FoundImage]:
    """The archive's images that look most like it."""
    snapshot = desk.archive
    return found_images(snapshot, desk.search(snapshot, model).by_image(desk.tries.get(key).pixels, k=k))


@router.get("/api/tries/{key}/heat.png", response_class=Response, responses=PNG)
def tried_heat(desk: DeskOf, key: str, phrase: Phrase, how: How = "auto", model: ModelName = None) -> Response:
    """Where in it a model looks for a phrase: a layer to lay over it. Not where disease is."""
    return heat_layer(desk, desk.tries.get(key).pixels, phrase, how, model)


@router.get("/api/tries/{key}/draft")
def tried_draft(
    desk: DeskOf,
    key: str,
    sentences: Annotated[int, Query(ge=1, le=12)] = 4,
    whole: Annotated[bool, Query(description="Whole impressions, not their sentences.")] = False,
    model: ModelName = None,
) -> Drafted:
    """An impression drafted from the training reports nearest to it: a retrieval, not a reading."""
    return draft_of(desk, desk.tries.get(key).pixels, None if whole else sentences, whole, model)


@router.post("/api/tries/{key}/save", status_code=201)
def save(desk: DeskOf, key: str) -> Saved:
    """Put it into the archive, under a pseudonym made of its pixels. Only where the server was started with --allow-upload."""
    if not desk.settings.allow_upload:
        raise RefusedError("This server only reads. Start it with --allow-upload to save images into the archive.")
    from hilum.archive import Archive
    from hilum.sources.single import add_single

    one = desk.tries.get(key)
    image_id, added = add_single(
        Archive.open(desk.settings.archive),
        one.pixels,
        view=one.view,
        sex=one.sex,
        age_years=one.age_years,
        pixel_spacing_mm=one.pixel_spacing_mm,
    )
    return Saved(image_id=image_id, study_id=image_id, added=added)


@router.get("/try", include_in_schema=False)
def try_page(request: Request, desk: DeskOf) -> Response:
    limits = desk.settings.limits
    return render(request, "try.html.j2", limits=limits, models=list(desk.models.slots.values()))


@router.get("/try/{key}", include_in_schema=False)
def tried_page(request: Request, desk: DeskOf, key: str) -> Response:
    return render(
        request,
        "tried.html.j2",
        tried=_told(desk.tries.get(key)),
        models=list(desk.models.slots.values()),
        prompt_sets=PROMPT_SETS,
        findings=CHEXPERT_NAMES,
        allow_upload=desk.settings.allow_upload,
    )


def draft_of(desk: Desk, pixels: Any, sentences: int | None, whole: bool, model: str | None) -> Drafted:
    """A draft for one image that is in no archive."""
    from hilum.tasks.composing import compose

    draft = compose(desk.models.get(model), desk.corpus(desk.archive, whole), pixels, sentences=sentences)
    return Drafted(
        text=draft.text,
        sentences=[
            Sentence(
                text=one.text, study_id=one.study_id, score=one.score, says=dict(one.says), left_out=one.left_out
            )
            for one in draft.sentences
        ],
        notice=draft.notice,
        remarks=list(draft.remarks),
    )  # fmt: skip


async def _received(request: Request, desk: Desk) -> bytes:
    """The body, refused as soon as it is too long or takes too long; it never touches a disk."""
    most, seconds = desk.settings.limits.bytes, desk.settings.receive_seconds
    too_large = ImageError(f"The file is larger than {most >> 20} MB, the most that this server takes.", "too_large")
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    parts, length = [], 0
    if desk.receiving >= MOST_AT_ONCE:
        raise BusyError("Others are sending files now. Try again in a moment.")
    desk.receiving += 1
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                length += len(part)
                if length > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise ImageError(f"The file did not arrive within {seconds:g} s. Try again.", "timeout") from None
    except ClientDisconnect:
        raise ImageError("The file did not arrive whole.", "truncated") from None
    finally:
        desk.receiving -= 1
    if not length:
        raise ImageError("The file is empty (0 bytes).", "empty")
    return b"".join(parts)


def _decoded(desk: Desk, content: bytes) -> Try:
    side_px = desk.archive.archive.manifest.longer_side_px
    return desk.tries.add(desk.decoder.decode(content, side_px))


def _told(one: Try) -> Tried:
    height, width = one.pixels.shape
    return Tried(
        key=one.key,
        view=one.view,
        sex=one.sex,
        age_years=one.age_years,
        height=height,
        width=width,
        remarks=list(one.remarks),
    )
