"""Every error a user can cause.

A message says what happened, where (file, row, column), what was expected, what was found and what to do next.
"""

from __future__ import annotations


class HilumError(Exception):
    """Base of all errors a user can cause; the command line prints its text and exits 1."""


class UsageError(HilumError):
    """The command or call itself is wrong (exit 2)."""


class ImageError(HilumError):
    """A file cannot be turned into honest pixels.

    Attributes:
        reason: short code for tables and counts, such as "truncated", "no_pixels", "multi_frame" or "timeout".
    """

    def __init__(self, message: str, reason: str = "unreadable") -> None:
        super().__init__(message)
        self.reason = reason


class ArchiveError(HilumError):
    """An archive cannot be opened, read or written."""


class ArchiveBusyError(ArchiveError):
    """Another process or thread is writing the archive; waiting helps."""


class TableError(HilumError):
    """A CSV, TSV or Parquet file does not hold what it should."""


class SourceError(HilumError):
    """A dataset on disk does not have the layout its source expects."""


class ReportError(HilumError):
    """Report text or a labeler's vocabulary cannot be used."""


class RecipeError(UsageError):
    """A recipe has an unknown setting or a value out of range."""


class ModelError(HilumError):
    """A model folder cannot be loaded, or a call does not fit the model."""


class CheckpointError(ModelError):
    """A released checkpoint does not hold the tensors its importer expects, or would run code."""


class TrainingError(HilumError):
    """Training cannot start, or cannot go on."""


class EvaluationError(HilumError):
    """Scores and truth cannot be compared."""
