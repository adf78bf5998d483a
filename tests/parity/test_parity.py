"""Every quantity equals the original's within its tolerance."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.parity import methods


@pytest.mark.parametrize("name", methods())
def test_every_quantity_equals_the_original(name: str) -> None:
    checks = list(import_module(f"tests.parity.{name}").checks())
    assert checks, f"{name} compares nothing"
    beyond = [f"{c.method}, {c.quantity}: {c.difference:.2e} > {c.tolerance:.0e}" for c in checks if not c.holds]
    assert not beyond, "\n".join(beyond)
