"""Four findings of 4,376 ChestX-ray14 images adjudicated by radiologists (Majkowska et al. 2020, Radiology 294)."""

from __future__ import annotations

from pathlib import Path

from hilum.errors import TableError
from hilum.findings import canonical, fold
from hilum.sources.cells import label_of
from hilum.sources.layout import Statement
from hilum.tables import read_table

FINDINGS = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
IMAGE_COLUMNS = ("image id", "image index", "image")
SAID_BY = "reader:nih/google"


def expert_opinions(root: Path) -> dict[str, tuple[Statement, ...]]:
    """Image name -> what the radiologists said, from every table named, or in a folder named, `expert_labels`.

    Raises:
        TableError: such a table has none of the four findings, no image column, or another word than YES and NO.
    """
    said: dict[str, tuple[Statement, ...]] = {}
    for path in sorted([*root.glob("*expert_labels*.csv"), *root.glob("*expert_labels*/*.csv")]):
        table = read_table(path, numbers=False)
        columns = {fold(name): name for name in table.column_names}
        image = next((columns[name] for name in IMAGE_COLUMNS if name in columns), None)
        stated = [columns[fold(name)] for name in FINDINGS if fold(name) in columns]
        if image is None or not stated:
            raise TableError(
                f"{path} looks like expert labels but has no image column or none of {', '.join(FINDINGS)}. Its "
                f"columns: {', '.join(table.column_names)}. Rename the file if it is something else."
            )
        for number, row in enumerate(table.to_pylist(), start=1):
            try:
                values = [(canonical(name), label_of(row[name])) for name in stated]
            except KeyError as error:
                raise TableError(f"{path}, row {number}: {error} is not understood; expected YES or NO.") from None
            said[row[image]] = tuple(Statement(name, value, SAID_BY) for name, value in values if value is not None)
    return said
