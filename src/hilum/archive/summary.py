"""What an archive holds, in counts: the values behind `hilum info`."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive.archive import Archive
from hilum.archive.schema import SECTIONS

AGE_BINS = (0, 18, 30, 40, 50, 60, 70, 80)  # lower ends, in years; the last is open


def summarize(archive: Archive) -> dict[str, Any]:
    """Counts of everything in an archive, as JSON values.

    Returns:
        `path`, `manifest`, `size_bytes`, `images`, `patients`, `studies`; `by`: images counted by view, sex, age,
        split and source; `reports`: studies with a report and with each section; `labels`: one entry a speaker and
        finding, with a count for each value; `embeddings`: fingerprint, n, dimension; `rejects`: counts by reason.
    """
    images = archive.images(["patient_id", "view", "sex", "age_years", "split", "source"])
    studies = archive.studies(["report", *SECTIONS])
    return {
        "path": str(archive.path),
        "manifest": archive.manifest.to_dict(),
        "size_bytes": archive.size_bytes(),
        "images": len(images),
        "patients": len(pc.unique(images["patient_id"])),
        "studies": len(studies),
        "by": {
            "view": _counts(images["view"]),
            "sex": _counts(images["sex"]),
            "age": _ages(images["age_years"]),
            "split": _counts(images["split"]),
            "source": _counts(images["source"]),
        },
        "reports": {name: _filled(studies[name]) for name in ("report", *SECTIONS)},
        "labels": _labels(archive.labels(["said_by", "finding", "value"])),
        "embeddings": [
            {"fingerprint": key, "n": n, "dimension": dimension}
            for key, (n, dimension) in archive.embedding_shapes().items()
        ],
        "rejects": _counts(archive.rejects()["reason"]),
    }


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    counted = Counter({"not given" if v is None else str(v): n for v, n in _pairs(values)})
    return dict(counted.most_common())


def _pairs(values: pa.ChunkedArray) -> list[tuple[Any, int]]:
    return [(pair["values"], pair["counts"]) for pair in pc.value_counts(values).to_pylist()]


def _ages(years: pa.ChunkedArray) -> dict[str, int]:
    known = pc.drop_null(years).to_numpy()
    known = known[np.isfinite(known)]
    tall, _ = np.histogram(known, [*AGE_BINS, np.inf])
    upper = [f"{low}-{high - 1}" for low, high in pairwise(AGE_BINS)] + [f"{AGE_BINS[-1]}+"]
    counted = {name: int(n) for name, n in zip(upper, tall, strict=True) if n}
    if len(years) > sum(counted.values()):
        counted["not given"] = len(years) - sum(counted.values())
    return counted


def _filled(text: pa.ChunkedArray) -> int:
    return int(pc.sum(pc.not_equal(pc.utf8_trim_whitespace(pc.fill_null(text, "")), "")).as_py() or 0)


def _labels(labels: pa.Table) -> list[dict[str, Any]]:
    groups = labels.group_by(["said_by", "finding", "value"]).aggregate([([], "count_all")])
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for group in groups.to_pylist():
        key = (group["said_by"], group["finding"])
        row = rows.setdefault(key, {"said_by": key[0], "finding": key[1]})
        row[group["value"]] = group["count_all"]
    return [rows[key] for key in sorted(rows)]
