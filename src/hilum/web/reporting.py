"""Results: the reports of evaluations and studies that lie in the folders named at the start."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from hilum.evaluation.results import MACRO
from hilum.web.desk import DeskOf
from hilum.web.pages import render
from hilum.web.result_folders import Found, page_of

router = APIRouter(tags=["results"])

MOST_ROWS = 5000
# A report is a page of its own: it brings its style and pictures, runs nothing, and is held in a sandbox.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"


class Report(BaseModel):
    """A report of an evaluation or a study."""

    key: str
    name: str
    kind: str
    changed: datetime


class ReportNumbers(Report):
    """A report with the rows of its `results.csv`."""

    rows: list[dict[str, str]]


@router.get("/api/results")
def results(desk: DeskOf) -> list[Report]:
    """The reports there are, the newest first."""
    return [_told(found) for found in desk.results.all()]


@router.get("/api/results/{key}")
def result(desk: DeskOf, key: str) -> ReportNumbers:
    """One report's numbers: every row of its `results.csv`, each with its interval."""
    found = desk.results.get(key)
    return ReportNumbers(**_told(found).model_dump(), rows=_rows(found))


@router.get("/results/{key}/report", include_in_schema=False)
def report(desk: DeskOf, key: str) -> Response:
    return HTMLResponse(page_of(desk.results.get(key)), headers={"Content-Security-Policy": REPORT_POLICY})


@router.get("/results", include_in_schema=False)
def results_page(request: Request, desk: DeskOf) -> Response:
    reports = [(_told(found), _headline(found)) for found in desk.results.all()]
    return render(request, "results.html.j2", reports=reports, folders=len(desk.results.folders))


@router.get("/results/{key}", include_in_schema=False)
def result_page(request: Request, desk: DeskOf, key: str) -> Response:
    found = desk.results.get(key)
    return render(request, "result.html.j2", report=_told(found))


def _told(found: Found) -> Report:
    return Report(key=found.key, name=found.name, kind=found.kind, changed=datetime.fromtimestamp(found.changed, UTC))


def _rows(found: Found) -> list[dict[str, str]]:
    if found.numbers is None:
        return []
    try:
        with found.numbers.open(newline="", encoding="utf-8", errors="replace") as file:
            return [
                {str(k): str(v) for k, v in row.items()}
                for _, row in zip(range(MOST_ROWS), csv.DictReader(file), strict=False)
            ]
    except (OSError, csv.Error):
        return []


def _headline(found: Found) -> list[dict[str, str]]:
    """The mean AUROCs, with intervals."""
    shown = []
    for row in _rows(found):
        if row.get("finding") == MACRO and row.get("metric") == "auroc" and row.get("value"):
            try:
                value, low, high = (
                    f"{float(row[name]):.3f}" if row.get(name) else "" for name in ("value", "low", "high")
                )
            except ValueError:
                continue
            shown.append({"model": row.get("model", ""), "dataset": row.get("dataset", ""), "value": value, "low": low,
                          "high": high, "n": row.get("n", "")})  # fmt: skip
    return shown[:8]
