"""The web app: an archive, its reports and a model's answers to look at, on this machine, behind a token."""

from __future__ import annotations

from hilum.web.app import create_app
from hilum.web.settings import Settings

__all__ = ["Settings", "create_app"]
