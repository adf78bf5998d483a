"""What one ingest did, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class IngestSummary:
    """What one ingest did.

    Attributes:
        source: name of the source.
        added: images added now.
        already_there: images that the archive held before.
        rejected: reason -> how many files could not enter; the archive's `rejects` says which.
        skipped: what was rightly left out -> how many.
        studies, reports: studies added now, and how many of them have report text.
        labels: statements written now.
        splits: split -> images added now.
        examples: messages of the first rejected files.
        seconds: wall clock time.
        notes: what the reader should know, in sentences.
        dry_run: nothing was decoded or written; `added` is what would be tried.
    """

    source: str
    added: int = 0
    already_there: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, int] = field(default_factory=dict)
    studies: int = 0
    reports: int = 0
    labels: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False

    def lines(self) -> list[str]:
        """The summary as lines of text."""
        verb = "to add" if self.dry_run else "added"
        rate = (
            f" in {self.seconds:.1f} s ({self.added / self.seconds:.0f} images/s)"
            if self.added and self.seconds
            else ""
        )
        found = [f"{verb}: {_count(self.added, 'image')}{'' if self.dry_run else rate}"]
        if not self.dry_run:
            found.append(
                f"       {_count(self.studies, 'study', 'studies')}, {self.reports:,} with a report, "
                f"{_count(self.labels, 'label')}"
            )
        if self.splits:
            found.append("split: " + ", ".join(f"{name} {count:,}" for name, count in sorted(self.splits.items())))
        if self.already_there:
            found.append(f"already there: {_count(self.already_there, 'image')}")
        found += [f"left out: {count:,} ({why})" for why, count in self.skipped.items()]
        if self.rejected:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.rejected.most_common())
            found.append(f"rejected: {_count(self.rejected.total(), 'file')} ({reasons})")
        return found + [f"note: {note}" for note in self.notes]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
