"""Streamed text taken apart: the cuts between its pieces never matter, and nothing is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm.server.generation.calls.deepseek import DEEPSEEK, DEEPSEEK_FENCED
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.glm import GLM, GLM_TIGHT
from edgellm.server.generation.calls.granite import GRANITE
from edgellm.server.generation.calls.hermes import HERMES, QWEN_TAGS
from edgellm.server.generation.calls.llama3 import LLAMA3
from edgellm.server.generation.calls.mistral import MISTRAL, MISTRAL_ARGS
from edgellm.server.generation.calls.pieces import CallDelta, CallEnd, CallPiece, CallStart
from edgellm.server.generation.calls.pythonic import LFM2
from edgellm.server.generation.reading.reader import AnswerReader, Piece
from edgellm.server.generation.templates.traits import ThinkingMarkers
from edgellm.server.generation.tools import Tool

THINK = ThinkingMarkers("<think>", "</think>")
TOOLS = {name: Tool(name, {}) for name in ("weather", "now")}
Read = list[tuple[str, ...]]


def read(text: str, cuts: list[int], form: CallForm | None, in_thinking: bool = False, *, is_cut: bool = False) -> Read:
    """The pieces of ``text`` when it comes in parts of such lengths; texts that follow each other are one, and so are
    the parts of a call."""
    reader = AnswerReader(THINK, form, in_thinking=in_thinking, tools=TOOLS)
    found: list[Piece | CallPiece] = []
    place = 0
    for length in [*cuts, len(text)]:
        found += reader.push(text[place : place + length])
        place += length
    found += reader.finish(is_cut=is_cut)
    joined: Read = []
    for piece in found:
        if isinstance(piece, Piece) and joined and joined[-1][0] == piece.kind:
            joined[-1] = (piece.kind, joined[-1][1] + piece.text)
        elif isinstance(piece, Piece):
            joined.append((piece.kind, piece.text))
        elif isinstance(piece, CallStart):
            joined.append(("begun", piece.name, ""))
        elif isinstance(piece, CallDelta):
            joined[-1] = (*joined[-1][:2], joined[-1][2] + piece.arguments)
        else:
            joined[-1] = ("call" if piece.is_whole else "broken", *joined[-1][1:])
    return joined


WEATHER = ("call", "weather", '{"city":"Oslo"}')
NOW = ("call", "now", "{}")
CASES: dict[str, tuple[CallForm | None, str, Read]] = {
    "hermes, text before, two calls": (
        HERMES,
        'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
        [("text", "Let me see."), WEATHER, NOW],
    ),
    "hermes, the closing marker inside a string": (
        HERMES,
        '<tool_call>{"name": "weather", "arguments": {"city": "</tool_call>"}}</tool_call>',
        [("call", "weather", '{"city":"</tool_call>"}')],
    ),
    "hermes, the end is missing": (
        HERMES,
        '<tool_call>\n{"name": "now", "arguments": {}}',
        [NOW],
    ),
    "hermes, no JSON": (
        HERMES,
        "so <tool_call>what?</tool_call> that",
        [("text", "so<tool_call>what?</tool_call> that")],
    ),
    "qwen's tags": (
        QWEN_TAGS,
        "<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>",
        [WEATHER],
    ),
    "llama 3, bare": (LLAMA3, '{"name": "weather", "parameters": {"city": "Oslo"}}', [WEATHER]),
    "llama 3, two": (
        LLAMA3,
        '{"name": "weather", "parameters": {"city": "Oslo"}}; {"name": "now", "parameters": {}}',
        [WEATHER, NOW],
    ),
    "llama 3, marked": (LLAMA3, '<|python_tag|>{"type": "function", "name": "now", "parameters": {}}', [NOW]),
    "llama 3, a built-in tool": (
        LLAMA3,
        '<|python_tag|>brave_search.call(query="x, y")',
        [("call", "brave_search", '{"query":"x, y"}')],
    ),
    "llama 3, JSON that is no call": (LLAMA3, '{"name": "Ada", "age": 36}', [("text", '{"name": "Ada", "age": 36}')]),
    "mistral, a list": (
        MISTRAL,
        '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "now", "arguments": {}}]',
        [WEATHER, NOW],
    ),
    "mistral, arguments": (
        MISTRAL_ARGS,
        'Yes.[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]now[CALL_ID]abcdefghi[ARGS]{}',
        [("text", "Yes."), WEATHER, NOW],
    ),
    "granite": (
        GRANITE,
        '<|tool_call|>[{"name": "weather", "arguments": {"city": "Oslo"}}]',
        [WEATHER],
    ),
    "lfm2": (
        LFM2,
        'Sure. <|tool_call_start|>[weather(city="Oslo"), now()]<|tool_call_end|>Done.',
        [("text", "Sure."), WEATHER, NOW, ("text", "Done.")],
    ),
    "lfm2, words of JSON and of Python": (
        LFM2,
        "<|tool_call_start|>[weather(a=true, b=None, c=[-1, {'d': 2.5}])]<|tool_call_end|>",
        [("call", "weather", '{"a":true,"b":null,"c":[-1,{"d":2.5}]}')],
    ),
    "lfm2, strings with everything in them": (
        LFM2,
        """<|tool_call_start|>[weather(city="a, b) \\"c\\" [", days='', names=['x)', ("y", {"z": "}"})], e="it's",)]"""
        "<|tool_call_end|>",
        [("call", "weather", '{"city":"a, b) \\"c\\" [","days":"","names":["x)",["y",{"z":"}"}]],"e":"it\'s"}')],
    ),
    "lfm2, an unknown tool": (
        LFM2,
        "<|tool_call_start|>[other(a=1)]<|tool_call_end|>",
        [("call", "other", '{"a":1}')],
    ),
    "lfm2, the brackets are missing": (LFM2, '<|tool_call_start|>[weather(city="Oslo"<|tool_call_end|>', [WEATHER]),
    "lfm2, the brackets behind a list are missing": (
        LFM2,
        "<|tool_call_start|>[weather(a=[1,2]<|tool_call_end|>",
        [("call", "weather", '{"a":[1,2]}')],
    ),
    "lfm2, a bracket before the last is missing": (
        LFM2,
        "<|tool_call_start|>[weather(a=[1,2]]<|tool_call_end|>",
        [("call", "weather", '{"a":[1,2]}')],
    ),
    "lfm2, the bracket of a list is missing": (
        LFM2,
        "<|tool_call_start|>[weather(a=[1,2<|tool_call_end|>",
        [("broken", "weather", ""), ("text", "a=[1,2")],
    ),
    "lfm2, texts of three quotes": (
        LFM2,
        "<|tool_call_start|>[weather(a='''it's '',\\'''', b=[\"\", \"\"\"\"a\" \"b, (\"\"\"], c='')]<|tool_call_end|>",
        [("call", "weather", '{"a":"it\'s \'\',\'","b":["","\\"a\\" \\"b, ("],"c":""}')],
    ),
    "lfm2, an argument twice": (
        LFM2,
        "<|tool_call_start|>[weather(a=1, a=2)]<|tool_call_end|>",
        [("broken", "weather", '{"a":1'), ("text", ", a=2)]")],
    ),
    "lfm2, the same argument of two calls": (
        LFM2,
        "<|tool_call_start|>[weather(a=1), weather(a=2)]<|tool_call_end|>",
        [("call", "weather", '{"a":1}'), ("call", "weather", '{"a":2}')],
    ),
    "lfm2, an argument of an unknown tool twice": (
        LFM2,
        "<|tool_call_start|>[other(a=1, a=2)]<|tool_call_end|>",
        [("text", "<|tool_call_start|>[other(a=1, a=2)]<|tool_call_end|>")],
    ),
    "lfm2, an argument that is no constant": (
        LFM2,
        "<|tool_call_start|>[weather(city=open('x'))]<|tool_call_end|> So.",
        [("broken", "weather", ""), ("text", "city=open('x'))] So.")],
    ),
    "lfm2, code that is no call": (
        LFM2,
        "<|tool_call_start|>[weather(open('x'))]<|tool_call_end|>",
        [("text", "<|tool_call_start|>[weather(open('x'))]<|tool_call_end|>")],
    ),
    "glm": (
        GLM,
        "Well.\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>\n"
        "<tool_call>now\n</tool_call>",
        [("text", "Well."), WEATHER, NOW],
    ),
    "glm, without line breaks": (
        GLM_TIGHT,
        "<tool_call>weather<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call><tool_call>now</tool_call>",
        [WEATHER, NOW],
    ),
    "glm, the end of the last value is missing": (
        GLM,
        "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo\n</tool_call>",
        [WEATHER],
    ),
    "deepseek": (
        DEEPSEEK,
        'So.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "Oslo"}<｜tool▁call▁end｜>'
        "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        [("text", "So."), WEATHER, NOW],
    ),
    "deepseek, fenced": (
        DEEPSEEK_FENCED,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n"
        '```json\n{"city": "Oslo"}\n```<｜tool▁call▁end｜>\n'
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        [WEATHER, NOW],
    ),
    "deepseek, an unknown tool": (
        DEEPSEEK,
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>other<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        [("call", "other", '{"a":1}')],
    ),
    "a thought": (None, "<think>\nhm </b>\n\nso\n</think>\n\nYes.", [("thinking", "hm </b>\n\nso"), ("text", "Yes.")]),
    "a thought and a call": (
        HERMES,
        '<think>hm</think>\n<tool_call>{"name": "now", "arguments": {}}</tool_call>',
        [("thinking", "hm"), NOW],
    ),
    "a thought that does not end": (None, "<think>\nhm", [("thinking", "hm")]),
    "no marker": (HERMES, "a < b <tool> and <think", [("text", "a < b <tool> and <think")]),
    "a marker of a thought later on": (None, "It is <think>.", [("text", "It is <think>.")]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 1000])
def test_answers_are_read_in_parts_of_any_length(name: str, length: int) -> None:
    form, text, expected = CASES[name]
    assert read(text, [length] * (len(text) // length), form) == expected


def test_a_thought_that_the_prompt_began() -> None:
    assert read("hm\n</think>\n\nYes.", [4, 6], None, in_thinking=True) == [("thinking", "hm"), ("text", "Yes.")]


@pytest.mark.parametrize("form", [None, HERMES, QWEN_TAGS, GLM, DEEPSEEK, LLAMA3, MISTRAL, MISTRAL_ARGS, GRANITE, LFM2])
@settings(deadline=None)
@given(text=st.text(alphabet='ab <|>[]{}":,/thinkoolc_\n', max_size=60), cuts=st.lists(st.integers(1, 9), max_size=30))
def test_the_cuts_do_not_matter(form: CallForm | None, text: str, cuts: list[int]) -> None:
    assert read(text, cuts, form) == read(text, [], form)


@pytest.mark.parametrize("form", [None, HERMES, LLAMA3, MISTRAL, GRANITE])
@settings(deadline=None)
@given(text=st.text(alphabet='ab<|>{}":, \n', max_size=60), cuts=st.lists(st.integers(1, 9), max_size=30))
def test_text_without_markers_comes_out_as_it_is(form: CallForm | None, text: str, cuts: list[int]) -> None:
    assert "".join(piece[1] for piece in read(text, cuts, form)) == text


@settings(deadline=None)
@given(arguments=st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.booleans()))
def test_any_arguments_arrive(arguments: dict[str, object]) -> None:
    body = json.dumps({"name": "weather", "arguments": arguments}, ensure_ascii=False)
    (call,) = read(f"<tool_call>\n{body}\n</tool_call>", [7] * (len(body) // 7), HERMES)
    assert json.loads(call[2]) == arguments


def test_nothing_that_may_be_a_marker_is_given() -> None:
    reader = AnswerReader(None, HERMES, tools=TOOLS)
    assert [piece for part in ("Hi <tool", "_ca") for piece in reader.push(part)] == [Piece("text", "Hi")]
    assert reader.push("b") == [Piece("text", " <tool_cab")]


def test_json_that_cannot_be_a_call_is_given_at_once() -> None:
    reader = AnswerReader(None, LLAMA3, tools=TOOLS)
    assert reader.push('{"name": "wea') == []
    assert reader.push("r") == [Piece("text", '{"name": "wear')]


STREAMED = {
    "hermes": (HERMES, '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo and Bergen", "days": 12}}'),
    "llama 3, bare": (LLAMA3, '{"name": "weather", "parameters": {"city": "Oslo and Bergen", "days": 12}}'),
    "mistral": (MISTRAL, '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Oslo and Bergen", "days": 12}}]'),
    "mistral, arguments": (MISTRAL_ARGS, '[TOOL_CALLS]weather[ARGS]{"city": "Oslo and Bergen", "days": 12}'),
    "granite": (GRANITE, '<|tool_call|>[{"name": "weather", "arguments": {"city": "Oslo and Bergen", "days": 12}}]'),
    "glm": (
        GLM,
        "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo and Bergen</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>12</arg_value>\n</tool_call>",
    ),
    "lfm2": (LFM2, "<|tool_call_start|>[weather(city='Oslo and Bergen', days=12)"),
    "deepseek": (
        DEEPSEEK,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>"
        '{"city": "Oslo and Bergen", "days": 12}<｜tool▁call▁end｜>',
    ),
    "deepseek, fenced": (
        DEEPSEEK_FENCED,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n"
        '{"city": "Oslo and Bergen", "days": 12}\n```<｜tool▁call▁end｜>',
    ),
    "qwen's tags": (
        QWEN_TAGS,
        "<tool_call>\n<function=weather>\n<parameter=city>\nOslo and Bergen\n</parameter>\n<parameter=days>\n12\n"
        "</parameter>\n</function>",
    ),
}
WHOLE = '{"city":"Oslo and Bergen","days":12}'


@pytest.mark.parametrize("name", STREAMED)
def test_arguments_are_given_as_they_are_written(name: str) -> None:
    form, text = STREAMED[name]
    reader = AnswerReader(None, form, tools=TOOLS)
    given = [reader.push(character) for character in text]
    first = next(place for place, pieces in enumerate(given) if pieces)
    assert given[first][0] == CallStart("weather")
    assert first < text.index("Oslo")
    deltas = [piece.arguments for pieces in given for piece in pieces if isinstance(piece, CallDelta)]
    assert len(deltas) > 2
    assert "".join(deltas) == WHOLE
    assert reader.finish() == []


@pytest.mark.parametrize("name", STREAMED)
def test_what_is_cut_off_is_a_call_as_far_as_it_came_and_no_text(name: str) -> None:
    form, text = STREAMED[name]
    for length in range(len(text)):
        found = read(text[:length], [3] * (length // 3), form, is_cut=True)
        if "weather" not in text[:length]:
            assert all(piece[0] == "text" for piece in found)
            continue
        if found and found[0][0] != "text":  # the name has come to its end
            (call,) = found
            assert call[0] in ("broken", "call")
            assert call[1] == "weather"
            assert WHOLE.startswith(call[2])
            assert (call[0] == "call") == (call[2] == WHOLE)
    for tail in () if text.endswith("</tool_call>") else ("}", "}\n</t"):  # of the marker that ends the call
        assert read(text + tail, [], form, is_cut=True) == [("call", "weather", WHOLE)]
    assert read(text[: text.index("Oslo") + 2], [], form, is_cut=True)[0][:2] == ("broken", "weather")


def test_a_call_that_its_missing_bracket_does_not_mend_ends_once() -> None:
    reader = AnswerReader(None, LFM2, tools=TOOLS)
    found = [*reader.push("<|tool_call_start|>[weather(city=oslo"), *reader.finish()]
    assert found == [CallStart("weather"), CallEnd(is_whole=False), Piece("text", "city=oslo")]


def test_brackets_that_are_missing_are_made_up_for() -> None:
    for text in ('{"city": "Oslo"', '{"city": "Oslo", "days": [1, 2', '{"city": {"name": "Oslo"'):
        (call,) = read(f'<tool_call>{{"name": "weather", "arguments": {text}</tool_call>', [1] * 80, HERMES)
        assert call[0] == "call"
        assert json.loads(call[2])


def test_arguments_that_are_no_json_are_told_to_be_broken_and_nothing_is_lost() -> None:
    text = '<tool_call>{"name": "weather", "arguments": {"city": Oslo}}</tool_call> So.'
    assert read(text, [4] * 12, HERMES) == [("broken", "weather", '{"city":'), ("text", "Oslo}} So.")]


def test_calls_of_unknown_tools_are_read_when_they_are_whole() -> None:
    assert read('<tool_call>{"name": "other", "arguments": {"a": 1}}</tool_call>', [2] * 20, HERMES) == [
        ("call", "other", '{"a":1}')
    ]
    bare = '{"name": "other", "parameters": {"a": 1}}'
    assert read(bare, [2] * 20, LLAMA3) == [("text", bare)]
