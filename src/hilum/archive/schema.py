"""The columns of every table of an archive, and how rows from outside are fitted to them.

The pixels are a Lance blob column: each image's raw bytes lie uncompressed and unbroken in the data file, which lets
`hilum.archive.pixels` hand out views of a memory map.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from hilum.errors import ArchiveError
from hilum.findings import LabelValue

FORMAT_VERSION = 1
STORAGE_VERSION = "2.1"  # Lance file format; 2.2 packs blobs differently and gives no plain offsets.
VIEWS = ("pa", "ap", "ap_supine", "lateral", "unknown")
SPLITS = ("train", "val", "test")
VALUES = tuple(value.value for value in LabelValue)
SECTIONS = ("findings", "impression", "indication", "comparison", "technique", "history")

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BLOB = {b"lance-encoding:blob": b"true"}

IMAGES = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("study_id", pa.string()),
        pa.field("patient_id", pa.string()),
        pa.field("source", pa.string()),
        pa.field("path", pa.string()),
        pa.field("view", pa.string()),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("pixels", pa.large_binary(), metadata=_BLOB),
        pa.field("pixels_sha1", pa.string()),
        pa.field("pixel_spacing_mm", pa.float64()),
        pa.field("study_order", pa.int32()),
        pa.field("age_years", pa.float64()),
        pa.field("sex", pa.string()),
        pa.field("split", pa.string()),
    ]
)
STUDIES = pa.schema([pa.field(n, pa.string()) for n in ("study_id", "patient_id", "source", "report", *SECTIONS)])
# `key` joins the four columns that name a statement: SQL holds NULL image ids unequal, so they cannot be joined on.
LABELS = pa.schema([pa.field(n, pa.string()) for n in ("study_id", "image_id", "finding", "value", "said_by", "key")])
REJECTS = pa.schema(
    [
        *[pa.field(n, pa.string()) for n in ("source", "path", "reason", "message")],
        pa.field("when", pa.timestamp("us", tz="UTC")),
    ]
)
SCHEMAS = {"images": IMAGES, "studies": STUDIES, "labels": LABELS, "rejects": REJECTS}

_NEEDED = {
    "images": ("image_id", "study_id", "patient_id", "height", "width", "pixels"),
    "studies": ("study_id",),
    "labels": ("finding", "value", "said_by"),
    "rejects": ("path", "reason"),
}
_ALLOWED = {"view": VIEWS, "value": VALUES}


def embedding_schema(dimension: int) -> pa.Schema:
    """Columns of one embedding table with vectors of `dimension` floats."""
    return pa.schema([pa.field("image_id", pa.string()), pa.field("vector", pa.list_(pa.float32(), dimension))])


def pixels_sha1(pixels: ReadableBuffer) -> str:
    """SHA-1 of raw pixel bytes, as hexadecimal text: tells equal images, and pixels that changed on disk."""
    return hashlib.sha1(pixels, usedforsecurity=False).hexdigest()


def fit(table: str, rows: pa.Table) -> pa.Table:
    """Rows with exactly the columns of `table`: absent optional ones filled with null, types cast, values checked.

    Args:
        table: one of `SCHEMAS`.
        rows: any number of rows; columns in any order.

    Raises:
        ArchiveError: a needed column is absent or holds nulls, a column is unknown, or a value is not allowed.
    """
    schema = SCHEMAS[table]
    known = [name for name in schema.names if name != "key"]
    for name in rows.column_names:
        if name not in known:
            raise ArchiveError(
                f"{table}: there is no column {name!r}{_did_you_mean(name, known) or '.'} Columns: {', '.join(known)}."
            )
    for name in _NEEDED[table]:
        _check_filled(table, name, rows)
    columns = []
    for field in schema:
        if field.name in rows.column_names:
            columns.append(_cast(table, field, rows[field.name]))
        else:
            columns.append(pa.chunked_array([pa.nulls(len(rows), field.type)]))
    fitted = pa.table(columns, schema=schema)
    if table == "images":
        fitted = _fit_images(fitted)
    if table == "labels":
        fitted = _fit_labels(fitted)
    for name, allowed in _ALLOWED.items():
        if name in schema.names:
            _check_allowed(table, name, fitted[name], allowed)
    return fitted


def explain_bad_filter(table: str, where: str, columns: list[str], reason: str) -> ArchiveError:
    """The error for a `where` that the query engine refuses, naming the column that was probably meant."""
    return ArchiveError(
        f"{table}: cannot use the filter {where!r}{_filter_hint(where, columns)} Columns: {', '.join(columns)}. "
        f"Write it like SQL, text in single quotes: view = 'pa' AND age_years >= 18. (The query engine: {reason})"
    )


def _filter_hint(where: str, columns: list[str]) -> str:
    outside_quotes = re.sub(r"'[^']*('|$)", " ", where)
    for compared, word in re.findall(r"([=<>]\s*)?\b([A-Za-z_]\w*)", outside_quotes):
        if word in columns:
            continue
        if compared:
            return f": put {word} in single quotes."
        if hint := _did_you_mean(word, columns):
            return hint
    return "."


def _did_you_mean(name: str, known: list[str]) -> str:
    name = name.lower()
    close = [k for k in known if name in k.split("_")] or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f". Did you mean {close[0]!r}?" if close else ""


def _check_filled(table: str, name: str, rows: pa.Table) -> None:
    if name not in rows.column_names:
        raise ArchiveError(f"{table}: column {name!r} is missing; got {', '.join(rows.column_names) or 'no columns'}.")
    if rows[name].null_count:
        row = pc.index(pc.is_null(rows[name]), True).as_py()
        raise ArchiveError(f"{table}, row {row}: {name!r} is empty; every row needs one.")


def _check_allowed(table: str, name: str, values: pa.ChunkedArray, allowed: tuple[str, ...]) -> None:
    wrong = pc.invert(pc.is_in(values, value_set=pa.array(allowed)))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise ArchiveError(
            f"{table}, row {row}: {name!r} is {values[row].as_py()!r}; expected one of {', '.join(allowed)}."
        )


def _cast(table: str, field: pa.Field, values: pa.ChunkedArray) -> pa.ChunkedArray:
    if field.name == "pixels" and pa.types.is_list(values.type):
        return pa.chunked_array([pa.array([bytes(v) for v in values.to_pylist()], field.type)])
    try:
        return values.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ArchiveError(
            f"{table}: column {field.name!r} must be {field.type}, got {values.type}: {error}"
        ) from error


def _fit_images(rows: pa.Table) -> pa.Table:
    lengths = pc.binary_length(rows["pixels"])
    areas = pc.multiply(rows["height"].cast(pa.int64()), rows["width"].cast(pa.int64()))
    wrong = pc.or_(pc.not_equal(lengths, areas), pc.less_equal(rows["height"], 0))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise ArchiveError(
            f"images, row {row} ({rows['image_id'][row]}): {lengths[row]} bytes of pixels for "
            f"{rows['height'][row]} x {rows['width'][row]}; expected height * width bytes of raw 8-bit gray."
        )
    sha1 = [pixels_sha1(pixels.as_buffer()) for pixels in rows["pixels"]]
    for row, (given, computed) in enumerate(zip(rows["pixels_sha1"].to_pylist(), sha1, strict=True)):
        if given not in (None, computed):
            raise ArchiveError(
                f"images, row {row} ({rows['image_id'][row]}): 'pixels_sha1' is {given}; its pixels have {computed}. "
                "Leave the column out to have it computed; if it was right, the pixels were damaged on the way."
            )
    rows = _with(rows, "pixels_sha1", pa.array(sha1, pa.string()))
    return _with(rows, "view", pc.fill_null(rows["view"], "unknown"))


def _fit_labels(rows: pa.Table) -> pa.Table:
    nothing = pc.and_(pc.is_null(rows["study_id"]), pc.is_null(rows["image_id"]))
    if pc.any(nothing).as_py():
        row = pc.index(nothing, True).as_py()
        raise ArchiveError(f"labels, row {row}: a statement needs a 'study_id' or an 'image_id'; both are empty.")
    parts = [pc.fill_null(rows[n], "") for n in ("study_id", "image_id", "finding", "said_by")]
    key = pc.binary_join_element_wise(*parts, "\x1f")
    return _with(rows, "key", key)


def _with(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(place), values)
