"""Schemas whose objects have the properties that they name, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from edgellm.server.generation.schemas import closed

POINT = {"type": "object", "properties": {"x": {"type": "number"}}}
CLOSED = {**POINT, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (POINT, CLOSED),
        ({"type": "array", "items": POINT}, {"type": "array", "items": CLOSED}),
        ({"anyOf": [POINT, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        ({"$ref": "#/$defs/P", "$defs": {"P": POINT}}, {"$ref": "#/$defs/P", "$defs": {"P": CLOSED}}),
        (
            {"type": "object", "properties": {"properties": POINT}},
            {"type": "object", "properties": {"properties": CLOSED}, "additionalProperties": False},
        ),
    ],
)
def test_objects_that_name_properties_are_closed(schema: Any, expected: Any) -> None:
    assert closed(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"type": "object"},
        {**POINT, "additionalProperties": True},
        {**POINT, "patternProperties": {"^a": {}}},
        {"allOf": [POINT, {"type": "object", "properties": {"y": {}}}]},
        {**POINT, "anyOf": [{"properties": {"y": {}}}, {"properties": {"z": {}}}]},
        {"type": "array", "items": {"$ref": "#/$defs/P", "properties": {"z": {}}}, "$defs": {"P": POINT}},
    ],
)
def test_others_stay_as_they_are(schema: Any) -> None:
    assert closed(schema) == schema
