"""Arguments in tags: what they are is what the tool's schema says, not what they look like."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.glm import GLM
from edgellm.server.generation.calls.hermes import QWEN_TAGS
from edgellm.server.generation.calls.pieces import CallDelta
from edgellm.server.generation.calls.tag_value import tag_value
from edgellm.server.generation.reading.reader import AnswerReader
from edgellm.server.generation.tools import Tool, read_tools

PARAMETERS = {
    "type": "object",
    "$defs": {"id": {"type": "string"}, "loop": {"$ref": "#/$defs/loop"}},
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "on": {"type": "boolean"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "maybe_count": {"type": ["integer", "null"]},
        "either": {"type": ["string", "integer"]},
        "size": {"enum": ["1", "2"]},
        "key": {"$ref": "#/$defs/id"},
        "loop": {"$ref": "#/$defs/loop"},
        "gone": {"$ref": "#/$defs/nothing"},
        "lists": {"type": "array", "items": {"type": "string"}},
        "free": {},
    },
}


def tool() -> Tool:
    (found,) = read_tools([{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}])
    return found


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("text", "12", "12"),
        ("text", "true", "true"),
        ("text", "null", "null"),
        ("text", '{"a": 1}', '{"a": 1}'),
        ("text", '"quoted"', '"quoted"'),
        ("count", "12", 12),
        ("count", "twelve", "twelve"),
        ("on", "true", True),
        ("on", "False", False),
        ("maybe", "null", None),
        ("maybe", "12", "12"),
        ("maybe_count", "None", None),
        ("either", "12", 12),
        ("either", "x", "x"),
        ("size", "1", "1"),
        ("key", "0012", "0012"),
        ("loop", "12", 12),
        ("gone", "12", 12),
        ("lists", '["1"]', ["1"]),
        ("free", "12", 12),
        ("unknown", "12", 12),
    ],
)
def test_the_schema_says_what_a_value_is(name: str, text: str, expected: Any) -> None:
    found = tag_value(text, tool(), name)
    assert (found, type(found)) == (expected, type(expected))


class Counted(dict[str, Any]):
    """A schema that counts how often it is looked at."""

    n_looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counted.n_looks += key == "$ref"
        return super().get(key, default)


def _to_itself(key: str) -> dict[str, Any]:
    return {"v": Counted({key: [Counted({"$ref": "#/$defs/v"}) for _ in range(12)]})}


def _chain(key: str) -> dict[str, Any]:
    links = {f"v{at}": Counted({key: [Counted({"$ref": f"#/$defs/v{at + 1}"}) for _ in range(12)]}) for at in range(3)}
    return {"v": Counted({"$ref": "#/$defs/v0"}), **links, "v3": Counted({"type": "string"})}


@pytest.mark.parametrize("key", ["anyOf", "oneOf"])
@pytest.mark.parametrize(("schemas", "expected"), [(_to_itself, 12), (_chain, "12")], ids=["to itself", "chain"])
def test_no_part_of_a_schema_is_looked_at_twice(
    key: str, schemas: Callable[[str], dict[str, Any]], expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counted, "n_looks", 0)
    properties = {name: Counted({"$ref": "#/$defs/v"}) for name in ("one", "two")}
    found = Tool("weather", {"$defs": schemas(key), "properties": properties})
    assert [tag_value("12", found, name) for name in ("one", "two", "one", "two")] == [expected] * 4
    assert 0 < Counted.n_looks <= 2 + 1 + 3 * 13 + 1


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (
            GLM,
            "<tool_call>weather\n<arg_key>text</arg_key>\n<arg_value>12</arg_value>\n<arg_key>count</arg_key>\n"
            "<arg_value>12</arg_value>\n</tool_call>",
        ),
        (
            QWEN_TAGS,
            "<tool_call>\n<function=weather>\n<parameter=text>\n12\n</parameter>\n<parameter=count>\n12\n</parameter>\n"
            "</function>\n</tool_call>",
        ),
    ],
    ids=["glm", "qwen"],
)
@pytest.mark.parametrize("length", [1, 1000])
def test_a_number_that_should_be_a_text_is_one(form: CallForm, text: str, length: int) -> None:
    reader = AnswerReader(None, form, tools={"weather": tool()})
    parts = [text[place : place + length] for place in range(0, len(text), length)]
    pieces = [piece for part in parts for piece in reader.push(part)] + reader.finish()
    arguments = "".join(piece.arguments for piece in pieces if isinstance(piece, CallDelta))
    assert json.loads(arguments) == {"text": "12", "count": 12}
