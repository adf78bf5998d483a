"""What the pages tell people to type exists, and their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from hilum.cli import build_app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))]
)


def typed(page: Path) -> list[str]:
    """Commands in code blocks, continued lines joined."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    shell = [block for language, block in blocks if language != "python"]
    lines = [line for block in shell for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    return [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?hilum [a-z]", line)]


def wrong_words(line: str) -> list[str]:
    """Words of a command that the command line does not know."""
    line = line.replace("[", " ").replace("]", " ")
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(build_app())
    while words and hasattr(command, "commands"):
        word = words.pop(0)
        if word not in command.commands:
            return [word]
        command = command.commands[word]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    return [word for word in words if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_page_exists_with_its_options(page: Path) -> None:
    assert {line: wrong for line in typed(page) if (wrong := wrong_words(line))} == {}


def test_a_wrong_command_would_be_found() -> None:
    assert wrong_words("hilum ingest dicom x -o y --splitt none") == ["--splitt"]
    assert wrong_words("hilum ingst dicom") == ["ingst"]
    assert sum(len(typed(page)) for page in PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
