"""A room imports only from floors below it (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "hilum"

# Rooms of one floor do not import each other; `reports` stands below `sources`, which cuts reports into sections at ingest.
FLOORS = {
    "errors": 1,
    "findings": 1,
    "labelsets": 1.2,
    "tables": 1.5,
    "checkpoints": 1.5,
    "imaging": 2,
    "archive": 2,
    "reports": 3,
    "sources": 3.5,
    "models": 4,
    "methods": 5,
    "training": 6,
    "tasks": 7,
    "evaluation": 8,
    "studies": 9,
    "cli": 10,
    "web": 9.5,  # the command line starts it
    "__main__": 11,
}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "hilum" and len(parts) > 1 else None


def imported_rooms(path: Path) -> set[str]:
    rooms: set[str | None] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            rooms |= {room_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports in full"
            rooms.add(room_of(node.module))
            if node.module == "hilum":
                rooms |= {alias.name for alias in node.names if alias.name in FLOORS}
    return {room for room in rooms if room}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_import_goes_up_a_floor(path: Path) -> None:
    place = path.relative_to(ROOT)
    room = place.parts[0].removesuffix(".py")
    if room == "__init__":
        return
    upward = {r for r in imported_rooms(path) if r != room and FLOORS[r] >= FLOORS[room]}
    assert not upward, f"{place} (floor {FLOORS[room]}) imports {sorted(upward)}"
