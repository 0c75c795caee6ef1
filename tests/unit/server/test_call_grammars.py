"""Grammars that force calls: they allow what the family of models writes, and what they allow is read as calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgellm.errors import UsageError
from edgellm.server.generation.calls.call import Call
from edgellm.server.generation.calls.deepseek import DEEPSEEK, DEEPSEEK_FENCED
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.glm import GLM, GLM_TIGHT
from edgellm.server.generation.calls.granite import GRANITE
from edgellm.server.generation.calls.hermes import HERMES, QWEN_TAGS
from edgellm.server.generation.calls.llama3 import LLAMA3
from edgellm.server.generation.calls.mistral import MISTRAL, MISTRAL_ARGS
from edgellm.server.generation.calls.pieces import CallDelta, CallStart
from edgellm.server.generation.calls.pythonic import LFM2
from edgellm.server.generation.constraint import answer_grammar, tools_in_play
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.profile import ChatProfile
from edgellm.server.generation.reading.reader import AnswerReader
from edgellm.server.generation.request import ChatRequest, NamedTool, ToolChoice
from edgellm.server.generation.schemas import closed_grammar
from edgellm.server.generation.templates.abilities import Abilities
from edgellm.server.generation.templates.traits import TemplateTraits, ThinkingMarkers
from edgellm.server.generation.tools import Tool, read_tools
from edgellm_runtimes.grammar import Grammar

llguidance = pytest.importorskip("llguidance")

THINK = ThinkingMarkers("<think>", "</think>")
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"$ref": "#/$defs/City"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
                "$defs": {"City": {"type": "string"}},
            },
        },
    },
    {"type": "function", "function": {"name": "now"}},
]
ONE = {
    "hermes": '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>',
    "qwen-tags": '<tool_call>\n<function=weather>\n<parameter=city>\n"Oslo"\n</parameter>\n<parameter=days>\n2\n'
    "</parameter>\n</function>\n</tool_call>",
    "llama3": '{"name": "weather", "parameters": {"city": "Oslo", "days": 2}}',
    "mistral": '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}]',
    "mistral-args": '[TOOL_CALLS]weather[ARGS]{"city": "Oslo", "days": 2}',
    "granite": '<|tool_call|>[{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}]',
    "lfm2": '<|tool_call_start|>[weather(city="Oslo", days=2)]<|tool_call_end|>',
    "glm": '<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>"Oslo"</arg_value>\n<arg_key>days</arg_key>\n'
    "<arg_value>2</arg_value>\n</tool_call>",
    "glm-tight": '<tool_call>weather<arg_key>city</arg_key><arg_value>"Oslo"</arg_value><arg_key>days</arg_key>'
    "<arg_value>2</arg_value></tool_call>",
    "deepseek": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "Oslo", "days": 2}'
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "deepseek-fenced": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n"
    '{"city": "Oslo", "days": 2}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
}
TWO = {
    "hermes": ONE["hermes"] + '\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    "qwen-tags": ONE["qwen-tags"] + "\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
    "llama3": ONE["llama3"] + '; {"name": "now", "parameters": {}}',
    "mistral": ONE["mistral"][:-1] + ', {"name": "now", "arguments": {}}]',
    "mistral-args": ONE["mistral-args"] + "[TOOL_CALLS]now[ARGS]{}",
    "granite": ONE["granite"][:-1] + ', {"name": "now", "arguments": {}}]',
    "lfm2": ONE["lfm2"].replace("]", ", now()]"),
    "glm": ONE["glm"] + "\n<tool_call>now\n</tool_call>",
    "glm-tight": ONE["glm-tight"] + "<tool_call>now</tool_call>",
    "deepseek": ONE["deepseek"].replace(
        "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "deepseek-fenced": ONE["deepseek-fenced"].replace(
        "<｜tool▁calls▁end｜>",
        "\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
}
FORMS = [HERMES, QWEN_TAGS, LLAMA3, MISTRAL, MISTRAL_ARGS, GRANITE, LFM2, GLM, GLM_TIGHT, DEEPSEEK, DEEPSEEK_FENCED]


class Bytes:
    """A vocabulary of all bytes and some control tokens, as llguidance reads it."""

    is_tokenizer_wrapper = True
    bos_token_id = None
    special_token_ids = ()

    def __init__(self, control: list[str]) -> None:
        self.tokens = [bytes([byte]) for byte in range(256)] + [b"\xff" + name.encode() for name in control] + [b""]
        self.eos_token_id = len(self.tokens) - 1

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


def allows(grammar: Grammar, text: str, control: list[str]) -> bool:
    """True when the whole of ``text`` is an answer."""
    tokenizer = llguidance.LLTokenizer(Bytes(control))
    as_lark = llguidance.LLMatcher.grammar_from_lark(grammar.text)
    matcher = llguidance.LLMatcher(tokenizer, as_lark, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids: list[int] = []
    while text:
        name = next((name for name in control if text.startswith(name)), None)
        ids += [256 + control.index(name)] if name else list(text[0].encode())
        text = text[len(name or text[0]) :]
    return matcher.try_consume_tokens(ids) == len(ids) and bool(matcher.is_accepting())


def grammar_of(
    form: CallForm,
    control: list[str],
    choice: ToolChoice = "required",
    *,
    parallel: bool = True,
    thinking: str = "never",
    schema: dict[str, Any] | None = None,
) -> Grammar | None:
    """The grammar for an answer that may call TOOLS; thinking is "never", "maybe" or "begun"."""
    traits = TemplateTraits(THINK, (), form, False)
    profile = ChatProfile(
        traits,
        Abilities(True, True, True, True, True, True, False),
        form,
        (),
        {name: 256 + place for place, name in enumerate(control)},
    )
    wanted = closed_grammar(Grammar("json_schema", json.dumps(schema))) if schema is not None else None
    request = ChatRequest(
        messages=({"role": "user", "content": "x"},),
        tools=tuple(TOOLS),
        tool_choice=choice,
        parallel_tool_calls=parallel,
    )
    tools = tools_in_play(request, read_tools(request.tools))
    return answer_grammar(
        profile, request, wanted, tools, may_think=thinking != "never", in_thinking=thinking == "begun"
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("are_control_tokens", [False, True])
def test_calls_as_the_models_write_them(form: CallForm, are_control_tokens: bool) -> None:
    control = list(form.markers) if are_control_tokens else []
    grammar = grammar_of(form, control)
    assert grammar is not None
    for text in (ONE[form.name], TWO[form.name]):
        assert allows(grammar, text, control)
    assert not allows(grammar, "I cannot do that.", control)
    assert not allows(grammar, "", control)
    assert not allows(grammar, ONE[form.name].replace("weather", "other"), control)
    assert not allows(grammar, ONE[form.name].replace("2", '"two"'), control)
    assert not allows(grammar, ONE[form.name].replace("days", "weeks"), control)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_calls_that_were_made_are_said_as_the_models_write_them(form: CallForm) -> None:
    calls = [Call("weather", '{"city": "Oslo", "days": 2}'), Call("now", "{}")]
    written = TWO["hermes" if form is QWEN_TAGS else form.name]
    assert form.say(calls) == (written.replace('"Oslo"', "Oslo") if form in (GLM, GLM_TIGHT) else written)


@pytest.mark.parametrize("optional", ["", "days=2", 'city="Oslo"', 'city="Oslo", days=2'])
def test_arguments_that_may_be_left_out(optional: str) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    rules = LarkRules({})
    (tool,) = read_tools([{"type": "function", "function": {"name": "weather", "parameters": parameters}}])
    grammar = Grammar("lark", rules.text(rules.rule(LFM2.write(rules, [tool], False))))
    assert allows(grammar, f"<|tool_call_start|>[weather({optional})]<|tool_call_end|>", [])
    assert not allows(grammar, '<|tool_call_start|>[weather(days=2, city="Oslo")]<|tool_call_end|>', [])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_what_is_forced_is_read(form: CallForm) -> None:
    reader = AnswerReader(None, form, tools={name: Tool(name, {}) for name in ("weather", "now")})
    pieces = [*reader.push(TWO[form.name]), *reader.finish()]
    assert [piece.name for piece in pieces if isinstance(piece, CallStart)] == ["weather", "now"]
    arguments = "".join(piece.arguments for piece in pieces if isinstance(piece, CallDelta))
    assert [json.loads(each + "}") for each in arguments.split("}")[:-1]] == [{"city": "Oslo", "days": 2}, {}]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_one_call_where_several_are_not_wanted(form: CallForm) -> None:
    grammar = grammar_of(form, [], parallel=False)
    assert grammar is not None
    assert allows(grammar, ONE[form.name], [])
    assert not allows(grammar, TWO[form.name], [])


def test_a_named_tool_is_the_only_one() -> None:
    grammar = grammar_of(HERMES, [], NamedTool("now"))
    assert grammar is not None
    assert allows(grammar, '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>', [])
    assert not allows(grammar, ONE["hermes"], [])


@pytest.mark.parametrize("control", [[], ["<think>", "</think>"]])
def test_a_thought_comes_before_what_is_forced(control: list[str]) -> None:
    maybe, begun = (grammar_of(HERMES, control, thinking=kind) for kind in ("maybe", "begun"))
    assert maybe is not None
    assert begun is not None
    thought = "hm </b> {\n"
    assert allows(maybe, f"<think>{thought}</think>\n\n{ONE['hermes']}", control)
    assert allows(maybe, ONE["hermes"], control)
    assert not allows(maybe, f"<think>{thought}", control)
    assert allows(begun, f"{thought}</think>\n\n{ONE['hermes']}", control)
    assert not allows(begun, ONE["hermes"], control)


def test_a_schema_and_tools_allow_either() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    grammar = grammar_of(HERMES, [], "auto", schema=schema)
    assert grammar is not None
    assert allows(grammar, '{"x": 3}', [])
    assert allows(grammar, TWO["hermes"], [])
    assert not allows(grammar, "text", [])
    without = grammar_of(HERMES, [], "none", schema=schema, thinking="maybe")
    assert without is not None
    assert allows(without, '{"x": 3}', [])
    assert not allows(without, TWO["hermes"], [])


def test_tools_that_may_be_called_force_nothing() -> None:
    assert grammar_of(HERMES, [], "auto") is None


def test_a_tool_that_is_not_there_cannot_be_named() -> None:
    with pytest.raises(UsageError, match="'other', is not among the tools"):
        grammar_of(HERMES, [], NamedTool("other"))
