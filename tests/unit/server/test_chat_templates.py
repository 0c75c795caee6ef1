"""What templates can do is found out, and what they cannot is made up for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from edgellm.errors import UsageError
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.granite import GRANITE
from edgellm.server.generation.calls.hermes import HERMES
from edgellm.server.generation.templates.abilities import Abilities, find_switches, probe
from edgellm.server.generation.templates.messages import adapt_messages
from edgellm.server.generation.templates.traits import read_traits
from edgellm_runtimes.chat import render_chat

TEXTS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
PARTS = "{% for m in messages %}<{{ m.role }}>{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"
BOTH = (
    "{% for m in messages %}<{{ m.role }}>"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}"
    "{% endfor %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEXTS
CALLS = (
    "{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</tool_call>'
    "{% endfor %}{% endfor %}"
)
NO_CALLS = "{{ tools | tojson }}" + TEXTS  # as Granite 3.3 has it
TEXT_CALLS = CALLS.replace("c.function.arguments | tojson", "'' + c.function.arguments")

TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
CALLED: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "warm"},
]


def abilities(template: str) -> Abilities:
    async def render(messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        return render_chat(template, messages, tools=tools)

    return asyncio.run(probe(render))


def rendered(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    form: CallForm = HERMES,
) -> str:
    adapted, given = adapt_messages(
        messages, tools, abilities(template), form, short_call_ids=read_traits(template).short_call_ids
    )
    return render_chat(template, adapted, tools=given)


def test_abilities_are_found() -> None:
    nothing = {"tools": False, "calls": False, "results": False, "text_arguments": False}
    called = {"tools": True, "calls": True, "results": True}
    assert abilities(TEXTS) == Abilities(texts=True, parts=False, system=True, **nothing)
    assert abilities(PARTS) == Abilities(texts=False, parts=True, system=True, **nothing)
    assert abilities(BOTH) == Abilities(texts=True, parts=True, system=True, **nothing)
    assert abilities(NO_SYSTEM) == Abilities(texts=True, parts=False, system=False, **nothing)
    assert abilities(CALLS) == Abilities(texts=True, parts=False, system=True, text_arguments=False, **called)
    assert abilities(TEXT_CALLS) == Abilities(texts=True, parts=False, system=True, text_arguments=True, **called)
    needs_tools = CALLS.replace("{% if tools %}", "{% for tool in tools %}{% endfor %}{% if tools %}")
    assert abilities(needs_tools) == abilities(CALLS)
    assert abilities(NO_CALLS) == Abilities(
        True, False, True, tools=True, calls=False, results=True, text_arguments=False
    )


@pytest.mark.parametrize("template", [TEXTS, PARTS, BOTH])
def test_texts_and_parts_reach_every_template(template: str) -> None:
    parts = [{"type": "text", "text": "Hi"}]
    assert rendered(template, [{"role": "user", "content": "Hi"}]) == "<user>Hi"
    assert rendered(template, [{"role": "user", "content": parts}]) == "<user>Hi"


def test_a_system_prompt_goes_to_the_user_where_there_is_no_role_for_it() -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert rendered(NO_SYSTEM, messages) == "<user>Be brief.\n\nHi"
    assert rendered(TEXTS, messages) == "<system>Be brief.<user>Hi"


def test_tools_are_told_where_the_template_knows_none() -> None:
    text = rendered(TEXTS, CALLED, [TOOL])
    assert '<tools>\n{"type": "function", "function": {"name": "weather"' in text
    assert '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>' in text
    assert "<user><tool_response>\nwarm\n</tool_response>" in text


def test_calls_are_said_in_the_models_own_form_where_the_template_leaves_them_out() -> None:
    text = rendered(NO_CALLS, CALLED, [TOOL], GRANITE)
    assert '<assistant><|tool_call|>[{"name": "weather", "arguments": {"city": "Oslo"}}]<tool>warm' in text
    assert "<tools>" not in text


def test_switches_of_thinking_are_found() -> None:
    template = "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}thinking" + TEXTS

    async def render(messages: Any, *, template_variables: Mapping[str, Any]) -> str:
        return render_chat(template, messages, variables=template_variables)

    assert asyncio.run(find_switches(render)) == ("enable_thinking",)


@pytest.mark.parametrize("template", [CALLS, TEXT_CALLS])
def test_arguments_have_the_form_that_the_template_reads(template: str) -> None:
    assert '"arguments": {"city": "Oslo"}}' in rendered(template, CALLED, [TOOL])


def test_ids_of_nine_letters_where_the_template_wants_them() -> None:
    template = CALLS.replace(
        "<tool_call>",
        "{% if c.id | length != 9 %}{{ raise_exception('ids have 9 letters') }}{% endif %}[TOOL_CALLS]{{ c.id }}",
    ).replace("<{{ m.role }}>", "<{{ m.role }}>{{ m.tool_call_id or '' }}")
    text = rendered(template, CALLED, [TOOL])
    call_id = text.partition("[TOOL_CALLS]")[2][:9]
    assert call_id.isalnum()
    assert f"<tool>{call_id}warm" in text


def test_results_name_their_tool() -> None:
    assert "weather=warm" in rendered(CALLS.replace("{{ m.content }}", "{{ m.name }}={{ m.content }}"), CALLED, [TOOL])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "image_url", "image_url": {"url": "x"}}], "reads text only"),
        ([{"type": "text"}], "has no text"),
        ([1], "must be objects"),
        (3, "must be text or a list of parts"),
    ],
)
def test_content_that_no_model_can_read_is_refused(content: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        adapt_messages([{"role": "user", "content": content}], (), abilities(TEXTS), HERMES)


def test_traits_are_read_from_the_text() -> None:
    qwen = read_traits(
        "{%- if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}<tool_call>"
    )
    assert qwen.thinking is not None
    assert qwen.thinking.closes == "</think>"
    assert qwen.calls is not None
    assert qwen.calls.name == "hermes"
    plain = read_traits(TEXTS)
    assert plain.thinking is None
    assert plain.calls is None
    assert not plain.short_call_ids
