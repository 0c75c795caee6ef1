"""JSON that is handed on while it is written: whole at its end, and never anything that no JSON begins with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm.server.generation.calls.json_text import JsonText, whole_members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


def read(text: str, cuts: list[int]) -> tuple[str, JsonText, str]:
    """What is handed on, and what was not taken."""
    reader, out, held, place = JsonText(), "", "", 0
    for length in [*cuts, len(text)]:
        held += text[place : place + length]
        place += length
        given, used = reader.push(held)
        out, held = out + given, held[used:]
    return out, reader, held


@settings(deadline=None)
@given(value=OBJECTS, indent=st.sampled_from([None, 0, 3]), ascii=st.booleans(), cuts=st.lists(st.integers(1, 5)))
def test_objects_arrive_whole(value: dict[str, Any], indent: int | None, ascii: bool, cuts: list[int]) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    out, reader, rest = read(f"{text} and more", cuts)
    assert reader.is_done
    assert rest == " and more"
    assert json.loads(out) == value


@settings(deadline=None)
@given(text=st.text(alphabet='{}[]":,\\ntrue1.-e \n', max_size=40), cuts=st.lists(st.integers(1, 5), max_size=20))
def test_what_is_called_whole_is_json_and_the_cuts_do_not_matter(text: str, cuts: list[int]) -> None:
    out, reader, rest = read("{" + text, cuts)
    assert (out, reader.is_done, reader.has_failed, rest) == _plain(read("{" + text, []))
    if reader.is_done:
        assert isinstance(json.loads(out), dict)
    closing = reader.closing(rest)
    if closing is not None:
        json.loads(out + closing)


def _plain(found: tuple[str, JsonText, str]) -> tuple[str, bool, bool, str]:
    out, reader, rest = found
    return out, reader.is_done, reader.has_failed, rest


def test_line_breaks_in_strings_are_escaped() -> None:
    out, reader, _ = read('{"a": "one\ntwo\t"}', [])
    assert reader.is_done
    assert json.loads(out) == {"a": "one\ntwo\t"}


@pytest.mark.parametrize(
    "text", ['{"a": nul }', '{"a": 01}', '{"a" 1}', '{"a": 1,}', "{a: 1}", '{"a": [1}', '{"a": "\\x"}']
)
def test_what_is_no_json_fails(text: str) -> None:
    _, reader, rest = read(text, [1] * len(text))
    assert reader.has_failed
    assert not reader.is_done
    assert rest


def test_depth_has_an_end() -> None:
    _, reader, _ = read('{"a":' + "[" * 10_000, [])
    assert reader.has_failed


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ('{"a":1,"b":"x', {"a": 1}),
        ('{"a":12', {}),
        ('{"a":{"b":1},"c"', {"a": {"b": 1}}),
        ('{"a":1}', {"a": 1}),
        ("{}", {}),
        ("{", {}),
        ("", {}),
    ],
)
def test_members_of_what_was_cut_off(text: str, members: dict[str, Any]) -> None:
    assert whole_members(text) == members
