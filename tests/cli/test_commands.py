"""Every command explains itself, and nothing heavy is loaded to say so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import typer.main

from hilum.cli import COMMANDS, GROUPS, build_app

Call = Callable[..., tuple[int, str, str]]
HEAVY = ("torch", "transformers", "lance", "pandas", "pyarrow", "lightning", "open_clip", "matplotlib", "sklearn")


def commands() -> list[tuple[str, ...]]:
    """Every command as it is typed: ("ingest",), ("recipe", "show"), ..."""
    found: list[tuple[str, ...]] = []
    for name, command in typer.main.get_command(build_app()).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [(name,)] if inner is None else [(name, verb) for verb in inner]
    return found


def test_every_verb_and_group_is_registered() -> None:
    assert {words[0] for words in commands()} == {*COMMANDS, *GROUPS}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_help_says_what_the_command_does_with_an_example(
    words: tuple[str, ...], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call(*words, "--help")
    assert code == 0
    text = re.sub(r"\s+", " ", out)
    assert f"Example: hilum {' '.join(words)}" in text
    for option in re.findall(r"(?<=\s)--[a-z][a-z-]+", text.partition("Example:")[2].partition("─")[0]):
        assert option in text.partition("─")[2], f"the example uses {option}, which is no option"


def test_without_words_the_help_is_shown(call: Call) -> None:
    code, out, err = call()
    assert code == 2
    for verb in COMMANDS:
        assert verb in out + err


def test_ctrl_c_says_how_to_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hilum.archive.Archive.open", interrupt)
    code, _, err = call("info", "archive")
    assert code == 130
    assert "What was finished is kept; run the same command again to go on." in err


def run(code: str) -> tuple[str, float]:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    return done.stdout, time.perf_counter() - started


def test_import_hilum_is_quick_and_loads_nothing_heavy() -> None:
    code = "import sys, time; t = time.perf_counter(); import hilum; print(time.perf_counter() - t, *sys.modules)"
    seconds, *modules = run(code)[0].split()
    assert not {name.partition(".")[0] for name in modules} & {*HEAVY, "numpy"}
    assert float(seconds) < 0.3


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom hilum.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('modules:', *sys.modules)"
    )
    out, seconds = run(code)
    modules = out.partition("modules:")[2].split()
    assert not {name.partition(".")[0] for name in modules} & {*HEAVY, "numpy"}
    assert "research tool, not a medical device" in out
    assert seconds < 5  # under one second on a quiet machine; the modules above are what costs
