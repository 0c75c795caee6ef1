"""Where values that Python writes end: found in parts of any length, and no character is read twice."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgellm.server.generation.calls import python_value
from edgellm.server.generation.calls.python_value import ValueScan
from edgellm.server.generation.calls.pythonic import LFM2
from edgellm.server.generation.reading.reader import AnswerReader
from edgellm.server.generation.tools import Tool

# the whole grammar at once, as the reference
_PART = re.compile(
    r"""'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|"(?!"")(?:[^"\\]|\\.)*"|'(?!'')(?:[^'\\]|\\.)*'"""
    r"""|""(?=[^"])|''(?=[^'])|[^"'()\[\]{},]+|[()\[\]{},]""",
    re.DOTALL,
)


def end_at_once(text: str) -> int | None:
    depth = place = 0
    while (part := _PART.match(text, place)) is not None:
        if part[0] in "([{":
            depth += 1
        elif part[0] in ")]}," and not depth:
            return place
        elif part[0] in ")]}":
            depth -= 1
        place = part.end()
    return None


@pytest.mark.parametrize(
    ("value", "behind"),
    [
        ("12", ","),
        ("[1, (2, {'a': ')'})]", "]"),
        ("''", ")"),
        ('""', " ,"),
        ("''''a'' \\''''", ")"),
        ('"""a""b\\""" ,"""', ","),
        ("'it\\'s \\\\'", "}"),
        ("'a\n\\\nb'", ")"),
    ],
)
def test_a_value_ends_before_what_it_has_not_opened(value: str, behind: str) -> None:
    for length in (1, 2, 3, 100):
        scan = ValueScan()
        text = f"x={value}{behind}"
        found = [scan.end(text[:size], 2) for size in [*range(2, len(text), length), len(text)]]
        end = 2 + len(value) + len(behind) - 1
        assert found[-1] == end
        assert set(found[:-1]) <= {None}


@settings(deadline=None)
@given(text=st.text(alphabet="'\"\\([{}]), ab\n", max_size=40), cuts=st.lists(st.integers(1, 5), max_size=30))
@example(text='""",""",', cuts=[1] * 8)
@example(text="'''a\\'''',''',", cuts=[1] * 14)
def test_parts_of_any_length_end_where_the_whole_ends(text: str, cuts: list[int]) -> None:
    scan = ValueScan()
    size = 0
    for length in [*cuts, len(text)]:
        size += length
        found = scan.end(text[:size], 0)
        if found is not None:
            break
    assert found == end_at_once(text)


def test_what_was_taken_for_a_part_of_the_value_and_is_a_marker_is_taken_back() -> None:
    for value in ("12", "[1, 'a", "'''a''"):
        scan = ValueScan()
        assert scan.end(f"{value}<|tool_", 0) is None
        assert scan.end(value, 0) is None
        whole = f"{value}''']),"
        assert scan.end(whole, 0) == end_at_once(whole)


class _Pattern:
    """``pattern``, which adds up how many characters it has matched."""

    def __init__(self, pattern: re.Pattern[str], read: list[int]) -> None:
        self._pattern = pattern
        self._read = read

    def match(self, text: str, place: int) -> re.Match[str] | None:
        found = self._pattern.match(text, place)
        self._read.append(0 if found is None else found.end() - found.start())
        return found


@pytest.mark.parametrize("quote", ["'", '"', "'''", '"""'])
def test_no_character_of_a_long_argument_is_read_twice(quote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(python_value, "_BARE", _Pattern(python_value._BARE, read))
    inside = {opening: _Pattern(pattern, read) for opening, pattern in python_value._INSIDE.items()}
    monkeypatch.setattr(python_value, "_INSIDE", inside)
    lines = "a line, with \\\\ (brackets\\n" * 200
    text = f"<|tool_call_start|>[write(lines=[{quote}{lines}{quote}, {'1, ' * 500}], b=2)]"
    reader = AnswerReader(None, LFM2, tools={"write": Tool("write", {})})
    pieces = [piece for place in range(0, len(text), 4) for piece in reader.push(text[place : place + 4])]
    assert len(pieces) == 5  # it begins, two arguments, its bracket, it ends
    assert len(lines) < sum(read) < len(text)
