"""The files a labeling run writes: parts that grow by whole chunks, and are renamed when all is done.

Beside `labels.csv` lies `labels.csv.part`, and `labels.csv.part.json` with how many bytes of each part are sure. A run that
was stopped cuts the parts to those bytes and goes on.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from hilum.errors import ReportError
from hilum.findings import LabelValue

if TYPE_CHECKING:
    from hilum.reports.labeling import Labeled


class Output:
    """Writes rows, evidence and notes; use as a context manager.

    Args:
        table: the CSV; None writes none (and nothing can be taken up again).
        evidence: the JSON lines; None writes none.
        header: the CSV's columns, the id first.
        stamp: what a stopped run must have in common with this one to be taken up; None always starts anew.

    Attributes:
        done: reports that an earlier run has written already.
    """

    def __init__(
        self, table: Path | None, evidence: Path | None, header: Sequence[str], stamp: list[Any] | None
    ) -> None:
        self.table, self.evidence, self.header = table, evidence, list(header)
        self.notes = table.with_name(table.stem + ".notes.csv") if table else None
        self._resumable = stamp is not None
        self._stamp = hashlib.sha256(json.dumps([stamp, self.header, str(evidence)]).encode()).hexdigest()
        self.done = 0
        self.noted = False
        self._files: dict[str, IO[str]] = {}
        self._state: dict[str, Any] = {}

    def _targets(self) -> dict[str, Path]:
        named = {"table": self.table, "evidence": self.evidence, "notes": self.notes}
        return {name: path for name, path in named.items() if path is not None}

    def __enter__(self) -> Output:
        targets = self._targets()
        for path in targets.values():
            if path.is_dir():
                raise ReportError(f"{path} is a folder; name a file to write.")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ReportError(f"{path.parent} cannot be made: {error.strerror}.") from None
        state = self._earlier()
        for name, path in targets.items():
            part = _part(path)
            sure = state["bytes"].get(name, 0) if state else 0
            try:
                file = part.open("r+" if part.exists() and state else "w+", encoding="utf-8", newline="")
            except OSError as error:
                raise ReportError(f"{part} cannot be written: {error.strerror}.") from None
            file.truncate(sure)
            file.seek(0, os.SEEK_END)
            self._files[name] = file
        if state:
            self.done, self.noted = state["done"], state["noted"]
        elif self.table:
            csv.writer(self._files["table"]).writerow(self.header)
        self._remember()
        return self

    def write(self, ids: Sequence[str], labeled: Labeled) -> None:
        """Add one chunk."""
        if self.table:
            lines = [f"{_quoted(name)},{cells}\r\n" for name, cells in zip(ids, labeled.cells, strict=True)]
            self._files["table"].write("".join(lines))
        if self.evidence:
            for name, record in zip(ids, labeled.records, strict=True):
                self._files["evidence"].write(f'{{"id": {json.dumps(name, ensure_ascii=False)}, {record}\n')
        for place, note in labeled.notes.items():
            self._note(ids[place], note)
        self.done += len(ids)
        self._remember()

    def _note(self, name: str, note: str) -> None:
        """Say why a report was left blank."""
        if self.notes:
            writer = csv.writer(self._files["notes"])
            if not self.noted:
                writer.writerow([self.header[0], "note"])
                self.noted = True
            writer.writerow([name, note])

    def totals(self, columns: Sequence[str]) -> tuple[dict[str, Counter[str]], Counter[str]]:
        """What the whole table holds, the rows of an earlier run included: finding -> value -> count, and notes."""
        counts: dict[str, Counter[str]] = {name: Counter() for name in columns}
        notes: Counter[str] = Counter()
        if not self.table:
            return counts, notes
        for file in self._files.values():
            file.flush()
        with _part(self.table).open(encoding="utf-8", newline="") as file:
            for row in list_rows(file):
                for name in columns:
                    counts[name][LabelValue.from_chexpert(float(row[name]) if row[name] else None).value] += 1
        if self.notes:
            with _part(self.notes).open(encoding="utf-8", newline="") as file:
                notes.update(row["note"] for row in list_rows(file))
        return counts, notes

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remember()
        for file in self._files.values():
            file.close()
        if kind is not None:
            return
        for name, path in self._targets().items():
            if name == "notes" and not self.noted:
                _part(path).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            else:
                os.replace(_part(path), path)
        if self.table:
            self._state_file().unlink(missing_ok=True)

    def _state_file(self) -> Path:
        assert self.table is not None
        return self.table.with_name(self.table.name + ".part.json")

    def _remember(self) -> None:
        """Make what was written sure, then say so."""
        if not self.table:
            return
        places = {}
        for name, file in self._files.items():
            file.flush()
            places[name] = file.tell()
        state = {"stamp": self._stamp, "done": self.done, "noted": self.noted, "bytes": places}
        draft = self._state_file().with_suffix(".tmp")
        draft.write_text(json.dumps(state), encoding="utf-8")
        os.replace(draft, self._state_file())

    def _earlier(self) -> dict[str, Any] | None:
        """The state of a stopped run of the same input and settings."""
        if not self._resumable or not self.table or not self._state_file().exists():
            return None
        try:
            state: dict[str, Any] = json.loads(self._state_file().read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError):
            return None
        targets = self._targets()
        if state.get("stamp") != self._stamp:
            return None
        sizes = {name: _part(path).stat().st_size if _part(path).exists() else -1 for name, path in targets.items()}
        return state if all(sizes[name] >= state["bytes"].get(name, 0) for name in targets) else None


def _quoted(cell: str) -> str:
    """A cell as CSV writes it."""
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell


def list_rows(file: IO[str]) -> Any:
    """Rows of a CSV as dictionaries."""
    return csv.DictReader(file)


def finished(output: Output) -> Path | None:
    """The notes file, where one was written."""
    return output.notes if output.notes and output.noted else None


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
