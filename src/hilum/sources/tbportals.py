"""TB Portals (Rosenthal et al. 2017, J Clin Microbiol 55): radiographs of patients with tuberculosis, and sputum smears."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from hilum.errors import UsageError
from hilum.findings import LabelValue, fold
from hilum.sources.table import ImageTable

SMEAR = "TB Smear"
WORDS = {
    **dict.fromkeys(
        ("1", "1.0", "true", "yes", "positive", "pos", "1+", "2+", "3+", "4+", "scanty"), LabelValue.POSITIVE
    ),
    **dict.fromkeys(("0", "0.0", "false", "no", "negative", "neg", "not detected"), LabelValue.NEGATIVE),
    **dict.fromkeys(("unknown", "not reported", "not specified", "not available"), LabelValue.NOT_MENTIONED),
}


class TbPortals(ImageTable):
    """TB Portals, from one table that you make of its exports: an image, its patient, the smear.

    Names of files and columns differ with each release, so you name the columns.

    Args:
        columns: `image`, `patient_id` and `smear` -> column name; and any other that the source `table` maps.
        views, folder: as for the source `table`.
        positive, negative, missing: words of the smear column, comma separated, beside the usual ones.
    """

    name: ClassVar[str] = "tbportals"
    title: ClassVar[str] = "TB Portals"
    task: ClassVar[str] = "binary: sputum smear"
    outputs: ClassVar[tuple[str, ...]] = (SMEAR,)
    size: ClassVar[str] = "grows with each release; 1,532 images of as many patients were published on"
    licence: ClassVar[str] = "request and data use agreement with NIAID"
    where: ClassVar[str] = "https://tbportals.niaid.nih.gov"
    layout: ClassVar[str] = (
        "a table (CSV, TSV, Parquet) with one row an image, joined from the exports: --map image=COLUMN --map "
        "patient_id=COLUMN --map smear=COLUMN; images relative to the table."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = ("file names, column names and the words of the smear results",)

    def __init__(
        self,
        columns: Mapping[str, str] | None = None,
        views: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
        positive: str = "",
        negative: str = "",
        missing: str = "",
    ) -> None:
        asked = dict(columns or {})
        lacks = [what for what in ("image", "patient_id", "smear") if what not in asked]
        if lacks:
            raise UsageError(
                f"source 'tbportals' must be told its columns; say {' '.join(f'--map {what}=COLUMN' for what in lacks)}."
            )
        super().__init__({k: v for k, v in asked.items() if k != "smear"}, views, (asked["smear"],), folder)
        self._label_words = {
            **WORDS,
            **_said(positive, LabelValue.POSITIVE),
            **_said(negative, LabelValue.NEGATIVE),
            **_said(missing, LabelValue.NOT_MENTIONED),
        }
        self._label_advice = "Say what they mean: --set positive=WORD,WORD, --set negative=WORD or --set missing=WORD."

    def _finding_of(self, column: str) -> str:
        return SMEAR


def _said(words: str, value: LabelValue) -> dict[str, LabelValue]:
    return {fold(word): value for word in words.split(",") if word.strip()}
