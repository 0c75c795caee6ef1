"""One OpenAPI 3.1 document of all routes (https://spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.routing import Route

from edgellm.server.http.deferred import the_handler
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.operation import Operation, operation_of
from edgellm.version import __version__

__all__ = ["openapi_document"]

_ALWAYS = (401, 403, 500)  # who asks, and a fault of ours
_WITH_BODY = (400, 408, 413)
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_MODULE = re.compile(r"edgellm\.(?:server\.dialects\.)?(\w+)(?:\.\w+)*\.(?=[A-Z])")
_REF = "#/components/schemas/{name}"


def openapi_document(dialects: Sequence[Dialect]) -> dict[str, Any]:
    """The document. A route whose handler says nothing of itself is left out. Raises LookupError for two types of one
    dialect with the same name."""
    routes = [(dialect, route) for dialect in dialects for route in dialect.routes]
    known = [(dialect, route, _operation(route)) for dialect, route in routes]
    shown = [(dialect, route, operation) for dialect, route, operation in known if operation.documented]
    types = {id(kind): kind for dialect, _, operation in shown for kind in _types(dialect, operation)}
    schemas, components = msgspec.json.schema_components(types.values(), ref_template=_REF)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for dialect, route, operation in shown:
        path = _PARAMETER.sub(r"{\1}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            described = _describe(dialect, route, operation, lambda kind: schema_of[id(kind)])
            described["operationId"] = _identity(dialect, method, path)
            paths.setdefault(path, {}).setdefault(method.lower(), described)  # the first route of a path answers it
    document = {
        "openapi": "3.1.0",
        "info": {"title": "edgellm", "version": __version__, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "tags": [{"name": name} for name in dict.fromkeys(dialect.name for dialect, _, _ in shown)],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": _SECURITY},
        "security": [{}, {"bearer": []}, {"header": []}],
    }
    return _with_short_names(document)


def _with_short_names(document: dict[str, Any]) -> dict[str, Any]:
    """Types of the same name have their module's in front; the dialect's says as much."""
    short: dict[str, Any] = msgspec.json.decode(_MODULE.sub(r"\1.", msgspec.json.encode(document).decode()))
    names = document["components"]["schemas"]
    if len(short["components"]["schemas"]) != len(names):
        raise LookupError(f"two types of one dialect have the same name; there are {', '.join(names)}")
    return short


_ABOUT = "The local HTTP API of edgellm: what OpenAI's, Anthropic's, Ollama's and llama.cpp's clients ask, and our own."
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def _operation(route: Route) -> Operation:
    return operation_of(route.endpoint) or Operation(documented=False)


def _types(dialect: Dialect, operation: Operation) -> Iterator[Any]:
    if operation.body is not None:
        yield operation.body
    if operation.answer is not None and not isinstance(operation.answer, str):
        yield operation.answer
    yield dialect.error


def _identity(dialect: Dialect, method: str, path: str) -> str:
    words = re.findall(r"\w+", path) or ["root"]
    return "_".join([dialect.name, method.lower(), *words])


def _describe(
    dialect: Dialect, route: Route, operation: Operation, schema_of: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": [dialect.name],
        "summary": (inspect.getdoc(the_handler(route.endpoint)) or "").partition("\n")[0].rstrip("."),
        "responses": _responses(dialect, operation, schema_of),
    }
    if parameters := [*_path_parameters(route.path), *_query_parameters(operation)]:
        described["parameters"] = parameters
    if operation.raw_body is not None:
        described["requestBody"] = {"required": True, "content": {operation.raw_body: {}}}
    elif operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json(schema_of(operation.body))}
    return described


def _responses(
    dialect: Dialect, operation: Operation, schema_of: Callable[[Any], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    content: dict[str, Any] = {}
    if isinstance(operation.answer, str):
        content[operation.answer] = {"schema": {"type": "string"}}
    elif operation.answer is not None:
        content = _json(schema_of(operation.answer))
    if operation.stream is not None:
        content = {**content, operation.stream: {"schema": {"type": "string"}}}
    found = {}
    for status in operation.statuses:
        found[str(status)] = {"description": HTTPStatus(status).phrase, **({"content": content} if content else {})}
    has_body = operation.body is not None or operation.raw_body is not None
    for status in sorted({*_ALWAYS, *(_WITH_BODY if has_body else ()), *operation.errors}):
        found[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": _json(schema_of(dialect.error)),
        }
    return found


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for query in operation.query:
        yield {
            "name": query.name,
            "in": "query",
            "required": query.required,
            "description": query.about,
            "schema": query.kind or {"type": "string"},
        }
