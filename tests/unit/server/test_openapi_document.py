"""The OpenAPI document is whole: every route is in it, with types that are there."""

from __future__ import annotations

import re

import msgspec

from edgellm.server.dialects import DIALECTS
from edgellm.server.http.operation import operation_of
from edgellm.server.openapi.document import openapi_document


def test_every_handler_says_what_it_reads_and_answers() -> None:
    silent = [route.path for dialect in DIALECTS for route in dialect.routes if operation_of(route.endpoint) is None]
    assert silent == []


def test_every_reference_leads_somewhere() -> None:
    document = openapi_document(DIALECTS)
    text = msgspec.json.encode(document).decode()
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert names
    assert names <= document["components"]["schemas"].keys()


def test_operations_have_names_of_their_own() -> None:
    paths = openapi_document(DIALECTS)["paths"]
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(names) == len(set(names))


def test_the_document_says_which_statuses_a_route_may_end_with() -> None:
    paths = openapi_document(DIALECTS)["paths"]
    assert {"200", "400", "401", "404", "413", "501", "503", "507"} <= paths["/v1/messages"]["post"]["responses"].keys()
    assert "200" not in paths["/infill"]["post"]["responses"]


def test_a_stream_is_one_of_the_media_types_of_an_answer() -> None:
    answer = openapi_document(DIALECTS)["paths"]["/completion"]["post"]["responses"]["200"]
    assert answer["content"].keys() == {"application/json", "text/event-stream"}
