"""The API's page, made from its own schema: nothing is loaded from elsewhere."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from hilum.web.pages import render

router = APIRouter(include_in_schema=False)


@router.get("/api")
def handbook(request: Request) -> Response:
    """Every address, what it takes and what it gives."""
    schema: dict[str, Any] = request.app.openapi()
    return render(request, "api.html.j2", groups=_by_tag(schema), schemas=schema["components"]["schemas"])


def _by_tag(schema: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method, one in methods.items():
            about = {
                "method": method.upper(),
                "path": path,
                "summary": one.get("description") or one.get("summary", ""),
                "takes": [_parameter(parameter) for parameter in one.get("parameters", [])],
                "body": _body(one),
                "gives": _gives(one),
            }
            groups.setdefault((one.get("tags") or ["other"])[0], []).append(about)
    return groups


def _parameter(parameter: dict[str, Any]) -> dict[str, str]:
    schema = parameter.get("schema", {})
    default = schema.get("default")
    return {
        "name": parameter["name"],
        "kind": _kind(schema),
        "about": parameter.get("description") or schema.get("description", ""),
        "default": "needed" if parameter.get("required") else "" if default in (None, "", []) else str(default),
    }


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " | ".join(repr(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _body(one: dict[str, Any]) -> str:
    for kind, content in one.get("requestBody", {}).get("content", {}).items():
        return f"{_kind(content.get('schema', {}))} ({kind})" if kind == "application/json" else kind
    return ""


def _gives(one: dict[str, Any]) -> str:
    for status, answer in one["responses"].items():
        if status.startswith("2"):
            for kind, content in answer.get("content", {}).items():
                return _kind(content.get("schema", {})) if kind == "application/json" else kind
            return "nothing (204)"
    return ""
