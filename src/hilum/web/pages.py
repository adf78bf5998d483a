"""From values to HTML: one environment of templates, everything escaped."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

NAVIGATION = (
    ("/", "Archive"),
    ("/search", "Search"),
    ("/try", "Try an image"),
    ("/prompts", "Prompts"),
    ("/results", "Results"),
    ("/api", "API"),
)
VIEW_NAMES = {"pa": "PA", "ap": "AP", "ap_supine": "AP supine", "lateral": "Lateral", "unknown": "View unknown"}
_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def render(request: Request, template: str, status: int = 200, /, **values: Any) -> Response:
    """A page, or with a template of a part, a part."""
    text = _templates().get_template(template).render(path=request.url.path, navigation=NAVIGATION, **values)
    return HTMLResponse(text, status)


@cache
def static_files() -> dict[str, tuple[bytes, str]]:
    """Style and scripts by name, read once: no name that comes in is ever looked up on disk."""
    found = {}
    for entry in (files("hilum.web") / "static").iterdir():
        kind = _KINDS.get(entry.name.rpartition(".")[2])
        if kind:
            found[entry.name] = (entry.read_bytes(), kind)
    return found


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("hilum.web", "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = _static
    made.globals["url"] = link
    made.filters["view"] = lambda view: VIEW_NAMES.get(view, view)
    made.filters["number"] = lambda n: f"{n:,}"
    made.filters["score"] = lambda s: "not measured" if s is None else f"{s:.3f}"
    made.filters["who"] = who
    made.filters["query"] = lambda value: quote(str(value), safe="")
    return made


def link(path: str, **query: Any) -> str:
    """A path with a query of what is not None; ids travel in queries, for they may hold slashes and dots.

    Example:
        >>> link("/study", id="a/b&c", model=None)
        '/study?id=a%2Fb%26c'
    """
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def who(image: Any) -> str:
    """View, sex and age of an image in words, as far as they are known.

    Example:
        >>> from types import SimpleNamespace
        >>> who(SimpleNamespace(view="pa", sex="F", age_years=61.0))
        'PA, woman, 61 years'
    """
    view, sex, age_years = (
        image[name] if isinstance(image, dict) else getattr(image, name) for name in ("view", "sex", "age_years")
    )
    parts = [VIEW_NAMES.get(view, view)]
    if sex in ("F", "M"):
        parts.append({"F": "woman", "M": "man"}[sex])
    if age_years is not None and age_years == age_years:
        parts.append(f"{age_years:.0f} years")
    return ", ".join(parts)


@cache
def _static(name: str) -> Markup:
    content, _ = static_files()[name]
    return Markup(f"/static/{name}?{hashlib.sha256(content).hexdigest()[:10]}")
