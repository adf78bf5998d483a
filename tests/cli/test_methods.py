"""`hilum methods`: the table of methods, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hilum.methods import METHODS

Call = Callable[..., tuple[int, str, str]]


def test_the_table_names_every_method_with_its_size(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    code, out, _ = call("methods", "--tiny")
    assert code == 0
    assert "pretraining methods, tiny" in out
    assert all(name in out for name in METHODS)
    assert "307,536" in out


def test_json_is_for_programs(call: Call) -> None:
    code, out, _ = call("methods", "--tiny", "--json")
    assert code == 0
    sizes = {row["method"]: row for row in json.loads(out)}
    assert list(sizes) == list(METHODS)
    assert sizes["moco-cxr"]["probed"] == sizes["moco-cxr"]["feature_width"] + 1
    assert sizes["refers"]["shared_dim"] is None
