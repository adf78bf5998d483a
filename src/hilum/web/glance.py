"""The archive at a glance: how much of what, a few pictures, what was rejected, who is at work."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from hilum.findings import CHEXPERT_NAMES
from hilum.web.desk import Desk, DeskOf
from hilum.web.pages import render
from hilum.web.shelf import Snapshot

router = APIRouter(tags=["archive"])

SAMPLES = 12
VALUES = ("positive", "negative", "uncertain", "not_mentioned")


class ModelState(BaseModel):
    """A model of the server."""

    name: str
    state: str = Field(description="ready, loading or failed.")
    reason: str = Field(description="Why it failed; empty where it did not.")
    embedded: int | None = Field(description="Images of the archive that it has embedded; null while it is not ready.")
    fingerprint: str | None


class LabelCounts(BaseModel):
    """What one speaker says of one finding, counted."""

    said_by: str
    finding: str
    positive: int
    negative: int
    uncertain: int
    not_mentioned: int


class Glance(BaseModel):
    """Counts of everything in the archive."""

    images: int
    studies: int
    patients: int
    size_bytes: int
    created: str
    pseudonymized: bool
    longer_side_px: int
    text_policy: str
    by: dict[str, dict[str, int]] = Field(description="Images by view, sex, age, split and source.")
    reports: dict[str, int] = Field(description="Studies with a report, and with each section.")
    labels: list[LabelCounts]
    rejects: dict[str, int] = Field(description="Files that could not be used, by reason.")
    models: list[ModelState]


@router.get("/api/archive")
def archive(desk: DeskOf) -> Glance:
    """What the archive holds, in counts, and the models that answer."""
    return glance(desk, desk.archive)


@router.get("/api/models")
def models(desk: DeskOf) -> list[ModelState]:
    """The models of this server, and whether each can answer."""
    return model_states(desk, desk.archive)


@router.get("/api/rejects")
def rejects(desk: DeskOf) -> list[dict[str, Any]]:
    """Files that could not be used: source, reason, when. Their names stay on this machine: hilum info ARCHIVE --rejects."""
    return desk.archive.archive.rejects().select(["source", "reason", "when"]).to_pylist()


@router.get("/", include_in_schema=False)
def glance_page(request: Request, desk: DeskOf) -> Response:
    snapshot = desk.archive
    found = glance(desk, snapshot)
    return render(
        request,
        "glance.html.j2",
        glance=found,
        samples=samples(snapshot),
        by_speaker=_by_speaker(found.labels),
    )


def glance(desk: Desk, snapshot: Snapshot) -> Glance:
    """Everything of the page but its pictures."""
    summary = snapshot.summary()
    manifest = summary["manifest"]
    return Glance(
        images=summary["images"],
        studies=summary["studies"],
        patients=summary["patients"],
        size_bytes=summary["size_bytes"],
        created=manifest["created"],
        pseudonymized=manifest["pseudonymized"],
        longer_side_px=manifest["longer_side_px"],
        text_policy=manifest["text_policy"],
        by=summary["by"],
        reports=summary["reports"],
        labels=[
            LabelCounts(
                said_by=row["said_by"], finding=row["finding"], **{value: row.get(value, 0) for value in VALUES}
            )
            for row in summary["labels"]
        ],
        rejects=summary["rejects"],
        models=model_states(desk, snapshot),
    )  # fmt: skip


def model_states(desk: Desk, snapshot: Snapshot) -> list[ModelState]:
    """Each model, alive or not."""
    from hilum.web.problems import without_paths

    shapes = snapshot.once("shapes", snapshot.archive.embedding_shapes)
    states = []
    for slot in desk.models.slots.values():
        fingerprint = slot.model.fingerprint if slot.model is not None else None
        states.append(
            ModelState(
                name=slot.name,
                state=slot.state,
                reason=without_paths(slot.reason or "", desk.private) if slot.model is None else "",
                embedded=None if fingerprint is None else shapes.get(fingerprint, (0, 0))[0],
                fingerprint=fingerprint,
            )
        )
    return states


def samples(snapshot: Snapshot) -> list[dict[str, Any]]:
    """A few images, evenly spread over the archive, no two of one patient."""
    total, chosen, seen = len(snapshot.images), [], set()
    for row in np.linspace(0, max(total - 1, 0), min(total, 4 * SAMPLES)).astype(int):
        image = snapshot.image(int(row))
        if image["patient_id"] not in seen:
            seen.add(image["patient_id"])
            chosen.append(image)
    step = max(1, len(chosen) // SAMPLES)
    return chosen[::step][:SAMPLES]


def _by_speaker(labels: list[LabelCounts]) -> dict[str, list[LabelCounts]]:
    order = {name: place for place, name in enumerate(CHEXPERT_NAMES)}
    grouped: dict[str, list[LabelCounts]] = {}
    for row in sorted(labels, key=lambda one: (one.said_by, order.get(one.finding, len(order)), one.finding)):
        grouped.setdefault(row.said_by, []).append(row)
    return grouped
