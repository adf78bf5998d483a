"""How report headers are spelled: the canonical names, their variants, common misspellings and view titles.

The variants are those of the MIMIC-CXR section parser (Johnson et al. 2019), with "ndication" mapped to indication.
"""

from __future__ import annotations

import re

CANONICAL = {
    "impression": (
        "impression", "impressions", "conclusion", "conclusions", "findings and impression", "findings/impression",
        "findings/ impression", "findings / impression", "impresson", "imprression", "imoression", "impressoin",
        "imprssion", "impresion", "imperssion", "mpression", "impession", "opinion",
    ),
    "findings": (
        "findings", "finding", "reference findings", "chest, two views", "findins", "findindgs", "findgings", "findngs",
        "findnings", "finidngs",
    ),
    "indication": (
        "indication", "indications", "clinical indication", "reason for exam", "reason for examination",
        "reason for study", "reason for this examination", "idication", "ndication",
    ),
    "history": (
        "history", "clinical history", "clinical information", "patient history", "pfi", "medical condition",
        "clinical data",
    ),
    "comparison": (
        "comparison", "comparisons", "comparison exam", "comparison film", "comparison study date", "reference exam",
        "comparision", "comparisions", "comparision(s)", "comparsion", "comparrison",
    ),
    "examination": ("examination", "exam", "type of examination", "study", "procedure"),
    "technique": ("technique",),
    "addendum": ("addendum",),
    "date": ("date",),
    "comment": ("comment", "comments"),
    "notification": ("notification", "notifications", "notification(s)"),
    "recommendations": ("recommendation", "recommendations", "recommendation(s)"),
    "wet read": ("wet read", "wetread"),
}  # fmt: skip

VARIANTS = {variant: name for name, variants in CANONICAL.items() for variant in variants}

# A name that only contains one of these is still that section; checked in this order.
CONTAINED = ("impression", "findings", "history", "comparison", "addendum")

# A title that names the view introduces the findings.
VIEW_PHRASES = (
    "chest", "portable", "pa and lateral", "lateral and pa", "ap and lateral", "lateral and ap", "frontal and",
    "two views", "frontal view", "pa view", "ap view", "one view", "lateral view", "bone window", "frontal upright",
    "frontal semi-upright", "ribs", "pa and lat",
)  # fmt: skip

# Names long enough that two wrong letters still leave no doubt.
_FORGIVING = (
    "impression", "impressions", "conclusion", "findings", "indication", "comparison", "examination", "technique",
    "notification", "recommendation", "recommendations", "clinical history", "clinical information",
)  # fmt: skip

PLACEHOLDER = re.compile(r"_{2,}|\bX{3,}\b|\[\*\*.*?\*\*\]")


def normalized(name: str) -> str:
    """A header's text as section name: the canonical one where known or contained, "findings" for a view, else itself.

    Example:
        >>> normalized("IMPRESSON"), normalized("PORTABLE CHEST"), normalized("ET TUBE")
        ('impression', 'findings', 'et tube')
    """
    name = name.lower().strip()
    if name in VARIANTS:
        return VARIANTS[name]
    for part in CONTAINED:
        if part in name:
            return part
    if any(phrase in name for phrase in VIEW_PHRASES):
        return "findings"
    return name


def known(name: str) -> str | None:
    """The canonical name of a header variant or of a long name with at most two wrong letters; None for any other.

    Example:
        >>> known("Imprestion"), known("Lungs")
        ('impression', None)
    """
    name = re.sub(r"\s+", " ", name.lower()).strip(" .")
    found = VARIANTS.get(name)
    if found or len(name) < 7:
        return found
    for target in _FORGIVING:
        if abs(len(target) - len(name)) <= 2 and edits(name, target, limit=2) <= 2:
            return VARIANTS.get(target, target)
    return None


def edits(a: str, b: str, limit: int) -> int:
    """Letters to insert, delete or replace to get from `a` to `b`; counting stops above `limit`.

    Example:
        >>> edits("impresion", "impression", limit=2)
        1
    """
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (letter != other))
        if min(row) > limit:
            return limit + 1
    return row[-1]


def is_hollow(text: str) -> bool:
    """True where a text holds nothing but de-identification placeholders, punctuation and blanks.

    Example:
        >>> is_hollow(" ___ XXXX."), is_hollow("XXXX effusion")
        (True, False)
    """
    return not re.search(r"\w", PLACEHOLDER.sub("", text).replace("_", ""))


def blank_placeholders(text: str) -> str:
    """The text with each de-identification placeholder replaced by as many blanks, so that no offset moves.

    Example:
        >>> blank_placeholders("no XXXX seen")
        'no      seen'
    """
    return PLACEHOLDER.sub(lambda hole: " " * len(hole.group()), text)
