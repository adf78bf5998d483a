"""What is known of a source, as words for people: the listing, one source in full, and the table of the documentation."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from hilum.errors import UsageError
from hilum.findings import LabelValue, suggest
from hilum.labelsets import LABEL_SETS
from hilum.sources.catalog import SOURCES
from hilum.sources.overlaps import OVERLAPS

LAYOUTS = ("dicom", "table", "phantom")  # not datasets
MOST_NAMES = 6


def describe_briefly(name: str) -> list[tuple[str, str]]:
    """The lines of the listing: (what, words)."""
    source = SOURCES[name]
    shown = ", ".join(source.outputs[:MOST_NAMES]) + (", ..." if len(source.outputs) > MOST_NAMES else "")
    lines = [("task", source.task)]
    if source.outputs:
        lines.append(("outputs", f"{len(source.outputs)}: {shown}"))
    return [
        *lines,
        ("size", source.size),
        ("split", source.split),
        ("licence", source.licence),
        ("from", source.where),
        ("layout", source.layout),
    ]


def describe(name: str) -> list[tuple[str, str]]:
    """Everything known of a source: (what, words).

    Raises:
        UsageError: there is no such source.
    """
    if name not in SOURCES:
        close = suggest(name, tuple(SOURCES))
        hint = f" Did you mean '{close}'?" if close else ""
        raise UsageError(f"there is no source '{name}'.{hint} Sources: {', '.join(SOURCES)}.")
    source = SOURCES[name]
    lines = [("name", f"{name}: {source.title}")]
    for what, words in describe_briefly(name):
        lines.append((what, ", ".join(source.outputs) if what == "outputs" else words))
    sets = [labels for labels in LABEL_SETS.values() if name in labels.sources]
    if sets:
        marked = (f"{s.name} ({s.task}{'' if s.confirmed else ', unconfirmed'})" for s in sets)
        lines.append(("label sets", ", ".join(marked)))
    lines += [("overlap", f"with {o.other(name)}: {o.about}.") for o in OVERLAPS if name in (o.a, o.b)]
    lines += [("unconfirmed", words) for words in source.unconfirmed]
    about = inspect.getdoc(source) or ""
    return [*lines, ("about", about)]


def datasets_table() -> str:
    """The datasets as a Markdown table, as it stands in docs/datasets.md."""
    rows = [
        (f"`{name}`", source.title, source.task, source.size, source.split, source.licence)
        for name, source in SOURCES.items()
        if name not in LAYOUTS
    ]
    return _markdown(("source", "dataset", "task", "size", "split", "licence"), rows)


def label_sets_table() -> str:
    """The label sets as a Markdown table, as it stands in docs/datasets.md."""
    rows = []
    for labels in LABEL_SETS.values():
        doubt = ", ".join(f"{name} {value.value}" for name, value in labels.uncertain.items()) or "left out"
        silence = "negative" if labels.blank is LabelValue.NEGATIVE else "left out"
        name = f"`{labels.name}`" + ("" if labels.confirmed else " (unconfirmed)")
        of = ", ".join(f"`{source}`" for source in labels.sources)
        rows.append((name, labels.task, ", ".join(labels.classes), of, doubt, silence))
    return _markdown(("label set", "task", "classes", "of", "doubt counts as", "silence counts as"), rows)


def overlaps_table() -> str:
    """Known overlaps as a Markdown table, as it stands in docs/datasets.md."""
    rows = [(f"`{o.a}`, `{o.b}`", o.about, "by patient" if o.match else "not public") for o in OVERLAPS]
    return _markdown(("sources", "what they share", "which images"), rows)


def _markdown(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
